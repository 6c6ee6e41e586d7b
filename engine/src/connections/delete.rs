//! `DELETE /scim2/{id}`, and what a deleted connection leaves.
//!
//! Deletion is one commit of the connection's head: from then on every token is refused. The environment's list
//! follows. Content is removed in bounded steps, each a commit: the first comes with the deletion, the others beside
//! requests that only read, or when a host runs [`sweep`]. What is still to be removed is queued in the environment, so
//! a crash only delays it. The provisioning log goes with the content: it stays, unread, with residue.

use serde_json::json;

use crate::connections::body::Body;
use crate::connections::caller::Caller;
use crate::connections::connection::{Connection, Counts};
use crate::connections::environment::{Entry, Environment, Leftover};
use crate::connections::error::{ApiError, JSON};
use crate::connections::record::State;
use crate::env::Env;
use crate::http::{Request, Response};
use crate::log;
use crate::store::{Aside, Commit, DirectoryId, Fault, Outcome, View};

/// Entries one step removes.
const STEP: usize = 500;

/// Deletes a connection. `deleteAll` in the body removes its users and groups; else they stay as residue. With
/// `dryRun=true` in the query nothing changes, and the answer counts what would go.
///
/// # Errors
/// 400, 404
pub fn delete<'v>(
    id: &DirectoryId,
    request: &Request,
    view: &'v View<'v>,
    mut environment: Environment<'v>,
    caller: &Caller,
    env: &Env<'_>,
) -> Result<Outcome, Fault> {
    let everything = Body::parse_optional(request)?.flag("deleteAll")?.unwrap_or(false);
    let dry = is_dry_run(request)?;
    let unknown = || ApiError::not_found("connection");
    let entry = environment.entry(id.as_str())?.filter(|entry| caller.reaches(&entry.tenant_id)).ok_or_else(unknown)?;
    let Some(mut connection) = Connection::open(view, id)? else { return Err(unknown().into()) };
    if dry {
        let Counts { users, groups } = connection.counts()?;
        let counts = json!({ "users": users, "groups": groups, "tokens": connection.record.tokens.len() });
        return Ok(Outcome { response: Response::json(200, JSON, &counts), ..Outcome::default() });
    }
    // A head that is retired already belongs to a deletion which was cut off; it can still become a thorough one.
    if everything || connection.record.is_live() {
        connection.record.retire(if everything { State::Deleting } else { State::Residue });
    }
    environment.remove(id.as_str(), &entry);
    let commits = settle(connection, view, environment, entry, env)?;
    Ok(Outcome { response: Response::empty(204), commits, ..Outcome::default() })
}

/// `GET /scim2/{id}/residue`: what a deletion left, or for a live connection what it would leave.
///
/// # Errors
/// 404
pub fn residue(
    id: &DirectoryId,
    view: &View<'_>,
    environment: &Environment<'_>,
    caller: &Caller,
) -> Result<Response, Fault> {
    let leftover = environment.leftover(id.as_str())?.map(|leftover| leftover.entry);
    let entry = match leftover {
        Some(entry) => Some(entry),
        None => environment.entry(id.as_str())?,
    };
    let known = entry.is_some_and(|entry| caller.reaches(&entry.tenant_id));
    let unknown = || ApiError::not_found("connection");
    let connection = if known { Connection::open(view, id)? } else { None }.ok_or_else(unknown)?;
    let Counts { users, groups } = connection.counts()?;
    Ok(Response::json(200, JSON, &json!({ "users": users, "groups": groups })))
}

/// `DELETE /scim2/{id}/residue`: removes what a deleted connection left.
///
/// # Errors
/// 404 when it left nothing; 409 while it is not deleted.
pub fn remove_residue<'v>(
    id: &DirectoryId,
    view: &'v View<'v>,
    environment: Environment<'v>,
    caller: &Caller,
    env: &Env<'_>,
) -> Result<Outcome, Fault> {
    let Some(leftover) = environment.leftover(id.as_str())?.filter(|left| caller.reaches(&left.entry.tenant_id)) else {
        let live = environment.entry(id.as_str())?.is_some_and(|entry| caller.reaches(&entry.tenant_id));
        let error = if live { ApiError::conflict("id", "is not deleted") } else { ApiError::not_found("residue") };
        return Err(error.into());
    };
    let mut connection = Connection::open(view, id)?.ok_or_else(|| ApiError::not_found("residue"))?;
    connection.record.retire(State::Deleting);
    let commits = settle(connection, view, environment, leftover.entry, env)?;
    Ok(Outcome { response: Response::empty(204), commits, ..Outcome::default() })
}

/// The commits of a retired connection: its head, with a first step of the removal, then the environment.
fn settle<'v>(
    mut connection: Connection<'v>,
    view: &View<'_>,
    mut environment: Environment<'v>,
    entry: Entry,
    env: &Env<'_>,
) -> Result<Vec<Commit>, Fault> {
    let id = connection.id.clone();
    // Without users and groups there is nothing to keep, a log at most: it goes the way of a thorough deletion.
    if connection.record.state != State::Deleting && connection.counts()? == Counts::default() {
        connection.record.retire(State::Deleting);
    }
    let removing = connection.record.state == State::Deleting;
    let mut log = None;
    let mut nothing_left = false;
    if removing {
        let (closed, empty) = log::close(view, &id, STEP, env)?;
        nothing_left = connection.drain(STEP)? && empty;
        log = closed;
    }
    if nothing_left {
        environment.forget(id.as_str());
    } else {
        environment.set_leftover(id.as_str(), &Leftover { entry, deleted_at: env.now, removing });
    }
    Ok(connection.commit(env)?.into_iter().chain(log).chain(environment.commit(env)?).collect())
}

/// One bounded step of the oldest queued removal, as a handler for hosts: 204 when there is nothing left to remove,
/// 202 when there is. The request is not looked at.
///
/// # Errors
/// Heads and pages may have to be loaded first.
pub fn sweep(_request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let commit = step(view, env)?;
    let status = if commit.is_some() { 202 } else { 204 };
    Ok(Outcome { response: Response::empty(status), commits: commit.into_iter().collect(), aside: Aside::Nothing })
}

/// The same step beside the answer to a request that changes nothing.
pub fn aside(view: &View<'_>, env: &Env<'_>) -> Aside {
    match step(view, env) {
        Ok(Some(commit)) => Aside::Commit(commit),
        Err(Fault::Need(need)) => Aside::Need(need),
        Ok(None) | Err(Fault::Refused(_) | Fault::Damaged(_)) => Aside::Nothing,
    }
}

/// The commit of that step: entries are taken out of the directory until it is empty and the pages they were in are gone,
/// then it is forgotten.
fn step(view: &View<'_>, env: &Env<'_>) -> Result<Option<Commit>, Fault> {
    let mut environment = Environment::open(view)?;
    let Some(id) = environment.settings().removing.first().cloned() else { return Ok(None) };
    let directory = DirectoryId::new(&id).ok_or_else(|| Fault::Damaged("the queue of removals".into()))?;
    let connection = Connection::open(view, &directory)?.filter(|found| !found.record.is_live());
    if let Some(mut connection) = connection
        && (connection.txn.has_garbage() || !connection.is_empty()?)
    {
        connection.record.retire(State::Deleting);
        connection.drain(STEP)?;
        return connection.commit(env);
    }
    if let (Some(commit), _) = log::close(view, &directory, STEP, env)? {
        return Ok(Some(commit));
    }
    environment.forget(&id);
    environment.commit(env)
}

fn is_dry_run(request: &Request) -> Result<bool, ApiError> {
    let parameters = request.parameters().ok_or_else(|| ApiError::malformed("the query is not percent-encoded"))?;
    match parameters.iter().find(|(name, _)| name == "dryRun").map(|(_, value)| value.as_str()) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(ApiError::invalid("dryRun", "must be `true` or `false`")),
    }
}
