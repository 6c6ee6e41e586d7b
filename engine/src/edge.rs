//! The protocol between edges and their origin: heads and pages under `/edge/v1/`.

use crate::env::Env;
use crate::http::Request;
use crate::store::{Fault, Outcome, View};

/// One request of an edge, its credential included.
#[allow(unused_variables, clippy::todo, clippy::missing_errors_doc)]
pub fn handle(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    todo!()
}
