//! Every field of every body, as the description of the API lists them, with values it cannot take.

use super::openapi::operations;
use super::*;
use crate::connections::openapi::document;

/// Values of every JSON type, and of none that the field takes.
fn wrong_values(schema: &Value) -> Vec<Value> {
    let own = schema["type"].as_str().unwrap();
    let any = [
        ("string", json!("x")),
        ("boolean", json!(true)),
        ("number", json!(7)),
        ("array", json!([[]])),
        ("object", json!({"a": 1})),
    ];
    let mut values: Vec<_> = any.into_iter().filter(|(kind, _)| *kind != own).map(|(_, value)| value).collect();
    let limited = |limit: &str| schema[limit].as_u64();
    match own {
        "string" => {
            if limited("maxLength").is_some() {
                values.extend([json!("a\u{0}b"), json!("a\nb"), json!("x".repeat(300))]);
            }
            if !schema["enum"].is_null() || !schema["format"].is_null() {
                values.push(json!("nonsense"));
            }
        }
        "array" => {
            values.extend([json!([7]), json!([null])]);
            if schema["items"]["type"] == "string" {
                values.extend([json!(["nonsense"]), json!([["a"]])]);
            }
            values.extend(limited("minItems").map(|_| json!([])));
            let most = usize::try_from(limited("maxItems").unwrap_or(0)).unwrap();
            values.extend((most > 0).then(|| json!(vec!["10.0.0.1"; most + 1])));
        }
        _ => {}
    }
    values
}

/// Schemas of a body's fields, with the pointer to each.
fn fields(schema: &Value, document: &Value, at: &str) -> Vec<(String, Value)> {
    if let Some(reference) = schema["$ref"].as_str() {
        return fields(document.pointer(reference.trim_start_matches('#')).unwrap(), document, at);
    }
    if let Some(alternatives) = schema["anyOf"].as_array() {
        return fields(&alternatives[0], document, at);
    }
    let properties = schema["properties"].as_object().into_iter().flatten();
    let each = properties.flat_map(|(name, schema)| {
        let at = format!("{at}/{name}");
        let below = fields(schema, document, &at);
        std::iter::once((at, schema.clone())).chain(below)
    });
    each.collect()
}

/// A body that would do, for each operation that takes one.
fn good(operation: &str) -> Value {
    match operation {
        "login" => json!({"clientId": "vendor", "secret": "s3cret"}),
        "createConnection" => json!({"source": "okta", "connectionName": "new"}),
        "changeConnection" => json!({"connectionName": "renamed", "settings": {"revive": true}}),
        "deleteConnection" => json!({"deleteAll": true}),
        "createToken" => json!({"name": "second"}),
        "setSelfService" => json!({"enabled": true}),
        "createRoles" => json!({"name": "new"}),
        "changeRole" => json!({"name": "renamed"}),
        "setRolePermissions" => json!({"permissionIds": []}),
        other => panic!("`{other}` takes a body: say which"),
    }
}

#[test]
fn a_field_that_cannot_be_is_named_and_nothing_changes() {
    let document = document();
    let deployment = Deployment::new();
    let (id, _) = deployment.create("acme", "a");
    let role = deployment.vendor("POST", "/identity/resources/roles/v1", json!({"name": "r"})).body["id"].clone();
    let token = deployment.environment_token();
    let mut seen = 0;
    for (path, method, operation) in operations(&document) {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        if schema.is_null() || !operation["requestBody"]["content"]["application/scim+json"].is_null() {
            continue;
        }
        let of_role = path.contains("/roles/");
        let target = path.replace("{id}", if of_role { role.as_str().unwrap() } else { &id });
        let before = deployment.stored();
        for (field, schema) in fields(schema, &document, "") {
            let name = field.rsplit('/').next().unwrap();
            for value in wrong_values(&schema) {
                let mut body = good(operation["operationId"].as_str().unwrap());
                put(&mut body, &field, value);
                let answer = deployment.send(request(&method, &target, &token, &body));
                let what = format!("{method} {path} {body}");
                assert_eq!((answer.status, &answer.body["statusCode"]), (400, &json!(400)), "{what}");
                let error = answer.body["errors"][0].as_str().unwrap();
                assert!(error.contains(&format!("`{name}`")), "{what}: {error}");
                assert!(answer.body["message"].is_string());
                assert!(deployment.stored() == before, "{what} changed something");
                seen += 1;
            }
        }
    }
    assert!(seen > 150, "only {seen} values were tried");
}

fn put(body: &mut Value, pointer: &str, value: Value) {
    let (object, name) = pointer.rsplit_once('/').unwrap();
    let object = if object.is_empty() { body } else { body.pointer_mut(object).unwrap() };
    object[name] = value;
}
