//! Users and groups of a connection: found by the beginning of their name, page by page, and one in full.

use askama::Template;
use scim_engine::scim::layout::Kind;
use scim_engine::store::{Fault, Outcome};
use serde_json::Value;

use crate::api::{Member, escape};
use crate::connection::find;
use crate::filters;
use crate::moment::Moment;
use crate::page::{Frame, Visit};
use crate::shown::{Shown, list as items, text};

/// Rows of a page.
const PAGE: u64 = 50;
/// Members of a group on one page.
const MEMBERS: usize = 100;

/// The words in which pages speak of a kind of resource.
trait Words {
    fn noun(self) -> &'static str;
    fn attribute(self) -> &'static str;
    fn fields(self) -> &'static [Field];
    fn is_user(&self) -> bool;
}

impl Words for Kind {
    fn noun(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Group => "groups",
        }
    }

    /// The attribute that names a resource.
    fn attribute(self) -> &'static str {
        match self {
            Self::User => "userName",
            Self::Group => "displayName",
        }
    }

    fn fields(self) -> &'static [Field] {
        match self {
            Self::User => USER_FIELDS,
            Self::Group => GROUP_FIELDS,
        }
    }

    fn is_user(&self) -> bool {
        *self == Self::User
    }
}

/// A field that can be searched: its key in the query, its attribute and operator, its name for people. Each has an
/// index, so that a search stays quick however many there are.
type Field = (&'static str, &'static str);

const USER_FIELDS: &[Field] = &[
    ("userName", "User name begins with"),
    ("displayName", "Display name begins with"),
    ("emails.value", "Email is"),
    ("externalId", "External id is"),
];
const GROUP_FIELDS: &[Field] = &[("displayName", "Name begins with"), ("externalId", "External id is")];

struct Row {
    id: String,
    name: String,
    display: String,
    active: bool,
    modified: Moment,
}

impl Row {
    fn pill(&self) -> &'static str {
        if self.active {
            "<span class=\"status linked\">Active</span>"
        } else {
            "<span class=\"status paused\">Inactive</span>"
        }
    }
}

#[derive(Template)]
#[template(path = "directory.html")]
struct Directory<'a> {
    frame: &'a Frame,
    shown: &'a Shown,
    kind: Kind,
    noun: &'static str,
    fields: &'static [Field],
    by: &'static str,
    search: &'a str,
    rows: Vec<Row>,
    first: u64,
    last: u64,
    total: u64,
    before: String,
    next: String,
}

/// A page of users or groups, in the order of their names.
pub fn list(visit: &Visit<'_>, id: &str, kind: Kind) -> Result<Outcome, Fault> {
    let shown = &find(visit, id)?;
    let (search, wanted) = (visit.query("q"), visit.query("by"));
    let search = search.trim();
    let fields = kind.fields();
    let (by, _) = fields.iter().find(|(key, _)| *key == wanted).or(fields.first()).copied().unwrap_or_default();
    let first = visit.query("from").parse::<u64>().unwrap_or(1).max(1);
    let found = visit.api.browse(id, &query(kind, by, search, first))?;
    let total = found.get("totalResults").and_then(Value::as_u64).unwrap_or_default();
    let rows: Vec<_> = items(&found, "Resources").iter().map(|resource| row(resource, kind)).collect();
    let link = |from: u64| format!("?by={by}&q={}&from={from}", escape(search));
    let last = first.saturating_add(rows.len() as u64).saturating_sub(1);
    let frame = &visit.frame_of(&format!("{} of {}", kind.segment(), shown.name), shown, kind.noun());
    let page = Directory {
        before: if first > 1 { link(first.saturating_sub(PAGE).max(1)) } else { String::new() },
        next: if last < total { link(last + 1) } else { String::new() },
        noun: kind.noun(),
        frame,
        shown,
        kind,
        fields,
        by,
        search,
        rows,
        first,
        last,
        total,
    };
    Ok(visit.show(200, frame, &page))
}

/// What is asked of SCIM: names come in their own order, straight from the index.
fn query(kind: Kind, by: &str, search: &str, first: u64) -> String {
    let page = format!("{}?count={PAGE}&startIndex={first}&excludedAttributes=members", kind.segment());
    let (operator, order) = match by {
        "userName" | "displayName" => ("sw", by),
        _ => ("eq", kind.attribute()),
    };
    if search.is_empty() {
        return format!("{page}&sortBy={}", kind.attribute());
    }
    let filter = format!("{by} {operator} {}", Value::from(search));
    format!("{page}&sortBy={order}&filter={}", escape(&filter))
}

fn row(resource: &Value, kind: Kind) -> Row {
    let part = |name: &str| resource.get("name").map(|parts| text(parts, name)).unwrap_or_default();
    let display = match text(resource, "displayName") {
        display if display.is_empty() => format!("{} {}", part("givenName"), part("familyName")).trim().to_owned(),
        display => display,
    };
    Row {
        id: text(resource, "id"),
        name: text(resource, kind.attribute()),
        display,
        active: resource.get("active").and_then(Value::as_bool).unwrap_or(true),
        modified: resource.get("meta").map(|meta| Moment::of(meta, "lastModified")).unwrap_or_default(),
    }
}

struct Related {
    id: String,
    name: String,
    path: &'static str,
    indirect: bool,
}

#[derive(Template)]
#[template(path = "resource.html")]
struct Resource<'a> {
    frame: &'a Frame,
    shown: &'a Shown,
    kind: Kind,
    noun: &'static str,
    row: Row,
    email: String,
    external: String,
    created: Moment,
    related: Vec<Related>,
    total: u64,
    later: bool,
    next: String,
    whole: bool,
    json: String,
}

/// One user with its groups, or one group with its members page by page, and the SCIM form.
pub fn show(visit: &Visit<'_>, id: &str, kind: Kind, resource: &str) -> Result<Outcome, Fault> {
    let shown = &find(visit, id)?;
    let skip = visit.query("from").parse::<u64>().unwrap_or(1).max(1) - 1;
    let (related, total) = match kind {
        Kind::User => (Vec::new(), 0),
        Kind::Group => members(visit, id, resource, skip)?,
    };
    let left_out = if total > MEMBERS as u64 { "?excludedAttributes=members" } else { "" };
    let found = visit.api.browse(id, &format!("{}/{}{left_out}", kind.segment(), escape(resource)))?;
    let (related, total) = match kind {
        Kind::User => groups(&found),
        Kind::Group => (related, total),
    };
    let emails = items(&found, "emails");
    let primary = emails.iter().find(|email| email.get("primary").and_then(Value::as_bool) == Some(true));
    let row = row(&found, kind);
    let frame = &visit.frame_of(&row.name, shown, kind.noun());
    let page = Resource {
        email: primary.or_else(|| emails.first()).map(|email| text(email, "value")).unwrap_or_default(),
        external: text(&found, "externalId"),
        created: found.get("meta").map(|meta| Moment::of(meta, "created")).unwrap_or_default(),
        next: if skip + (related.len() as u64) < total {
            format!("?from={}", skip + related.len() as u64 + 1)
        } else {
            String::new()
        },
        whole: left_out.is_empty(),
        later: skip > 0,
        related,
        total,
        json: serde_json::to_string_pretty(&found).unwrap_or_default(),
        noun: kind.noun(),
        frame,
        shown,
        kind,
        row,
    };
    Ok(visit.show(200, frame, &page))
}

/// The groups of a user.
fn groups(user: &Value) -> (Vec<Related>, u64) {
    let group = |group: &Value| Related {
        id: text(group, "value"),
        name: text(group, "display"),
        path: "groups",
        indirect: text(group, "type") == "indirect",
    };
    let groups: Vec<_> = items(user, "groups").iter().map(group).collect();
    let total = groups.len() as u64;
    (groups, total)
}

/// A page of a group's members, by name where they exist.
fn members(visit: &Visit<'_>, id: &str, group: &str, skip: u64) -> Result<(Vec<Related>, u64), Fault> {
    let (members, total) = visit.api.members(id, group, skip, MEMBERS)?;
    let member = |member: Member| {
        let name = text(&member.stored, member.kind.attribute());
        let name = if name.is_empty() { member.id.clone() } else { name };
        Related { id: member.id, name, path: member.kind.noun(), indirect: false }
    };
    Ok((members.into_iter().map(member).collect(), total))
}
