//! The description of the API against the API.

use std::collections::BTreeSet;

use super::*;
use crate::connections::openapi::document;
use crate::connections::route::ROUTES;
use crate::scim::Endpoint;

const SCIM: &str = "/directory/resources/scim/v2.0/{connection}";

/// Every operation: its path, its method and what is said of it.
pub fn operations(document: &Value) -> Vec<(&String, String, &Value)> {
    let items = document["paths"].as_object().unwrap().iter();
    let operations = items.flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(m, op)| (path, m, op)));
    operations.filter(|(_, method, _)| *method != "parameters").map(|(p, m, op)| (p, m.to_uppercase(), op)).collect()
}

#[test]
fn the_routes_of_the_table_are_described_and_no_others() {
    let document = document();
    let described: BTreeSet<_> = operations(&document)
        .into_iter()
        .filter(|(path, ..)| !path.starts_with(SCIM))
        .map(|(path, method, _)| (path.clone(), method))
        .collect();
    let served: BTreeSet<_> = ROUTES.iter().map(|route| (route.path.to_owned(), route.method.to_owned())).collect();
    assert_eq!(described, served);
}

#[test]
fn the_endpoints_of_scim_are_described_with_their_methods_and_no_others() {
    let document = document();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(below) = path.strip_prefix(SCIM) else { continue };
        let endpoint = Endpoint::parse(below);
        assert_ne!(endpoint, Endpoint::Unknown, "{path}");
        let methods: BTreeSet<_> =
            item.as_object().unwrap().keys().filter(|key| *key != "parameters").cloned().collect();
        // HEAD and OPTIONS follow from the others, and the document's introduction speaks of them.
        let served = endpoint.methods().iter().filter(|method| !["HEAD", "OPTIONS"].contains(method));
        assert_eq!(methods, served.map(|method| method.to_lowercase()).collect(), "{path}");
        described.insert(below.to_owned());
    }
    let served = [
        "",
        "/.search",
        "/Bulk",
        "/Groups",
        "/Groups/.search",
        "/Groups/{id}",
        "/Me",
        "/ResourceTypes",
        "/ResourceTypes/{name}",
        "/Schemas",
        "/Schemas/{urn}",
        "/ServiceProviderConfig",
        "/Users",
        "/Users/.search",
        "/Users/{id}",
    ];
    assert_eq!(described.iter().map(String::as_str).collect::<Vec<_>>(), served);
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| match (key.as_str(), value) {
                ("$ref", Value::String(to)) => drop(found.insert(to.clone())),
                _ => references(value, found),
            }),
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    let components = document["components"].as_object().unwrap().iter().filter(|(kind, _)| *kind != "securitySchemes");
    let made: BTreeSet<_> = components
        .flat_map(|(kind, all)| all.as_object().unwrap().keys().map(move |name| format!("#/components/{kind}/{name}")))
        .collect();
    assert_eq!(found, made);
}

#[test]
fn operations_have_names_of_their_own_and_say_who_may_make_them() {
    let document = document();
    let operations = operations(&document);
    let names: BTreeSet<_> =
        operations.iter().map(|(_, _, operation)| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.len(), operations.len());
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    for (path, method, operation) in operations {
        let alternatives = operation["security"].as_array().unwrap();
        let open = alternatives.is_empty();
        assert_eq!(open, ["/openapi.json", "/auth/vendor"].contains(&path.as_str()), "{method} {path}");
        for alternative in alternatives {
            assert!(alternative.as_object().unwrap().keys().all(|name| schemes.contains_key(name)), "{method} {path}");
        }
    }
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_document_is_served_to_anybody_with_and_without_the_prefix() {
    let deployment = Deployment::new();
    for target in ["/openapi.json", "/frontegg/openapi.json"] {
        let answer = deployment.send(request("GET", target, "", &Value::Null));
        assert_eq!((answer.status, answer.body["openapi"].as_str()), (200, Some("3.1.0")));
        assert_eq!(answer.response.header("content-type"), Some("application/json"));
    }
    assert!(deployment.stored().is_empty(), "nobody asked for anything to be kept");
}
