//! Filters, paths, schemas and projection as a client sees them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test may panic"
)]

mod grammar;
mod meaning;
mod projection;
mod schemas;

use scim_engine::env::Limits;
use scim_engine::filter::Filter;
use scim_engine::schema::{ENTERPRISE_USER, Registry};
use serde_json::{Value, json};

/// URN of the extension in [`registry`].
const ACME: &str = "urn:acme:params:scim:schemas:extension:hr:1.0:Employee";

fn parse(text: &str) -> Filter {
    Filter::parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The standard schemas and an extension with an attribute of every type and every kind of `returned`.
fn registry() -> Registry {
    let extension = json!({
        "id": ACME,
        "attributes": [
            { "name": "badge", "caseExact": true },
            { "name": "level", "type": "integer" },
            { "name": "score", "type": "decimal", "multiValued": true },
            { "name": "Remote", "type": "boolean" },
            { "name": "since", "type": "dateTime" },
            { "name": "key", "type": "binary" },
            { "name": "costly", "returned": "request" },
            { "name": "tag", "returned": "always" },
            { "name": "secret", "returned": "never", "mutability": "writeOnly" },
            { "name": "desk", "type": "complex", "subAttributes": [
                { "name": "floor", "type": "integer" },
                { "name": "pin", "returned": "never" },
                { "name": "plan", "returned": "request" }
            ] }
        ]
    });
    Registry::with_extensions(&[extension], &[]).unwrap()
}

/// A user with a value in every attribute the tests ask about.
fn user() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE_USER, ACME],
        "id": "2819c223-7f76-453a-919d-413861904646",
        "externalId": "Ext-1",
        "userName": "BJensen@Example.com",
        "name": { "familyName": "Jensen", "givenName": "Barbara" },
        "displayName": "Barbara Jensen É",
        "active": true,
        "profileUrl": "https://example.com/B",
        "emails": [
            { "value": "bjensen@example.com", "type": "work", "primary": true },
            { "value": "babs@home.example", "type": "home" }
        ],
        "meta": {
            "resourceType": "User",
            "created": "2010-01-23T04:56:22Z",
            "lastModified": "2011-05-13T04:42:34.000Z",
            "location": "https://example.com/Users/2819c223"
        },
        ENTERPRISE_USER: { "employeeNumber": "701984", "manager": { "value": "26118915", "displayName": "John" } },
        ACME: {
            "badge": "AbC",
            "level": 9_007_199_254_740_993_i64,
            "score": [1.5, 20],
            "Remote": false,
            "since": "1955-05-05T00:00:00+02:00",
            "key": "YWJj",
            "costly": "c",
            "tag": "t",
            "secret": "s",
            "desk": { "floor": 3, "pin": "p", "plan": "q" }
        }
    })
}
