//! Projection: which attributes a response carries (RFC 7644 section 3.9).

use serde_json::{Map, Value};

use crate::error::ScimError;
use crate::schema::ResourceType;

/// What a client asked to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projection {
    _private: (),
}

#[allow(unused_variables, clippy::todo, clippy::missing_errors_doc)]
impl Projection {
    /// From the comma-separated (or listed) `attributes` and `excludedAttributes` of a request. Both at once is `invalidValue`.
    pub fn new(attributes: &[String], excluded: &[String]) -> Result<Self, ScimError> {
        todo!()
    }
    /// Whether an attribute (such as `members` or `groups`) can appear at all: if not, it need not be loaded.
    pub fn wants(&self, resource_type: &ResourceType, attribute: &str) -> bool {
        todo!()
    }
    /// Removes what the response must not carry.
    pub fn apply(&self, resource_type: &ResourceType, resource: &mut Map<String, Value>) {
        todo!()
    }
}
