//! Values as clients send them, brought to the form their attribute's definition asks for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{is_stored, list};
use crate::error::{Kind, ScimError};
use crate::schema::{Attribute, Mutability, Type};

/// Values one multi-valued attribute may have; over it, 413. A group's members are not bounded by it.
pub(crate) const MOST_VALUES: usize = 1000;

/// Unknown names that are reported by name.
const MOST_UNKNOWN: usize = 50;

/// Reads values, and remembers what it left out and what it had to normalise.
#[derive(Debug)]
pub(crate) struct Reader {
    strict: bool,
    /// Names no schema knows.
    pub(crate) unknown: Vec<String>,
    /// Forms that were normalised.
    pub(crate) normalised: Vec<&'static str>,
}

impl Reader {
    pub(crate) fn new(strict: bool) -> Self {
        Self { strict, unknown: Vec::new(), normalised: Vec::new() }
    }

    /// Remembers a form that was normalised.
    pub(crate) fn note(&mut self, form: &'static str) {
        if !self.normalised.contains(&form) {
            self.normalised.push(form);
        }
    }

    /// Leaves a name out; `invalidValue` when the connection is strict.
    pub(crate) fn unknown(&mut self, name: &str) -> Result<(), ScimError> {
        let name = quote(name);
        if self.strict {
            return Err(invalid(format!("`{name}` is not an attribute of this resource")));
        }
        if self.unknown.len() < MOST_UNKNOWN && !self.unknown.contains(&name) {
            self.unknown.push(name);
        }
        Ok(())
    }

    /// A value of an attribute; `None` when it means that there is none (null, empty text, empty list).
    pub(crate) fn attribute(
        &mut self,
        path: &str,
        attribute: &Attribute,
        value: &Value,
    ) -> Result<Option<Value>, ScimError> {
        if is_absent(value) {
            return Ok(None);
        }
        if attribute.multi_valued {
            let values = self.values(path, attribute, value)?;
            return Ok((!values.is_empty()).then_some(Value::Array(values)));
        }
        let value = self.unwrap(attribute, value);
        self.single(path, attribute, &value)
    }

    /// The values of a multi-valued attribute, each once, at most one of them primary.
    pub(crate) fn values(&mut self, path: &str, attribute: &Attribute, value: &Value) -> Result<Vec<Value>, ScimError> {
        let mut values = self.elements(path, attribute, value)?;
        if list::fold_duplicates(attribute, &mut values) {
            self.note("duplicate values");
        }
        list::check_primary(path, &values)?;
        Ok(values)
    }

    /// The values of a multi-valued attribute, as listed.
    pub(crate) fn elements(
        &mut self,
        path: &str,
        attribute: &Attribute,
        value: &Value,
    ) -> Result<Vec<Value>, ScimError> {
        let given = self.listed(value);
        if given.len() > MOST_VALUES {
            return Err(too_many(path));
        }
        let mut elements = Vec::new();
        for element in given.iter().filter(|element| !is_emptied(attribute, element)) {
            elements.extend(self.single(path, attribute, element)?);
        }
        Ok(elements)
    }

    /// The sub-attributes an object (or the plain text of its `value`) sets, or with `None` unsets.
    pub(crate) fn parts<'a>(
        &mut self,
        path: &str,
        attribute: &'a Attribute,
        value: &Value,
    ) -> Result<Vec<(&'a Attribute, Option<Value>)>, ScimError> {
        let Value::Object(object) = value else {
            let Some(sub) = attribute.sub("value").filter(|_| value.is_string()) else {
                return Err(mistyped(path, attribute));
            };
            self.note("text for an object");
            let read = self.attribute(&format!("{path}.value"), sub, value)?;
            return Ok(vec![(sub, read)]);
        };
        let mut parts = Vec::new();
        for (key, value) in object {
            let Some(sub) = attribute.sub(key) else {
                // Entra ID sends `"$ref": null` with any value.
                if !is_absent(value) {
                    self.unknown(&format!("{path}.{key}"))?;
                }
                continue;
            };
            if sub.mutability == Mutability::ReadOnly {
                continue;
            }
            let read = self.attribute(&format!("{path}.{}", sub.name), sub, value)?;
            if is_stored(sub) {
                parts.push((sub, read));
            }
        }
        Ok(parts)
    }

    /// The members of a group: objects with a string `value`, each once; the last of two with one `value` holds.
    ///
    /// `$ref` is left out, for the server derives it; where it stands alone, `value` is its last segment.
    pub(crate) fn members(&mut self, value: &Value) -> Result<Vec<Map<String, Value>>, ScimError> {
        let mut members: Vec<Map<String, Value>> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        if is_absent(value) {
            return Ok(members);
        }
        for element in self.listed(value).iter().filter(|element| !is_absent(element)) {
            let member = self.member(element)?;
            let Some(Value::String(id)) = member.get("value") else {
                return Err(invalid("`members` has an element without a `value`"));
            };
            match places.get(id).and_then(|place| members.get_mut(*place)) {
                Some(known) => {
                    known.extend(member);
                    self.note("duplicate values");
                }
                None => {
                    places.insert(id.clone(), members.len());
                    members.push(member);
                }
            }
        }
        Ok(members)
    }

    /// The sub-attributes of one member, `value` perhaps missing.
    pub(crate) fn member(&mut self, element: &Value) -> Result<Map<String, Value>, ScimError> {
        let (mut member, mut reference) = (Map::new(), None);
        let object = match element {
            Value::Object(object) => object,
            Value::String(id) => {
                self.note("text for an object");
                member.insert("value".into(), id.clone().into());
                return Ok(member);
            }
            _ => return Err(invalid("`members` must be a list of objects")),
        };
        for (key, value) in object {
            let Some(name) =
                ["value", "type", "display", "$ref"].into_iter().find(|name| name.eq_ignore_ascii_case(key))
            else {
                self.unknown(&format!("members.{key}"))?;
                continue;
            };
            match value {
                value if is_absent(value) => {}
                Value::String(text) if name == "$ref" => reference = text.trim_end_matches('/').rsplit('/').next(),
                Value::String(_) => drop(member.insert(name.into(), value.clone())),
                _ => return Err(invalid(format!("`members.{name}` must be a string"))),
            }
        }
        if let (false, Some(id)) = (member.contains_key("value"), reference.filter(|id| !id.is_empty())) {
            self.note("member by reference");
            member.insert("value".into(), id.into());
        }
        Ok(member)
    }

    fn listed<'v>(&mut self, value: &'v Value) -> &'v [Value] {
        match value {
            Value::Array(elements) => elements,
            single => {
                self.note("single value for a list");
                std::slice::from_ref(single)
            }
        }
    }

    /// Entra ID's form of a single value: a list of one object that holds it in `value`.
    pub(crate) fn unwrap<'v>(&mut self, attribute: &Attribute, value: &'v Value) -> Cow<'v, Value> {
        let Value::Array(elements) = value else { return Cow::Borrowed(value) };
        let [Value::Object(only)] = elements.as_slice() else { return Cow::Borrowed(value) };
        let Some(inner) = only.get("value") else { return Cow::Borrowed(value) };
        self.note("list for a single value");
        if attribute.kind == Type::Complex { Cow::Owned(Value::Object(only.clone())) } else { Cow::Borrowed(inner) }
    }

    fn single(&mut self, path: &str, attribute: &Attribute, value: &Value) -> Result<Option<Value>, ScimError> {
        if attribute.kind != Type::Complex {
            return if is_absent(value) { Ok(None) } else { self.scalar(path, attribute, value).map(Some) };
        }
        let mut object = Map::new();
        for (sub, read) in self.parts(path, attribute, value)? {
            if let Some(read) = read {
                object.insert(sub.name.clone(), read);
            }
        }
        Ok((!object.is_empty()).then_some(Value::Object(object)))
    }

    fn scalar(&mut self, path: &str, attribute: &Attribute, value: &Value) -> Result<Value, ScimError> {
        let good = match (attribute.kind, value) {
            (Type::Boolean, Value::Bool(_)) | (Type::Decimal, Value::Number(_)) => true,
            (Type::Boolean, Value::String(text)) => {
                let Some(value) = truth(text) else { return Err(mistyped(path, attribute)) };
                self.note("boolean as text");
                return Ok(value.into());
            }
            (Type::Integer, Value::Number(number)) => !number.is_f64(),
            (Type::Integer | Type::Decimal, Value::String(text)) => {
                let number = text.trim().parse::<serde_json::Number>().ok();
                let Some(number) = number.filter(|number| attribute.kind == Type::Decimal || !number.is_f64()) else {
                    return Err(mistyped(path, attribute));
                };
                self.note("number as text");
                return Ok(number.into());
            }
            (Type::DateTime, Value::String(text)) => is_date_time(text),
            (Type::Binary, Value::String(text)) => is_base64(text),
            (Type::String | Type::Reference, Value::String(_)) => true,
            _ => false,
        };
        if good { Ok(value.clone()) } else { Err(mistyped(path, attribute)) }
    }
}

/// Whether a value means that the attribute has none (RFC 7643 section 2.5).
pub(crate) fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.iter().all(Value::is_null),
        _ => false,
    }
}

/// Enough of a client's name to find it again, in one line.
pub(crate) fn quote(name: &str) -> String {
    name.chars().take(100).map(|c| if c.is_control() || c == '`' { ' ' } else { c }).collect()
}

pub(crate) fn invalid(detail: impl Into<String>) -> ScimError {
    ScimError::new(Kind::InvalidValue, detail)
}

pub(crate) fn too_many(path: &str) -> ScimError {
    ScimError::new(Kind::TooLarge, format!("`{path}` has more than {MOST_VALUES} values"))
}

/// An element says that there is no value by sending an empty one, whatever else it says about it.
fn is_emptied(attribute: &Attribute, element: &Value) -> bool {
    let no_value = |object: &Map<String, Value>| {
        object.iter().any(|(key, value)| key.eq_ignore_ascii_case("value") && is_absent(value))
    };
    is_absent(element) || (attribute.sub("value").is_some() && element.as_object().is_some_and(no_value))
}

fn mistyped(path: &str, attribute: &Attribute) -> ScimError {
    let kind = match attribute.kind {
        Type::String => "a string",
        Type::Boolean => "true or false",
        Type::Decimal => "a number",
        Type::Integer => "a whole number",
        Type::DateTime => "a date and time such as `2008-01-23T04:56:22Z`",
        Type::Binary => "text in base64",
        Type::Reference => "a string with a URI",
        Type::Complex => "an object",
    };
    let each = if attribute.multi_valued { "each value of " } else { "" };
    invalid(format!("{each}`{path}` must be {kind}"))
}

fn truth(text: &str) -> Option<bool> {
    [("true", true), ("false", false)]
        .into_iter()
        .find_map(|(name, value)| name.eq_ignore_ascii_case(text.trim()).then_some(value))
}

/// `xsd:dateTime`, whose time zone may be missing.
fn is_date_time(text: &str) -> bool {
    OffsetDateTime::parse(text, &Rfc3339).is_ok() || OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339).is_ok()
}

fn is_base64(text: &str) -> bool {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let bare: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    LENIENT.decode(bare).is_ok()
}
