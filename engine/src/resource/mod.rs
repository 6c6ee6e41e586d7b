//! Resources as clients send them, checked against their schema (RFC 7643 sections 2 and 3).
//!
//! What an identity provider sends is brought to the RFC's form where its meaning is plain, and refused where
//! it is not. Nothing that no schema knows is ever stored.

pub(crate) mod list;
pub(crate) mod place;
pub(crate) mod read;
#[cfg(test)]
pub(crate) mod tests;

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::error::{Kind, ScimError};
use crate::path::Target;
use crate::schema::{Attribute, Mutability, ResourceType, Returned, Schema, Type};
use place::Place;
use read::{Reader, is_absent, quote};

/// A client's resource in the RFC's form: names spelt as the schema spells them, values of their types.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accepted {
    /// `schemas` first, then attributes; no read-only, no `returned: never`, no null or empty values.
    pub resource: Map<String, Value>,
    /// Names left out because no schema knows them.
    pub unknown: Vec<String>,
    /// IdP forms that were normalised, such as `boolean as text`, for the provisioning log.
    pub normalised: Vec<&'static str>,
}

/// Reads the body of a POST or PUT.
///
/// A group's `members` stay in the resource, as objects with a string `value`; the caller takes them out.
/// [`check`] then says whether the resource is whole.
///
/// # Errors
/// `invalidSyntax` for a body that is no object or names another schema, `invalidValue` for a value that is not
/// of its attribute's type and, when `strict`, for an unknown attribute; 413 for an attribute with too many values.
pub fn accept(resource_type: &ResourceType, body: &Value, strict: bool) -> Result<Accepted, ScimError> {
    let Value::Object(body) = body else {
        return Err(ScimError::new(Kind::InvalidSyntax, "a resource must be a JSON object"));
    };
    let mut reader = Reader::new(strict);
    check_schemas(&mut reader, resource_type, body)?;
    let mut draft = Draft { resource_type, reader, resource: Map::new() };
    for (key, value) in body {
        draft.take(key, value, true)?;
    }
    let Draft { reader, mut resource, .. } = draft;
    set_schemas(resource_type, &mut resource);
    Ok(Accepted { resource, unknown: reader.unknown, normalised: reader.normalised })
}

/// Refuses a resource that lacks a required attribute.
///
/// # Errors
/// `invalidValue`, naming the attribute.
pub fn check(resource_type: &ResourceType, resource: &Map<String, Value>) -> Result<(), ScimError> {
    require("", &resource_type.schema.attributes, resource)?;
    for extension in &resource_type.extensions {
        if let Some(Value::Object(inner)) = resource.get(&extension.id) {
            require(&format!("{}:", extension.id), &extension.attributes, inner)?;
        }
    }
    Ok(())
}

/// For PUT (RFC 7644 section 3.5.1): an immutable value that `stored` has and `resource` does not is kept.
///
/// # Errors
/// `mutability` when `resource` gives such an attribute another value.
pub fn retain_immutable(
    resource_type: &ResourceType,
    stored: &Map<String, Value>,
    resource: &mut Map<String, Value>,
) -> Result<(), ScimError> {
    for (extension, path, attribute, value) in written_once(resource_type, stored) {
        place::within(resource, extension, |container| match container.get(&attribute.name) {
            Some(new) if new != value => Err(unchangeable(&path)),
            Some(_) => Ok(()),
            None => {
                container.insert(attribute.name.clone(), value.clone());
                Ok(())
            }
        })?;
    }
    set_schemas(resource_type, resource);
    Ok(())
}

/// For PATCH: an immutable value that `stored` has can neither change nor go.
pub(crate) fn check_immutable(
    resource_type: &ResourceType,
    stored: &Map<String, Value>,
    resource: &Map<String, Value>,
) -> Result<(), ScimError> {
    for (extension, path, attribute, value) in written_once(resource_type, stored) {
        let container = match extension {
            Some(extension) => resource.get(&extension.id).and_then(Value::as_object),
            None => Some(resource),
        };
        if container.and_then(|container| container.get(&attribute.name)) != Some(value) {
            return Err(unchangeable(&path));
        }
    }
    Ok(())
}

/// A stored value of an immutable attribute: where it is, its full name, its definition, itself.
type WrittenOnce<'a> = (Option<&'a Schema>, String, &'a Attribute, &'a Value);

fn written_once<'a>(resource_type: &'a ResourceType, stored: &'a Map<String, Value>) -> Vec<WrittenOnce<'a>> {
    let extensions = resource_type.extensions.iter().filter_map(|extension| {
        let inner = stored.get(&extension.id)?.as_object()?;
        Some((Some(extension), &extension.attributes, inner))
    });
    let mut found = Vec::new();
    for (extension, attributes, object) in
        std::iter::once((None, &resource_type.schema.attributes, stored)).chain(extensions)
    {
        for attribute in attributes.iter().filter(|attribute| attribute.mutability == Mutability::Immutable) {
            if let Some(value) = object.get(&attribute.name) {
                let path = place::name(&Target { extension, attribute, sub: None });
                found.push((extension, path, attribute, value));
            }
        }
    }
    found
}

fn unchangeable(path: &str) -> ScimError {
    ScimError::new(Kind::Mutability, format!("`{path}` cannot be changed once it is set"))
}

/// Lists the core schema and every extension that is really there, first in the resource.
pub(crate) fn set_schemas(resource_type: &ResourceType, resource: &mut Map<String, Value>) {
    let extensions = resource_type.extensions.iter().filter(|extension| resource.contains_key(&extension.id));
    let schemas: Vec<&str> =
        std::iter::once(&resource_type.schema).chain(extensions).map(|schema| schema.id.as_str()).collect();
    let schemas = json!(schemas);
    if resource.get("schemas") != Some(&schemas) {
        resource.shift_remove("schemas");
        resource.shift_insert(0, "schemas".into(), schemas);
    }
}

/// Whether values of an attribute are kept at all: a password is not.
pub(crate) fn is_stored(attribute: &Attribute) -> bool {
    attribute.returned != Returned::Never && attribute.mutability != Mutability::WriteOnly
}

/// Whether an attribute is a group's list of members, which is kept apart from the group.
pub(crate) fn is_members(resource_type: &ResourceType, target: &Target<'_>) -> bool {
    resource_type.name == "Group" && target.extension.is_none() && target.attribute.name == "members"
}

/// A resource in the making.
struct Draft<'a> {
    resource_type: &'a ResourceType,
    reader: Reader,
    resource: Map<String, Value>,
}

impl<'a> Draft<'a> {
    /// One member of the body; only a body itself (`top`) holds extensions.
    fn take(&mut self, key: &str, value: &Value, top: bool) -> Result<(), ScimError> {
        match place::locate(self.resource_type, key) {
            Some(Place::Attribute(target)) => self.set(target, value),
            Some(_) if top && is_absent(value) => Ok(()),
            Some(Place::Core) if top => {
                object(key, value)?.iter().try_for_each(|(key, value)| self.take(key, value, false))
            }
            Some(Place::Extension(schema)) if top => object(key, value)?
                .iter()
                .try_for_each(|(key, value)| self.take(&format!("{}:{key}", schema.id), value, false)),
            _ => self.reader.unknown(key),
        }
    }

    fn set(&mut self, target: Target<'a>, value: &Value) -> Result<(), ScimError> {
        let attribute = target.attribute;
        if is_ignored(&target) {
            return Ok(());
        }
        if is_members(self.resource_type, &target) && target.sub.is_none() {
            let members = self.reader.members(value)?.into_iter().map(Value::Object).collect::<Vec<_>>();
            if !members.is_empty() {
                self.resource.insert("members".into(), members.into());
            }
            return Ok(());
        }
        let path = place::name(&target);
        let value = match target.sub {
            Some(sub) => Cow::Owned(json!({ (sub.name.as_str()): value })),
            None => Cow::Borrowed(value),
        };
        let read = self.reader.attribute(&path, attribute, &value)?;
        let Some(read) = read.filter(|_| is_stored(attribute)) else { return Ok(()) };
        place::within(&mut self.resource, target.extension, |container| {
            match (container.get_mut(&attribute.name), read) {
                (Some(Value::Object(known)), Value::Object(more)) => known.extend(more),
                (_, read) => drop(container.insert(attribute.name.clone(), read)),
            }
            Ok(())
        })
    }
}

/// Whether a value is the server's to give, so that what a client sends is passed over.
pub(crate) fn is_ignored(target: &Target<'_>) -> bool {
    let common = |name: &str| target.extension.is_none() && target.attribute.name == name;
    is_read_only(target) || common("schemas") || common("id") || common("meta")
}

/// Whether an attribute or the part of it is the server's.
pub(crate) fn is_read_only(target: &Target<'_>) -> bool {
    [Some(target.attribute), target.sub].into_iter().flatten().any(|part| part.mutability == Mutability::ReadOnly)
}

fn object<'v>(key: &str, value: &'v Value) -> Result<&'v Map<String, Value>, ScimError> {
    value.as_object().ok_or_else(|| ScimError::new(Kind::InvalidValue, format!("`{}` must be an object", quote(key))))
}

/// `schemas` may be missing, and may name more than there is, but not another schema in place of this one.
fn check_schemas(
    reader: &mut Reader,
    resource_type: &ResourceType,
    body: &Map<String, Value>,
) -> Result<(), ScimError> {
    let core = &resource_type.schema.id;
    let given =
        body.iter().find(|(key, _)| key.eq_ignore_ascii_case("schemas")).map_or(&Value::Null, |(_, given)| given);
    if is_absent(given) {
        reader.note("`schemas` missing");
        return Ok(());
    }
    let listed = match given {
        Value::Array(listed) => listed.as_slice(),
        single => std::slice::from_ref(single),
    };
    let refused = || ScimError::new(Kind::InvalidSyntax, format!("`schemas` must name `{core}`"));
    let names: Option<Vec<&str>> = listed.iter().map(Value::as_str).collect();
    let names = names.ok_or_else(refused)?;
    if names.iter().any(|name| name.eq_ignore_ascii_case(core)) {
        return Ok(());
    }
    let mut extensions = resource_type.extensions.iter().map(|extension| extension.id.as_str());
    if extensions.any(|extension| names.iter().any(|name| name.eq_ignore_ascii_case(extension))) {
        reader.note("core schema not named");
        return Ok(());
    }
    Err(refused())
}

fn require(prefix: &str, attributes: &[Attribute], object: &Map<String, Value>) -> Result<(), ScimError> {
    for attribute in attributes {
        let value = object.get(&attribute.name);
        let blank = match value {
            None => true,
            Some(Value::String(text)) => text.trim().is_empty(),
            Some(value) => is_absent(value),
        };
        let expected = attribute.required && attribute.mutability != Mutability::ReadOnly && is_stored(attribute);
        let path = format!("{prefix}{}", attribute.name);
        if expected && blank {
            return Err(ScimError::new(Kind::InvalidValue, format!("`{path}` is required")));
        }
        if attribute.kind != Type::Complex {
            continue;
        }
        let parts = match value {
            Some(Value::Array(list)) => list.as_slice(),
            Some(single) => std::slice::from_ref(single),
            None => &[],
        };
        for part in parts.iter().filter_map(Value::as_object) {
            require(&format!("{path}."), &attribute.sub_attributes, part)?;
        }
    }
    Ok(())
}
