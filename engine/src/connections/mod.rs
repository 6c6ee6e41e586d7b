//! Connections: their records, tokens and management API.
//!
//! The API follows Frontegg's, so that its clients work unchanged. [`handle`] is the one entry: it finds the
//! [row](route::Route) of the table, proves the [credential](caller), opens the [environment] and hands over to the
//! module named for the deed.

mod bearer;
pub mod body;
pub mod caller;
mod change;
pub mod cidr;
pub mod connection;
mod create;
mod delete;
pub mod environment;
pub mod error;
mod list;
mod logs;
pub mod openapi;
pub mod permission;
pub mod record;
pub mod role;
pub mod route;
#[cfg(test)]
mod tests;
pub mod token;
mod tokens;
pub mod user;
pub mod vendor;
pub mod verify;

use serde_json::json;

pub use delete::sweep;
pub use list::{accounts, count};
pub use logs::activity;

use crate::connections::body::Body;
use crate::connections::caller::{Caller, Credential, Demand, Rights};
use crate::connections::environment::{Environment, Settings};
use crate::connections::error::{ApiError, JSON};
use crate::connections::route::{Action, Route};
use crate::env::Env;
use crate::http::{Request, Response};
use crate::log;
use crate::store::{Fault, Need, Outcome, Txn, View};

/// One request of the management API: `/auth/vendor`, `/directory/resources/v1/...`, `/identity/...`.
///
/// # Errors
/// A refusal in the API's JSON form, or heads and pages to be loaded first.
pub fn handle(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let (route, action) = Route::of(request)?;
    let outcome = if route.demand == Demand::Nothing {
        answer(open_to_anybody(&action, request, env)?)
    } else {
        let credential = Credential::prove(request, env)?;
        let environment = open(view, &action)?;
        let caller = credential.admit(route.demand, request, &environment)?;
        perform(&action, request, view, environment, &caller, env)?
    };
    let reads = request.method == "GET" && route.demand != Demand::Nothing && outcome.commits.is_empty();
    let aside = if reads { delete::aside(view, env) } else { outcome.aside };
    Ok(Outcome { response: outcome.response.with("cache-control", "no-store"), aside, ..outcome })
}

/// What the credential of a request is good for.
///
/// # Errors
/// 401, or heads and pages to be loaded first.
pub fn rights(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Rights, Fault> {
    Credential::prove(request, env)?.rights(&Environment::open(view)?)
}

/// Opens the environment; the head of the connection an action is about is asked for in the same breath.
fn open<'v>(view: &'v View<'v>, action: &Action) -> Result<Environment<'v>, Fault> {
    let mut need = Need::default();
    let environment = need.gather(Environment::open(view))?;
    if let Some(id) = action.connection() {
        need.gather(Txn::open(view, id))?;
    }
    if let Action::ReadLog(id) = action
        && let Some(log) = log::directory(id)
    {
        need.gather(Txn::open(view, &log))?;
    }
    need.settle()?;
    environment.map_or_else(|| Environment::open(view), Ok)
}

fn open_to_anybody(action: &Action, request: &Request, env: &Env<'_>) -> Result<Response, ApiError> {
    match action {
        Action::Login => vendor::login(request, env),
        _ => Ok(openapi::answer()),
    }
}

fn perform<'v>(
    action: &Action,
    request: &Request,
    view: &'v View<'v>,
    mut environment: Environment<'v>,
    caller: &Caller,
    env: &Env<'_>,
) -> Result<Outcome, Fault> {
    let find = |environment: &Environment<'_>, id| connection::find(view, environment, caller, id);
    Ok(match action {
        Action::Describe | Action::Login => answer(open_to_anybody(action, request, env)?),
        Action::ListConnections => answer(list::list(request, view, &environment, caller, env)?),
        Action::CreateConnection => create::create(request, view, environment, caller, env)?,
        Action::ReadConnection(id) => {
            let (entry, found) = find(&environment, id)?;
            let mut shown = connection::describe(id.as_str(), &entry, &found.record, request, env);
            if let Some(fields) = shown.as_object_mut() {
                fields.insert("settings".into(), json!(found.record.settings));
            }
            answer(Response::json(200, JSON, &shown))
        }
        Action::ChangeConnection(id) => change::change(id, request, view, environment, caller, env)?,
        Action::DeleteConnection(id) => delete::delete(id, request, view, environment, caller, env)?,
        Action::ListTokens(id) => answer(tokens::list(&find(&environment, id)?.1, env)),
        Action::CreateToken(id) => tokens::create(request, find(&environment, id)?.1, env)?,
        Action::DeleteToken(id, token) => tokens::delete(token, find(&environment, id)?.1, env)?,
        Action::ReadLog(id) => answer(logs::list(request, view, &find(&environment, id)?.1, env)?),
        Action::ReadResidue(id) => answer(delete::residue(id, view, &environment, caller)?),
        Action::RemoveResidue(id) => delete::remove_residue(id, view, environment, caller, env)?,
        Action::CountUsers(id) => {
            let count = find(&environment, id)?.1.counts()?.users;
            answer(Response::json(200, JSON, &json!({ "count": count })))
        }
        Action::ReadSelfService => answer(self_service(&environment)),
        Action::SetSelfService => {
            let enabled = Body::parse(request)?.flag("enabled")?;
            let self_service = enabled.ok_or_else(|| ApiError::invalid("enabled", "is required"))?;
            environment.set_settings(Settings { self_service, ..environment.settings().clone() });
            written(self_service_answer(self_service), environment, env)?
        }
        Action::ListRoles => answer(role::list(&environment)?),
        Action::CreateRoles => written(role::create(request, &mut environment, env)?, environment, env)?,
        Action::ChangeRole(id) => written(role::change(id, request, &mut environment)?, environment, env)?,
        Action::DeleteRole(id) => written(role::delete(id, &mut environment)?, environment, env)?,
        Action::SetRolePermissions(id) => {
            written(role::set_permissions(id, request, &mut environment)?, environment, env)?
        }
        Action::ListPermissions => answer(role::permissions()),
    })
}

fn self_service(environment: &Environment<'_>) -> Response {
    self_service_answer(environment.settings().self_service)
}

fn self_service_answer(enabled: bool) -> Response {
    Response::json(200, JSON, &json!({ "enabled": enabled }))
}

/// An answer that changes nothing.
fn answer(response: Response) -> Outcome {
    Outcome { response, ..Outcome::default() }
}

/// An answer that changes the environment only.
fn written(response: Response, environment: Environment<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    Ok(Outcome { response, commits: environment.commit(env)?.into_iter().collect(), ..Outcome::default() })
}
