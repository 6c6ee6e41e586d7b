//! What a filter means for a resource: checked and evaluated by the schema's types and case rules.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Filter, Literal, Operator};
use crate::error::{Kind, ScimError};
use crate::path::{AttrPath, Target};
use crate::schema::{Attribute, ResourceType, Returned, Type, fold};

pub(super) fn check(filter: &Filter, resource_type: &ResourceType) -> Result<(), ScimError> {
    Scope::Resource(resource_type).check(filter)
}

pub(super) fn check_element(filter: &Filter, attribute: &Attribute) -> Result<(), ScimError> {
    Scope::Element(attribute).check(filter)
}

pub(super) fn matches(filter: &Filter, resource_type: &ResourceType, resource: &Map<String, Value>) -> bool {
    Subject::Resource(resource_type, resource).meets(filter)
}

pub(super) fn matches_element(filter: &Filter, attribute: &Attribute, element: &Value) -> bool {
    Subject::Element(attribute, element).meets(filter)
}

/// What the paths of a filter are relative to.
#[derive(Clone, Copy)]
enum Scope<'a> {
    Resource(&'a ResourceType),
    Element(&'a Attribute),
}

impl<'a> Scope<'a> {
    fn target(self, path: &AttrPath) -> Option<Target<'a>> {
        match self {
            Self::Resource(resource_type) => path.resolve(resource_type),
            Self::Element(_) if path.schema.is_some() || path.sub.is_some() => None,
            Self::Element(attribute) => {
                // The elements of `schemas` and the like are plain values, which a value path calls `value`.
                let plain = attribute.kind != Type::Complex && path.name.eq_ignore_ascii_case("value");
                let attribute = if plain { attribute } else { attribute.sub(&path.name)? };
                Some(Target { extension: None, attribute, sub: None })
            }
        }
    }

    fn check(self, filter: &Filter) -> Result<(), ScimError> {
        match filter {
            Filter::And(left, right) | Filter::Or(left, right) => {
                self.check(left)?;
                self.check(right)
            }
            Filter::Not(inner) => self.check(inner),
            Filter::Present(path) => self.visible(path).map(drop),
            Filter::Compare(path, operator, literal) => {
                let target = self.visible(path)?;
                let leaf = value_of(target.leaf())
                    .ok_or_else(|| refusal(format!("`{path}` is compared by one of its sub-attributes")))?;
                if comparable(leaf, *operator, literal) {
                    Ok(())
                } else {
                    Err(refusal(format!(
                        "`{path}` of type `{}` has no such comparison with `{operator}`",
                        leaf.kind.name()
                    )))
                }
            }
            Filter::Element(path, inner) => {
                let target = self.visible(path)?;
                let whole = matches!(self, Self::Resource(_)) && target.sub.is_none();
                if !whole || (target.attribute.kind != Type::Complex && !target.attribute.multi_valued) {
                    return Err(refusal(format!("`{path}` has no elements to filter")));
                }
                Scope::Element(target.attribute).check(inner)
            }
        }
    }

    /// The target of a path whose value a client may learn.
    fn visible(self, path: &AttrPath) -> Result<Target<'a>, ScimError> {
        let target = self.target(path).ok_or_else(|| refusal(format!("`{path}` is not an attribute")))?;
        if [target.attribute, target.leaf()].iter().any(|attribute| attribute.returned == Returned::Never) {
            return Err(refusal(format!("`{path}` cannot be filtered by")));
        }
        Ok(target)
    }
}

fn refusal(detail: String) -> ScimError {
    ScimError::new(Kind::InvalidFilter, detail)
}

/// The attribute a comparison is about: of a complex one, its `value` (RFC 7643 section 2.4).
fn value_of(attribute: &Attribute) -> Option<&Attribute> {
    if attribute.kind == Type::Complex { attribute.sub("value") } else { Some(attribute) }
}

/// Whether the type has that comparison with that value (RFC 7644 table 3).
fn comparable(attribute: &Attribute, operator: Operator, literal: &Literal) -> bool {
    let equality = matches!(operator, Operator::Eq | Operator::Ne);
    let part = matches!(operator, Operator::Co | Operator::Sw | Operator::Ew);
    match attribute.kind {
        _ if *literal == Literal::Null => equality,
        Type::Boolean => equality && truth(literal).is_some(),
        Type::Integer | Type::Decimal => !part && number(literal).is_some(),
        Type::DateTime => matches!(literal, Literal::String(text) if part || instant(text).is_some()),
        Type::Binary => (equality || part) && matches!(literal, Literal::String(_)),
        Type::String | Type::Reference => matches!(literal, Literal::String(_)),
        Type::Complex => false,
    }
}

/// What a filter is asked about.
#[derive(Clone, Copy)]
enum Subject<'a> {
    Resource(&'a ResourceType, &'a Map<String, Value>),
    Element(&'a Attribute, &'a Value),
}

impl<'a> Subject<'a> {
    fn meets(self, filter: &Filter) -> bool {
        match filter {
            Filter::And(left, right) => self.meets(left) && self.meets(right),
            Filter::Or(left, right) => self.meets(left) || self.meets(right),
            Filter::Not(inner) => !self.meets(inner),
            Filter::Present(path) => {
                self.target(path).is_some_and(|target| self.values(&target, target.sub).into_iter().any(is_present))
            }
            Filter::Compare(path, operator, literal) => self.target(path).is_some_and(|target| {
                let Some(leaf) = value_of(target.leaf()) else { return false };
                let below = if std::ptr::eq(leaf, target.attribute) { None } else { Some(leaf) };
                compare(leaf, *operator, literal, &self.values(&target, below))
            }),
            Filter::Element(path, inner) => self.target(path).is_some_and(|target| {
                self.values(&target, None)
                    .into_iter()
                    .any(|element| Subject::Element(target.attribute, element).meets(inner))
            }),
        }
    }

    fn target(self, path: &AttrPath) -> Option<Target<'a>> {
        match self {
            Self::Resource(resource_type, _) => Scope::Resource(resource_type).target(path),
            Self::Element(attribute, _) => Scope::Element(attribute).target(path),
        }
    }

    /// The values of an attribute, or of its sub-attribute `below`, one by one.
    fn values(self, target: &Target<'a>, below: Option<&Attribute>) -> Vec<&'a Value> {
        let value = match (self, target.extension) {
            (Self::Resource(_, resource), None) => resource.get(&target.attribute.name),
            (Self::Resource(_, resource), Some(extension)) => {
                resource.get(&extension.id).and_then(|object| object.get(&target.attribute.name))
            }
            (Self::Element(attribute, element), _) if std::ptr::eq(attribute, target.attribute) => Some(element),
            (Self::Element(_, element), _) => element.get(&target.attribute.name),
        };
        let values = value.into_iter().flat_map(each);
        match below {
            None => values.collect(),
            Some(sub) => values.filter_map(|value| value.get(&sub.name)).flat_map(each).collect(),
        }
    }
}

fn each(value: &Value) -> &[Value] {
    match value {
        Value::Array(elements) => elements,
        _ => std::slice::from_ref(value),
    }
}

/// Whether there is a value that is not empty (RFC 7644 table 3, `pr`).
fn is_present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(elements) => elements.iter().any(is_present),
        Value::Object(object) => object.values().any(is_present),
    }
}

/// Whether any value stands in that relation to the literal.
///
/// `ne` is the negation of `eq`, also for several values and for none: the RFC leaves both open, and only so
/// do `a ne b` and `not (a eq b)` always agree, and does `ne` find the users that lack the attribute.
fn compare(attribute: &Attribute, operator: Operator, literal: &Literal, values: &[&Value]) -> bool {
    match (operator, literal) {
        (Operator::Ne, _) => !compare(attribute, Operator::Eq, literal, values),
        (Operator::Eq, Literal::Null) => !values.iter().any(|value| is_present(value)),
        _ => values.iter().any(|value| holds(attribute, operator, literal, value)),
    }
}

fn holds(attribute: &Attribute, operator: Operator, literal: &Literal, value: &Value) -> bool {
    if !comparable(attribute, operator, literal) {
        return false;
    }
    match (attribute.kind, literal, value) {
        (Type::Boolean, _, Value::Bool(value)) => truth(literal) == Some(*value),
        (Type::Integer | Type::Decimal, _, Value::Number(value)) => number(literal)
            .and_then(|literal| number_order(value, &literal))
            .is_some_and(|order| in_order(operator, order)),
        (Type::DateTime, Literal::String(literal), Value::String(value)) => match (instant(value), instant(literal)) {
            (Some(value), Some(literal)) if !matches!(operator, Operator::Co | Operator::Sw | Operator::Ew) => {
                in_order(operator, value.cmp(&literal))
            }
            _ => text_holds(operator, value, literal),
        },
        (Type::String | Type::Reference | Type::Binary, Literal::String(literal), Value::String(value)) => {
            if attribute.case_exact {
                text_holds(operator, value, literal)
            } else {
                text_holds(operator, &fold(value), &fold(literal))
            }
        }
        _ => false,
    }
}

fn text_holds(operator: Operator, value: &str, literal: &str) -> bool {
    match operator {
        Operator::Co => value.contains(literal),
        Operator::Sw => value.starts_with(literal),
        Operator::Ew => value.ends_with(literal),
        _ => in_order(operator, value.cmp(literal)),
    }
}

fn in_order(operator: Operator, order: Ordering) -> bool {
    match operator {
        Operator::Eq => order.is_eq(),
        Operator::Ne => order.is_ne(),
        Operator::Gt => order.is_gt(),
        Operator::Ge => order.is_ge(),
        Operator::Lt => order.is_lt(),
        Operator::Le => order.is_le(),
        Operator::Co | Operator::Sw | Operator::Ew => false,
    }
}

/// A truth value; Entra ID also writes `"True"` and `"False"`.
fn truth(literal: &Literal) -> Option<bool> {
    match literal {
        Literal::Bool(value) => Some(*value),
        Literal::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Literal::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn number(literal: &Literal) -> Option<Number> {
    match literal {
        Literal::Number(value) => Some(value.clone()),
        Literal::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}

/// Whole numbers are compared exactly, others as a 64-bit fraction.
fn number_order(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// A date-time as a point in time; one without an offset counts as UTC, as `xsd:dateTime` allows.
fn instant(text: &str) -> Option<OffsetDateTime> {
    let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    parse(text).or_else(|| parse(&format!("{text}Z")))
}
