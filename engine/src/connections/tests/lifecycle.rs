//! Connections from creation to removal.

use super::*;

#[test]
fn a_created_connection_is_shown_without_its_token_and_its_token_is_stored_nowhere() {
    let deployment = Deployment::new();
    let body = json!({"source": "OKTA", "connectionName": "Head office", "tenantId": "acme", "provider": "Okta"});
    let created = deployment.vendor("POST", CONNECTIONS, body);
    assert_eq!(created.status, 201);
    assert_eq!(created.response.header("cache-control"), Some("no-store"));
    let (id, token) = (created.body["id"].as_str().unwrap(), created.body["token"].as_str().unwrap());
    assert!(super::super::token::well_formed(token));
    let expected = json!({
        "id": id, "tenantId": "acme", "connectionName": "Head office", "source": "okta",
        "syncToUserManagement": true, "lastSync": null, "createdAt": "2023-11-14T22:13:22.000Z",
        "provider": "okta", "status": "pending",
        "provisioningUrl": format!("https://scim.test/directory/resources/scim/v2.0/{id}"),
    });
    assert_eq!(deployment.vendor("GET", CONNECTIONS, Value::Null).body, json!([expected.clone()]));
    let mut one = deployment.vendor("GET", &format!("{CONNECTIONS}/{id}"), Value::Null).body;
    assert_eq!(one.as_object_mut().unwrap().remove("settings").unwrap()["revive"], false);
    assert_eq!(one, expected);
    assert_eq!(deployment.scim(id, token), 200);
    for (key, value) in deployment.stored() {
        assert!(!String::from_utf8_lossy(&value).contains(token), "{key}");
    }
}

#[test]
fn bodies_as_real_clients_send_them_are_taken() {
    let deployment = Deployment::new();
    let check = |name: &str, body: Value, tenant: &str| {
        let target = format!("/frontegg{CONNECTIONS}");
        let created = deployment.vendor("POST", &target, body);
        assert_eq!(created.status, 201, "{created:?}");
        let listed = deployment.vendor("GET", &format!("{target}?connectionName={name}&id="), Value::Null);
        assert_eq!(listed.body[0]["id"], created.body["id"]);
        assert_eq!(listed.body[0]["tenantId"], tenant);
        assert_ne!(listed.body[0]["createdAt"], "0001-01-01T00:00:00Z");
    };
    let terraform = json!({
        "id": "", "tenantId": "", "token": "", "createdAt": "0001-01-01T00:00:00Z", "lastSync": null,
        "connectionName": "tf", "source": "Azure-AD", "syncToUserManagement": true,
    });
    check("tf", terraform, "default");
    check("js", json!({"connectionName": "js", "source": "other", "syncToUserManagement": null}), "default");
    check("own", json!({"connectionName": "own", "source": "frontegg", "tenantId": "acme"}), "acme");
    let unnamed = deployment.vendor("POST", CONNECTIONS, json!({"source": "okta"}));
    assert!(unnamed.body["connectionName"].as_str().unwrap().starts_with("okta-"));
}

#[test]
fn the_account_header_chooses_the_account() {
    let deployment = Deployment::new();
    let send = |method: &str, target: &str, account: &str, body: Value| {
        let mut request = request(method, target, &deployment.environment_token(), &body);
        request.headers.push(("frontegg-tenant-id".into(), account.into()));
        deployment.send(request)
    };
    let created = send("POST", CONNECTIONS, "acme", json!({"source": "okta", "connectionName": "a"}));
    assert_eq!(created.body["tenantId"], "acme");
    let one = format!("{CONNECTIONS}/{}", created.body["id"].as_str().unwrap());
    assert_eq!(send("GET", &one, "acme", Value::Null).status, 200);
    assert_eq!(send("GET", &one, "", Value::Null).status, 200);
    assert_eq!(send("GET", &one, "globex", Value::Null).status, 404);
    assert_eq!(send("GET", CONNECTIONS, "globex", Value::Null).body, json!([]));
    assert_eq!(send("GET", &format!("{CONNECTIONS}?tenantId=acme"), "globex", Value::Null).body, json!([]));
    let contradiction = json!({"source": "okta", "connectionName": "b", "tenantId": "acme"});
    assert_eq!(send("POST", CONNECTIONS, "globex", contradiction).status, 400);
    assert_eq!(send("GET", CONNECTIONS, &"x".repeat(129), Value::Null).status, 400);
}

#[test]
fn a_name_is_unique_in_its_account_in_any_case_and_free_again_after_rename_or_deletion() {
    let deployment = Deployment::new();
    let post = |tenant: &str, name: &str| {
        deployment
            .vendor("POST", CONNECTIONS, json!({"source": "okta", "connectionName": name, "tenantId": tenant}))
            .status
    };
    let (id, _) = deployment.create("acme", "Sales");
    let one = format!("{CONNECTIONS}/{id}");
    assert_eq!(post("acme", " sALES "), 409);
    assert_eq!(post("globex", "Sales"), 201);
    let (other, _) = deployment.create("acme", "Support");
    let rename = |id: &str, name: &str| {
        deployment.vendor("PATCH", &format!("{CONNECTIONS}/{id}"), json!({"connectionName": name})).status
    };
    assert_eq!(rename(&other, "SALES"), 409);
    assert_eq!(rename(&id, "SALES"), 204, "a connection may change the case of its own name");
    assert_eq!(rename(&id, "Marketing"), 204);
    assert_eq!(deployment.vendor("GET", &one, Value::Null).body["connectionName"], "Marketing");
    assert_eq!(post("acme", "sales"), 201);
    assert_eq!(deployment.vendor("DELETE", &one, Value::Null).status, 204);
    assert_eq!(post("acme", "marketing"), 201);
}

#[test]
fn pausing_and_resuming_changes_the_state_only() {
    let deployment = Deployment::new();
    let (id, token) = deployment.create("acme", "a");
    let one = format!("{CONNECTIONS}/{id}");
    let check = |body: Value, sync: bool, status: &str| {
        let answer = deployment.vendor("PATCH", &one, body);
        assert_eq!((answer.status, answer.response.body.len()), (204, 0));
        let shown = deployment.vendor("GET", &one, Value::Null).body;
        assert_eq!((&shown["syncToUserManagement"], &shown["status"]), (&json!(sync), &json!(status)));
        assert_eq!(deployment.scim(&id, &token), 200);
    };
    check(json!({"syncToUserManagement": false}), false, "paused");
    check(json!({}), false, "paused");
    check(json!({"syncToUserManagement": false}), false, "paused");
    check(json!({"syncToUserManagement": true}), true, "pending");
    check(json!({"settings": {"revive": true}}), true, "pending");
    let settings = deployment.vendor("GET", &one, Value::Null).body["settings"].clone();
    assert_eq!((&settings["revive"], &settings["strict"]), (&json!(true), &json!(false)));
}

#[test]
fn deletion_revokes_at_once_and_keeps_or_removes_what_is_stored() {
    let check = |body: Value, users: usize, residue: Option<u64>| {
        let deployment = Deployment::new();
        let (id, token) = deployment.create("acme", "a");
        deployment.populate(&id, users, 3);
        let one = format!("{CONNECTIONS}/{id}");
        let count = format!("/directory/resources/scim/temp/{id}/Users/count");
        assert_eq!(deployment.vendor("GET", &count, Value::Null).body, json!({"count": users}));
        let dry = deployment.vendor("DELETE", &format!("{one}?dryRun=true"), body.clone());
        assert_eq!((dry.status, dry.body), (200, json!({"users": users, "groups": 3, "tokens": 1})));
        assert_eq!(deployment.scim(&id, &token), 200);
        let deleted = deployment.vendor("DELETE", &one, body.clone());
        assert_eq!((deleted.status, deleted.response.body.len()), (204, 0));
        assert_eq!(deployment.scim(&id, &token), 401);
        for method in ["GET", "DELETE"] {
            assert_eq!(deployment.vendor(method, &one, Value::Null).status, 404);
        }
        assert_eq!(deployment.vendor("GET", CONNECTIONS, Value::Null).body, json!([]));
        deployment.sweep();
        let left = deployment.vendor("GET", &format!("{one}/residue"), Value::Null);
        let listed = deployment.vendor("GET", &format!("{CONNECTIONS}?state=residue"), Value::Null).body;
        match residue {
            None => assert_eq!((left.status, listed), (404, json!([])), "{body} {users}"),
            Some(kept) => {
                assert_eq!(left.body, json!({"users": kept, "groups": 3}));
                assert_eq!((&listed[0]["id"], &listed[0]["status"]), (&json!(id), &json!("residue")));
                assert_eq!(deployment.vendor("DELETE", &format!("{one}/residue"), Value::Null).status, 204);
                deployment.sweep();
                assert_eq!(deployment.vendor("GET", &format!("{one}/residue"), Value::Null).status, 404);
                assert_eq!(deployment.vendor("DELETE", &format!("{one}/residue"), Value::Null).status, 404);
            }
        }
    };
    check(Value::Null, 5, Some(5));
    check(json!({}), 5, Some(5));
    check(json!({"deleteAll": false}), 700, Some(700));
    check(json!({"deleteAll": true}), 5, None);
    check(json!({"deleteAll": true}), 2000, None);
}

#[test]
fn a_large_removal_goes_in_bounded_steps_beside_reads_or_by_sweeping_and_leaves_nothing_of_anybody() {
    let check = |go_on: &dyn Fn(&Deployment) -> bool| {
        let deployment = Deployment::new();
        let (id, _) = deployment.create("acme", "a");
        deployment.populate(&id, 1500, 0);
        let removed = deployment.vendor("DELETE", &format!("{CONNECTIONS}/{id}"), json!({"deleteAll": true}));
        assert_eq!(removed.status, 204);
        let steps = (0..100).take_while(|_| go_on(&deployment)).count();
        assert!((5..100).contains(&steps), "{steps} steps for 2,500 entries");
        for (key, value) in deployment.stored() {
            assert!(
                !key.starts_with("page:") && !String::from_utf8_lossy(&value).contains("somebody"),
                "{key} is left"
            );
        }
    };
    check(&|deployment| deployment.run(super::super::sweep, Request::default()).status == 202);
    check(&|deployment| {
        let listed = deployment.vendor("GET", &format!("{CONNECTIONS}?state=residue"), Value::Null).body;
        listed[0]["status"] == "deleting"
    });
}

#[test]
fn residue_of_a_live_connection_is_counted_but_not_removed() {
    let deployment = Deployment::new();
    let (id, token) = deployment.create("acme", "a");
    deployment.populate(&id, 2, 1);
    let residue = format!("{CONNECTIONS}/{id}/residue");
    assert_eq!(deployment.vendor("GET", &residue, Value::Null).body, json!({"users": 2, "groups": 1}));
    assert_eq!(deployment.vendor("DELETE", &residue, Value::Null).status, 409);
    assert_eq!(deployment.scim(&id, &token), 200);
}

#[test]
fn a_deletion_cut_off_between_its_commits_reads_as_done_and_can_be_finished() {
    let cut = || {
        let deployment = Deployment::new();
        let (id, token) = deployment.create("acme", "a");
        let environment = deployment.store.values().get("head:environment").cloned().unwrap();
        let one = format!("{CONNECTIONS}/{id}");
        assert_eq!(deployment.vendor("DELETE", &one, Value::Null).status, 204);
        deployment.store.values().insert("head:environment".into(), environment);
        assert_eq!(deployment.scim(&id, &token), 401);
        assert_eq!(deployment.vendor("GET", &one, Value::Null).status, 404);
        assert_eq!(deployment.vendor("GET", CONNECTIONS, Value::Null).body, json!([]));
        (deployment, one)
    };
    let (deployment, one) = cut();
    assert_eq!(deployment.vendor("DELETE", &one, Value::Null).status, 204);
    assert_eq!(deployment.vendor("DELETE", &one, Value::Null).status, 404);
    let (deployment, one) = cut();
    let (id, token) = deployment.create("acme", "a");
    assert_eq!(deployment.scim(&id, &token), 200);
    assert_eq!(deployment.vendor("GET", &one, Value::Null).status, 404);
}

#[test]
fn a_creation_cut_off_between_its_commits_leaves_nothing_to_see() {
    let deployment = Deployment::new();
    deployment.create("acme", "a");
    let environment = deployment.store.values().get("head:environment").cloned().unwrap();
    let (id, _) = deployment.create("acme", "b");
    deployment.store.values().insert("head:environment".into(), environment);
    assert_eq!(deployment.vendor("GET", &format!("{CONNECTIONS}/{id}"), Value::Null).status, 404);
    assert_eq!(deployment.vendor("GET", CONNECTIONS, Value::Null).body.as_array().unwrap().len(), 1);
    deployment.create("acme", "b");
}

#[test]
fn tokens_are_made_limited_listed_and_revoked() {
    let deployment = Deployment::new();
    let (id, first) = deployment.create("acme", "a");
    let tokens = format!("{CONNECTIONS}/{id}/tokens");
    let limits = json!({
        "name": "rotation", "expiresAt": "2024-01-01T00:00:00Z", "scopes": ["groups:read", "users:read"],
        "cidrs": ["10.1.2.3/8", "::ffff:192.0.2.0/120"],
    });
    let made = deployment.vendor("POST", &tokens, limits);
    assert_eq!(made.status, 201);
    let shown = json!({
        "id": made.body["id"], "name": "rotation", "createdAt": made.body["createdAt"],
        "expiresAt": "2024-01-01T00:00:00.000Z", "scopes": ["users:read", "groups:read"],
        "cidrs": ["10.0.0.0/8", "192.0.2.0/24"], "lastUsedAt": null,
    });
    let second = made.body["token"].as_str().unwrap();
    let listed = deployment.vendor("GET", &tokens, Value::Null).body;
    assert_eq!((listed.as_array().unwrap().len(), &listed[1]), (2, &shown));
    assert_eq!(deployment.scim(&id, second), 401, "the test's client has no address in the networks");
    let plain = deployment.vendor("POST", &tokens, Value::Null);
    assert_eq!(deployment.scim(&id, plain.body["token"].as_str().unwrap()), 200);
    assert_eq!(deployment.scim(&id, &first), 200, "the first token lives on");
    let revoke = format!("{tokens}/{}", listed[0]["id"].as_str().unwrap());
    assert_eq!(deployment.vendor("DELETE", &revoke, Value::Null).status, 204);
    assert_eq!(deployment.scim(&id, &first), 401);
    assert_eq!(deployment.vendor("DELETE", &revoke, Value::Null).status, 404);
}

#[test]
fn a_connection_has_so_many_live_tokens_and_expired_ones_do_not_count() {
    let deployment = Deployment::new();
    let (id, _) = deployment.create("acme", "a");
    let tokens = format!("{CONNECTIONS}/{id}/tokens");
    let soon = Timestamp(1_700_000_000_000 + (deployment.requests.get() + 4) * 1000).rfc3339();
    assert_eq!(deployment.vendor("POST", &tokens, json!({"expiresAt": soon})).status, 201);
    let made = (0..20).take_while(|_| deployment.vendor("POST", &tokens, json!({})).status == 201).count();
    assert_eq!(made, 7, "one from the creation and seven more");
    assert_eq!(deployment.vendor("POST", &tokens, json!({})).status, 409);
    assert_eq!(deployment.vendor("GET", &tokens, Value::Null).body.as_array().unwrap().len(), 8);
}

#[test]
fn a_write_over_scim_is_the_last_sync_and_the_last_use_of_its_token() {
    let deployment = Deployment::new();
    let (id, token) = deployment.create("acme", "a");
    let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann"});
    let users = format!("/directory/resources/scim/v2.0/{id}/Users");
    let before = deployment.vendor("GET", &format!("{CONNECTIONS}/{id}/tokens"), Value::Null).body;
    assert_eq!(before[0]["lastUsedAt"], Value::Null);
    let written = deployment.run(crate::scim::handle, request("POST", &users, &token, &body));
    assert_eq!(written.status, 201);
    let at = Timestamp(1_700_000_000_000 + deployment.requests.get() * 1000);
    let shown = deployment.vendor("GET", &format!("{CONNECTIONS}/{id}"), Value::Null).body;
    assert_eq!((&shown["lastSync"], &shown["status"]), (&json!(at.rfc3339()), &json!("linked")));
    let minute = Timestamp(at.0 - at.0 % 60_000);
    let after = deployment.vendor("GET", &format!("{CONNECTIONS}/{id}/tokens"), Value::Null).body;
    assert_eq!(after[0]["lastUsedAt"], minute.rfc3339());
    let count = format!("/directory/resources/scim/temp/{id}/Users/count");
    assert_eq!(deployment.vendor("GET", &count, Value::Null).body, json!({"count": 1}));
}
