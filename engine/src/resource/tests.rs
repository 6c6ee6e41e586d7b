//! Bodies of POST and PUT, as identity providers send them.

use serde_json::{Value, json};

use super::*;
use crate::schema::{ENTERPRISE_USER, GROUP, Registry, USER};

const TOOL: &str = "urn:example:params:scim:schemas:extension:tool:1.0:User";

/// Users with the enterprise extension and a custom one that has every type.
pub(crate) fn registry() -> Registry {
    let attribute = |name: &str, kind: &str| json!({ "name": name, "type": kind });
    let mut badge = attribute("badge", "string");
    badge["mutability"] = "immutable".into();
    let mut pin = attribute("pin", "string");
    pin["mutability"] = "writeOnly".into();
    pin["returned"] = "never".into();
    let mut tags = attribute("tags", "string");
    tags["multiValued"] = true.into();
    let tool = json!({ "id": TOOL, "name": "Tool", "attributes": [
        attribute("level", "integer"), attribute("score", "decimal"), attribute("since", "dateTime"),
        attribute("key", "binary"), attribute("home", "reference"), badge, pin, tags,
    ]});
    Registry::with_extensions(&[tool], &[]).unwrap()
}

/// What a body becomes, `schemas` left out where the core one is all there is.
fn check(resource_type: &str, body: Value, expected: Result<Value, Kind>) {
    let registry = registry();
    let resource_type = registry.by_name(resource_type).unwrap();
    let accepted = accept(resource_type, &body, false)
        .and_then(|accepted| super::check(resource_type, &accepted.resource).map(|()| accepted));
    let found = accepted.map_err(|error| error.kind).map(|accepted| {
        let mut resource = accepted.resource;
        assert_eq!(resource.keys().next().map(String::as_str), Some("schemas"), "of {body}");
        if resource["schemas"] == json!([resource_type.schema.id]) {
            resource.shift_remove("schemas");
        }
        Value::Object(resource)
    });
    assert_eq!(found, expected, "of {body}");
}

fn check_user(rest: Value, expected: Result<Value, Kind>) {
    let with_name = |mut rest: Value| {
        rest["userName"] = "ada".into();
        rest
    };
    check("User", with_name(rest), expected.map(with_name));
}

fn check_group(members: Value, expected: Result<Value, Kind>) {
    let group = |members: Value| json!({ "displayName": "Crew", "members": members });
    check("Group", group(members), expected.map(group));
}

fn accept_user(body: Value, strict: bool) -> Result<Accepted, ScimError> {
    accept(&registry().user, &body, strict)
}

#[test]
fn names_are_spelt_as_the_schema_spells_them() {
    check_user(
        json!({ "DISPLAYNAME": "Ada", "Name": { "givenname": "A" }, "EMAILS": [{ "Value": "a@x", "TYPE": "work" }] }),
        Ok(
            json!({ "displayName": "Ada", "name": { "givenName": "A" }, "emails": [{ "value": "a@x", "type": "work" }] }),
        ),
    );
}

#[test]
fn schemas_may_be_missing_and_may_name_more_than_there_is() {
    let plain = json!({ "userName": "ada" });
    check("User", plain.clone(), Ok(plain.clone()));
    let named = |schemas: Value| json!({ "schemas": schemas, "userName": "ada" });
    check("User", named(json!([])), Ok(plain.clone()));
    check("User", named(json!(USER)), Ok(plain.clone()));
    check("User", named(json!([USER.to_uppercase()])), Ok(plain.clone()));
    check("User", named(json!([USER, "urn:microsoft:anything"])), Ok(plain.clone()));
    check("User", named(json!([USER, ENTERPRISE_USER])), Ok(plain.clone()));
    check("User", named(json!([ENTERPRISE_USER])), Ok(plain));
    check("User", named(json!([GROUP])), Err(Kind::InvalidSyntax));
    check("User", named(json!(["urn:unknown"])), Err(Kind::InvalidSyntax));
    check("User", named(json!([7])), Err(Kind::InvalidSyntax));
}

#[test]
fn schemas_list_the_extensions_that_are_really_there() {
    let body = json!({ "userName": "ada", ENTERPRISE_USER: { "department": "D" } });
    let expected =
        json!({ "schemas": [USER, ENTERPRISE_USER], "userName": "ada", ENTERPRISE_USER: { "department": "D" } });
    check("User", body, Ok(expected));
    check_user(json!({ ENTERPRISE_USER: { "department": "" } }), Ok(json!({})));
    check_user(json!({ ENTERPRISE_USER: null }), Ok(json!({})));
}

#[test]
fn extensions_are_known_by_urn_in_any_case_and_by_qualified_names() {
    let expected = || {
        Ok(json!({ "schemas": [USER, ENTERPRISE_USER], "userName": "ada",
            ENTERPRISE_USER: { "department": "D", "manager": { "value": "7" } } }))
    };
    let upper = ENTERPRISE_USER.to_uppercase();
    check("User", json!({ "userName": "ada", upper: { "Department": "D", "manager": "7" } }), expected());
    let (department, manager) = (format!("{ENTERPRISE_USER}:department"), format!("{ENTERPRISE_USER}:manager.value"));
    check("User", json!({ "userName": "ada", department: "D", manager: "7" }), expected());
    check(
        "User",
        json!({ USER: { "userName": "ada" }, ENTERPRISE_USER: { "department": "D", "manager": { "value": "7", "displayName": "Boss" } } }),
        expected(),
    );
    check_user(json!({ ENTERPRISE_USER: "D" }), Err(Kind::InvalidValue));
}

#[test]
fn dotted_names_are_parts_of_their_attribute() {
    check_user(
        json!({ "name": { "familyName": "L" }, "name.givenName": "A" }),
        Ok(json!({ "name": { "familyName": "L", "givenName": "A" } })),
    );
}

#[test]
fn null_and_empty_values_mean_absent() {
    check_user(
        json!({ "title": null, "nickName": "", "emails": [], "roles": [null, ""], "name": { "givenName": null }, "active": null,
            "phoneNumbers": [{ "value": "", "type": "work" }, { "value": "1", "display": null }] }),
        Ok(json!({ "phoneNumbers": [{ "value": "1" }] })),
    );
}

#[test]
fn unknown_names_are_left_out_and_listed_or_refused_when_strict() {
    let body = || json!({ "userName": "ada", "shoeSize": 43, "name": { "nom": "A" }, "urn:x:y": { "z": 1 } });
    let accepted = accept_user(body(), false).unwrap();
    assert_eq!(Value::Object(accepted.resource), json!({ "schemas": [USER], "userName": "ada" }));
    assert_eq!(accepted.unknown, ["shoeSize", "name.nom", "urn:x:y"]);
    let error = accept_user(body(), true).unwrap_err();
    assert_eq!(
        (error.kind, error.detail.as_str()),
        (Kind::InvalidValue, "`shoeSize` is not an attribute of this resource")
    );
}

#[test]
fn what_the_server_sets_is_passed_over() {
    check_user(
        json!({ "id": "mine", "meta": { "version": "1" }, "groups": [{ "value": "g" }], "ID": 7 }),
        Ok(json!({})),
    );
}

#[test]
fn a_password_is_checked_and_never_kept() {
    check_user(json!({ "password": "secret" }), Ok(json!({})));
    check_user(json!({ "password": 7 }), Err(Kind::InvalidValue));
    check_user(json!({ TOOL: { "pin": "1234" } }), Ok(json!({})));
}

#[test]
fn booleans_may_be_text() {
    check_user(
        json!({ "active": "False", "roles": [{ "value": "admin", "primary": "True" }] }),
        Ok(json!({ "active": false, "roles": [{ "value": "admin", "primary": true }] })),
    );
    check_user(json!({ "active": "yes" }), Err(Kind::InvalidValue));
    check_user(json!({ "active": 1 }), Err(Kind::InvalidValue));
}

#[test]
fn values_are_of_their_attributes_type() {
    let tool = |inner: Value| json!({ "userName": "ada", TOOL: inner });
    let good = |inner: Value| {
        let expected = json!({ "schemas": [USER, TOOL], "userName": "ada", TOOL: inner });
        check("User", tool(inner), Ok(expected));
    };
    good(json!({ "level": -3, "score": 1.5, "since": "2011-05-13T04:42:34Z", "key": "AQID", "home": "/Users/7" }));
    good(json!({ "since": "1969-07-20T20:17:40.5+02:00", "key": "AQI", "score": 2 }));
    good(json!({ "since": "2011-05-13T04:42:34", "tags": ["a", "b"] }));
    for bad in [
        json!({ "level": 1.5 }),
        json!({ "level": "many" }),
        json!({ "score": true }),
        json!({ "since": "yesterday" }),
        json!({ "since": "2011-05-13" }),
        json!({ "key": "not base64!" }),
        json!({ "home": 7 }),
        json!({ "tags": [7] }),
        json!({ "tags": [["a"]] }),
    ] {
        check("User", tool(bad), Err(Kind::InvalidValue));
    }
    check_user(json!({ "name": "Ada" }), Err(Kind::InvalidValue));
    check_user(json!({ "displayName": ["Ada"] }), Err(Kind::InvalidValue));
    check_user(json!({ "emails": [7] }), Err(Kind::InvalidValue));
    check("User", json!(["userName"]), Err(Kind::InvalidSyntax));
}

#[test]
fn numbers_may_be_text() {
    let body = json!({ "userName": "ada", TOOL: { "level": "3", "score": "1.5" } });
    check("User", body, Ok(json!({ "schemas": [USER, TOOL], "userName": "ada", TOOL: { "level": 3, "score": 1.5 } })));
}

#[test]
fn errors_name_the_attribute() {
    let detail = |body: Value| accept_user(body, false).unwrap_err().detail;
    assert_eq!(detail(json!({ "roles": [{ "primary": "perhaps" }] })), "`roles.primary` must be true or false");
    assert_eq!(detail(json!({ TOOL: { "level": [] , "score": {} } })), format!("`{TOOL}:score` must be a number"));
}

#[test]
fn single_values_and_plain_text_become_lists_of_objects() {
    check_user(json!({ "emails": { "value": "a@x" } }), Ok(json!({ "emails": [{ "value": "a@x" }] })));
    check_user(json!({ "emails": ["a@x", "b@x"] }), Ok(json!({ "emails": [{ "value": "a@x" }, { "value": "b@x" }] })));
    check_user(json!({ "roles": "admin" }), Ok(json!({ "roles": [{ "value": "admin" }] })));
    check_user(json!({ "title": [{ "$ref": null, "value": "Dr" }] }), Ok(json!({ "title": "Dr" })));
}

#[test]
fn any_word_is_accepted_in_free_text() {
    let words = json!({ "profileUrl": "qzx", "locale": "wvu", "timezone": "rst" });
    check_user(words.clone(), Ok(words));
}

#[test]
fn a_list_has_no_value_twice_and_one_primary() {
    check_user(
        json!({ "emails": [{ "value": "a@x", "type": "work" }, { "value": "A@x", "type": "work", "primary": true }, { "value": "a@x" }] }),
        Ok(json!({ "emails": [{ "value": "a@x", "type": "work", "primary": true }, { "value": "a@x" }] })),
    );
    check_user(
        json!({ "emails": [{ "value": "a@x", "primary": true }, { "value": "b@x", "primary": "true" }] }),
        Err(Kind::InvalidValue),
    );
    let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
    check_user(json!({ "roles": many }), Err(Kind::TooLarge));
}

#[test]
fn user_names_are_any_text_and_required() {
    for name in ["ada", "Ada Lovelace", "ada@x", "Ada@X", "ädä/1", "0"] {
        check("User", json!({ "userName": name }), Ok(json!({ "userName": name })));
    }
    for body in [json!({}), json!({ "userName": "" }), json!({ "userName": "  " }), json!({ "userName": 7 })] {
        check("User", body, Err(Kind::InvalidValue));
    }
    check("Group", json!({ "members": [] }), Err(Kind::InvalidValue));
}

#[test]
fn members_are_objects_with_a_value() {
    check_group(
        json!([{ "value": "1", "display": "One", "type": "User", "$ref": "https://x/Users/1" }, "2", { "$ref": "../Users/3" }]),
        Ok(json!([{ "value": "1", "display": "One", "type": "User" }, { "value": "2" }, { "value": "3" }])),
    );
    check_group(json!({ "value": "1" }), Ok(json!([{ "value": "1" }])));
    check_group(
        json!([{ "value": "1" }, { "value": "1", "type": "User" }]),
        Ok(json!([{ "value": "1", "type": "User" }])),
    );
    for bad in [json!([{ "display": "One" }]), json!([7]), json!([{ "value": 7 }]), json!([["1"]])] {
        check_group(bad, Err(Kind::InvalidValue));
    }
    check("Group", json!({ "displayName": "Crew", "members": [] }), Ok(json!({ "displayName": "Crew" })));
}

#[test]
fn normalised_forms_are_named_once_for_the_log() {
    let body = json!({ "userName": "ada", "active": "True", "roles": [{ "value": "r", "primary": "False" }] });
    assert_eq!(accept_user(body, false).unwrap().normalised, ["`schemas` missing", "boolean as text"]);
    let plain = json!({ "schemas": [USER], "userName": "ada", "active": true });
    assert_eq!(accept_user(plain, false).unwrap().normalised, Vec::<&str>::new());
}

#[test]
fn a_put_keeps_immutable_values_and_cannot_change_them() {
    let registry = registry();
    let stored = accept_user(json!({ "userName": "ada", TOOL: { "badge": "7" } }), false).unwrap().resource;
    let put = |body: Value| {
        let mut resource = accept_user(body, false).unwrap().resource;
        retain_immutable(&registry.user, &stored, &mut resource).map(|()| resource).map_err(|error| error.kind)
    };
    assert_eq!(put(json!({ "userName": "ada" })), Ok(stored.clone()));
    assert_eq!(put(json!({ "userName": "ada", TOOL: { "badge": "7" } })), Ok(stored.clone()));
    assert_eq!(put(json!({ "userName": "ada", TOOL: { "badge": "8" } })), Err(Kind::Mutability));
}
