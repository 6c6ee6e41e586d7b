//! Roles, permissions and the self-service toggle.

use super::*;

const ROLES: &str = "/identity/resources/roles/v1";

#[test]
fn what_a_role_grants_follows_the_role_table_at_once() {
    let deployment = Deployment::new();
    deployment.vendor("PUT", &format!("{BASE}/self-service"), json!({"enabled": true}));
    let permissions = deployment.vendor("GET", "/identity/resources/permissions/v1", Value::Null).body;
    let ids: Vec<_> = permissions.as_array().unwrap().iter().map(|permission| permission["id"].clone()).collect();
    assert_eq!(
        permissions.as_array().unwrap().iter().map(|p| p["key"].as_str().unwrap()).collect::<Vec<_>>(),
        [READ, WRITE, DELETE]
    );
    let body = json!([{"key": "it-admin", "name": "IT admin", "isDefault": false, "level": 0}]);
    let made = deployment.vendor("POST", ROLES, body);
    assert_eq!((made.status, made.body.as_array().unwrap().len()), (201, 1));
    let id = made.body[0]["id"].as_str().unwrap().to_owned();
    let role = format!("{ROLES}/{id}");
    let check = |expected: u16| {
        for name in ["it-admin", &id] {
            let token = user_token("acme", &[], &["unknown", name]);
            assert_eq!(deployment.send(request("GET", CONNECTIONS, &token, &Value::Null)).status, expected, "{name}");
        }
    };
    check(403);
    let granted = deployment.vendor("PUT", &format!("{role}/permissions"), json!({"permissionIds": [ids[0]]}));
    assert_eq!((granted.status, &granted.body["permissions"]), (200, &json!([ids[0]])));
    check(200);
    deployment.vendor("PUT", &format!("{role}/permissions"), json!({"permissionIds": [ids[2]]}));
    check(403);
    deployment.vendor("PUT", &format!("{role}/permissions"), json!({"permissionIds": ids}));
    check(200);
    assert_eq!(deployment.vendor("DELETE", &role, Value::Null).status, 204);
    check(403);
    assert_eq!(deployment.vendor("GET", ROLES, Value::Null).body, json!([]));
}

#[test]
fn a_role_is_renamed_and_keeps_its_key_to_itself() {
    let deployment = Deployment::new();
    let one = deployment.vendor("POST", ROLES, json!({"key": "one", "name": "One"})).body;
    assert_eq!(deployment.vendor("POST", ROLES, json!({"key": "one", "name": "Again"})).status, 409);
    assert_eq!(deployment.vendor("POST", ROLES, json!([{"name": "x"}, {"name": "x"}])).status, 409);
    let role = format!("{ROLES}/{}", one["id"].as_str().unwrap());
    let changed = deployment.vendor("PATCH", &role, json!({"name": "First", "key": "first", "description": "d"})).body;
    assert_eq!(
        (&changed["name"], &changed["key"], &changed["description"]),
        (&json!("First"), &json!("first"), &json!("d"))
    );
    assert_eq!(deployment.vendor("POST", ROLES, json!({"key": "one", "name": "One"})).status, 201);
    assert_eq!(deployment.vendor("PATCH", &role, json!({"key": "one"})).status, 409);
    let listed = deployment.vendor("GET", ROLES, Value::Null).body;
    assert_eq!(
        listed.as_array().unwrap().iter().map(|role| role["key"].as_str().unwrap()).collect::<Vec<_>>(),
        ["first", "one"]
    );
}

#[test]
fn self_service_is_off_until_the_vendor_turns_it_on() {
    let deployment = Deployment::new();
    let toggle = format!("{BASE}/self-service");
    let seen = || deployment.user("acme", &["fe.secure.*"], "GET", &toggle, Value::Null).status;
    assert_eq!(deployment.vendor("GET", &toggle, Value::Null).body, json!({"enabled": false}));
    assert_eq!(seen(), 403);
    assert_eq!(deployment.vendor("PUT", &toggle, json!({"enabled": true})).body, json!({"enabled": true}));
    assert_eq!(deployment.vendor("GET", &toggle, Value::Null).body, json!({"enabled": true}));
    assert_eq!(seen(), 200);
    deployment.vendor("PUT", &toggle, json!({"enabled": false}));
    assert_eq!(seen(), 403);
}
