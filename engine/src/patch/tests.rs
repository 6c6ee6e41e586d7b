//! PATCH as the RFC describes it and as identity providers send it.

mod extensions;
mod members;
mod properties;

use serde_json::{Value, json};

use super::*;
use crate::resource::accept;
use crate::resource::tests::registry;
use crate::schema::{ENTERPRISE_USER, ResourceType};

fn ada() -> Value {
    json!({
        "userName": "ada",
        "name": { "givenName": "Ada", "familyName": "Byron" },
        "active": true,
        "emails": [{ "value": "ada@work", "type": "work", "primary": true }, { "value": "ada@home", "type": "home" }],
    })
}

fn with(mut resource: Value, name: &str, value: Value) -> Value {
    resource[name] = value;
    resource
}

fn without(mut resource: Value, name: &str) -> Value {
    resource.as_object_mut().unwrap().shift_remove(name);
    resource
}

fn stored(resource_type: &ResourceType, resource: &Value) -> Map<String, Value> {
    let mut stored = accept(resource_type, resource, false).unwrap().resource;
    stored.insert("id".into(), "7".into());
    stored
}

fn patch(resource: &Value, operations: &Value, strict: bool) -> Result<Patched, ScimError> {
    let user = registry().user;
    apply(&user, &stored(&user, resource), &json!({ "Operations": operations }), strict, &Limits::default())
}

/// What operations make of a user.
fn check(resource: Value, operations: Value, expected: Result<Value, Kind>) {
    let found = patch(&resource, &operations, false).map(|patched| patched.resource).map_err(|error| error.kind);
    let expected = expected.map(|expected| stored(&registry().user, &expected));
    assert_eq!(found, expected, "of {operations}");
}

/// What one operation makes of [`ada`].
fn check_ada(operation: Value, expected: Result<Value, Kind>) {
    check(ada(), json!([operation]), expected);
}

#[test]
fn a_request_is_a_list_of_known_operations() {
    let body = |body: Value| {
        let user = registry().user;
        let limits = Limits { patch_operations: 2, ..Limits::default() };
        apply(&user, &stored(&user, &ada()), &body, false, &limits).map(drop).map_err(|error| error.kind)
    };
    let add = || json!({ "op": "add", "path": "title", "value": "Dr" });
    let op = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
    assert_eq!(body(json!({ "schemas": [op], "Operations": [add()] })), Ok(()));
    assert_eq!(body(json!({ "operations": [add(), add()] })), Ok(()));
    assert_eq!(body(json!({ "Operations": [add(), add(), add()] })), Err(Kind::TooLarge));
    for bad in [
        json!([]),
        json!({}),
        json!({ "Operations": [] }),
        json!({ "Operations": "add" }),
        json!({ "Operations": ["add"] }),
        json!({ "Operations": [{ "path": "title", "value": "Dr" }] }),
        json!({ "Operations": [{ "op": "move", "path": "title", "value": "Dr" }] }),
        json!({ "Operations": [{ "op": 7, "path": "title", "value": "Dr" }] }),
        json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "Operations": [add()] }),
    ] {
        assert_eq!(body(bad.clone()), Err(Kind::InvalidSyntax), "of {bad}");
    }
    assert_eq!(body(json!({ "Operations": [{ "op": "add", "path": 7, "value": "Dr" }] })), Err(Kind::InvalidPath));
    assert_eq!(body(json!({ "Operations": [{ "op": "add", "path": "title" }] })), Err(Kind::InvalidValue));
    assert_eq!(body(json!({ "Operations": [{ "op": "add", "value": "Dr" }] })), Err(Kind::InvalidValue));
}

#[test]
fn operations_are_known_in_any_case_and_may_carry_more() {
    let expected = || Ok(with(ada(), "title", json!("Dr")));
    for op in ["add", "Add", "ADD", "Replace"] {
        check_ada(json!({ "op": op, "path": "TITLE", "value": "Dr", "extra": 1, "$type": "x" }), expected());
    }
    check_ada(json!({ "Op": "add", "Path": "title", "Value": "Dr" }), expected());
    check_ada(
        json!({ "op": "Remove", "path": "Name.GivenName" }),
        Ok(with(ada(), "name", json!({ "familyName": "Byron" }))),
    );
}

/// RFC 7644 section 3.5.2.1.
#[test]
fn the_rfcs_examples_of_add() {
    let emails = json!([ada()["emails"][0], ada()["emails"][1], { "value": "babs@jensen.org", "type": "other" }]);
    check_ada(
        json!({ "op": "add", "value": { "emails": [{ "value": "babs@jensen.org", "type": "other" }], "nickname": "Babs" } }),
        Ok(with(with(ada(), "emails", emails), "nickName", json!("Babs"))),
    );
}

/// RFC 7644 section 3.5.2.2.
#[test]
fn the_rfcs_examples_of_remove() {
    let emails = json!([{ "value": "a@example.com", "type": "work" }, { "value": "a@example.org", "type": "work" }]);
    check(
        with(ada(), "emails", emails.clone()),
        json!([{ "op": "remove", "path": "emails[type eq \"work\" and value ew \"example.com\"]" }]),
        Ok(with(ada(), "emails", json!([emails[1]]))),
    );
}

/// RFC 7644 section 3.5.2.3.
#[test]
fn the_rfcs_examples_of_replace() {
    let addresses = || json!([{ "type": "work", "streetAddress": "1 Old Road", "postalCode": "1" }, { "type": "home", "country": "US" }]);
    let new = json!({ "type": "work", "streetAddress": "911 Universal City Plaza", "locality": "Hollywood", "region": "CA",
        "postalCode": "91608", "country": "US", "formatted": "911 Universal City Plaza\nHollywood, CA 91608 US", "primary": true });
    let before = with(ada(), "addresses", addresses());
    check(
        before.clone(),
        json!([{ "op": "replace", "path": "addresses[type eq \"work\"]", "value": new }]),
        Ok(with(ada(), "addresses", json!([new, addresses()[1]]))),
    );
    let mut street = addresses();
    street[0]["streetAddress"] = "1010 Broadway Ave".into();
    check(
        before,
        json!([{ "op": "replace", "path": "addresses[type eq \"work\"].streetAddress", "value": "1010 Broadway Ave" }]),
        Ok(with(ada(), "addresses", street)),
    );
    let emails = json!([{ "value": "bjensen@example.com", "type": "work", "primary": true }, { "value": "babs@jensen.org", "type": "home" }]);
    check_ada(
        json!({ "op": "replace", "value": { "emails": emails, "nickname": "Babs" } }),
        Ok(with(with(ada(), "emails", emails), "nickName", json!("Babs"))),
    );
}

#[test]
fn simple_attributes_are_set_and_removed() {
    for op in ["add", "replace"] {
        check_ada(json!({ "op": op, "path": "displayName", "value": "A" }), Ok(with(ada(), "displayName", json!("A"))));
        check_ada(json!({ "op": op, "path": "active", "value": "False" }), Ok(with(ada(), "active", json!(false))));
        check_ada(
            json!({ "op": op, "path": "userName", "value": "Countess" }),
            Ok(with(ada(), "userName", json!("Countess"))),
        );
        check_ada(
            json!({ "op": op, "path": "externalId", "value": "x-1" }),
            Ok(with(ada(), "externalId", json!("x-1"))),
        );
        for empty in [json!(""), json!(null), json!([])] {
            check_ada(json!({ "op": op, "path": "active", "value": empty }), Ok(without(ada(), "active")));
        }
        check_ada(json!({ "op": op, "path": "active", "value": "maybe" }), Err(Kind::InvalidValue));
        check_ada(json!({ "op": op, "path": "title", "value": { "a": 1 } }), Err(Kind::InvalidValue));
    }
    check_ada(json!({ "op": "remove", "path": "active" }), Ok(without(ada(), "active")));
    check_ada(json!({ "op": "remove", "path": "title" }), Ok(ada()));
    check_ada(
        json!({ "op": "replace", "path": "title", "value": [{ "$ref": null, "value": "Dr" }] }),
        Ok(with(ada(), "title", json!("Dr"))),
    );
}

#[test]
fn paths_may_name_the_core_schema() {
    let urn = "urn:ietf:params:scim:schemas:core:2.0:User";
    let named = || Ok(with(ada(), "name", json!({ "givenName": "A", "familyName": "Byron" })));
    check_ada(json!({ "op": "replace", "path": format!("{urn}:name.givenName"), "value": "A" }), named());
    check_ada(json!({ "op": "replace", "path": urn, "value": { "name": { "givenName": "A" } } }), named());
    check_ada(json!({ "op": "replace", "value": { urn: { "name.givenName": "A" } } }), named());
}

#[test]
fn complex_attributes_keep_what_is_not_named() {
    for op in ["add", "replace"] {
        let named = |name: Value| Ok(with(ada(), "name", name));
        check_ada(
            json!({ "op": op, "path": "name", "value": { "givenName": "A" } }),
            named(json!({ "givenName": "A", "familyName": "Byron" })),
        );
        check_ada(
            json!({ "op": op, "path": "name", "value": { "familyName": null } }),
            named(json!({ "givenName": "Ada" })),
        );
        check_ada(
            json!({ "op": op, "path": "name.middleName", "value": "K" }),
            named(json!({ "givenName": "Ada", "familyName": "Byron", "middleName": "K" })),
        );
        check_ada(json!({ "op": op, "path": "name.familyName", "value": "" }), named(json!({ "givenName": "Ada" })));
        check_ada(json!({ "op": op, "path": "name", "value": null }), Ok(without(ada(), "name")));
        check_ada(json!({ "op": op, "path": "name", "value": "Ada" }), Err(Kind::InvalidValue));
    }
    check(
        ada(),
        json!([{ "op": "remove", "path": "name.givenName" }, { "op": "remove", "path": "name.familyName" }]),
        Ok(without(ada(), "name")),
    );
    check_ada(json!({ "op": "remove", "path": "name" }), Ok(without(ada(), "name")));
}

#[test]
fn adding_to_a_list_merges_without_duplicates() {
    let add = |value: Value| json!({ "op": "add", "path": "emails", "value": value });
    check_ada(add(json!([ada()["emails"][1]])), Ok(ada()));
    check_ada(
        add(json!({ "value": "ADA@home" })),
        Ok(with(ada(), "emails", json!([ada()["emails"][0], { "value": "ADA@home", "type": "home" }]))),
    );
    check_ada(add(json!([])), Ok(ada()));
    check_ada(
        add(json!("new@x")),
        Ok(with(ada(), "emails", json!([ada()["emails"][0], ada()["emails"][1], { "value": "new@x" }]))),
    );
    let many: Vec<String> = (0..999).map(|n| format!("{n}@x")).collect();
    check_ada(add(json!(many)), Err(Kind::TooLarge));
}

#[test]
fn replacing_a_list_leaves_nothing_of_it() {
    let replace = |value: Value| json!({ "op": "replace", "path": "emails", "value": value });
    check_ada(replace(json!([{ "value": "n@x" }])), Ok(with(ada(), "emails", json!([{ "value": "n@x" }]))));
    check_ada(replace(json!([])), Ok(without(ada(), "emails")));
    check_ada(
        replace(json!([{ "value": "n@x", "primary": true }, { "value": "m@x", "primary": true }])),
        Err(Kind::InvalidValue),
    );
}

#[test]
fn a_new_primary_takes_over() {
    let taken = || json!([{ "value": "ada@work", "type": "work", "primary": false }, { "value": "ada@home", "type": "home", "primary": true }]);
    for operation in [
        json!({ "op": "add", "path": "emails", "value": [{ "value": "ada@home", "type": "home", "primary": "True" }] }),
        json!({ "op": "replace", "path": "emails[type eq \"home\"].primary", "value": true }),
        json!({ "op": "add", "path": "emails[value eq \"ada@home\"]", "value": { "primary": true } }),
    ] {
        check_ada(operation, Ok(with(ada(), "emails", taken())));
    }
    check_ada(json!({ "op": "replace", "path": "emails.primary", "value": true }), Err(Kind::InvalidValue));
}

#[test]
fn filters_choose_elements() {
    let [work, home] = [ada()["emails"][0].clone(), ada()["emails"][1].clone()];
    let emails = |list: Value| Ok(with(ada(), "emails", list));
    check_ada(json!({ "op": "remove", "path": "emails[type eq \"work\"]" }), emails(json!([home])));
    check_ada(json!({ "op": "remove", "path": "EMAILS[TYPE EQ \"home\"].VALUE" }), emails(json!([work])));
    check_ada(
        json!({ "op": "remove", "path": "emails[type eq \"work\"].primary" }),
        emails(json!([{ "value": "ada@work", "type": "work" }, home])),
    );
    check_ada(json!({ "op": "remove", "path": "emails[value co \"@\"]" }), Ok(without(ada(), "emails")));
    check_ada(
        json!({ "op": "replace", "path": "emails[type eq \"home\"]", "value": { "value": "n@x" } }),
        emails(json!([work, { "type": "home", "value": "n@x" }])),
    );
    check_ada(
        json!({ "op": "replace", "path": "emails[not (type eq \"work\")].display", "value": "H" }),
        emails(json!([work, { "value": "ada@home", "type": "home", "display": "H" }])),
    );
    check_ada(json!({ "op": "replace", "path": "emails[type eq \"home\"].value", "value": "" }), emails(json!([work])));
    check_ada(
        json!({ "op": "replace", "path": "emails[type eq \"home\"].value", "value": 7 }),
        Err(Kind::InvalidValue),
    );
}

#[test]
fn a_filter_without_a_match_has_no_target() {
    for operation in [
        json!({ "op": "remove", "path": "emails[type eq \"other\"]" }),
        json!({ "op": "remove", "path": "emails[type eq \"other\"].value" }),
        json!({ "op": "replace", "path": "emails[type eq \"other\"]", "value": { "value": "n@x" } }),
        json!({ "op": "replace", "path": "emails[value eq \"n@x\"].type", "value": "home" }),
        json!({ "op": "replace", "path": "emails[type ne \"work\" and type ne \"home\"].value", "value": "n@x" }),
        json!({ "op": "replace", "path": "emails[type eq \"other\"].type", "value": "home" }),
        json!({ "op": "remove" }),
        json!({ "op": "remove", "value": { "title": "Dr" } }),
    ] {
        check_ada(operation, Err(Kind::NoTarget));
    }
}

/// Entra ID.
#[test]
fn the_element_a_selector_describes_is_created_once() {
    for op in ["Add", "Replace"] {
        let create = |path: &str, value: &str| json!({ "op": op, "path": path, "value": value });
        check(
            json!({ "userName": "ada" }),
            json!([
                create("emails[type eq \"work\"].value", "a@x"),
                create("emails[type eq \"work\"].display", "A"),
                create("emails[type eq \"work\"].value", "b@x"),
                create("addresses[type eq \"work\"].country", "US"),
                create("addresses[type eq \"work\"].locality", "NY"),
                create("phoneNumbers[type eq \"mobile\"].value", "1"),
                create("roles[primary eq \"True\"].value", "admin"),
            ]),
            Ok(json!({
                "userName": "ada",
                "emails": [{ "type": "work", "value": "b@x", "display": "A" }],
                "addresses": [{ "type": "work", "country": "US", "locality": "NY" }],
                "phoneNumbers": [{ "type": "mobile", "value": "1" }],
                "roles": [{ "primary": true, "value": "admin" }],
            })),
        );
        check_ada(create("phoneNumbers[type eq \"mobile\"].value", ""), Ok(ada()));
    }
}

/// Entra ID.
#[test]
fn a_remove_with_values_removes_only_those() {
    let remove = |value: Value| json!({ "op": "Remove", "path": "emails", "value": value });
    let left = |index: usize| Ok(with(ada(), "emails", json!([ada()["emails"][index]])));
    check_ada(remove(json!([{ "value": "ada@home" }])), left(0));
    check_ada(remove(json!(["ADA@work"])), left(1));
    check_ada(remove(json!([{ "value": "ada@home", "type": "work" }])), Ok(ada()));
    check_ada(remove(json!([])), Ok(ada()));
    check_ada(remove(json!(null)), Ok(without(ada(), "emails")));
    check_ada(json!({ "op": "remove", "path": "emails" }), Ok(without(ada(), "emails")));
    check_ada(
        json!({ "op": "remove", "path": "emails.primary" }),
        Ok(with(ada(), "emails", json!([{ "value": "ada@work", "type": "work" }, ada()["emails"][1]]))),
    );
}

#[test]
fn read_only_attributes_are_refused_by_path_and_passed_over_in_a_value() {
    for path in ["id", "meta", "meta.version", "groups", "groups[value eq \"1\"]", "ID"] {
        for op in ["add", "replace", "remove"] {
            check_ada(json!({ "op": op, "path": path, "value": "x" }), Err(Kind::Mutability));
        }
    }
    check_ada(
        json!({ "op": "replace", "value": { "id": "other", "schemas": ["urn:x"], "meta": { "version": "1" }, "groups": [{ "value": "1" }], "title": "Dr" } }),
        Ok(with(ada(), "title", json!("Dr"))),
    );
}

#[test]
fn required_attributes_stay() {
    check_ada(json!({ "op": "remove", "path": "userName" }), Err(Kind::Mutability));
    for empty in [json!(null), json!(""), json!(" ")] {
        check_ada(json!({ "op": "replace", "path": "userName", "value": empty }), Err(Kind::InvalidValue));
        check_ada(json!({ "op": "replace", "value": { "userName": empty } }), Err(Kind::InvalidValue));
    }
}

#[test]
fn unknown_paths_are_refused_and_unknown_names_left_out() {
    for path in [
        "shoeSize",
        "name.nom",
        "urn:x:y:z",
        "emails[",
        "title.x",
        "a b",
        "name[givenName eq \"A\"]",
        "emails[type eq \"work\"].nom",
        "urn:x:y",
    ] {
        for op in ["add", "replace", "remove"] {
            let found = patch(&ada(), &json!([{ "op": op, "path": path, "value": "x" }]), false).unwrap_err().kind;
            assert!(matches!(found, Kind::InvalidPath | Kind::InvalidFilter), "{op} {path}: {found:?}");
        }
    }
    check_ada(json!({ "op": "add", "path": "shoeSize", "value": 43 }), Err(Kind::InvalidPath));
    let operations = json!([{ "op": "replace", "value": { "shoeSize": 43, "title": "Dr", "name": { "nom": "A" } } }]);
    let patched = patch(&ada(), &operations, false).unwrap();
    assert_eq!(patched.unknown, ["shoeSize", "name.nom"]);
    assert_eq!(patched.resource["title"], "Dr");
    assert_eq!(patch(&ada(), &operations, true).unwrap_err().kind, Kind::InvalidValue);
}

#[test]
fn operations_on_schemas_are_passed_over() {
    for op in ["add", "remove", "replace"] {
        check_ada(json!({ "op": op, "path": "schemas", "value": [ENTERPRISE_USER] }), Ok(ada()));
    }
}

#[test]
fn a_password_is_accepted_and_not_kept() {
    check_ada(json!({ "op": "replace", "path": "password", "value": "secret" }), Ok(ada()));
    check_ada(json!({ "op": "add", "value": { "password": "secret" } }), Ok(ada()));
    check_ada(json!({ "op": "remove", "path": "password" }), Ok(ada()));
    check_ada(json!({ "op": "replace", "path": "password", "value": 7 }), Err(Kind::InvalidValue));
}

#[test]
fn a_failed_operation_is_named_and_nothing_is_applied() {
    let operations =
        json!([{ "op": "add", "path": "title", "value": "Dr" }, { "op": "remove", "path": "emails[type eq \"x\"]" }]);
    let error = patch(&ada(), &operations, false).unwrap_err();
    assert_eq!(
        (error.kind, error.detail.as_str()),
        (Kind::NoTarget, "operation 2: no value of `emails` meets the filter")
    );
}

/// authentik.
#[test]
fn a_whole_resource_may_replace_its_attributes() {
    let mut whole = Value::Object(stored(&registry().user, &ada()));
    whole["emails"] = json!([{ "value": "n@x" }]);
    check_ada(json!({ "op": "replace", "value": whole }), Ok(with(ada(), "emails", json!([{ "value": "n@x" }]))));
}

#[test]
fn normalised_forms_are_named_for_the_log() {
    let operations = json!([{ "op": "Replace", "path": "phoneNumbers[type eq \"work\"].value", "value": "1" }]);
    let noted = patch(&ada(), &operations, false).unwrap().normalised;
    assert_eq!(noted, ["`schemas` missing", "`op` in capitals", "element created from its selector"]);
}

#[test]
fn a_path_without_a_filter_writes_every_element() {
    let emails = |list: Value| Ok(with(ada(), "emails", list));
    check_ada(
        json!({ "op": "add", "path": "emails.display", "value": "A" }),
        emails(json!([
            { "value": "ada@work", "type": "work", "primary": true, "display": "A" },
            { "value": "ada@home", "type": "home", "display": "A" },
        ])),
    );
    let none = || without(ada(), "emails");
    let operation = json!([{ "op": "replace", "path": "emails.value", "value": "n@x" }]);
    check(none(), operation, emails(json!([{ "value": "n@x" }])));
    check(none(), json!([{ "op": "replace", "path": "emails.value", "value": "" }]), Ok(none()));
    check_ada(json!({ "op": "replace", "path": "emails.value", "value": null }), Ok(none()));
}

#[test]
fn many_filters_over_a_long_list_are_too_much() {
    let many: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    let user = json!({ "userName": "ada", "roles": many });
    let operation = json!({ "op": "add", "path": "roles[value eq \"1\" or value eq \"2\"].type", "value": "x" });
    let kind = |count: usize| {
        patch(&user, &json!(vec![operation.clone(); count]), false).map(drop).map_err(|error| error.kind)
    };
    assert_eq!((kind(100), kind(101)), (Ok(()), Err(Kind::TooLarge)));
}

#[test]
fn two_elements_that_an_operation_makes_equal_become_one() {
    let two = json!([{ "value": "a@x", "type": "work" }, { "value": "a@x", "type": "home" }]);
    check(
        with(ada(), "emails", two),
        json!([{ "op": "replace", "path": "emails.type", "value": null }]),
        Ok(with(ada(), "emails", json!([{ "value": "a@x" }]))),
    );
    let address = |country: &str, primary: bool| json!({ "country": country, "primary": primary });
    check(
        with(ada(), "addresses", json!([address("GB", false), address("GB", true)])),
        json!([{ "op": "add", "path": "addresses", "value": [address("FR", true)] }]),
        Ok(with(ada(), "addresses", json!([address("GB", false), address("FR", true)]))),
    );
}
