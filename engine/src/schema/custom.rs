//! Custom extension schemas, read from the JSON form of RFC 7643 section 7.

use serde_json::{Map, Value};

use super::{Attribute, GROUP, Mutability, Returned, Schema, Type, USER, Uniqueness};
use crate::error::{Kind, ScimError};
use crate::path::{is_name, is_urn};

/// Attributes and sub-attributes one custom schema may define.
const MOST_ATTRIBUTES: usize = 500;

/// Reads a custom extension schema. Absent characteristics have the RFC's defaults, unknown keys are ignored.
///
/// # Errors
/// `invalidValue`, whose text names the field, as in `attributes[2].type`.
pub fn custom(value: &Value) -> Result<Schema, ScimError> {
    let fields = Fields::of(value, "")?;
    let id = fields.text("id")?.ok_or_else(|| fields.refusal("id", "is required"))?;
    if !is_urn(id) || [USER, GROUP].iter().any(|core| core.eq_ignore_ascii_case(id)) {
        return Err(fields.refusal("id", "must be the URN of an extension"));
    }
    let name = fields.text("name")?.or_else(|| id.rsplit(':').next()).unwrap_or_default();
    let attributes = fields.attributes("attributes", true)?;
    let count: usize = attributes.iter().map(|attribute| 1 + attribute.sub_attributes.len()).sum();
    if attributes.is_empty() || count > MOST_ATTRIBUTES {
        return Err(fields.refusal("attributes", &format!("must define 1 to {MOST_ATTRIBUTES} attributes")));
    }
    let description = fields.text("description")?.unwrap_or_default().into();
    Ok(Schema { id: id.into(), name: name.into(), description, attributes })
}

/// A JSON object and where it stands, for error texts.
struct Fields<'a> {
    object: &'a Map<String, Value>,
    place: String,
}

impl<'a> Fields<'a> {
    fn of(value: &'a Value, place: &str) -> Result<Self, ScimError> {
        let Some(object) = value.as_object() else {
            let what = if place.is_empty() { "a schema" } else { place.trim_end_matches('.') };
            return Err(ScimError::new(Kind::InvalidValue, format!("`{what}` must be an object")));
        };
        Ok(Self { object, place: place.into() })
    }

    fn get(&self, field: &str) -> Option<&'a Value> {
        self.object.get(field).filter(|value| !value.is_null())
    }

    fn refusal(&self, field: &str, why: &str) -> ScimError {
        ScimError::new(Kind::InvalidValue, format!("`{}{field}` {why}", self.place))
    }

    fn text(&self, field: &str) -> Result<Option<&'a str>, ScimError> {
        let read = |value: &'a Value| value.as_str().ok_or_else(|| self.refusal(field, "must be a string"));
        self.get(field).map(read).transpose()
    }

    fn flag(&self, field: &str, default: bool) -> Result<bool, ScimError> {
        let read = |value: &Value| value.as_bool().ok_or_else(|| self.refusal(field, "must be `true` or `false`"));
        self.get(field).map_or(Ok(default), read)
    }

    fn list(&self, field: &str) -> Result<&'a [Value], ScimError> {
        match self.get(field) {
            None => Ok(&[]),
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(self.refusal(field, "must be a list")),
        }
    }

    fn texts(&self, field: &str) -> Result<Vec<String>, ScimError> {
        let text = |value: &Value| value.as_str().map(Into::into);
        let texts: Option<_> = self.list(field)?.iter().map(text).collect();
        texts.ok_or_else(|| self.refusal(field, "must hold only strings"))
    }

    /// One of the names of a characteristic, or its default.
    fn one_of<T>(&self, field: &str, named: fn(&str) -> Option<T>, names: &str, default: T) -> Result<T, ScimError> {
        match self.text(field)? {
            None => Ok(default),
            Some(text) => named(text).ok_or_else(|| self.refusal(field, &format!("must be one of {names}"))),
        }
    }

    fn attributes(&self, field: &str, complex: bool) -> Result<Vec<Attribute>, ScimError> {
        let mut attributes: Vec<Attribute> = Vec::new();
        for (at, value) in self.list(field)?.iter().enumerate().take(MOST_ATTRIBUTES + 1) {
            let place = format!("{}{field}[{at}].", self.place);
            let fields = Fields::of(value, &place)?;
            let attribute = fields.attribute(complex)?;
            if attributes.iter().any(|other| other.name.eq_ignore_ascii_case(&attribute.name)) {
                return Err(fields.refusal("name", "is defined twice"));
            }
            attributes.push(attribute);
        }
        Ok(attributes)
    }

    fn attribute(&self, complex: bool) -> Result<Attribute, ScimError> {
        let name = self.text("name")?.filter(|name| is_name(name));
        let name = name.ok_or_else(|| self.refusal("name", "must be an attribute name"))?;
        let kind = self.one_of("type", Type::named, Type::NAMES, Type::String)?;
        let sub_attributes = match kind {
            Type::Complex if !complex => return Err(self.refusal("type", "cannot be `complex` in a sub-attribute")),
            Type::Complex => self.attributes("subAttributes", false)?,
            _ => Vec::new(),
        };
        if kind == Type::Complex && sub_attributes.is_empty() {
            return Err(self.refusal("subAttributes", "must not be empty"));
        }
        // Dates, binary values and references heed case whatever a schema says (RFC 7643 section 2.3).
        let exact = matches!(kind, Type::DateTime | Type::Binary | Type::Reference);
        let attribute = Attribute {
            name: name.into(),
            kind,
            multi_valued: self.flag("multiValued", false)?,
            description: self.text("description")?.unwrap_or_default().into(),
            required: self.flag("required", false)?,
            canonical_values: self.texts("canonicalValues")?,
            case_exact: self.flag("caseExact", false)? || exact,
            mutability: self.one_of("mutability", Mutability::named, Mutability::NAMES, Mutability::ReadWrite)?,
            returned: self.one_of("returned", Returned::named, Returned::NAMES, Returned::Default)?,
            uniqueness: self.one_of("uniqueness", Uniqueness::named, Uniqueness::NAMES, Uniqueness::None)?,
            reference_types: self.texts("referenceTypes")?,
            sub_attributes,
        };
        if attribute.mutability == Mutability::WriteOnly && attribute.returned != Returned::Never {
            return Err(self.refusal("returned", "must be `never` for a `writeOnly` attribute"));
        }
        Ok(attribute)
    }
}
