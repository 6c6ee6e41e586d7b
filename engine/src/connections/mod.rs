//! Connections: their records, tokens and management API.

pub mod record;
pub mod token;

use crate::env::Env;
use crate::http::Request;
use crate::store::{Fault, Outcome, View};

/// One request of the management API: `/auth/vendor`, `/directory/resources/v1/...`, `/identity/...`.
#[allow(unused_variables, clippy::todo, clippy::missing_errors_doc)]
pub fn handle(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    todo!()
}
