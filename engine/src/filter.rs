//! Filters (RFC 7644 section 3.4.2.2).

use crate::env::Limits;
use crate::error::ScimError;
use crate::path::AttrPath;
use crate::schema::{Attribute, ResourceType};
use serde_json::{Map, Value};

/// A parsed filter. Printing and parsing it again gives the same filter.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Both hold.
    And(Box<Filter>, Box<Filter>),
    /// At least one holds.
    Or(Box<Filter>, Box<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// `path op value`.
    Compare(AttrPath, Operator, Literal),
    /// `path pr`: there is a value, and it is not empty.
    Present(AttrPath),
    /// `path[filter]`: one element meets the whole filter, whose paths are relative to the element.
    Element(AttrPath, Box<Filter>),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// equal
    Eq,
    /// not equal
    Ne,
    /// contains
    Co,
    /// starts with
    Sw,
    /// ends with
    Ew,
    /// greater than
    Gt,
    /// greater or equal
    Ge,
    /// less than
    Lt,
    /// less or equal
    Le,
}

/// What an attribute is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `null`: the attribute has no value.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A JSON number.
    Number(serde_json::Number),
    /// A JSON string.
    String(String),
}

#[allow(unused_variables, clippy::todo, clippy::missing_errors_doc)]
impl Filter {
    /// Reads a filter within the limits; anything else is `invalidFilter`.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, ScimError> {
        todo!()
    }
    /// Refuses what can never be evaluated: unknown attributes and attributes never returned.
    pub fn check(&self, resource_type: &ResourceType) -> Result<(), ScimError> {
        todo!()
    }
    /// Whether a resource meets the filter.
    pub fn matches(&self, resource_type: &ResourceType, resource: &Map<String, Value>) -> bool {
        todo!()
    }
    /// Whether one element of a multi-valued attribute meets the filter of a value path.
    pub fn matches_element(&self, attribute: &Attribute, element: &Value) -> bool {
        todo!()
    }
}
