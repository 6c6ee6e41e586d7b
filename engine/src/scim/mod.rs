//! The SCIM protocol: routes, resources, lists, Bulk, discovery.

use crate::env::Env;
use crate::http::Request;
use crate::store::{DirectoryId, Fault, Outcome, View};

/// The connection a SCIM path belongs to, with or without the `/frontegg` prefix; `None` for any other path.
#[allow(unused_variables, clippy::todo)]
pub fn connection_of(target: &str) -> Option<DirectoryId> {
    todo!()
}

/// What an admitted request is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It changes nothing: it may be answered from pages at hand.
    Read,
    /// It may commit: only the owner of the directory can answer it.
    Write,
}

/// Authenticates and authorises a request from the directory's head alone; the body is not looked at.
#[allow(unused_variables, clippy::todo, clippy::missing_errors_doc)]
pub fn admit(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Access, Fault> {
    todo!()
}

/// One whole SCIM request, authentication included.
#[allow(unused_variables, clippy::todo, clippy::missing_errors_doc)]
pub fn handle(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    todo!()
}
