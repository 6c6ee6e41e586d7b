//! One connection: overview, set-up guide, tokens, pause, rename, deletion.

use askama::Template;
use scim_engine::connections::permission::Permission;
use scim_engine::http::Response;
use scim_engine::scim::layout::Kind;
use scim_engine::store::{Fault, Outcome};
use serde_json::{Value, json};

use crate::api::{SCIM2, escape};
use crate::dashboard::finish;
use crate::filters;
use crate::form::Problem;
use crate::moment::Moment;
use crate::page::{self, Frame, Visit};
use crate::shown::{Shown, text};
use crate::{chart, directory, log};

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
        ("GET", ["users"]) => directory::list(visit, id, Kind::User),
        ("GET", ["groups"]) => directory::list(visit, id, Kind::Group),
        ("GET", ["users", resource]) => directory::show(visit, id, Kind::User, resource),
        ("GET", ["groups", resource]) => directory::show(visit, id, Kind::Group, resource),
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
    created: Moment,
    used: Moment,
    expires: Moment,
}

#[derive(Template)]
#[template(path = "connection.html")]
struct Overview<'a> {
    frame: &'a Frame,
    shown: &'a Shown,
    tokens: Vec<Token>,
    activity: String,
    entered: String,
    problem: Problem,
}

fn overview(visit: &Visit<'_>, id: &str, problem: Problem) -> Result<Outcome, Fault> {
    let shown = &find(visit, id)?;
    let tokens = visit.api.get(&format!("{}/tokens", path(id)))?;
    let token = |token: &Value| Token {
        id: text(token, "id"),
        name: Some(text(token, "name")).filter(|name| !name.is_empty()).unwrap_or_else(|| "Token".to_owned()),
        created: Moment::of(token, "createdAt"),
        used: Moment::of(token, "lastUsedAt"),
        expires: Moment::of(token, "expiresAt"),
    };
    let tokens = tokens.as_array().into_iter().flatten().map(token).collect();
    let frame = &visit.frame_of(&shown.name, shown, "overview");
    let activity = chart::of(visit, std::slice::from_ref(shown))?;
    let entered = problem.entered.clone().unwrap_or_else(|| shown.name.clone());
    Ok(visit.show(problem.page_status(), frame, &Overview { frame, shown, tokens, activity, entered, problem }))
}

#[derive(Template)]
#[template(path = "setup.html")]
struct Setup<'a> {
    frame: &'a Frame,
    shown: &'a Shown,
    token: &'a str,
}

/// The guide. A token that was just made is shown this once.
fn setup(visit: &Visit<'_>, id: &str) -> Result<Outcome, Fault> {
    let shown = &find(visit, id)?;
    let token = visit.flashed().filter(|_| visit.rights.grants.includes(Permission::Write));
    let frame = &visit.frame_of(&format!("Set up {}", shown.name), shown, "setup");
    let mut outcome = visit.show(200, frame, &Setup { frame, shown, token: token.unwrap_or_default() });
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
        let problem = Problem::new(400, "connectionName", "Give the connection a name.");
        return overview(visit, id, problem.entered(name));
    }
    match visit.api.send("PATCH", &path(id), &json!({ "connectionName": name }))? {
        Ok(outcome) => Ok(visit.done(outcome, &format!("/connections/{}?done=renamed", escape(id)))),
        Err(problem) => overview(visit, id, problem.entered(name)),
    }
}

/// A new token beside the old ones, so that the identity provider can change over without a gap.
fn rotate(visit: &Visit<'_>, id: &str) -> Result<Outcome, Fault> {
    visit.form()?;
    match visit.api.send("POST", &format!("{}/tokens", path(id)), &json!({}))? {
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
struct Confirm<'a> {
    frame: &'a Frame,
    shown: &'a Shown,
}

fn confirm(visit: &Visit<'_>, id: &str) -> Result<Outcome, Fault> {
    if !visit.rights.grants.includes(Permission::Delete) {
        return Err(page::refuse(403, "your role does not allow to delete connections"));
    }
    let shown = &find(visit, id)?;
    let frame = &visit.frame_of("Delete connection", shown, "");
    Ok(visit.show(200, frame, &Confirm { frame, shown }))
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
