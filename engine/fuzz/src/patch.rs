//! PATCH on one resource: whole afterwards, free of secrets, and the same when it is asked twice.

use scim_engine::env::Limits;
use scim_engine::schema::ResourceType;
use scim_engine::{patch, resource};
use serde_json::{Map, Value};

use super::directory::{SECRET, registry};
use super::sequence::repeatable;
use super::{Choices, message};

pub fn check(data: &[u8]) {
    let mut choices = Choices::new(data);
    let flags = choices.byte();
    let (of, body) = match flags & 1 {
        0 => (&registry().user, message::user(&mut choices, &[])),
        _ => (&registry().group, message::group(&mut choices, &[])),
    };
    let strict = flags & 2 != 0;
    let Ok(accepted) = resource::accept(of, &body, strict) else { return };
    let mut stored = accepted.resource;
    stored.shift_remove("members");
    if resource::check(of, &stored).is_err() {
        return;
    }
    // Either generated, or text that may be JSON.
    let change = match flags & 4 {
        0 => message::patch(&mut choices, &[]),
        _ => match serde_json::from_slice(choices.rest()) {
            Ok(change) => change,
            Err(_) => return,
        },
    };
    apply(of, &stored, &change, strict);
}

fn apply(of: &ResourceType, stored: &Map<String, Value>, change: &Value, strict: bool) {
    let limits = Limits::default();
    let Ok(patched) = patch::apply(of, stored, change, strict, &limits) else { return };
    let after = &patched.resource;
    resource::check(of, after).expect("what PATCH leaves is whole");
    let shown = Value::Object(after.clone()).to_string();
    assert!(!shown.contains(SECRET) && !after.contains_key("password"), "{shown}");
    assert!(!after.contains_key("members") && !after.contains_key("groups"), "{shown}");
    let again = resource::accept(of, &Value::Object(after.clone()), true).expect("what is stored is acceptable");
    assert_eq!((&again.resource, again.normalised), (after, Vec::new()), "not as it would be accepted: {change}");
    if repeatable(change) {
        let twice = patch::apply(of, after, change, strict, &limits).expect("what was allowed once is allowed again");
        assert_eq!(&twice.resource, after, "twice is not once: {change}");
        assert_eq!(twice.members, patched.members, "{change}");
    }
}
