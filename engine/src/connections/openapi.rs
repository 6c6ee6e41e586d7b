//! `GET /openapi.json`: the management API and SCIM, described in OpenAPI 3.1.
//!
//! The file beside this one says what each operation is for, takes and answers. Added here is what the
//! [table of routes](super::route) knows, who may make it, and what every operation may be refused with.

use serde_json::{Map, Value, json};

use crate::connections::caller::Demand;
use crate::connections::error::JSON;
use crate::connections::route::ROUTES;
use crate::http::Response;

const TEXT: &str = include_str!("openapi.json");

/// Refusals of any request, by name in the document.
const ANY: [(&str, &str); 3] = [("413", "TooLarge"), ("500", "Failed"), ("503", "Unavailable")];
/// Refusals of a request that needs a credential.
const CREDENTIAL: [(&str, &str); 3] = [("400", "Invalid"), ("401", "Unauthorized"), ("403", "Forbidden")];
/// Refusals of any SCIM request.
const SCIM: [(&str, &str); 7] = [
    ("400", "ScimInvalid"),
    ("401", "ScimUnauthorized"),
    ("403", "ScimForbidden"),
    ("413", "ScimTooLarge"),
    ("429", "ScimTooMany"),
    ("500", "ScimFailed"),
    ("503", "ScimUnavailable"),
];

/// The answer to a request for the document.
pub fn answer() -> Response {
    Response::json(200, JSON, &document())
}

/// The document.
pub fn document() -> Value {
    let mut document: Value = serde_json::from_str(TEXT).unwrap_or_default();
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for (path, item) in paths.into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if let Some(operation) = operation.as_object_mut() {
                complete(path, method, operation);
            }
        }
    }
    document
}

fn complete(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let route = ROUTES.iter().find(|route| route.path == path && route.method.eq_ignore_ascii_case(method));
    let demand = route.map(|route| route.demand);
    operation.insert("security".to_owned(), security(demand));
    let refusals = match demand {
        None => SCIM.to_vec(),
        Some(Demand::Nothing) => ANY.to_vec(),
        Some(Demand::Vendor | Demand::Permission(_)) => [CREDENTIAL, ANY].concat(),
    };
    let answers = operation.entry("responses").or_insert_with(|| json!({}));
    for (status, name) in refusals {
        if let Some(answers) = answers.as_object_mut() {
            answers.entry(status).or_insert_with(|| json!({ "$ref": format!("#/components/responses/{name}") }));
        }
    }
}

/// Alternatives, of which one will do; without a route it is SCIM.
fn security(demand: Option<Demand>) -> Value {
    match demand {
        None => json!([{ "connection": [] }]),
        Some(Demand::Nothing) => json!([]),
        Some(Demand::Vendor) => json!([{ "vendor": [] }, { "vendorHeader": [] }]),
        Some(Demand::Permission(needed)) => {
            json!([{ "vendor": [] }, { "vendorHeader": [] }, { "user": [needed.key()] }])
        }
    }
}
