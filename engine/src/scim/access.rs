//! Who may do what: authentication and authorisation, from the directory's head alone.

use std::sync::Arc;

use crate::connections::record::{Record, Scope, State, Token};
use crate::connections::token;
use crate::env::Env;
use crate::error::{Kind as Wrong, ScimError};
use crate::http::Request;
use crate::scim::layout::Kind;
use crate::scim::route::{Endpoint, Route};
use crate::store::{Fault, Txn, View};

/// What an admitted request is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It changes nothing: it may be answered from pages at hand.
    Read,
    /// It may commit: only the owner of the directory can answer it.
    Write,
}

/// A request that may go on.
pub struct Entered<'v> {
    pub route: Route,
    pub record: Arc<Record>,
    pub token: Token,
    pub txn: Txn<'v>,
}

/// Authenticates and authorises a request from the directory's head alone; the body is not looked at.
///
/// # Errors
///
/// 401 for every doubt about the token or the connection, 403 for a scope the token lacks or a write while paused.
pub fn admit(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Access, Fault> {
    enter(request, view, env).map(|entered| access(request, &entered.route.endpoint))
}

/// Authenticates and authorises, and opens the directory.
pub fn enter<'v>(request: &Request, view: &'v View<'v>, env: &Env<'_>) -> Result<Entered<'v>, Fault> {
    let Some(route) = Route::parse(request.path()) else {
        token::authenticate(request, None, env)?;
        return Err(unauthorized().into());
    };
    let txn = Txn::open(view, &route.connection)?;
    let live = txn.as_ref().and_then(Record::of).filter(|record| record.is_live());
    let token = token::authenticate(request, live.as_deref(), env)?.clone();
    let (Some(record), Some(txn)) = (live, txn) else { return Err(unauthorized().into()) };
    let entered = Entered { route, record, token, txn };
    authorise(request, &entered)?;
    refuse_codings(request)?;
    Ok(entered)
}

/// Opens the directory for somebody who needs no connection token.
pub fn visit<'v>(request: &Request, view: &'v View<'v>, env: &Env<'_>) -> Result<Entered<'v>, Fault> {
    let route = Route::parse(request.path()).ok_or_else(unauthorized)?;
    let txn = Txn::open(view, &route.connection)?.ok_or_else(unauthorized)?;
    let record = Record::of(&txn).filter(|record| record.is_live()).ok_or_else(unauthorized)?;
    let token = Token::new(String::new(), "", env.now);
    Ok(Entered { route, record, token, txn })
}

fn unauthorized() -> ScimError {
    ScimError::new(Wrong::Unauthorized, "the bearer token is not valid for this connection")
}

fn authorise(request: &Request, entered: &Entered<'_>) -> Result<(), ScimError> {
    let access = access(request, &entered.route.endpoint);
    if access == Access::Write && entered.record.state == State::Paused {
        return Err(paused());
    }
    match &entered.route.endpoint {
        Endpoint::Collection(kind) | Endpoint::Resource(kind, _) | Endpoint::Search(Some(kind)) => {
            require(&entered.token, *kind, access)
        }
        Endpoint::Root | Endpoint::Search(None) => {
            Kind::ALL.into_iter().try_for_each(|kind| require(&entered.token, kind, access))
        }
        // Each operation of a Bulk request is checked by itself, and the rest shows nothing of the directory.
        _ => Ok(()),
    }
}

/// Refuses a body that would have to be unpacked first, for it could grow beyond every limit (RFC 9110 section 8.4).
fn refuse_codings(request: &Request) -> Result<(), ScimError> {
    let mut codings = request.header_values("content-encoding");
    if codings.all(|coding| coding.eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    Err(ScimError::new(Wrong::UnsupportedMediaType, "a body must be sent without `Content-Encoding`"))
}

/// Refuses a token that lacks a scope.
pub fn require(token: &Token, kind: Kind, access: Access) -> Result<(), ScimError> {
    let (scope, name) = match (kind, access) {
        (Kind::User, Access::Read) => (Scope::UsersRead, "users:read"),
        (Kind::User, Access::Write) => (Scope::UsersWrite, "users:write"),
        (Kind::Group, Access::Read) => (Scope::GroupsRead, "groups:read"),
        (Kind::Group, Access::Write) => (Scope::GroupsWrite, "groups:write"),
    };
    match &token.scopes {
        Some(scopes) if !scopes.contains(&scope) => {
            Err(ScimError::new(Wrong::Forbidden, format!("the token lacks the scope `{name}`")))
        }
        _ => Ok(()),
    }
}

fn paused() -> ScimError {
    ScimError::new(Wrong::Forbidden, "this connection is paused: provisioning is switched off, nothing was changed")
}

/// What a request is about to do if it is admitted.
pub fn access(request: &Request, endpoint: &Endpoint) -> Access {
    match (request.method.as_str(), endpoint) {
        ("GET" | "HEAD" | "OPTIONS", _) | ("POST", Endpoint::Search(_)) => Access::Read,
        _ => Access::Write,
    }
}
