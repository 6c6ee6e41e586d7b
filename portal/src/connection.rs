//! One connection: overview, set-up guide, tokens, pause, rename, deletion.

use askama::Template;
use scim_engine::connections::permission::Permission;
use scim_engine::http::Response;
use scim_engine::store::{Fault, Outcome};
use serde_json::{Value, json};

use crate::api::{SCIM2, escape};
use crate::dashboard::finish;
use crate::form::Problem;
use crate::page::{self, Frame, Visit};
use crate::shown::{Shown, text};
use crate::{directory, log};

/// One request below `/connections/{id}`.
pub fn handle(visit: &Visit<'_>, id: &str, segments: &[&str]) -> Result<Outcome, Fault> {
    match (visit.request.method.as_str(), segments) {
        ("GET", []) => overview(visit, id, Problem::default()),
        ("GET", ["setup"]) => setup(visit, id),
        ("GET", ["delete"]) => confirm(visit, id),
        ("POST", ["delete"]) => delete(visit, id),
        ("POST", ["pause"]) => change(visit, id, &json!({ "syncToUserManagement": false }), "paused"),
        ("POST", ["resume"]) => change(visit, id, &json!({ "syncToUserManagement": true }), "resumed"),
        ("POST", ["rename"]) => rename(visit, id),
        ("POST", ["tokens"]) => rotate(visit, id),
        ("POST", ["tokens", token]) => revoke(visit, id, token),
        ("GET", ["users"]) => directory::list(visit, id, directory::Kind::User),
        ("GET", ["groups"]) => directory::list(visit, id, directory::Kind::Group),
        ("GET", ["users", resource]) => directory::show(visit, id, directory::Kind::User, resource),
        ("GET", ["groups", resource]) => directory::show(visit, id, directory::Kind::Group, resource),
        ("GET", ["log"]) => log::show(visit, id),
        _ => Err(Fault::Refused(Response::empty(404))),
    }
}

/// The connection, if it is in reach.
pub fn find(visit: &Visit<'_>, id: &str) -> Result<Shown, Fault> {
    let mut shown = Shown::of(&visit.api.get(&path(id))?);
    let counts = visit.api.counts(id)?;
    (shown.users, shown.groups) = (counts.users, counts.groups);
    Ok(shown)
}

fn path(id: &str) -> String {
    format!("{SCIM2}/{}", escape(id))
}

struct Token {
    id: String,
    name: String,
    created: String,
    used: String,
    expires: String,
}

#[derive(Template)]
#[template(path = "connection.html")]
struct Overview {
    frame: Frame,
    shown: Shown,
    tab: &'static str,
    tokens: Vec<Token>,
    problem: Problem,
}

fn overview(visit: &Visit<'_>, id: &str, problem: Problem) -> Result<Outcome, Fault> {
    let shown = find(visit, id)?;
    let tokens = visit.api.get(&format!("{}/tokens", path(id)))?;
    let tokens = tokens.as_array().into_iter().flatten().map(|token| Token {
        id: text(token, "id"),
        name: text(token, "name"),
        created: text(token, "createdAt"),
        used: text(token, "lastUsedAt"),
        expires: text(token, "expiresAt"),
    });
    let status = if problem.status == 0 { 200 } else { problem.status };
    let page = Overview {
        frame: visit.frame(&shown.name, "accounts"),
        tokens: tokens.collect(),
        tab: "overview",
        shown,
        problem,
    };
    Ok(visit.show(status, &page))
}

#[derive(Template)]
#[template(path = "setup.html")]
struct Setup {
    frame: Frame,
    shown: Shown,
    tab: &'static str,
    token: String,
}

/// The guide. A token that was just made is shown this once.
fn setup(visit: &Visit<'_>, id: &str) -> Result<Outcome, Fault> {
    let shown = find(visit, id)?;
    let token = visit.flashed().filter(|_| visit.rights.grants.includes(Permission::Write));
    let page = Setup {
        frame: visit.frame(&format!("Set up {}", shown.name), "accounts"),
        token: token.unwrap_or_default().to_owned(),
        tab: "setup",
        shown,
    };
    let mut outcome = visit.show(200, &page);
    if token.is_some() {
        outcome.response = visit.flash(outcome.response, "");
    }
    Ok(outcome)
}

fn change(visit: &Visit<'_>, id: &str, body: &Value, done: &str) -> Result<Outcome, Fault> {
    visit.form()?;
    let sent = visit.api.send("PATCH", &path(id), body)?;
    finish(visit, sent, &format!("/connections/{}?done={done}", escape(id)))
}

fn rename(visit: &Visit<'_>, id: &str) -> Result<Outcome, Fault> {
    let fields = visit.form()?;
    let name = fields.get("connectionName").trim();
    if name.is_empty() {
        return overview(visit, id, Problem::new(400, "connectionName", "Give the connection a name."));
    }
    match visit.api.send("PATCH", &path(id), &json!({ "connectionName": name }))? {
        Ok(outcome) => Ok(visit.done(outcome, &format!("/connections/{}?done=renamed", escape(id)))),
        Err(problem) => overview(visit, id, problem),
    }
}

/// A new token beside the old ones, so that the identity provider can change over without a gap.
fn rotate(visit: &Visit<'_>, id: &str) -> Result<Outcome, Fault> {
    let fields = visit.form()?;
    match visit.api.send("POST", &format!("{}/tokens", path(id)), &json!({ "name": fields.get("name") }))? {
        Err(problem) => overview(visit, id, problem),
        Ok(outcome) => {
            let made: Value = serde_json::from_slice(&outcome.response.body).unwrap_or_default();
            let mut done = visit.done(outcome, &format!("/connections/{}/setup", escape(id)));
            done.response = visit.flash(done.response, &text(&made, "token"));
            Ok(done)
        }
    }
}

fn revoke(visit: &Visit<'_>, id: &str, token: &str) -> Result<Outcome, Fault> {
    visit.form()?;
    let sent = visit.api.send("DELETE", &format!("{}/tokens/{}", path(id), escape(token)), &json!({}))?;
    finish(visit, sent, &format!("/connections/{}?done=revoked", escape(id)))
}

#[derive(Template)]
#[template(path = "delete.html")]
struct Confirm {
    frame: Frame,
    shown: Shown,
}

fn confirm(visit: &Visit<'_>, id: &str) -> Result<Outcome, Fault> {
    if !visit.rights.grants.includes(Permission::Delete) {
        return Err(page::refuse(403, "your role does not allow to delete connections"));
    }
    let shown = find(visit, id)?;
    Ok(visit.show(200, &Confirm { frame: visit.frame("Delete connection", "accounts"), shown }))
}

fn delete(visit: &Visit<'_>, id: &str) -> Result<Outcome, Fault> {
    let everything = visit.form()?.get("everything") == "true";
    let account = find(visit, id)?.account;
    let sent = visit.api.send("DELETE", &path(id), &json!({ "deleteAll": everything }))?;
    let to = match visit.rights.account {
        None => format!("/accounts/{}?done=deleted", escape(&account)),
        Some(_) => "?done=deleted".to_owned(),
    };
    finish(visit, sent, &to)
}
