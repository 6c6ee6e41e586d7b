//! What every answer looks like, whatever was asked (RFC 7644 sections 3.3 to 3.12).

use scim_engine::http::Response;
use scim_engine::resource;
use serde_json::Value;

use super::directory::{SECRET, body, registry, text};

const TYPES: &[&str] = &[
    "invalidFilter",
    "tooMany",
    "uniqueness",
    "mutability",
    "invalidSyntax",
    "invalidPath",
    "noTarget",
    "invalidValue",
    "invalidVers",
    "sensitive",
    "invalidCursor",
    "expiredCursor",
    "invalidCount",
];

/// Panics when an answer is not what SCIM allows.
pub fn check(method: &str, response: &Response) {
    let shown = text(response);
    assert!(!shown.contains(SECRET), "{method}: a secret is answered: {shown}");
    assert!(!response.headers.iter().any(|(_, value)| value.contains(SECRET)), "{method}: a secret in a header");
    match response.status {
        204 | 304 => assert!(response.body.is_empty(), "{method}: {} with a body", response.status),
        200 | 201 => found(method, response),
        400..=499 | 501 => error(method, response),
        other => panic!("{method}: status {other}: {shown}"),
    }
}

fn error(method: &str, response: &Response) {
    let answer = body(response);
    is_error(&answer, &response.status.to_string(), method);
    assert_eq!(response.header("content-type"), Some("application/scim+json"));
    assert_eq!(response.header("www-authenticate").is_some(), response.status == 401);
    assert_eq!(response.header("allow").is_some(), response.status == 405);
}

fn is_error(answer: &Value, status: &str, method: &str) {
    assert_eq!(answer["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error", "{method}: {answer}");
    assert_eq!(answer["status"], status, "{method}: {answer}");
    assert!(answer["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{method}: {answer}");
    let kind = answer.get("scimType").map(|kind| kind.as_str().unwrap());
    assert!(kind.is_none_or(|kind| TYPES.contains(&kind)), "{method}: {answer}");
}

fn found(method: &str, response: &Response) {
    assert_eq!(response.header("content-type"), Some("application/scim+json"), "{method}");
    let answer: Value = serde_json::from_slice(&response.body).expect("the body is JSON");
    let schemas = answer["schemas"].as_array().expect("every body names its schemas");
    match schemas.first().and_then(Value::as_str) {
        Some("urn:ietf:params:scim:api:messages:2.0:ListResponse") => list(&answer),
        Some("urn:ietf:params:scim:api:messages:2.0:BulkResponse") => {
            answer["Operations"].as_array().unwrap().iter().for_each(operation);
        }
        _ => resource(&answer),
    }
    if response.status == 201 {
        assert!(response.header("location").is_some(), "a new resource has a location");
    }
    if let (Some(etag), Some(version)) = (response.header("etag"), answer["meta"]["version"].as_str()) {
        assert_eq!(etag, version);
    }
}

fn list(answer: &Value) {
    let listed = answer["Resources"].as_array().unwrap();
    assert_eq!(answer["itemsPerPage"].as_u64(), Some(listed.len() as u64), "{answer}");
    assert!(answer["totalResults"].as_u64().unwrap() >= listed.len() as u64, "{answer}");
    listed.iter().for_each(resource);
}

/// A resource is one the engine would take as it is.
fn resource(answer: &Value) {
    let Some(of) = answer["meta"]["resourceType"].as_str().and_then(|name| registry().by_name(name)) else { return };
    assert!(answer["id"].as_str().is_some_and(|id| !id.is_empty()), "{answer}");
    let again = resource::accept(of, answer, true).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert!(again.normalised.is_empty(), "{:?}: {answer}", again.normalised);
}

fn operation(result: &Value) {
    let status = result["status"].as_str().unwrap();
    match status {
        "200" | "201" | "204" => assert!(result["location"].is_string(), "{result}"),
        _ => is_error(&result["response"], status, "Bulk"),
    }
}
