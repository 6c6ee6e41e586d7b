//! One operation at one attribute of the object that holds it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::operation::Op;
use super::{Site, mutability};
use crate::error::{Kind, ScimError};
use crate::filter::{Filter, Literal, Operator};
use crate::resource::is_stored;
use crate::resource::list::{self, Identity};
use crate::resource::read::{MOST_VALUES, Reader, invalid, is_absent, too_many};
use crate::schema::{Attribute, Type};

/// `add` and `replace`.
pub(super) fn write(
    reader: &mut Reader,
    container: &mut Map<String, Value>,
    site: &Site<'_>,
    op: Op,
    value: &Value,
) -> Result<(), ScimError> {
    let attribute = site.target.attribute;
    let path = site.attribute_path();
    if !is_stored(site.target.sub.unwrap_or(attribute)) || !is_stored(attribute) {
        return reader.attribute(&site.path(), site.target.sub.unwrap_or(attribute), value).map(drop);
    }
    if attribute.multi_valued {
        let mut elements = take(container, attribute);
        match (&site.filter, site.target.sub) {
            (Some(filter), _) => write_selected(reader, &mut elements, site, filter, op, value)?,
            (None, Some(sub)) => write_each(reader, &mut elements, site, sub, value)?,
            (None, None) if op == Op::Add => {
                let more = match is_absent(value) {
                    true => Vec::new(),
                    false => reader.values(&path, attribute, value)?,
                };
                let written = list::merge(attribute, &mut elements, more);
                list::settle_primary(&path, &mut elements, &written)?;
            }
            (None, None) if is_absent(value) => elements.clear(),
            (None, None) => elements = reader.values(&path, attribute, value)?,
        }
        // A part written or removed, or a primary that has ended, can make two elements equal.
        list::fold_duplicates(attribute, &mut elements);
        if elements.len() > MOST_VALUES {
            return Err(too_many(&path));
        }
        put(container, attribute, (!elements.is_empty()).then_some(Value::Array(elements)));
        return Ok(());
    }
    match site.target.sub {
        Some(sub) => write_parts(reader, container, site, &json!({ (sub.name.as_str()): value })),
        None if attribute.kind == Type::Complex && !is_absent(value) => write_parts(reader, container, site, value),
        None => {
            let read = reader.attribute(&path, attribute, value)?;
            put(container, attribute, read);
            Ok(())
        }
    }
}

/// `remove`. A `value` names what to remove of a multi-valued attribute; elsewhere it is not looked at.
pub(super) fn remove(
    reader: &mut Reader,
    container: &mut Map<String, Value>,
    site: &Site<'_>,
    value: Option<&Value>,
) -> Result<(), ScimError> {
    let attribute = site.target.attribute;
    if site.filter.is_none() && site.target.sub.unwrap_or(attribute).required {
        return Err(mutability(&site.path(), "is required and cannot be removed"));
    }
    if !attribute.multi_valued {
        match (site.target.sub, container.get_mut(&attribute.name)) {
            (Some(sub), Some(Value::Object(object))) => {
                object.shift_remove(&sub.name);
                if object.is_empty() {
                    container.shift_remove(&attribute.name);
                }
            }
            (Some(_), _) => {}
            (None, _) => drop(container.shift_remove(&attribute.name)),
        }
        return Ok(());
    }
    let mut elements = take(container, attribute);
    match (&site.filter, site.target.sub, value.filter(|value| !value.is_null())) {
        (Some(filter), sub, _) => {
            let chosen = matching(filter, attribute, &elements);
            if chosen.is_empty() {
                return Err(no_target(site));
            }
            remove_places(&mut elements, &chosen, sub);
        }
        (None, Some(sub), _) => {
            let all: Vec<usize> = (0..elements.len()).collect();
            remove_places(&mut elements, &all, Some(sub));
        }
        (None, None, Some(value)) => remove_listed(reader, &mut elements, site, value)?,
        (None, None, None) => elements.clear(),
    }
    list::fold_duplicates(attribute, &mut elements);
    put(container, attribute, (!elements.is_empty()).then_some(Value::Array(elements)));
    Ok(())
}

/// Sets the given sub-attributes of a single object and leaves the others (RFC 7644 section 3.5.2.3).
fn write_parts(
    reader: &mut Reader,
    container: &mut Map<String, Value>,
    site: &Site<'_>,
    value: &Value,
) -> Result<(), ScimError> {
    let attribute = site.target.attribute;
    let path = site.attribute_path();
    let value = reader.unwrap(attribute, value);
    let parts = reader.parts(&path, attribute, &value)?;
    let mut object = match container.get_mut(&attribute.name).map(Value::take) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    };
    let points_elsewhere = parts.iter().any(|(sub, new)| sub.name == "value" && new.as_ref() != object.get("value"));
    if points_elsewhere {
        // What described the old value does not describe the new one.
        object.shift_remove("$ref");
        object.shift_remove("display");
    }
    for (sub, part) in parts {
        put(&mut object, sub, part);
    }
    put(container, attribute, (!object.is_empty()).then_some(Value::Object(object)));
    Ok(())
}

/// Writes the elements a filter chooses. Where it chooses none, the element it describes is made.
fn write_selected(
    reader: &mut Reader,
    elements: &mut Vec<Value>,
    site: &Site<'_>,
    filter: &Filter,
    op: Op,
    value: &Value,
) -> Result<(), ScimError> {
    let (attribute, path) = (site.target.attribute, site.attribute_path());
    let mut chosen = matching(filter, attribute, elements);
    let Some(new) = new_parts(reader, site, value)? else {
        remove_places(elements, &chosen, site.target.sub);
        return Ok(());
    };
    let selector = selector(reader, filter, site);
    let whole = op == Op::Replace && site.target.sub.is_none();
    if chosen.is_empty() {
        // An element that would not meet the filter it is made from was meant to be there already.
        let agrees = |element: &Map<String, Value>| {
            element.iter().all(|(name, value)| new.get(name).is_none_or(|new| new == value))
        };
        let Some(element) = selector.filter(|element| !whole && agrees(element)) else { return Err(no_target(site)) };
        reader.note("element created from its selector");
        chosen.push(elements.len());
        elements.push(over(element, new));
    } else {
        for place in &chosen {
            if let Some(element) = elements.get_mut(*place) {
                let base = match element.take() {
                    Value::Object(old) if !whole => old,
                    _ => selector.clone().unwrap_or_default(),
                };
                *element = over(base, new.clone());
            }
        }
    }
    list::settle_primary(&path, elements, &chosen)
}

/// Sets one sub-attribute of every element, or makes an element of it where there is none.
fn write_each(
    reader: &mut Reader,
    elements: &mut Vec<Value>,
    site: &Site<'_>,
    sub: &Attribute,
    value: &Value,
) -> Result<(), ScimError> {
    let all: Vec<usize> = (0..elements.len().max(1)).collect();
    let Some(new) = new_parts(reader, site, value)? else {
        remove_places(elements, &all, Some(sub));
        return Ok(());
    };
    if elements.is_empty() {
        elements.push(new);
    } else if let Value::Object(parts) = new {
        elements.iter_mut().filter_map(Value::as_object_mut).for_each(|element| element.extend(parts.clone()));
    }
    list::settle_primary(&site.attribute_path(), elements, &all)
}

/// What an operation writes into each chosen element; `None` when it empties them.
fn new_parts(reader: &mut Reader, site: &Site<'_>, value: &Value) -> Result<Option<Value>, ScimError> {
    if let Some(sub) = site.target.sub {
        let read = reader.attribute(&site.path(), sub, value)?;
        return Ok(read.map(|read| json!({ (sub.name.as_str()): read })));
    }
    if is_absent(value) {
        return Ok(None);
    }
    let mut read = reader.elements(&site.path(), site.target.attribute, value)?;
    match (read.pop(), read.pop()) {
        (read, None) => Ok(read),
        _ => Err(invalid(format!("`{}` with a filter takes a single value", site.path()))),
    }
}

/// The element a filter describes: a conjunction of `sub eq literal`. One that names a `value` looks for an
/// element rather than describing one.
fn selector(reader: &mut Reader, filter: &Filter, site: &Site<'_>) -> Option<Map<String, Value>> {
    let mut element = Map::new();
    for term in filter.conjuncts() {
        let Filter::Compare(path, Operator::Eq, literal) = term else { return None };
        let sub = site.target.attribute.sub(&path.name)?;
        if path.schema.is_some() || path.sub.is_some() || matches!(sub.name.as_str(), "value" | "$ref") {
            return None;
        }
        let literal = match literal {
            Literal::Null => return None,
            Literal::Bool(value) => Value::from(*value),
            Literal::Number(number) => Value::from(number.clone()),
            Literal::String(text) => Value::from(text.as_str()),
        };
        let read = reader.attribute(&sub.name, sub, &literal).ok()??;
        element.insert(sub.name.clone(), read);
    }
    Some(element)
}

/// An element with new parts, or a new plain value in its place.
fn over(mut element: Map<String, Value>, new: Value) -> Value {
    match new {
        Value::Object(parts) => {
            element.extend(parts);
            element.into()
        }
        plain => plain,
    }
}

/// Removes the listed values, by `value` and, where it is given, `type`; by all their parts where they have no `value`.
fn remove_listed(
    reader: &mut Reader,
    elements: &mut Vec<Value>,
    site: &Site<'_>,
    value: &Value,
) -> Result<(), ScimError> {
    if value.as_str() == Some("") {
        return Ok(());
    }
    let attribute = site.target.attribute;
    let listed = reader.elements(&site.path(), attribute, value)?;
    if !listed.is_empty() {
        reader.note("remove with values");
    }
    let listed: BTreeSet<Identity> = listed.iter().map(|element| Identity::of(attribute, element)).collect();
    elements.retain(|element| {
        let identity = Identity::of(attribute, element);
        !listed.contains(&identity) && !listed.contains(&identity.of_any_type())
    });
    Ok(())
}

/// Removes the elements at these places, or one sub-attribute of them; an element of which nothing but its
/// description is left goes too.
fn remove_places(elements: &mut Vec<Value>, places: &[usize], sub: Option<&Attribute>) {
    let mut place = 0;
    elements.retain_mut(|element| {
        let here = places.binary_search(&place).is_ok();
        place += 1;
        match (here, sub, element) {
            (false, ..) => true,
            (true, Some(sub), Value::Object(object)) => {
                let had = object.shift_remove(&sub.name).is_some();
                !had || object.keys().any(|name| !matches!(name.as_str(), "type" | "primary" | "display" | "$ref"))
            }
            (true, ..) => false,
        }
    });
}

/// The places of the elements a filter chooses, in order.
fn matching(filter: &Filter, attribute: &Attribute, elements: &[Value]) -> Vec<usize> {
    let chosen = elements.iter().enumerate().filter(|(_, element)| filter.matches_element(attribute, element));
    chosen.map(|(place, _)| place).collect()
}

/// Takes the elements of a multi-valued attribute out; [`put`] brings them back.
fn take(container: &mut Map<String, Value>, attribute: &Attribute) -> Vec<Value> {
    match container.get_mut(&attribute.name).map(Value::take) {
        Some(Value::Array(elements)) => elements,
        _ => Vec::new(),
    }
}

fn put(container: &mut Map<String, Value>, attribute: &Attribute, value: Option<Value>) {
    match value {
        Some(value) => drop(container.insert(attribute.name.clone(), value)),
        None => drop(container.shift_remove(&attribute.name)),
    }
}

fn no_target(site: &Site<'_>) -> ScimError {
    ScimError::new(Kind::NoTarget, format!("no value of `{}` meets the filter", site.attribute_path()))
}
