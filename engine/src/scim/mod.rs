//! The SCIM protocol: routes, resources, lists, Bulk, discovery.
//!
//! [`handle`] authenticates, authorises, and hands the request to the module named for its concept. Reads and writes
//! go through one [`Txn`](crate::store::Txn), so a request sees one moment of the directory and changes it at once.

mod access;
mod bulk;
mod directory;
mod discovery;
mod gather;
pub mod layout;
mod list;
mod members;
mod plan;
mod precondition;
mod query;
mod render;
mod route;
mod service;
mod write;

pub use access::{Access, admit};
pub(crate) use route::origin;
pub use route::{Endpoint, Route};

use crate::env::Env;
use crate::http::Request;
use crate::store::{DirectoryId, Fault, Outcome, View};

/// The connection a SCIM path belongs to, with or without the `/frontegg` prefix; `None` for any other path.
pub fn connection_of(target: &str) -> Option<DirectoryId> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    Route::parse(path).map(|route| route.connection)
}

/// One whole SCIM request, authentication included.
///
/// # Errors
///
/// [`Fault::Need`] names what to load before the next try; [`Fault::Refused`] is the answer to an invalid request.
pub fn handle(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let entered = access::enter(request, view, env)?;
    service::serve(request, entered, env)
}
