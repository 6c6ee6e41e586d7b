//! What a filter means for a resource: checked and evaluated by the schema's types and case rules.

use serde_json::{Map, Value};

use super::Filter;
use crate::error::ScimError;
use crate::schema::{Attribute, ResourceType};

#[allow(unused_variables, clippy::todo)]
pub(super) fn check(filter: &Filter, resource_type: &ResourceType) -> Result<(), ScimError> {
    todo!()
}
#[allow(unused_variables, clippy::todo)]
pub(super) fn check_element(filter: &Filter, attribute: &Attribute) -> Result<(), ScimError> {
    todo!()
}
#[allow(unused_variables, clippy::todo)]
pub(super) fn matches(filter: &Filter, resource_type: &ResourceType, resource: &Map<String, Value>) -> bool {
    todo!()
}
#[allow(unused_variables, clippy::todo)]
pub(super) fn matches_element(filter: &Filter, attribute: &Attribute, element: &Value) -> bool {
    todo!()
}
