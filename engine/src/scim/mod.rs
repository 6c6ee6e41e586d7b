//! The SCIM protocol: routes, resources, lists, Bulk, discovery.
//!
//! [`handle`] authenticates, authorises, and hands the request to the module named for its concept. Reads and writes
//! go through one [`Txn`], so a request sees one moment of the directory and changes it at once.

mod access;
mod bulk;
mod decide;
mod directory;
mod discovery;
mod gather;
pub mod layout;
mod list;
mod members;
mod plan;
mod precondition;
mod query;
mod read;
mod render;
mod route;
mod service;
mod verify;
mod write;

pub use access::{Access, admit};
pub use decide::{Decision, MatchedBy, decide};
pub use members::Membership;
pub use read::VARY;
pub use route::{Endpoint, Route, origin};
pub use verify::verify;

use crate::connections::record::Record;
use crate::env::Env;
use crate::error::{Kind, ScimError};
use crate::http::{Request, Response};
use crate::log::{self, Entry, operation, redact};
use crate::schema::Registry;
use crate::store::{Aside, DirectoryId, Fault, Outcome, Txn, View};

/// The connection a SCIM path belongs to, with or without the `/frontegg` prefix; `None` for any other path.
pub fn connection_of(target: &str) -> Option<DirectoryId> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    Route::parse(path).map(|route| route.connection)
}

/// One whole SCIM request, authentication included.
///
/// # Errors
///
/// [`Fault::Need`] names what to load before the next try. A refusal is an outcome like any other, with the work of
/// noting it aside.
pub fn handle(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let step = access::enter(request, view, env).and_then(|entered| service::serve(request, view, entered, env));
    match step {
        Err(Fault::Refused(response)) => Ok(refused(request, response, view, env)),
        Ok(Outcome { response, .. }) if response.status >= 400 => Ok(refused(request, response, view, env)),
        other => other,
    }
}

/// One SCIM request as an edge answers it: from a replica, so that nothing is changed and nothing is noted.
///
/// A host that only calls this carries no code for writes.
///
/// # Errors
///
/// [`Fault::Need`] names what to load before the next try; [`Fault::Refused`] is the answer to an invalid request. A
/// write is refused with 503: it belongs to the owner of the directory.
pub fn read(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let entered = access::enter(request, view, env)?;
    match read::Reader::new(request, &entered, env)?.answer(&entered)? {
        Some(response) => Ok(Outcome { response, ..Outcome::default() }),
        None => Err(ScimError::new(Kind::Unavailable, "a replica changes nothing").into()),
    }
}

/// One SCIM request that only reads, made by somebody the management API has admitted to the connection: without a
/// connection token, and without a trace in the log.
///
/// # Errors
///
/// [`Fault::Need`] names what to load before the next try; [`Fault::Refused`] is the answer to an invalid request.
pub fn browse(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Response, Fault> {
    let entered = access::visit(request, view, env)?;
    let answer = read::Reader::new(request, &entered, env)?.answer(&entered)?;
    answer.ok_or_else(|| ScimError::new(Kind::Forbidden, "only reads are possible here").into())
}

/// Whether a request may commit, by its method and path alone.
pub fn may_write(request: &Request) -> bool {
    let reads = matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS");
    let writes = |route: Route| access::access(request, &route.endpoint) == Access::Write;
    !reads && Route::parse(request.path()).is_some_and(writes)
}

/// A refusal, and the work of noting it in the connection's log.
fn refused(request: &Request, response: Response, view: &View<'_>, env: &Env<'_>) -> Outcome {
    let aside = note(request, &response, view, env).unwrap_or_default();
    Outcome { response, aside, ..Outcome::default() }
}

/// `None` when there is no live connection to note it for.
fn note(request: &Request, response: &Response, view: &View<'_>, env: &Env<'_>) -> Option<Aside> {
    let connection = connection_of(&request.target)?;
    let record = Record::from_bytes(Txn::open(view, &connection).ok()??.record()).filter(Record::is_live)?;
    let entry = refusal(request, response, Some(&record), env)?;
    Some(log::aside(view, &connection, vec![entry], env))
}

/// What the log says of a refused request; names that only the connection's own schemas know are shown if its record is
/// at hand. `None` for a path that is not SCIM.
pub fn refusal(request: &Request, response: &Response, record: Option<&Record>, env: &Env<'_>) -> Option<Entry> {
    let Route { endpoint, .. } = Route::parse(request.path())?;
    let custom = record.and_then(|record| read::custom(record).ok().flatten());
    let id = if let Endpoint::Resource(_, id) = &endpoint { Some(id) } else { None };
    let (scim_type, reason) = log::why(response, custom.as_ref().unwrap_or_else(|| Registry::shared()), request);
    Some(Entry {
        operation: operation(&request.method, &endpoint),
        resource: id.filter(|id| redact::is_id(id)).cloned(),
        status: response.status,
        scim_type,
        reason,
        ..Entry::of(request, env)
    })
}
