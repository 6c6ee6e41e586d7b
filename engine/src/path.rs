//! Attribute and PATCH paths (RFC 7644 section 3.5.2, figure 7).

use crate::env::Limits;
use crate::error::ScimError;
use crate::filter::Filter;
use crate::schema::{Attribute, ResourceType, Schema};

/// `[URN:]name[.sub]`, as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttrPath {
    /// URN in front, without its last colon.
    pub schema: Option<String>,
    /// Attribute.
    pub name: String,
    /// Sub-attribute.
    pub sub: Option<String>,
}

/// `path`, `path[filter]` or `path[filter].sub`.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchPath {
    /// The attribute; with a filter it has no `sub`.
    pub attribute: AttrPath,
    /// Which elements.
    pub filter: Option<Filter>,
    /// Part of the chosen elements.
    pub sub: Option<String>,
}

/// What a path means in a resource type.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The extension it lives in; `None` for the core schema and the common attributes.
    pub extension: Option<&'a Schema>,
    /// The attribute.
    pub attribute: &'a Attribute,
    /// The sub-attribute.
    pub sub: Option<&'a Attribute>,
}

#[allow(unused_variables, clippy::todo, clippy::missing_errors_doc)]
impl AttrPath {
    /// Reads an attribute path; anything else is `invalidPath`.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        todo!()
    }
    /// What it means, in any case of letters; common attributes (`schemas`, `id`, `externalId`, `meta`) included.
    pub fn resolve<'a>(&self, resource_type: &'a ResourceType) -> Option<Target<'a>> {
        todo!()
    }
}

#[allow(unused_variables, clippy::todo, clippy::missing_errors_doc)]
impl PatchPath {
    /// Reads a PATCH path; anything else is `invalidPath`. A bare extension URN is a path with an empty `name`.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, ScimError> {
        todo!()
    }
}
