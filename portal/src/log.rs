//! The provisioning log, with advice in plain words.

use askama::Template;
use scim_engine::store::{Fault, Outcome};
use serde_json::Value;

use crate::api::{SCIM2, escape};
use crate::connection::find;
use crate::form::sentence;
use crate::moment::Moment;
use crate::page::{Frame, Visit};
use crate::shown::{Shown, list, text};

/// Entries of a page.
const PAGE: usize = 50;

struct Line {
    time: Moment,
    verb: &'static str,
    what: String,
    link: String,
    failed: bool,
    status: u64,
    reason: String,
    hint: &'static str,
    remarks: Vec<String>,
    client: String,
}

#[derive(Template)]
#[template(path = "log.html")]
struct Log<'a> {
    frame: &'a Frame,
    shown: &'a Shown,
    outcome: &'a str,
    operation: &'a str,
    resource: &'a str,
    filtered: bool,
    filters: String,
    lines: Vec<Line>,
    next: String,
    later: bool,
}

const OUTCOMES: [(&str, &str); 2] = [("success", "Accepted"), ("failure", "Refused")];
const OPERATIONS: [(&str, &str); 8] = [
    ("POST User", "Create user"),
    ("PATCH User", "Update user"),
    ("PUT User", "Replace user"),
    ("DELETE User", "Delete user"),
    ("POST Group", "Create group"),
    ("PATCH Group", "Update group"),
    ("PUT Group", "Replace group"),
    ("DELETE Group", "Delete group"),
];

/// A page of the log.
pub fn show(visit: &Visit<'_>, id: &str) -> Result<Outcome, Fault> {
    let shown = &find(visit, id)?;
    let (outcome, operation) = (&visit.query("outcome"), &visit.query("operation"));
    let (resource, cursor) = (visit.query("resource"), visit.query("cursor"));
    let resource = resource.trim();
    let filters = format!("outcome={}&operation={}&resource={}", escape(outcome), escape(operation), escape(resource));
    let target = format!("{SCIM2}/{}/logs?limit={PAGE}&cursor={}&{filters}", escape(id), escape(&cursor));
    let found = visit.api.get(&target)?;
    let next = match text(&found, "nextCursor") {
        next if next.is_empty() => next,
        next => format!("?{filters}&cursor={}", escape(&next)),
    };
    let frame = &visit.frame_of(&format!("Log of {}", shown.name), shown, "log");
    let page = Log {
        lines: list(&found, "items").iter().map(line).collect(),
        filtered: !(outcome.is_empty() && operation.is_empty() && resource.is_empty()),
        later: !cursor.is_empty(),
        frame,
        shown,
        outcome,
        operation,
        resource,
        filters,
        next,
    };
    Ok(visit.show(200, frame, &page))
}

fn line(entry: &Value) -> Line {
    let operation = text(entry, "operation");
    let (method, what) = operation.split_once(' ').unwrap_or((&operation, ""));
    let status = entry.get("status").and_then(Value::as_u64).unwrap_or_default();
    let resource = text(entry, "resource");
    let link = match what {
        "User" if !resource.is_empty() && method != "DELETE" => format!("users/{resource}"),
        "Group" if !resource.is_empty() && method != "DELETE" => format!("groups/{resource}"),
        _ => String::new(),
    };
    let reason = text(entry, "reason");
    let names = |name: &str| list(entry, name).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    let mut remarks = Vec::new();
    if !names("unknown").is_empty() {
        remarks.push(format!("Ignored, because no schema knows them: {}.", names("unknown")));
    }
    if !names("normalised").is_empty() {
        remarks.push(format!("Accepted in the provider's own form: {}.", names("normalised")));
    }
    if entry.get("limited").and_then(Value::as_bool) == Some(true) {
        remarks.push("More requests of this minute were refused than the log takes.".to_owned());
    }
    Line {
        time: Moment::of(entry, "time"),
        verb: verb(method),
        what: what.to_lowercase(),
        failed: status >= 400,
        hint: hint(status, &text(entry, "scimType")),
        reason: if reason.is_empty() { reason } else { sentence(&reason) },
        client: text(entry, "client"),
        link,
        status,
        remarks,
    }
}

fn verb(method: &str) -> &'static str {
    match method {
        "POST" => "Create",
        "PUT" => "Replace",
        "PATCH" => "Update",
        "DELETE" => "Delete",
        _ => "Read",
    }
}

/// What a person at the identity provider can do about a refusal.
fn hint(status: u64, scim_type: &str) -> &'static str {
    match (status, scim_type) {
        (401, _) => {
            "The identity provider sends a token that is missing, expired or revoked. Make a new token here and paste it there."
        }
        (403, _) => {
            "The connection is paused, or the token lacks a scope. Resume the connection or use a token with all scopes."
        }
        (404, _) => {
            "The identity provider knows a resource that is gone here. Restart provisioning there, so that it matches everything anew."
        }
        (409, _) => {
            "Somebody with this name exists already. Check which attribute is used for matching: it should be userName."
        }
        (412, _) => "The resource changed in between. The identity provider will try again by itself.",
        (413, _) => "The request is too large. Send fewer members or operations at a time.",
        (501, _) => {
            "The identity provider asked for something this service does not offer. Switch that feature off there."
        }
        (_, "invalidFilter") => {
            "The identity provider searches in a way that is not understood. Use userName as the matching attribute."
        }
        (_, "invalidPath" | "noTarget") => {
            "An attribute mapping names an attribute that does not exist. Compare the mappings with the set-up guide."
        }
        (_, "invalidValue") => {
            "A mapped attribute is empty or of the wrong type. Check the user's profile and the attribute mapping."
        }
        (_, "invalidSyntax") => "The request is not valid SCIM. Make sure that the provider is set to SCIM 2.0.",
        (_, "mutability") => {
            "The identity provider tries to change an attribute that is read-only. Remove it from the mappings."
        }
        (_, "tooMany") => "The search matches too much. Narrow the scope of what is provisioned.",
        (500.., _) => "The service could not do this just then. The identity provider will try again by itself.",
        _ => "",
    }
}
