//! PATCH (RFC 7644 section 3.5.2).

use serde_json::{Map, Value};

use crate::env::Limits;
use crate::error::ScimError;
use crate::filter::Filter;
use crate::schema::ResourceType;

/// The outcome of a PATCH on a resource without its members.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patched {
    /// The resource as it shall be stored.
    pub resource: Map<String, Value>,
    /// Changes of a group's `members`, in order; they never pass through the resource, so a group is
    /// changed without being read whole.
    pub members: Vec<MemberChange>,
    /// Names left out because no schema knows them.
    pub unknown: Vec<String>,
    /// IdP forms that were normalised, for the provisioning log.
    pub normalised: Vec<&'static str>,
}

/// One change of a group's members. A member is an object with at least a string `value`.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberChange {
    /// Add or update these.
    Add(Vec<Map<String, Value>>),
    /// Remove these ids.
    Remove(Vec<String>),
    /// Remove every member that meets the filter.
    RemoveMatching(Filter),
    /// Set a sub-attribute of, or replace, the members that meet the filter.
    Update(Filter, Map<String, Value>),
    /// These and no others.
    Replace(Vec<Map<String, Value>>),
}

/// Applies the body of a PATCH request to a resource; atomic: an error changes nothing.
#[allow(unused_variables, clippy::todo, clippy::missing_errors_doc)]
pub fn apply(
    resource_type: &ResourceType,
    resource: &Map<String, Value>,
    body: &Value,
    strict: bool,
    limits: &Limits,
) -> Result<Patched, ScimError> {
    todo!()
}
