//! The vendor's dashboard: sign-in, overview, accounts, what deletions left, the self-service toggle.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use askama::Template;
use scim_engine::connections::vendor;
use scim_engine::env::Env;
use scim_engine::http::{Request, Response};
use scim_engine::store::{Fault, Need, Outcome, View};
use serde_json::json;

use crate::api::{SCIM2, SELF_SERVICE, escape};
use crate::chart;
use crate::filters;
use crate::form::{Form, Problem};
use crate::moment::Moment;
use crate::page::{self, Frame, Visit, answer};
use crate::session::{Area, Session};
use crate::shown::{Shown, text};
use crate::{assets, connection, connections, roles};

/// Connections the overview names.
const RECENT: usize = 6;
/// Accounts of one page.
const PAGE: usize = 50;

/// One request below `/dashboard`.
pub fn handle(segments: &[&str], request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let shown = match (request.method.as_str(), segments) {
        ("GET", ["login"]) => Ok(sign_in_page("", request.query() == "ended=1", Problem::default(), env)),
        ("POST", ["login"]) => Ok(sign_in(request, env)),
        _ => route(segments, request, view, env),
    };
    match shown {
        Err(Fault::Refused(refusal)) if refusal.status == 401 => {
            let known = segments.is_empty() || Session::of(request).is_none();
            let to = if known { "/dashboard/login" } else { "/dashboard/login?ended=1" };
            Ok(answer(Response::empty(303).with("location", to)))
        }
        Err(Fault::Refused(refusal)) => Ok(answer(page::error(Area::Dashboard, &refusal, request, view, env))),
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
    icon: &'static str,
    client: &'a str,
    ended: bool,
    problem: Problem,
}

fn sign_in_page(client: &str, ended: bool, problem: Problem, env: &Env<'_>) -> Outcome {
    let (area, status) = (Area::Dashboard, problem.page_status());
    let page = SignIn { icon: assets::icon(), client, ended, problem };
    answer(page::html(status, &Frame::bare(area, "Sign in", ""), &page, area, env))
}

fn sign_in(request: &Request, env: &Env<'_>) -> Outcome {
    let form = Form::of(request);
    let client = form.get("clientId").trim();
    let refuse = |status, why| sign_in_page(client, false, Problem::new(status, "secret", why), env);
    if page::is_foreign(request) {
        return refuse(403, "Please sign in on this page.");
    }
    match vendor::exchange(client, form.get("secret").trim(), env) {
        Ok(token) => {
            let session = Session::start(token, env);
            let area = Area::Dashboard;
            let cookie = area.cookie(Session::COOKIE, &session.value(), vendor::LIFETIME, request, env);
            answer(Response::empty(303).with("location", "/dashboard").with("set-cookie", cookie))
        }
        Err(_) => refuse(401, "The client id or the secret is not right."),
    }
}

fn sign_out(visit: &Visit<'_>) -> Result<Outcome, Fault> {
    visit.form()?;
    let cookie = visit.area.cookie(Session::COOKIE, "", 0, visit.request, visit.env);
    Ok(answer(Response::empty(303).with("location", "/dashboard/login").with("set-cookie", cookie)))
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview<'a> {
    frame: &'a Frame,
    accounts: usize,
    connections: u64,
    counted: u64,
    linked: usize,
    pending: usize,
    paused: usize,
    users: u64,
    self_service: bool,
    activity: String,
    recent: &'a [Shown],
}

fn overview(visit: &Visit<'_>) -> Result<Outcome, Fault> {
    let (mut all, _) = connections::page(visit, None, connections::MOST, "")?;
    all.sort_by_key(|shown| Reverse((shown.last_sync, shown.created)));
    let is = |status: &str| all.iter().filter(|shown| shown.status == status).count();
    let accounts: BTreeSet<_> = all.iter().map(|shown| shown.account.as_str()).collect();
    let frame = &visit.frame("Overview", "overview");
    let page = Overview {
        frame,
        accounts: accounts.len(),
        connections: visit.api.connections()?,
        counted: all.len() as u64,
        linked: is("linked"),
        pending: is("pending"),
        paused: is("paused"),
        users: all.iter().map(|shown| shown.users).sum(),
        self_service: visit.rights.self_service,
        activity: chart::of(visit, &all)?,
        recent: all.get(..RECENT).unwrap_or(&all),
    };
    Ok(visit.show(200, frame, &page))
}

struct Account {
    id: String,
    path: String,
    connections: u64,
    /// Figures of the first so many of its connections; all of them but in the largest accounts.
    counted: u64,
    linked: usize,
    users: u64,
    last_sync: Moment,
}

impl Account {
    fn of(id: String, connections: u64, counted: &[Shown]) -> Self {
        Self {
            path: escape(&id),
            id,
            connections,
            counted: counted.len() as u64,
            linked: counted.iter().filter(|shown| shown.status == "linked").count(),
            users: counted.iter().map(|shown| shown.users).sum(),
            last_sync: counted.iter().map(|shown| shown.last_sync).max().unwrap_or_default(),
        }
    }

    fn is_partial(&self) -> bool {
        self.counted < self.connections
    }
}

#[derive(Template)]
#[template(path = "accounts.html")]
struct Accounts {
    accounts: Vec<Account>,
    later: bool,
    next: String,
}

fn accounts(visit: &Visit<'_>) -> Result<Outcome, Fault> {
    let wanted = visit.query("account");
    if !wanted.trim().is_empty() {
        let to = format!("/accounts/{}", escape(wanted.trim()));
        return Ok(visit.done(Outcome::default(), &to));
    }
    let after = visit.query("after");
    let listed = visit.api.accounts(Some(after.as_str()).filter(|after| !after.is_empty()), PAGE + 1)?;
    let fitting = fitting(&listed);
    let mut need = Need::default();
    let mut accounts = Vec::new();
    for (id, connections) in listed.iter().take(fitting) {
        let counted = need.gather(connections::page(visit, Some(id), connections::MOST, ""))?;
        accounts.extend(counted.map(|(counted, _)| Account::of(id.clone(), *connections, &counted)));
    }
    need.settle()?;
    let last = listed.get(fitting.saturating_sub(1)).filter(|_| listed.len() > fitting);
    let next = last.map(|(last, _)| format!("?after={}", escape(last))).unwrap_or_default();
    let frame = visit.frame("Accounts", "accounts");
    Ok(visit.show(200, &frame, &Accounts { accounts, later: !after.is_empty(), next }))
}

/// How many accounts make a page: fewer when they have many connections, for each one is looked at.
fn fitting(accounts: &[(String, u64)]) -> usize {
    let mut room = connections::MOST as u64;
    let fits = |(_, connections): &&(String, u64)| {
        let fits = *connections <= room;
        room = room.saturating_sub(*connections);
        fits
    };
    accounts.iter().take(PAGE).take_while(fits).count().max(1)
}

struct Left {
    id: String,
    name: String,
    account: String,
    deleted: Moment,
    removing: bool,
    users: u64,
    groups: u64,
}

#[derive(Template)]
#[template(path = "residue.html")]
struct Residue {
    left: Vec<Left>,
    later: bool,
    next: String,
}

/// Deleted connections that left something, as far as a query asks for them; with it the cursor of the next page.
fn leftovers(visit: &Visit<'_>, query: &str) -> Result<(Vec<Left>, Option<String>), Fault> {
    let (all, next) = visit.api.page(&format!("{SCIM2}?state=residue&limit={PAGE}&{query}"))?;
    let mut left = Vec::new();
    let mut need = Need::default();
    for value in all.as_array().into_iter().flatten() {
        let id = text(value, "id");
        let counts = need.gather(visit.api.counts(&id))?.unwrap_or_default();
        left.push(Left {
            name: text(value, "connectionName"),
            account: text(value, "tenantId"),
            deleted: Moment::of(value, "deletedAt"),
            removing: text(value, "status") == "deleting",
            users: counts.users,
            groups: counts.groups,
            id,
        });
    }
    need.settle()?;
    Ok((left, next))
}

fn residue(visit: &Visit<'_>) -> Result<Outcome, Fault> {
    let frame = visit.frame("Deleted connections", "residue");
    let cursor = visit.query("cursor");
    let (left, next) = leftovers(visit, &format!("cursor={}", escape(&cursor)))?;
    let next = next.map(|next| format!("?cursor={next}")).unwrap_or_default();
    Ok(visit.show(200, &frame, &Residue { left, later: !cursor.is_empty(), next }))
}

#[derive(Template)]
#[template(path = "removal.html")]
struct Removal<'a> {
    frame: &'a Frame,
    left: Left,
}

fn confirm_removal(visit: &Visit<'_>, id: &str) -> Result<Outcome, Fault> {
    let (left, _) = leftovers(visit, &format!("id={}", escape(id)))?;
    let left = left.into_iter().next().ok_or_else(|| Fault::Refused(Response::empty(404)))?;
    let frame = &visit.frame("Remove what is left", "residue");
    Ok(visit.show(200, frame, &Removal { frame, left }))
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
