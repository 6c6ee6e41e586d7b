//! Extensions, by path and by name.

use serde_json::{Value, json};

use super::super::*;
use super::{ada, check, check_ada, with};
use crate::schema::ENTERPRISE_USER;

#[test]
fn names_in_a_value_object_may_be_paths() {
    let department = format!("{ENTERPRISE_USER}:department");
    let manager = format!("{}:manager", ENTERPRISE_USER.to_lowercase());
    check_ada(
        json!({ "op": "Add", "value": { "name.givenName": "A", "displayName": "D", department: "R", manager: "9",
            "emails[type eq \"work\"].value": "w@x", "active": "True" } }),
        Ok(json!({
            "userName": "ada",
            "name": { "givenName": "A", "familyName": "Byron" },
            "active": true,
            "emails": [{ "value": "w@x", "type": "work", "primary": true }, ada()["emails"][1]],
            "displayName": "D",
            ENTERPRISE_USER: { "department": "R", "manager": { "value": "9" } },
        })),
    );
}

#[test]
fn the_manager_is_text_or_an_object_and_goes_with_an_empty_value() {
    let managed = |manager: Value| with(ada(), ENTERPRISE_USER, json!({ "manager": manager }));
    let path = format!("{ENTERPRISE_USER}:manager");
    for value in [
        json!("9"),
        json!({ "value": "9" }),
        json!([{ "$ref": null, "value": "9" }]),
        json!({ "value": "9", "displayName": "Boss" }),
    ] {
        check_ada(json!({ "op": "replace", "path": path, "value": value }), Ok(managed(json!({ "value": "9" }))));
        let before = managed(json!({ "value": "8", "$ref": "https://x/Users/8" }));
        check(before, json!([{ "op": "add", "path": path, "value": value }]), Ok(managed(json!({ "value": "9" }))));
    }
    check_ada(
        json!({ "op": "add", "path": format!("{path}.value"), "value": "9" }),
        Ok(managed(json!({ "value": "9" }))),
    );
    check_ada(json!({ "op": "add", "path": format!("{path}.displayName"), "value": "Boss" }), Err(Kind::Mutability));
    let before = || managed(json!({ "value": "8" }));
    for operation in [
        json!({ "op": "replace", "path": path, "value": "" }),
        json!({ "op": "replace", "path": path, "value": { "value": "" } }),
        json!({ "op": "replace", "value": { path.as_str(): null } }),
        json!({ "op": "remove", "path": path }),
        json!({ "op": "remove", "path": path, "value": "8" }),
        json!({ "op": "remove", "path": format!("{path}.value") }),
    ] {
        check(before(), json!([operation]), Ok(ada()));
    }
}

#[test]
fn extensions_are_written_whole_by_path_and_by_name() {
    let before = || with(ada(), ENTERPRISE_USER, json!({ "department": "D" }));
    let after = || Ok(with(ada(), ENTERPRISE_USER, json!({ "department": "D", "costCenter": "C" })));
    for op in ["add", "replace"] {
        check(before(), json!([{ "op": op, "path": ENTERPRISE_USER, "value": { "costCenter": "C" } }]), after());
        check(
            before(),
            json!([{ "op": op, "value": { ENTERPRISE_USER.to_uppercase(): { "costCenter": "C" } } }]),
            after(),
        );
        check(before(), json!([{ "op": op, "path": ENTERPRISE_USER, "value": "C" }]), Err(Kind::InvalidValue));
        check(before(), json!([{ "op": op, "path": ENTERPRISE_USER, "value": null }]), Ok(ada()));
        check(before(), json!([{ "op": op, "value": { ENTERPRISE_USER: null } }]), Ok(ada()));
    }
    check(before(), json!([{ "op": "remove", "path": ENTERPRISE_USER }]), Ok(ada()));
    check(before(), json!([{ "op": "remove", "path": format!("{ENTERPRISE_USER}:department") }]), Ok(ada()));
}

#[test]
fn custom_extensions_come_back_as_sent() {
    let tool = "urn:example:params:scim:schemas:extension:tool:1.0:User";
    let inner = json!({ "level": 3, "tags": ["a", "b"], "badge": "7" });
    check_ada(json!({ "op": "add", "path": tool, "value": inner }), Ok(with(ada(), tool, inner.clone())));
    let before = || with(ada(), tool, inner.clone());
    let path = |name: &str| format!("{tool}:{name}");
    check(
        before(),
        json!([{ "op": "add", "path": path("tags"), "value": ["b", "c"] }]),
        Ok(with(ada(), tool, with(inner.clone(), "tags", json!(["a", "b", "c"])))),
    );
    check(
        before(),
        json!([{ "op": "remove", "path": path("tags"), "value": ["a"] }]),
        Ok(with(ada(), tool, with(inner.clone(), "tags", json!(["b"])))),
    );
    check(before(), json!([{ "op": "replace", "path": path("badge"), "value": "8" }]), Err(Kind::Mutability));
    check(before(), json!([{ "op": "remove", "path": path("badge") }]), Err(Kind::Mutability));
    check(before(), json!([{ "op": "remove", "path": tool }]), Err(Kind::Mutability));
    check(before(), json!([{ "op": "add", "path": path("pin"), "value": "1234" }]), Ok(before()));
}
