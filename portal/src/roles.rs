//! Roles and their permissions.

use askama::Template;
use scim_engine::connections::permission::Permission;
use scim_engine::http::Response;
use scim_engine::store::{Fault, Outcome};
use serde_json::{Value, json};

use crate::api::{ROLES, escape};
use crate::dashboard::finish;
use crate::form::Problem;
use crate::page::{Frame, Visit};
use crate::shown::{list, text};

/// One request below `/dashboard/roles`.
pub fn handle(visit: &Visit<'_>, segments: &[&str]) -> Result<Outcome, Fault> {
    match (visit.request.method.as_str(), segments) {
        ("GET", []) => show(visit, "", Problem::default()),
        ("POST", []) => create(visit),
        ("POST", [id]) => change(visit, id),
        ("POST", [id, "delete"]) => delete(visit, id),
        ("GET", [id, "delete"]) => confirm(visit, id),
        _ => Err(Fault::Refused(Response::empty(404))),
    }
}

struct Choice {
    id: &'static str,
    name: &'static str,
    held: bool,
}

struct Role {
    id: String,
    key: String,
    name: String,
    choices: Vec<Choice>,
}

#[derive(Template)]
#[template(path = "roles.html")]
struct Roles<'a> {
    frame: &'a Frame,
    roles: Vec<Role>,
    choices: Vec<Choice>,
    name: &'a str,
    problem: Problem,
}

#[derive(Template)]
#[template(path = "role_delete.html")]
struct Confirm<'a> {
    frame: &'a Frame,
    role: Role,
}

fn choices(held: &[&str]) -> Vec<Choice> {
    let name = |permission| match permission {
        Permission::Read => "View",
        Permission::Write => "Create and change",
        Permission::Delete => "Delete",
    };
    let choice = |permission: Permission| Choice {
        id: permission.id(),
        name: name(permission),
        held: held.contains(&permission.id()),
    };
    Permission::ALL.map(choice).into()
}

fn all(visit: &Visit<'_>) -> Result<Vec<Role>, Fault> {
    let found = visit.api.get(ROLES)?;
    let role = |role: &Value| Role {
        id: text(role, "id"),
        key: text(role, "key"),
        name: text(role, "name"),
        choices: choices(&list(role, "permissions").iter().filter_map(Value::as_str).collect::<Vec<_>>()),
    };
    Ok(found.as_array().into_iter().flatten().map(role).collect())
}

fn show(visit: &Visit<'_>, name: &str, problem: Problem) -> Result<Outcome, Fault> {
    let (frame, roles) = (&visit.frame("Roles", "roles"), all(visit)?);
    let choices = choices(&[Permission::Read.id()]);
    Ok(visit.show(problem.page_status(), frame, &Roles { frame, roles, choices, name, problem }))
}

fn create(visit: &Visit<'_>) -> Result<Outcome, Fault> {
    let fields = visit.form()?;
    let name = fields.get("name").trim();
    if name.is_empty() {
        return show(visit, "", Problem::new(400, "name", "Give the role a name."));
    }
    let body = json!({ "name": name, "permissionIds": fields.all("permission") });
    match visit.api.send("POST", ROLES, &body)? {
        Ok(outcome) => Ok(visit.done(outcome, "/roles?done=role")),
        Err(problem) => show(visit, name, Problem { field: "name".into(), ..problem }),
    }
}

fn change(visit: &Visit<'_>, id: &str) -> Result<Outcome, Fault> {
    let held = visit.form()?;
    let body = json!({ "permissionIds": held.all("permission") });
    let sent = visit.api.send("PUT", &format!("{ROLES}/{}/permissions", escape(id)), &body)?;
    finish(visit, sent, "/roles?done=role")
}

fn confirm(visit: &Visit<'_>, id: &str) -> Result<Outcome, Fault> {
    let role = all(visit)?.into_iter().find(|role| role.id == id);
    let role = role.ok_or_else(|| Fault::Refused(Response::empty(404)))?;
    let frame = &visit.frame("Delete role", "roles");
    Ok(visit.show(200, frame, &Confirm { frame, role }))
}

fn delete(visit: &Visit<'_>, id: &str) -> Result<Outcome, Fault> {
    visit.form()?;
    let sent = visit.api.send("DELETE", &format!("{ROLES}/{}", escape(id)), &json!({}))?;
    finish(visit, sent, "/roles?done=role-deleted")
}
