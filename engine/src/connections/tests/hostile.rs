//! Wrong and hostile requests: refused in the API's form, and nothing changes.

use super::*;

#[test]
fn a_wrong_request_names_what_is_wrong_and_changes_nothing() {
    let deployment = Deployment::new();
    let (id, _) = deployment.create("acme", "a");
    let role = deployment.vendor("POST", "/identity/resources/roles/v1", json!({"name": "r"})).body["id"].clone();
    let role = format!("/identity/resources/roles/v1/{}", role.as_str().unwrap());
    let token = deployment.environment_token();
    let check = |method: &str, target: &str, body: &str, status: u16, names: &str| {
        let before = deployment.stored();
        let request = Request { body: body.into(), ..request(method, target, &token, &Value::Null) };
        let answer = deployment.send(request);
        assert_eq!(answer.status, status, "{method} {target} {body}");
        assert_eq!(answer.body["statusCode"], status);
        let error = answer.body["errors"][0].as_str().unwrap();
        assert!(error.contains(names), "{error} does not name {names}");
        assert!(answer.body["message"].is_string());
        assert!(deployment.stored() == before, "{method} {target} {body} changed something");
    };
    let one = format!("{CONNECTIONS}/{id}");
    for body in ["", "{", "nonsense", "\u{0}", &"[".repeat(100_000)] {
        check("POST", CONNECTIONS, body, 400, "json");
        check("PATCH", &one, if body.is_empty() { "{" } else { body }, 400, "json");
    }
    for body in ["[]", "7", "\"x\"", "null"] {
        check("POST", CONNECTIONS, body, 400, "object");
    }
    let long = format!(r#"{{"source":"okta","connectionName":"{}"}}"#, "x".repeat(257));
    for (body, names) in [
        ("{}", "`source`"),
        (r#"{"source":""}"#, "`source`"),
        (r#"{"source":7}"#, "`source`"),
        (r#"{"source":"Google"}"#, "`source`"),
        (r#"{"source":"okta","connectionName":7}"#, "`connectionName`"),
        (r#"{"source":"okta","connectionName":"a\u0000b"}"#, "`connectionName`"),
        (&long, "`connectionName`"),
        (r#"{"source":"okta","syncToUserManagement":"yes"}"#, "`syncToUserManagement`"),
        (r#"{"source":"okta","provider":"x"}"#, "`provider`"),
        (r#"{"source":"okta","tenantId":[]}"#, "`tenantId`"),
    ] {
        check("POST", CONNECTIONS, body, 400, names);
    }
    check("PATCH", &one, r#"{"syncToUserManagement":1}"#, 400, "`syncToUserManagement`");
    check("PATCH", &one, r#"{"connectionName":"b","syncToUserManagement":1}"#, 400, "`syncToUserManagement`");
    check("PATCH", &one, r#"{"settings":[]}"#, 400, "`settings`");
    check("DELETE", &one, r#"{"deleteAll":"true"}"#, 400, "`deleteAll`");
    check("DELETE", &one, "[]", 400, "object");
    check("DELETE", &format!("{one}?dryRun=maybe"), "", 400, "`dryRun`");
    for (body, names) in [
        (r#"{"expiresAt":"soon"}"#, "`expiresAt`"),
        (r#"{"expiresAt":"2001-01-01T00:00:00Z"}"#, "`expiresAt`"),
        (r#"{"scopes":["users:all"]}"#, "`scopes`"),
        (r#"{"scopes":[]}"#, "`scopes`"),
        (r#"{"scopes":"users:read"}"#, "`scopes`"),
        (r#"{"cidrs":["10.0.0.0/33"]}"#, "`cidrs`"),
        (r#"{"cidrs":"10.0.0.0/8"}"#, "`cidrs`"),
        (r#"{"name":{}}"#, "`name`"),
    ] {
        check("POST", &format!("{one}/tokens"), body, 400, names);
    }
    check("PUT", &format!("{BASE}/self-service"), "{}", 400, "`enabled`");
    check("PUT", &format!("{role}/permissions"), "{}", 400, "`permissionIds`");
    check("PUT", &format!("{role}/permissions"), r#"{"permissionIds":["x"]}"#, 400, "`permissionIds`");
    check("PUT", &format!("{role}x/permissions"), r#"{"permissionIds":[]}"#, 404, "role");
    check("POST", "/identity/resources/roles/v1", "[]", 400, "role");
    check("POST", "/identity/resources/roles/v1", r#"[{"name":"ok"},{}]"#, 400, "`name`");
    for query in ["limit=0", "limit=1001", "limit=x", "cursor=%00", "cursor=!", "state=all", "source=x", "id=%zz"] {
        check(
            "GET",
            &format!("{CONNECTIONS}?{query}"),
            "",
            400,
            query.split('=').next().filter(|n| *n != "id").unwrap_or("query"),
        );
    }
    check("GET", &format!("{CONNECTIONS}/unknown"), "", 404, "connection");
    check("GET", &format!("{CONNECTIONS}/environment"), "", 404, "connection");
    check("GET", "/directory/resources/scim/temp/environment/Users/count", "", 404, "connection");
    check("GET", "/nowhere", "", 404, "path");
    check("PUT", &one, "{}", 405, "method");
}

#[test]
fn login_takes_the_right_secret_only() {
    let deployment = Deployment::new();
    let check = |target: &str, body: &str, status: u16| {
        let request = Request { body: body.into(), ..request("POST", target, "", &Value::Null) };
        assert_eq!(deployment.send(request).status, status, "{target} {body}");
    };
    for target in ["/auth/vendor", "/auth/vendor/", "/frontegg/auth/vendor", "/frontegg/auth/vendor/"] {
        check(target, r#"{"clientId":"vendor","secret":"s3cret"}"#, 200);
        check(target, r#"{"clientId":"vendor","secret":"S3cret"}"#, 401);
        check(target, r#"{"clientId":"vendor","secret":""}"#, 401);
        check(target, r#"{"clientId":"other","secret":"s3cret"}"#, 401);
        check(target, r#"{"clientId":"vendor"}"#, 400);
        check(target, r#"{"clientId":"vendor","secret":7}"#, 400);
        check(target, "", 400);
    }
}
