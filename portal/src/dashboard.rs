//! The vendor's dashboard: sign-in, overview, accounts, what deletions left, the self-service toggle.

use std::collections::BTreeMap;

use askama::Template;
use scim_engine::connections::vendor;
use scim_engine::env::Env;
use scim_engine::http::{Request, Response};
use scim_engine::store::{Fault, Outcome, View};
use serde_json::json;

use crate::api::{SCIM2, SELF_SERVICE, escape};
use crate::chart::{self, Chart};
use crate::form::{Form, Problem};
use crate::page::{self, Frame, Visit, answer};
use crate::session::{Area, Session};
use crate::shown::{Shown, text};
use crate::{connection, connections, roles};

/// Connections whose log the overview's chart reads.
const CHARTED: usize = 50;

/// One request below `/dashboard`.
pub fn handle(segments: &[&str], request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let shown = match (request.method.as_str(), segments) {
        ("GET", ["login"]) => Ok(sign_in_page(200, "", env)),
        ("POST", ["login"]) => Ok(sign_in(request, env)),
        _ => route(segments, request, view, env),
    };
    match shown {
        Err(Fault::Refused(refusal)) if refusal.status == 401 => {
            let known = segments.is_empty() || Session::of(request).is_none();
            let to = if known { "/dashboard/login" } else { "/dashboard/login?ended=1" };
            Ok(answer(Response::empty(303).with("location", to)))
        }
        Err(Fault::Refused(refusal)) => Ok(answer(page::error(Area::Dashboard, &refusal, env))),
        other => other,
    }
}

fn route(segments: &[&str], request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let session = Session::of(request).ok_or_else(|| Fault::Refused(Response::empty(401)))?;
    let visit = Visit::open(Area::Dashboard, &session, request, view, env)?;
    match (request.method.as_str(), segments) {
        ("GET", []) => overview(&visit),
        ("POST", ["logout"]) => sign_out(&visit),
        ("GET", ["accounts"]) => accounts(&visit),
        ("GET", ["accounts", account]) => connections::list(&visit, Some(account)),
        ("GET", ["accounts", account, "new"]) => connections::offer(&visit, Some(account)),
        ("POST", ["accounts", account, "new"]) => connections::create(&visit, Some(account)),
        (_, ["connections", id, rest @ ..]) => connection::handle(&visit, id, rest),
        ("GET", ["residue"]) => residue(&visit),
        ("GET", ["residue", id]) => confirm_removal(&visit, id),
        ("POST", ["residue", id]) => remove(&visit, id),
        ("POST", ["self-service"]) => set_self_service(&visit),
        (_, ["roles", rest @ ..]) => roles::handle(&visit, rest),
        _ => Err(Fault::Refused(Response::empty(404))),
    }
}

#[derive(Template)]
#[template(path = "login.html")]
struct SignIn<'a> {
    frame: Frame,
    problem: &'a str,
}

fn sign_in_page(status: u16, problem: &str, env: &Env<'_>) -> Outcome {
    let page = SignIn { frame: Frame::bare(Area::Dashboard, "Sign in", ""), problem };
    answer(page::html(status, &page, Area::Dashboard, env))
}

fn sign_in(request: &Request, env: &Env<'_>) -> Outcome {
    let form = Form::of(request);
    if page::is_foreign(request) {
        return sign_in_page(403, "Please sign in on this page.", env);
    }
    match vendor::exchange(form.get("clientId").trim(), form.get("secret").trim(), env) {
        Ok(token) => {
            let session = Session::start(token, env);
            let area = Area::Dashboard;
            let cookie = area.cookie(Session::COOKIE, &session.value(), vendor::LIFETIME, request, env);
            answer(Response::empty(303).with("location", "/dashboard").with("set-cookie", cookie))
        }
        Err(_) => sign_in_page(401, "The client id or the secret is not right.", env),
    }
}

fn sign_out(visit: &Visit<'_>) -> Result<Outcome, Fault> {
    visit.form()?;
    let cookie = visit.area.cookie(Session::COOKIE, "", 0, visit.request, visit.env);
    Ok(answer(Response::empty(303).with("location", "/dashboard/login").with("set-cookie", cookie)))
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    accounts: usize,
    connections: usize,
    linked: usize,
    pending: usize,
    paused: usize,
    users: u64,
    self_service: bool,
    chart: Chart,
    recent: Vec<Shown>,
}

fn overview(visit: &Visit<'_>) -> Result<Outcome, Fault> {
    let mut all = connections::all(visit, None)?;
    let is = |status: &str| all.iter().filter(|shown| shown.status == status).count();
    let (linked, pending, paused) = (is("linked"), is("pending"), is("paused"));
    let accounts: std::collections::BTreeSet<_> = all.iter().map(|shown| shown.account.clone()).collect();
    all.sort_by(|a, b| b.last_sync.cmp(&a.last_sync).then_with(|| b.created.cmp(&a.created)));
    let chart = chart::of(visit, all.iter().take(CHARTED).map(|shown| shown.id.as_str()))?;
    let users = all.iter().map(|shown| shown.users).sum();
    let connections = all.len();
    let page = Overview {
        frame: visit.frame("Overview", "overview"),
        accounts: accounts.len(),
        connections,
        linked,
        pending,
        paused,
        users,
        self_service: visit.rights.self_service,
        chart,
        recent: all.into_iter().take(6).collect(),
    };
    Ok(visit.show(200, &page))
}

struct Account {
    id: String,
    path: String,
    connections: usize,
    linked: usize,
    users: u64,
    last_sync: String,
}

#[derive(Template)]
#[template(path = "accounts.html")]
struct Accounts {
    frame: Frame,
    accounts: Vec<Account>,
}

fn accounts(visit: &Visit<'_>) -> Result<Outcome, Fault> {
    let wanted = visit.query("account");
    if !wanted.trim().is_empty() {
        let to = format!("/accounts/{}", escape(wanted.trim()));
        return Ok(visit.done(Outcome::default(), &to));
    }
    let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
    for shown in connections::all(visit, None)? {
        let account = accounts.entry(shown.account.clone()).or_insert_with(|| Account {
            path: escape(&shown.account),
            id: shown.account.clone(),
            connections: 0,
            linked: 0,
            users: 0,
            last_sync: String::new(),
        });
        account.connections += 1;
        account.linked += usize::from(shown.status == "linked");
        account.users += shown.users;
        account.last_sync = std::mem::take(&mut account.last_sync).max(shown.last_sync);
    }
    let page = Accounts { frame: visit.frame("Accounts", "accounts"), accounts: accounts.into_values().collect() };
    Ok(visit.show(200, &page))
}

struct Left {
    id: String,
    name: String,
    account: String,
    deleted: String,
    removing: bool,
    users: u64,
    groups: u64,
}

#[derive(Template)]
#[template(path = "residue.html")]
struct Residue {
    frame: Frame,
    left: Vec<Left>,
}

fn leftovers(visit: &Visit<'_>) -> Result<Vec<Left>, Fault> {
    let all = visit.api.get(&format!("{SCIM2}?state=residue"))?;
    let mut left = Vec::new();
    for value in all.as_array().into_iter().flatten() {
        let id = text(value, "id");
        let counts = visit.api.counts(&id)?;
        left.push(Left {
            name: text(value, "connectionName"),
            account: text(value, "tenantId"),
            deleted: text(value, "deletedAt"),
            removing: text(value, "status") == "deleting",
            users: counts.users,
            groups: counts.groups,
            id,
        });
    }
    Ok(left)
}

fn residue(visit: &Visit<'_>) -> Result<Outcome, Fault> {
    let page = Residue { frame: visit.frame("Deleted connections", "residue"), left: leftovers(visit)? };
    Ok(visit.show(200, &page))
}

#[derive(Template)]
#[template(path = "removal.html")]
struct Removal {
    frame: Frame,
    left: Left,
}

fn confirm_removal(visit: &Visit<'_>, id: &str) -> Result<Outcome, Fault> {
    let left = leftovers(visit)?.into_iter().find(|left| left.id == id);
    let left = left.ok_or_else(|| Fault::Refused(Response::empty(404)))?;
    Ok(visit.show(200, &Removal { frame: visit.frame("Remove what is left", "residue"), left }))
}

fn remove(visit: &Visit<'_>, id: &str) -> Result<Outcome, Fault> {
    visit.form()?;
    let sent = visit.api.send("DELETE", &format!("{SCIM2}/{}/residue", escape(id)), &json!({}))?;
    finish(visit, sent, "/residue?done=removed")
}

fn set_self_service(visit: &Visit<'_>) -> Result<Outcome, Fault> {
    let on = visit.form()?.get("enabled") == "true";
    let sent = visit.api.send("PUT", SELF_SERVICE, &json!({ "enabled": on }))?;
    finish(visit, sent, if on { "?done=on" } else { "?done=off" })
}

/// After a change without fields: on to the next page, or a page that says why not.
pub fn finish(visit: &Visit<'_>, sent: Result<Outcome, Problem>, to: &str) -> Result<Outcome, Fault> {
    match sent {
        Ok(outcome) => Ok(visit.done(outcome, to)),
        Err(problem) => Err(page::refuse(problem.status, &problem.message)),
    }
}
