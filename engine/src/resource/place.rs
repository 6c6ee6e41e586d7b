//! Where a name in a body leads: the core schema, an extension, or an attribute.

use serde_json::{Map, Value};

use crate::error::ScimError;
use crate::path::{AttrPath, Target};
use crate::schema::{ResourceType, Schema};

/// What a name means in a resource type.
pub(crate) enum Place<'a> {
    /// The core schema, by its URN.
    Core,
    /// An extension, by its URN.
    Extension(&'a Schema),
    /// An attribute, perhaps a part of it: `active`, `name.givenName`, `urn:…:User:department`.
    Attribute(Target<'a>),
}

/// Finds a name, in any case of letters.
pub(crate) fn locate<'a>(resource_type: &'a ResourceType, name: &str) -> Option<Place<'a>> {
    schema_named(resource_type, name)
        .or_else(|| Some(Place::Attribute(AttrPath::parse(name).ok()?.resolve(resource_type)?)))
}

/// The schema whose URN a name is.
pub(crate) fn schema_named<'a>(resource_type: &'a ResourceType, name: &str) -> Option<Place<'a>> {
    if name.eq_ignore_ascii_case(&resource_type.schema.id) {
        return Some(Place::Core);
    }
    resource_type.extensions.iter().find(|schema| schema.id.eq_ignore_ascii_case(name)).map(Place::Extension)
}

/// The name of an attribute for messages, without its sub-attribute.
pub(crate) fn name(target: &Target<'_>) -> String {
    match target.extension {
        Some(extension) => format!("{}:{}", extension.id, target.attribute.name),
        None => target.attribute.name.clone(),
    }
}

/// Works on the object that holds a schema's attributes: the resource itself, or the extension in it, which
/// appears with its first attribute and goes with its last.
pub(crate) fn within<T>(
    resource: &mut Map<String, Value>,
    extension: Option<&Schema>,
    work: impl FnOnce(&mut Map<String, Value>) -> Result<T, ScimError>,
) -> Result<T, ScimError> {
    let Some(extension) = extension else { return work(resource) };
    let mut container = match resource.get_mut(&extension.id).map(Value::take) {
        Some(Value::Object(container)) => container,
        _ => Map::new(),
    };
    let result = work(&mut container)?;
    if container.is_empty() {
        resource.shift_remove(&extension.id);
    } else {
        resource.insert(extension.id.clone(), container.into());
    }
    Ok(result)
}
