//! The connections of an account: the list, and a new one.

use askama::Template;
use scim_engine::connections::permission::Permission;
use scim_engine::store::{Fault, Need, Outcome};
use serde_json::{Value, json};

use crate::api::{SCIM2, escape};
use crate::filters;
use crate::form::Problem;
use crate::guide::{self, Guide};
use crate::page::{self, Frame, Visit};
use crate::shown::{Shown, text};

/// Most connections of one page of the API.
pub const MOST: usize = 1000;
/// Connections of one page of an account.
const PAGE: usize = 100;

#[derive(Template)]
#[template(path = "connections.html")]
struct Connections<'a> {
    frame: &'a Frame,
    account: &'a str,
    shown: Vec<Shown>,
    new: String,
    later: bool,
    next: String,
}

/// Connections of one account, or of all that are in reach, in order of creation; with it the cursor of the next page.
pub fn page(
    visit: &Visit<'_>,
    account: Option<&str>,
    limit: usize,
    cursor: &str,
) -> Result<(Vec<Shown>, Option<String>), Fault> {
    let account = escape(account.unwrap_or_default());
    let target = format!("{SCIM2}?tenantId={account}&limit={limit}&cursor={}", escape(cursor));
    let (listed, next) = visit.api.page(&target)?;
    let mut shown: Vec<_> = listed.as_array().into_iter().flatten().map(Shown::of).collect();
    let mut need = Need::default();
    for shown in &mut shown {
        let counts = need.gather(visit.api.counts(&shown.id))?.unwrap_or_default();
        (shown.users, shown.groups) = (counts.users, counts.groups);
    }
    need.settle()?;
    Ok((shown, next))
}

/// The list of an account; `None` is the user's own.
pub fn list(visit: &Visit<'_>, account: Option<&str>) -> Result<Outcome, Fault> {
    let frame = &visit.frame(account.unwrap_or("Provisioning"), "accounts");
    let cursor = visit.query("cursor");
    let (shown, next) = page(visit, account, PAGE, &cursor)?;
    let (account, new) = (account.unwrap_or_default(), new_path(visit, account));
    let next = next.map(|next| format!("?cursor={next}")).unwrap_or_default();
    Ok(visit.show(200, frame, &Connections { frame, account, shown, new, later: !cursor.is_empty(), next }))
}

fn new_path(visit: &Visit<'_>, account: Option<&str>) -> String {
    let account = account.map(|account| format!("/accounts/{}", escape(account))).unwrap_or_default();
    format!("{}{account}/new", visit.area.base())
}

#[derive(Template)]
#[template(path = "new.html")]
struct New<'a> {
    frame: &'a Frame,
    guides: &'static [&'static Guide],
    account: &'a str,
    action: &'a str,
    back: &'a str,
    name: &'a str,
    provider: &'a str,
    problem: Problem,
}

fn form(visit: &Visit<'_>, account: Option<&str>, name: &str, provider: &str, problem: Problem) -> Outcome {
    let action = &new_path(visit, account);
    let (frame, back) = (&visit.frame("New connection", "accounts"), action.trim_end_matches("/new"));
    let account = account.unwrap_or_default();
    let status = problem.page_status();
    visit.show(status, frame, &New { frame, guides: &guide::ALL, account, action, back, name, provider, problem })
}

/// The empty form.
pub fn offer(visit: &Visit<'_>, account: Option<&str>) -> Result<Outcome, Fault> {
    if !visit.rights.grants.includes(Permission::Write) {
        return Err(page::refuse(403, "your role does not allow changes here"));
    }
    Ok(form(visit, account, "", "okta", Problem::default()))
}

/// Creates a connection; its token goes along to the page of the guide.
pub fn create(visit: &Visit<'_>, account: Option<&str>) -> Result<Outcome, Fault> {
    let fields = visit.form()?;
    let (name, provider) = (fields.get("connectionName").trim(), fields.get("provider"));
    if name.is_empty() {
        let problem = Problem::new(400, "connectionName", "Give the connection a name.");
        return Ok(form(visit, account, name, provider, problem));
    }
    let guide = guide::of(provider);
    let mut body = json!({ "connectionName": name, "provider": guide.id, "source": guide.source });
    if let (Some(account), Some(fields)) = (account, body.as_object_mut()) {
        fields.insert("tenantId".into(), account.into());
    }
    match visit.api.send("POST", SCIM2, &body)? {
        Err(problem) => Ok(form(visit, account, name, provider, problem)),
        Ok(outcome) => {
            let made: Value = serde_json::from_slice(&outcome.response.body).unwrap_or_default();
            let mut done = visit.done(outcome, &format!("/connections/{}/setup", text(&made, "id")));
            done.response = visit.flash(done.response, &text(&made, "token"));
            Ok(done)
        }
    }
}
