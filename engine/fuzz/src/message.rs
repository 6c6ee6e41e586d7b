//! Bodies, paths and filters as identity providers might send them, and worse.

use serde_json::{Map, Value, json};

use super::Choices;
use super::directory::{BADGE, SECRET};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const WORDS: &[&str] = &[
    "a",
    "b",
    "A",
    "bob",
    "BOB",
    "",
    "work",
    "home",
    "true",
    "False",
    "a@x",
    "A@X",
    "ß",
    "İ",
    "\0",
    "\u{1}a",
    " ",
    "1",
    "2024-01-01T00:00:00Z",
    "AAAA",
    "User",
    "bulkId:1",
    "bulkId:2",
    "a\"b\\",
    "..",
    "1e400",
    "\u{fffe}",
    "ZZ%41",
];
const ATTRIBUTES: &[&str] = &[
    "userName",
    "displayName",
    "externalId",
    "active",
    "title",
    "emails",
    "name",
    "password",
    "groups",
    "members",
    "id",
    "meta",
    "schemas",
    "roles",
    "addresses",
    "x509Certificates",
    "phoneNumbers",
    "nickName",
    "profileUrl",
    "USERNAME",
    "name.givenName",
    "emails.value",
    "members.value",
    "meta.created",
    "meta.lastModified",
    "meta.version",
    "meta.resourceType",
    "meta.location",
    "groups.value",
    "groups.display",
    "groups.type",
    "groups.$ref",
    "members.type",
    "members.display",
    "members.$ref",
    "emails.type",
    "emails.primary",
    "addresses.country",
    "nothing",
    ENTERPRISE,
    BADGE,
    USER,
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
    "urn:ietf:params:scim:schemas:core:2.0:User:userName",
    "urn:ietf:params:scim:schemas:core:2.0:Group:displayName",
    "urn:example:params:scim:schemas:extension:badge:2.0:User:level",
    "urn:example:params:scim:schemas:extension:badge:2.0:User:pin",
    "urn:example:params:scim:schemas:extension:badge:2.0:User:since",
    "urn:example:params:scim:schemas:extension:badge:2.0:User:tags",
    "urn:example:params:scim:schemas:extension:badge:2.0:User:number",
    "urn:example:params:scim:schemas:extension:badge:2.0:User:weight",
    "urn:example:params:scim:schemas:extension:badge:2.0:User:hint",
    "urn:example:params:scim:schemas:extension:badge:2.0:User:site.code",
    "urn:example:params:scim:schemas:extension:badge:2.0:User:site.pin",
];
const SUBS: &[&str] = &["value", "type", "primary", "display", "$ref", "givenName", "country", "code", "formatted"];

/// A word, one of `ids`, a long text or any text; never a secret by chance.
pub fn text(choices: &mut Choices<'_>, ids: &[String]) -> String {
    match choices.below(8) {
        0..=3 => (*choices.pick(WORDS)).to_owned(),
        4 | 5 if !ids.is_empty() => ids[choices.below(ids.len())].clone(),
        6 => format!("{}{}", choices.pick(WORDS), "x".repeat(choices.below(256) * choices.below(4))),
        _ => String::from_utf8_lossy(choices.bytes(12)).replace(SECRET, ""),
    }
}

fn number(choices: &mut Choices<'_>) -> Value {
    match choices.below(4) {
        0 => json!(choices.byte()),
        1 => json!(-1.5e9),
        2 => json!(i64::MAX),
        _ => json!(0.1),
    }
}

/// Any JSON at all.
pub fn anything(choices: &mut Choices<'_>, ids: &[String], depth: usize) -> Value {
    match choices.below(if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => json!(choices.once_in(2)),
        2 => number(choices),
        3 | 4 => text(choices, ids).into(),
        5 => (0..choices.below(4)).map(|_| anything(choices, ids, depth - 1)).collect(),
        _ => Value::Object(
            (0..choices.below(4)).map(|_| (key(choices, ids), anything(choices, ids, depth - 1))).collect(),
        ),
    }
}

fn key(choices: &mut Choices<'_>, ids: &[String]) -> String {
    match choices.below(4) {
        0 | 1 => (*choices.pick(ATTRIBUTES)).to_owned(),
        2 => (*choices.pick(SUBS)).to_owned(),
        _ => text(choices, ids),
    }
}

/// A value that fits an attribute, mostly.
fn value_of(choices: &mut Choices<'_>, attribute: &str, ids: &[String]) -> Value {
    if choices.once_in(12) {
        return anything(choices, ids, 2);
    }
    let bare = attribute.rsplit(':').next().unwrap_or(attribute);
    match bare {
        "password" | "pin" | "site.pin" => format!("{SECRET}{}", choices.byte()).into(),
        "active" | "primary" | "emails.primary" => match choices.below(4) {
            0 => true.into(),
            1 => false.into(),
            2 => "False".into(),
            _ => "true".into(),
        },
        "emails" | "roles" | "phoneNumbers" | "addresses" | "x509Certificates" => {
            (0..choices.below(4)).map(|_| element(choices, ids)).collect()
        }
        "members" | "groups" => (0..choices.below(5)).map(|_| member(choices, ids)).collect(),
        "name" => json!({ "givenName": text(choices, ids), "familyName": text(choices, ids) }),
        "manager" => match choices.below(2) {
            0 => json!({ "value": text(choices, ids), "displayName": text(choices, ids) }),
            _ => text(choices, ids).into(),
        },
        "User" => extension(choices, attribute, ids),
        "level" | "weight" => number(choices),
        "since" => "2011-05-13T04:42:34Z".into(),
        "tags" => (0..choices.below(3)).map(|_| Value::from(text(choices, ids))).collect(),
        _ => text(choices, ids).into(),
    }
}

fn extension(choices: &mut Choices<'_>, urn: &str, ids: &[String]) -> Value {
    let names: &[&str] = match urn {
        BADGE => &["number", "pin", "hint", "level", "weight", "since", "tags", "site"],
        _ => &["department", "manager", "employeeNumber", "nothing"],
    };
    let mut object = Map::new();
    for _ in 0..choices.below(4) {
        let name = choices.pick(names);
        let value = match name {
            "site" => json!({ "code": text(choices, ids), "pin": SECRET }),
            _ => value_of(choices, name, ids),
        };
        object.insert(name.to_owned(), value);
    }
    object.into()
}

fn element(choices: &mut Choices<'_>, ids: &[String]) -> Value {
    let mut object = Map::new();
    for _ in 0..choices.below(4) {
        let name = choices.pick(&["value", "type", "primary", "display", "country"]);
        object.insert(name.to_owned(), value_of(choices, name, ids));
    }
    object.into()
}

fn member(choices: &mut Choices<'_>, ids: &[String]) -> Value {
    match choices.below(5) {
        0 => text(choices, ids).into(),
        1 => json!({ "$ref": format!("https://x/Users/{}", text(choices, ids)) }),
        2 => {
            json!({ "value": text(choices, ids), "type": choices.pick(&["User", "Group", "user", "x"]), "display": "d" })
        }
        _ => json!({ "value": text(choices, ids) }),
    }
}

/// A user as a client sends it.
pub fn user(choices: &mut Choices<'_>, ids: &[String]) -> Value {
    let mut user = Map::new();
    if choices.byte() % 16 != 15 {
        user.insert("userName".into(), text(choices, ids).into());
    }
    fill(choices, &mut user, ids);
    user.into()
}

/// A group as a client sends it.
pub fn group(choices: &mut Choices<'_>, ids: &[String]) -> Value {
    let mut group = Map::new();
    if choices.byte() % 16 != 15 {
        group.insert("displayName".into(), text(choices, ids).into());
    }
    if choices.once_in(2) {
        group.insert("members".into(), value_of(choices, "members", ids));
    }
    fill(choices, &mut group, ids);
    group.into()
}

fn fill(choices: &mut Choices<'_>, resource: &mut Map<String, Value>, ids: &[String]) {
    for _ in 0..choices.below(5) {
        let name = choices.pick(ATTRIBUTES);
        resource.insert(name.to_owned(), value_of(choices, name, ids));
    }
    if choices.once_in(16) {
        resource.insert(key(choices, ids), anything(choices, ids, 3));
    }
}

/// The body of a PATCH.
pub fn patch(choices: &mut Choices<'_>, ids: &[String]) -> Value {
    if choices.byte() == 255 {
        return anything(choices, ids, 4);
    }
    let operations: Vec<Value> = (0..1 + choices.below(4)).map(|_| patch_operation(choices, ids)).collect();
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations })
}

fn patch_operation(choices: &mut Choices<'_>, ids: &[String]) -> Value {
    let op = choices.pick(&["add", "replace", "remove", "Add", "REPLACE", "Remove", "move"]);
    let mut operation = Map::from_iter([("op".to_owned(), Value::from(op))]);
    let attribute = choices.pick(ATTRIBUTES);
    match choices.below(8) {
        0 => {
            let mut object = Map::new();
            fill(choices, &mut object, ids);
            operation.insert("value".into(), object.into());
            return operation.into();
        }
        1 | 2 => {
            let inner = element_filter(choices, ids);
            let list = choices.pick(&["emails", "members", "roles", "addresses", "phoneNumbers", "tags", "name"]);
            let sub = choices.pick(&["", ".value", ".type", ".display", ".primary", ".country", ".x"]);
            operation.insert("path".into(), format!("{list}[{inner}]{sub}").into());
            let named = sub.strip_prefix('.').unwrap_or("emails");
            let value = if sub.is_empty() { element(choices, ids) } else { value_of(choices, named, ids) };
            operation.insert("value".into(), value);
        }
        3 => {
            operation.insert("path".into(), text(choices, ids).into());
            operation.insert("value".into(), anything(choices, ids, 2));
        }
        _ => {
            operation.insert("path".into(), attribute.into());
            if choices.byte() % 4 != 3 {
                operation.insert("value".into(), value_of(choices, attribute, ids));
            }
        }
    }
    operation.into()
}

fn literal(choices: &mut Choices<'_>, ids: &[String]) -> String {
    match choices.below(6) {
        0 => "true".into(),
        1 => number(choices).to_string(),
        2 => "null".into(),
        _ => Value::from(text(choices, ids)).to_string(),
    }
}

fn operator(choices: &mut Choices<'_>) -> &'static str {
    choices.pick(&["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "EQ"])
}

fn element_filter(choices: &mut Choices<'_>, ids: &[String]) -> String {
    let sub = choices.pick(SUBS);
    match choices.below(6) {
        0 => format!("{sub} pr"),
        1 => format!("not ({})", element_filter(choices, ids)),
        2 => format!("{} and {}", element_filter(choices, ids), element_filter(choices, ids)),
        3 => format!("type eq {}", literal(choices, ids)),
        _ => format!("{sub} {} {}", operator(choices), literal(choices, ids)),
    }
}

/// A filter, mostly a right one.
pub fn filter(choices: &mut Choices<'_>, ids: &[String], depth: usize) -> String {
    let attribute = choices.pick(ATTRIBUTES);
    match choices.below(if depth == 0 { 5 } else { 9 }) {
        0 => format!("{attribute} pr"),
        1..=3 => format!("{attribute} {} {}", operator(choices), literal(choices, ids)),
        4 => format!(
            "{}[{}]",
            choices.pick(&["emails", "members", "groups", "roles", "meta"]),
            element_filter(choices, ids)
        ),
        5 => format!("not ({})", filter(choices, ids, depth - 1)),
        6 => format!("({})", filter(choices, ids, depth - 1)),
        7 => format!("{} and {}", filter(choices, ids, depth - 1), filter(choices, ids, depth - 1)),
        _ => format!("{} or {}", filter(choices, ids, depth - 1), filter(choices, ids, depth - 1)),
    }
}

/// An attribute's name.
pub fn attribute(choices: &mut Choices<'_>) -> &'static str {
    choices.pick(ATTRIBUTES)
}

/// The body of a Bulk request, over resources that exist and such as it makes itself.
pub fn bulk(choices: &mut Choices<'_>, ids: &[String]) -> Value {
    if choices.byte() == 255 {
        return anything(choices, ids, 4);
    }
    let operations: Vec<Value> = (0..choices.below(7)).map(|at| bulk_operation(choices, ids, at)).collect();
    let mut body =
        json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations });
    if choices.once_in(4) {
        body["failOnErrors"] = json!(choices.below(3));
    }
    body
}

fn bulk_operation(choices: &mut Choices<'_>, ids: &[String], at: usize) -> Value {
    let names: Vec<String> = (0..7).map(|n| format!("bulkId:{n}")).chain(ids.iter().cloned()).collect();
    let kind = choices.pick(&["Users", "Groups"]);
    let data = |choices: &mut Choices<'_>| if kind == "Users" { user(choices, &names) } else { group(choices, &names) };
    let own = match choices.below(12) {
        11 => text(choices, &names),
        _ => at.to_string(),
    };
    let target = if choices.once_in(8) { text(choices, &names) } else { names[choices.below(names.len())].clone() };
    let path = format!("/{kind}/{target}");
    match choices.below(6) {
        0..=2 => json!({ "method": "POST", "path": format!("/{kind}"), "bulkId": own, "data": data(choices) }),
        3 => json!({ "method": "PUT", "path": path, "bulkId": own, "data": data(choices) }),
        4 => json!({ "method": "PATCH", "path": path, "data": patch(choices, &names) }),
        _ => {
            json!({ "method": choices.pick(&["DELETE", "delete", "GET", "POST"]), "path": path, "version": "W/\"2\"" })
        }
    }
}
