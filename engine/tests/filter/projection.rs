//! What `attributes` and `excludedAttributes` leave of a resource.

use proptest::prelude::*;
use scim_engine::project::Projection;
use scim_engine::schema::{self, ENTERPRISE_USER, Registry, ResourceType};
use serde_json::{Value, json};

use super::{ACME, registry, user};

fn projected(attributes: &str, excluded: &str) -> Value {
    let mut resource = user();
    let projection = Projection::new(&[attributes.to_owned()], &[excluded.to_owned()]).unwrap();
    projection.apply(&registry().user, resource.as_object_mut().unwrap());
    resource
}

#[test]
fn attributes_keeps_what_was_asked_and_what_is_always_returned() {
    let check = |attributes: &str, expected: Value| {
        let mut found = projected(attributes, "");
        let rest = found.as_object_mut().unwrap();
        assert!(rest.remove("schemas").is_some() && rest.remove("id").is_some(), "{attributes}");
        assert_eq!(rest.remove(ACME), Some(json!({ "tag": "t" })), "{attributes}");
        assert_eq!(found, expected, "{attributes}");
    };
    let all = user();
    check("username", json!({ "userName": all["userName"] }));
    check(" name.familyName , nope,a b", json!({ "name": { "familyName": "Jensen" } }));
    check("emails.type", json!({ "emails": [{ "type": "work" }, { "type": "home" }] }));
    check("emails.primary", json!({ "emails": [{ "primary": true }] }));
    check("emails.type,emails", json!({ "emails": all["emails"] }));
    check("urn:ietf:params:scim:schemas:core:2.0:User:ACTIVE", json!({ "active": true }));
    check(ENTERPRISE_USER, json!({ ENTERPRISE_USER: all[ENTERPRISE_USER] }));
    let manager = format!("{ENTERPRISE_USER}:manager.value");
    check(&manager, json!({ ENTERPRISE_USER: { "manager": { "value": "26118915" } } }));
    check("password", json!({}));
    check("id", json!({}));
    check("nope", json!({}));
}

#[test]
fn the_urn_of_the_core_schema_asks_for_all_its_attributes() {
    let (found, all) = (projected(schema::USER, ""), user());
    assert_eq!((&found["emails"], found.get("meta"), found.get(ENTERPRISE_USER)), (&all["emails"], None, None));
}

#[test]
fn what_is_returned_on_request_needs_its_own_name() {
    let check = |name: &str, expected: Value| {
        assert_eq!(projected(&format!("{ACME}:{name}"), "")[ACME], expected, "{name}");
    };
    check("costly", json!({ "costly": "c", "tag": "t" }));
    check("desk", json!({ "tag": "t", "desk": { "floor": 3 } }));
    check("desk.plan", json!({ "tag": "t", "desk": { "plan": "q" } }));
    check("desk.pin", json!({ "tag": "t" }));
    check("secret", json!({ "tag": "t" }));
    for whole in [projected("", ""), projected(ACME, "")] {
        assert_eq!(whole[ACME]["desk"], json!({ "floor": 3 }));
        assert_eq!((whole[ACME].get("costly"), whole[ACME].get("badge")), (None, Some(&json!("AbC"))));
    }
}

#[test]
fn excluded_attributes_never_removes_what_is_always_returned() {
    let check = |excluded: &str, gone: &[&str]| {
        let (found, all) = (projected("", excluded), projected("", ""));
        for name in all.as_object().unwrap().keys() {
            assert_eq!(found.get(name).is_none(), gone.contains(&name.as_str()), "{excluded}: {name}");
        }
    };
    check("", &[]);
    check("schemas,id", &[]);
    check("EMAILS, meta", &["emails", "meta"]);
    check("name.familyName,name.givenName", &["name"]);
    check(ENTERPRISE_USER, &[ENTERPRISE_USER]);
    check(ACME, &[]);
    assert_eq!(projected("", ACME)[ACME], json!({ "tag": "t" }));
    assert_eq!(projected("", "emails.type")["emails"][1], json!({ "value": "babs@home.example" }));
    assert!(Projection::new(&["a".into()], &["b".into()]).is_err());
}

#[test]
fn an_attribute_that_cannot_appear_need_not_be_loaded() {
    let check = |attributes: &str, excluded: &str, resource_type: &ResourceType, name: &str, expected: bool| {
        let projection = Projection::new(&[attributes.to_owned()], &[excluded.to_owned()]).unwrap();
        assert_eq!(projection.wants(resource_type, name), expected, "{attributes} {excluded} {name}");
    };
    let Registry { user, group } = Registry::shared();
    check("", "", group, "members", true);
    check("", "Members", group, "members", false);
    check("", "members.display", group, "members", true);
    check("displayName", "", group, "members", false);
    check("members.value", "", group, "members", true);
    check("members.value", "", group, "members.display", false);
    check("groups", "", user, "groups", true);
    check("", "", user, "password", false);
    check("", "", user, "members", false);
}

proptest! {
    #[test]
    fn projection_never_leaks_what_is_never_returned(
        names in prop::collection::vec(prop::sample::select(vec![
            "password", "PASSWORD", "urn:ietf:params:scim:schemas:core:2.0:User:password", schema::USER, "ACME", "id",
            "ACME:secret", "ACME:desk", "ACME:desk.pin", "ACME:desk.floor", "emails", "nope",
        ]), 0..5),
        exclude in any::<bool>(),
    ) {
        let names: Vec<String> = names.into_iter().map(|name| name.replace("ACME", ACME)).collect();
        let mut resource = user();
        resource["password"] = json!("s");
        let (attributes, excluded) = if exclude { (vec![], names) } else { (names, vec![]) };
        let projection = Projection::new(&attributes, &excluded).unwrap();
        projection.apply(&registry().user, resource.as_object_mut().unwrap());
        prop_assert_eq!(resource.get("password"), None);
        prop_assert_eq!(resource[ACME].get("secret"), None);
        prop_assert!(resource[ACME].get("desk").is_none_or(|desk| desk.get("pin").is_none()));
        prop_assert!(resource.get("id").is_some() && resource.get("schemas").is_some());
    }
}
