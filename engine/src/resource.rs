//! Resources as clients send them, checked against their schema.

use serde_json::{Map, Value};

use crate::error::ScimError;
use crate::schema::ResourceType;

/// A client's resource in the RFC's form: names spelt as the schema spells them, values of their types.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accepted {
    /// `schemas` first, then attributes; no read-only, no `returned: never`, no null or empty values.
    pub resource: Map<String, Value>,
    /// Names left out because no schema knows them.
    pub unknown: Vec<String>,
    /// IdP forms that were normalised, such as `boolean as text`, for the provisioning log.
    pub normalised: Vec<&'static str>,
}

/// Reads the body of a POST or PUT.
#[allow(unused_variables, clippy::todo, clippy::missing_errors_doc)]
pub fn accept(resource_type: &ResourceType, body: &Value, strict: bool) -> Result<Accepted, ScimError> {
    todo!()
}

/// Refuses a resource that lacks a required attribute or breaks a rule across attributes.
#[allow(unused_variables, clippy::todo, clippy::missing_errors_doc)]
pub fn check(resource_type: &ResourceType, resource: &Map<String, Value>) -> Result<(), ScimError> {
    todo!()
}
