//! What holds of every PATCH.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::*;
use super::{ada, stored};
use crate::resource::accept;
use crate::resource::tests::registry;
use crate::schema::{ENTERPRISE_USER, ResourceType};

fn body(operations: &[Value]) -> Value {
    json!({ "Operations": operations })
}

fn run(user: &ResourceType, resource: &Map<String, Value>, body: &Value) -> Result<Patched, ScimError> {
    apply(user, resource, body, false, &Limits::default())
}

/// Every value a resource holds is one it would accept again.
fn assert_wholesome(user: &ResourceType, resource: &Map<String, Value>) {
    let again = accept(user, &Value::Object(resource.clone()), true).unwrap();
    let mut known = resource.clone();
    known.shift_remove("id");
    assert_eq!(again.resource, known);
    assert_eq!(again.normalised, Vec::<&str>::new());
    assert!(!Value::Object(known).to_string().contains("secret"));
}

fn email() -> impl Strategy<Value = Value> {
    let part = |values: &'static [&'static str]| prop::option::of(prop::sample::select(values));
    (prop::sample::select(vec!["a@x", "A@x", "b@x"]), part(&["work", "home"]), prop::option::of(any::<bool>()))
        .prop_map(|(value, kind, primary)| json!({ "value": value, "type": kind, "primary": primary }))
}

/// An operation that sets something.
fn setting() -> impl Strategy<Value = Value> {
    let text = || prop::sample::select(vec![json!("x"), json!("y"), json!(""), json!(null)]);
    let emails = || prop::collection::vec(email(), 0..3).prop_map(Value::from);
    let whole = (text(), emails(), text()).prop_map(|(title, emails, department)| {
        let path = format!("{ENTERPRISE_USER}:department");
        json!({ "title": title, "emails": emails, path: department, "name": { "givenName": title }, "password": "secret" })
    });
    let at = |path: &'static str| move |value: Value| (path, value);
    let placed = prop_oneof![
        whole.prop_map(at("")),
        emails().prop_map(at("emails")),
        text().prop_map(at("title")),
        text().prop_map(at("name.familyName")),
        text().prop_map(at("emails[type eq \"work\"].value")),
        text().prop_map(at("emails[type eq \"home\"].display")),
        text().prop_map(at("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager")),
        any::<bool>().prop_map(Value::from).prop_map(at("emails[type eq \"home\"].primary")),
        any::<bool>().prop_map(Value::from).prop_map(at("active")),
    ];
    (prop::sample::select(vec!["add", "Replace"]), placed)
        .prop_map(|(op, (path, value))| json!({ "op": op, "path": path, "value": value }))
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec!["", "a", "true", "add", "work", "7", "emails[type eq \"work\"].value"])
            .prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        prop::sample::select(vec![
            "op",
            "path",
            "value",
            "Operations",
            "schemas",
            "id",
            "userName",
            "name",
            "emails",
            "active",
            "members",
            "type",
            "primary",
            "emails[type eq \"work\"].value",
            "name.givenName",
            ENTERPRISE_USER,
            "manager",
            "$ref",
            "roles",
            "groups",
        ])
        .prop_map(String::from),
        ".{0,12}",
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn path() -> impl Strategy<Value = Option<String>> {
    let known = vec![
        "emails",
        "name",
        "name.givenName",
        "emails.value",
        "emails.primary",
        "emails[type eq \"work\"]",
        "emails[primary eq true].value",
        "addresses[type eq \"work\"].country",
        "roles",
        "userName",
        "schemas",
        "groups",
        "active",
        ENTERPRISE_USER,
        "members",
    ];
    prop_oneof![Just(None), prop::sample::select(known).prop_map(|path| Some(path.into())), ".{0,16}".prop_map(Some)]
}

proptest! {
    #[test]
    fn an_operation_that_sets_does_nothing_the_second_time(
        before in prop::collection::vec(setting(), 0..5), operation in setting(),
    ) {
        let user = registry().user;
        let mut resource = stored(&user, &ada());
        for earlier in before {
            // Refused where a filter would make two values primary.
            resource = run(&user, &resource, &body(&[earlier])).map_or(resource, |patched| patched.resource);
        }
        let Ok(Patched { resource: once, .. }) = run(&user, &resource, &body(std::slice::from_ref(&operation))) else {
            return Ok(());
        };
        assert_wholesome(&user, &once);
        let twice = run(&user, &once, &body(&[operation])).unwrap().resource;
        prop_assert_eq!(twice, once);
    }

    #[test]
    fn any_body_is_applied_or_refused(any_body in anything()) {
        let user = registry().user;
        if let Ok(patched) = run(&user, &stored(&user, &ada()), &any_body) {
            assert_wholesome(&user, &patched.resource);
        }
        drop(accept(&user, &any_body, false));
    }

    #[test]
    fn any_operation_is_applied_or_refused(
        op in prop::sample::select(vec!["add", "remove", "replace"]), path in path(), value in anything(), group in any::<bool>(),
    ) {
        let registry = registry();
        let request = body(&[json!({ "op": op, "path": path, "value": value })]);
        if group {
            let group = stored(&registry.group, &json!({ "displayName": "Crew" }));
            drop(run(&registry.group, &group, &request));
        } else if let Ok(patched) = run(&registry.user, &stored(&registry.user, &ada()), &request) {
            assert_wholesome(&registry.user, &patched.resource);
        }
    }

    #[test]
    fn what_is_accepted_is_accepted_again_unchanged(emails in prop::collection::vec(email(), 0..4), rest in anything()) {
        let user = registry().user;
        let resource = json!({ "userName": "ada", "emails": emails, "name": rest, "roles": rest, ENTERPRISE_USER: rest });
        if let Ok(accepted) = accept(&user, &resource, false) {
            assert_wholesome(&user, &accepted.resource);
        }
    }
}
