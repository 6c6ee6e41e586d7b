//! Users and groups of a connection: found by the beginning of their name, page by page, and one in full.

use askama::Template;
use scim_engine::store::{Fault, Need, Outcome};
use serde_json::Value;

use crate::api::escape;
use crate::connection::find;
use crate::page::{Frame, Visit};
use crate::shown::{Shown, list as items, text};

/// Rows of a page.
const PAGE: usize = 50;
/// Members of a group whose names are looked up.
const NAMED: usize = 100;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    User,
    Group,
}

impl Kind {
    fn segment(self) -> &'static str {
        match self {
            Self::User => "Users",
            Self::Group => "Groups",
        }
    }

    fn tab(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Group => "groups",
        }
    }

    /// The attribute that names a resource.
    fn name(self) -> &'static str {
        match self {
            Self::User => "userName",
            Self::Group => "displayName",
        }
    }

    fn is_user(self) -> bool {
        self == Self::User
    }
}

struct Row {
    id: String,
    name: String,
    display: String,
    active: bool,
    modified: String,
}

#[derive(Template)]
#[template(path = "directory.html")]
struct Directory {
    frame: Frame,
    shown: Shown,
    tab: &'static str,
    kind: Kind,
    search: String,
    total: u64,
    rows: Vec<Row>,
    next: String,
    later: bool,
}

/// A page of users or groups.
pub fn list(visit: &Visit<'_>, id: &str, kind: Kind) -> Result<Outcome, Fault> {
    let shown = find(visit, id)?;
    let (search, cursor) = (visit.query("q").trim().to_owned(), visit.query("cursor"));
    let mut query = format!("{}?count={PAGE}&excludedAttributes=members&cursor={}", kind.segment(), escape(&cursor));
    if !search.is_empty() {
        let filter = format!("{} sw {}", kind.name(), Value::from(search.as_str()));
        query.push_str(&format!("&filter={}", escape(&filter)));
    }
    let found = visit.api.browse(id, &query)?;
    let next = match text(&found, "nextCursor") {
        next if next.is_empty() => next,
        next => format!("?q={}&cursor={}", escape(&search), escape(&next)),
    };
    let total = if kind.is_user() { shown.users } else { shown.groups };
    let page = Directory {
        frame: visit.frame(&format!("{} of {}", kind.segment(), shown.name), "accounts"),
        total: found.get("totalResults").and_then(Value::as_u64).unwrap_or(total),
        rows: items(&found, "Resources").iter().map(|resource| row(resource, kind)).collect(),
        tab: kind.tab(),
        later: !cursor.is_empty(),
        shown,
        kind,
        search,
        next,
    };
    Ok(visit.show(200, &page))
}

fn row(resource: &Value, kind: Kind) -> Row {
    let part = |name: &str| resource.get("name").map(|parts| text(parts, name)).unwrap_or_default();
    let display = match text(resource, "displayName") {
        display if display.is_empty() => format!("{} {}", part("givenName"), part("familyName")).trim().to_owned(),
        display => display,
    };
    Row {
        id: text(resource, "id"),
        name: text(resource, kind.name()),
        display,
        active: resource.get("active").and_then(Value::as_bool).unwrap_or(true),
        modified: resource.get("meta").map(|meta| text(meta, "lastModified")).unwrap_or_default(),
    }
}

struct Related {
    id: String,
    name: String,
    user: bool,
}

#[derive(Template)]
#[template(path = "resource.html")]
struct Resource {
    frame: Frame,
    shown: Shown,
    tab: &'static str,
    kind: Kind,
    row: Row,
    email: String,
    external: String,
    created: String,
    related: Vec<Related>,
    json: String,
}

/// One user with its groups, or one group with its members, and the SCIM form.
pub fn show(visit: &Visit<'_>, id: &str, kind: Kind, resource: &str) -> Result<Outcome, Fault> {
    let shown = find(visit, id)?;
    let found = visit.api.browse(id, &format!("{}/{}", kind.segment(), escape(resource)))?;
    let related = related(visit, id, kind, &found)?;
    let emails = items(&found, "emails");
    let primary = emails.iter().find(|email| email.get("primary").and_then(Value::as_bool) == Some(true));
    let row = row(&found, kind);
    let page = Resource {
        frame: visit.frame(&row.name, "accounts"),
        email: primary.or_else(|| emails.first()).map(|email| text(email, "value")).unwrap_or_default(),
        external: text(&found, "externalId"),
        created: found.get("meta").map(|meta| text(meta, "created")).unwrap_or_default(),
        related,
        json: serde_json::to_string_pretty(&found).unwrap_or_default(),
        tab: kind.tab(),
        shown,
        kind,
        row,
    };
    Ok(visit.show(200, &page))
}

/// The groups of a user or the members of a group; members without a display name get their user name.
fn related(visit: &Visit<'_>, id: &str, kind: Kind, found: &Value) -> Result<Vec<Related>, Fault> {
    let mut need = Need::default();
    let mut related = Vec::new();
    for (place, entry) in items(found, if kind.is_user() { "groups" } else { "members" }).iter().enumerate() {
        let (value, user) = (text(entry, "value"), !kind.is_user() && text(entry, "type") != "Group");
        let mut name = text(entry, "display");
        if name.is_empty() && user && place < NAMED {
            let target = format!("Users/{}?attributes=userName", escape(&value));
            match need.gather(visit.api.browse(id, &target)) {
                Ok(member) => name = member.map(|member| text(&member, "userName")).unwrap_or_default(),
                // A member need not exist (RFC 7643 section 4.2).
                Err(Fault::Refused(_)) => {}
                Err(fault) => return Err(fault),
            }
        }
        let name = if name.is_empty() { value.clone() } else { name };
        related.push(Related { id: value, name, user });
    }
    need.settle()?;
    Ok(related)
}
