//! Rules of multi-valued attributes (RFC 7643 section 2.4): no value twice, at most one of them primary.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Map, Value};

use super::read::invalid;
use crate::error::ScimError;
use crate::schema::{self, Attribute};

/// What makes an element of a list this element: its `value` and `type`, or all of it where it has no `value`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    value: String,
    kind: Option<String>,
}

impl Identity {
    pub(crate) fn of(attribute: &Attribute, element: &Value) -> Self {
        let Value::Object(object) = element else {
            return Self { value: folded(Some(attribute), element), kind: None };
        };
        let part = |name: &str| Some(folded(attribute.sub(name), object.get(name)?));
        match part("value") {
            Some(value) => Self { value, kind: part("type") },
            None => Self { value: sorted(object), kind: None },
        }
    }

    /// The same with the type left open.
    pub(crate) fn of_any_type(&self) -> Self {
        Self { value: self.value.clone(), kind: None }
    }
}

/// Folds every element into an earlier one of the same identity; says whether there were any.
pub(crate) fn fold_duplicates(attribute: &Attribute, elements: &mut Vec<Value>) -> bool {
    let before = elements.len();
    let (mut kept, mut places): (Vec<Value>, BTreeMap<Identity, usize>) = (Vec::new(), BTreeMap::new());
    for element in elements.drain(..) {
        match places.entry(Identity::of(attribute, &element)) {
            Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push(element);
            }
            Entry::Occupied(place) => {
                if let (Some(Value::Object(known)), Value::Object(more)) = (kept.get_mut(*place.get()), element) {
                    for (name, value) in more {
                        known.entry(name).or_insert(value);
                    }
                }
            }
        }
    }
    *elements = kept;
    elements.len() != before
}

/// Adds elements: one that is there already, perhaps with a `type` the new one leaves open, takes on what the
/// new one says, the others go last. Gives the places that were written.
pub(crate) fn merge(attribute: &Attribute, elements: &mut Vec<Value>, more: Vec<Value>) -> Vec<usize> {
    let mut by_value: BTreeMap<String, Vec<(Option<String>, usize)>> = BTreeMap::new();
    for (place, element) in elements.iter().enumerate() {
        let Identity { value, kind } = Identity::of(attribute, element);
        by_value.entry(value).or_default().push((kind, place));
    }
    let mut written = Vec::new();
    for element in more {
        let Identity { value, kind } = Identity::of(attribute, &element);
        let known = by_value.entry(value).or_default();
        let same = known.iter().position(|(other, _)| *other == kind);
        let open = || (kind.is_none() && !known.is_empty()).then_some(0);
        match same.or_else(open).and_then(|found| known.get(found)) {
            Some((_, place)) => {
                if let (Some(Value::Object(known)), Value::Object(element)) = (elements.get_mut(*place), element) {
                    known.extend(element);
                    written.push(*place);
                }
            }
            None => {
                known.push((kind, elements.len()));
                written.push(elements.len());
                elements.push(element);
            }
        }
    }
    written
}

/// Refuses two primary values.
pub(crate) fn check_primary(path: &str, elements: &[Value]) -> Result<(), ScimError> {
    if elements.iter().filter(|element| is_primary(element)).count() > 1 {
        return Err(two_primaries(path));
    }
    Ok(())
}

/// A value that was written as primary takes that from all others (RFC 7644 section 3.5.2).
pub(crate) fn settle_primary(path: &str, elements: &mut [Value], written: &[usize]) -> Result<(), ScimError> {
    let mut primary = written.iter().copied().filter(|place| elements.get(*place).is_some_and(is_primary));
    let Some(chosen) = primary.next() else { return Ok(()) };
    if primary.any(|place| place != chosen) {
        return Err(two_primaries(path));
    }
    for (place, element) in elements.iter_mut().enumerate() {
        if let (true, Some(flag)) = (place != chosen && is_primary(element), element.get_mut("primary")) {
            *flag = false.into();
        }
    }
    Ok(())
}

fn is_primary(element: &Value) -> bool {
    element.get("primary") == Some(&Value::Bool(true))
}

fn two_primaries(path: &str) -> ScimError {
    invalid(format!("`{path}` has more than one primary value"))
}

fn folded(attribute: Option<&Attribute>, value: &Value) -> String {
    match value {
        Value::String(text) if attribute.is_some_and(|attribute| !attribute.case_exact) => schema::fold(text),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The same text for equal objects, whatever the order of their names; never the text of a `value`.
fn sorted(object: &Map<String, Value>) -> String {
    let parts: BTreeMap<&String, String> = object.iter().map(|(name, value)| (name, value.to_string())).collect();
    format!("\0{parts:?}")
}
