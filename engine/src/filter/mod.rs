//! Filters (RFC 7644 section 3.4.2.2): text to a closed [`Filter`], and back.
//!
//! ```
//! use scim_engine::{env::Limits, filter::Filter};
//! let text = r#"NOT (active EQ False) and emails[type eq "work"].value sw "a""#;
//! let filter = Filter::parse(text, &Limits::default()).unwrap();
//! assert_eq!(filter.to_string(), r#"not (active eq false) and emails[type eq "work" and value sw "a"]"#);
//! ```

mod evaluate;
pub(crate) mod parse;

use std::fmt;

use serde_json::{Map, Value};

use crate::env::Limits;
use crate::error::ScimError;
use crate::path::AttrPath;
use crate::schema::{Attribute, ResourceType};

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
    /// The form `path[filter].sub op value` is the same with `sub op value` joined by `and`.
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

impl Filter {
    /// Reads a filter within the limits on bytes, depth and terms; anything else is `invalidFilter`.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, ScimError> {
        parse::filter(text, limits)
    }

    /// Refuses with `invalidFilter` what can never be evaluated: unknown attributes, attributes never
    /// returned (asking about a password would disclose it), and comparisons the attribute's type does not have.
    pub fn check(&self, resource_type: &ResourceType) -> Result<(), ScimError> {
        evaluate::check(self, resource_type)
    }

    /// As [`check`](Self::check), for the filter of a value path over that attribute.
    pub fn check_element(&self, attribute: &Attribute) -> Result<(), ScimError> {
        evaluate::check_element(self, attribute)
    }

    /// Whether a resource meets the filter. A comparison that [`check`](Self::check) refuses holds for none.
    pub fn matches(&self, resource_type: &ResourceType, resource: &Map<String, Value>) -> bool {
        evaluate::matches(self, resource_type, resource)
    }

    /// Whether one element of a multi-valued attribute meets the filter of a value path.
    pub fn matches_element(&self, attribute: &Attribute, element: &Value) -> bool {
        evaluate::matches_element(self, attribute, element)
    }

    /// The filters that must all hold, in order: the operands of the outermost `and`s, or the filter itself.
    pub fn conjuncts(&self) -> Vec<&Filter> {
        let (mut found, mut open) = (Vec::new(), vec![self]);
        while let Some(filter) = open.pop() {
            match filter {
                Self::And(left, right) => open.extend([&**right, &**left]),
                _ => found.push(filter),
            }
        }
        found
    }
}

impl Operator {
    /// The operator of that name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        use Operator::*;
        [Eq, Ne, Co, Sw, Ew, Gt, Ge, Lt, Le].into_iter().find(|operator| operator.name().eq_ignore_ascii_case(name))
    }

    /// Its name in a filter.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Co => "co",
            Self::Sw => "sw",
            Self::Ew => "ew",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Le => "le",
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(left, right) => {
                operand(f, left, matches!(**left, Self::Or(..)))?;
                f.write_str(" and ")?;
                operand(f, right, matches!(**right, Self::Or(..) | Self::And(..)))
            }
            Self::Or(left, right) => {
                write!(f, "{left} or ")?;
                operand(f, right, matches!(**right, Self::Or(..)))
            }
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::Compare(path, operator, literal) => write!(f, "{path} {operator} {literal}"),
            Self::Present(path) => write!(f, "{path} pr"),
            Self::Element(path, inner) => write!(f, "{path}[{inner}]"),
        }
    }
}

fn operand(f: &mut fmt::Formatter<'_>, filter: &Filter, grouped: bool) -> fmt::Result {
    if grouped { write!(f, "({filter})") } else { write!(f, "{filter}") }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::String(text) => f.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?),
        }
    }
}
