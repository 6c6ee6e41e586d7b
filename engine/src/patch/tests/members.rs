//! A group's members, which are changed without being read.

use serde_json::{Value, json};

use super::super::*;
use crate::schema::{GROUP, Registry};

fn list(members: &[Value]) -> Vec<Map<String, Value>> {
    members.iter().map(|member| member.as_object().unwrap().clone()).collect()
}

fn ids(ids: &[&str]) -> MemberChange {
    MemberChange::Remove(ids.iter().map(|id| (*id).into()).collect())
}

fn filter(text: &str) -> Filter {
    Filter::parse(text, &Limits::default()).unwrap()
}

/// The changes operations ask for; the group itself stays as it is.
fn check(operations: Value, expected: Result<Vec<MemberChange>, Kind>) {
    let registry = Registry::standard();
    let group = json!({ "schemas": [GROUP], "displayName": "Crew", "id": "g" });
    let group = group.as_object().unwrap();
    let patched = apply(&registry.group, group, &json!({ "Operations": operations }), false, &Limits::default());
    let found = patched.map_err(|error| error.kind).map(|patched| {
        assert_eq!(&patched.resource, group, "of {operations}");
        patched.members
    });
    assert_eq!(found, expected, "of {operations}");
}

fn check_one(operation: Value, expected: Result<MemberChange, Kind>) {
    check(json!([operation]), expected.map(|change| vec![change]));
}

/// RFC 7644 sections 3.5.2.1 to 3.5.2.3.
#[test]
fn the_rfcs_examples_of_members() {
    let babs = "2819c223-7f76-453a-919d-413861904646";
    let sent =
        json!({ "display": "Babs Jensen", "$ref": format!("https://example.com/v2/Users/{babs}"), "value": babs });
    let kept = json!({ "display": "Babs Jensen", "value": babs });
    let james = json!({ "display": "James Smith", "value": "08e1d05d" });
    let select = format!("members[value eq \"{babs}\"]");
    check_one(
        json!({ "op": "add", "path": "members", "value": [sent] }),
        Ok(MemberChange::Add(list(std::slice::from_ref(&kept)))),
    );
    check_one(json!({ "op": "remove", "path": select }), Ok(ids(&[babs])));
    check_one(json!({ "op": "remove", "path": "members" }), Ok(MemberChange::Replace(vec![])));
    check(
        json!([{ "op": "remove", "path": select }, { "op": "add", "path": "members", "value": [james] }]),
        Ok(vec![ids(&[babs]), MemberChange::Add(list(std::slice::from_ref(&james)))]),
    );
    check(
        json!([{ "op": "remove", "path": "members" }, { "op": "add", "path": "members", "value": [sent, james] }]),
        Ok(vec![MemberChange::Replace(vec![]), MemberChange::Add(list(&[kept.clone(), james.clone()]))]),
    );
    check_one(
        json!({ "op": "replace", "path": "members", "value": [sent, james] }),
        Ok(MemberChange::Replace(list(&[kept, james]))),
    );
}

#[test]
fn members_are_added_by_path_and_in_a_value_object() {
    let expected = || Ok(MemberChange::Add(list(&[json!({ "value": "1" }), json!({ "value": "2" })])));
    let two = json!([{ "value": "1" }, { "value": "2" }]);
    check_one(json!({ "op": "Add", "path": "members", "value": two }), expected());
    check_one(json!({ "op": "add", "path": "Members", "value": ["1", "2"] }), expected());
    check_one(json!({ "op": "add", "value": { "members": two } }), expected());
    check_one(json!({ "op": "add", "path": format!("{GROUP}:members"), "value": two }), expected());
    check_one(json!({ "op": "add", "path": "members.value", "value": ["1", "2"] }), expected());
    let one = || Ok(MemberChange::Add(list(&[json!({ "value": "1" })])));
    check_one(json!({ "op": "add", "path": "members", "value": "1" }), one());
    check_one(json!({ "op": "add", "path": "members", "value": { "value": "1" } }), one());
    check_one(json!({ "op": "add", "path": "members[value eq \"1\"]", "value": { "value": "1" } }), one());
    check(json!([{ "op": "add", "path": "members", "value": [] }]), Ok(vec![]));
    check(json!([{ "op": "add", "path": "members", "value": null }]), Ok(vec![]));
}

#[test]
fn members_are_replaced_even_by_none() {
    for empty in [json!([]), json!(null), json!("")] {
        check_one(json!({ "op": "replace", "path": "members", "value": empty }), Ok(MemberChange::Replace(vec![])));
    }
    check_one(
        json!({ "op": "replace", "value": { "members": [{ "value": "1", "type": "User" }] } }),
        Ok(MemberChange::Replace(list(&[json!({ "value": "1", "type": "User" })]))),
    );
}

#[test]
fn a_remove_with_values_removes_only_those_listed() {
    let two = json!([{ "value": "1" }, { "value": "2" }]);
    check_one(json!({ "op": "Remove", "path": "members", "value": two }), Ok(ids(&["1", "2"])));
    check_one(json!({ "op": "Remove", "value": { "members": two } }), Ok(ids(&["1", "2"])));
    check_one(json!({ "op": "remove", "path": "members.value", "value": ["1"] }), Ok(ids(&["1"])));
    check_one(json!({ "op": "remove", "path": "members", "value": "1" }), Ok(ids(&["1"])));
    check(json!([{ "op": "remove", "path": "members", "value": [] }]), Ok(vec![]));
    check(json!([{ "op": "remove", "value": { "members": [] } }]), Ok(vec![]));
    check(json!([{ "op": "remove", "path": "members", "value": "" }]), Ok(vec![]));
    check_one(json!({ "op": "remove", "value": {} }), Err(Kind::NoTarget));
    check_one(json!({ "op": "remove" }), Err(Kind::NoTarget));
}

#[test]
fn a_filter_chooses_members() {
    let remove = |path: &str| json!({ "op": "remove", "path": path });
    check_one(remove("members[value eq \"1\"]"), Ok(ids(&["1"])));
    check_one(remove("members[value eq \"1\"].value"), Ok(ids(&["1"])));
    check_one(remove("members[VALUE EQ \"1\" or value eq \"2\"]"), Ok(ids(&["1", "2"])));
    check_one(remove("members[type eq \"Group\"]"), Ok(MemberChange::RemoveMatching(filter("type eq \"Group\""))));
    check_one(
        json!({ "op": "replace", "path": "members[value eq \"1\"].display", "value": "One" }),
        Ok(MemberChange::Update(filter("value eq \"1\""), list(&[json!({ "display": "One" })]).remove(0))),
    );
    check_one(json!({ "op": "replace", "path": "members[value eq \"1\"].value", "value": "2" }), Err(Kind::Mutability));
    check_one(
        json!({ "op": "replace", "path": "members[value eq \"1\"]", "value": { "value": "2" } }),
        Err(Kind::Mutability),
    );
    check_one(remove("members[value eq \"1\"].display"), Err(Kind::Mutability));
    check_one(remove("members.display"), Err(Kind::InvalidPath));
}

#[test]
fn members_are_objects_with_a_value() {
    for bad in [json!([{ "display": "One" }]), json!([7]), json!(true), json!([{ "value": 7 }])] {
        for op in ["add", "remove", "replace"] {
            check_one(json!({ "op": op, "path": "members", "value": bad }), Err(Kind::InvalidValue));
        }
    }
}

/// Okta.
#[test]
fn a_rename_may_carry_the_id() {
    let registry = Registry::standard();
    let group = json!({ "schemas": [GROUP], "displayName": "Crew" });
    let body = json!({ "Operations": [{ "op": "replace", "value": { "id": "g", "displayName": "Staff" } }] });
    let patched = apply(&registry.group, group.as_object().unwrap(), &body, false, &Limits::default()).unwrap();
    assert_eq!(Value::Object(patched.resource), json!({ "schemas": [GROUP], "displayName": "Staff" }));
    check_one(json!({ "op": "remove", "path": "displayName" }), Err(Kind::Mutability));
    check_one(json!({ "op": "replace", "path": "displayName", "value": "" }), Err(Kind::InvalidValue));
}
