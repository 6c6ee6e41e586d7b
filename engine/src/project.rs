//! Projection: which attributes a response carries (RFC 7644 section 3.9).
//!
//! ```
//! use scim_engine::{project::Projection, schema::Registry};
//! let mut user = serde_json::json!({ "id": "1", "userName": "b", "name": { "familyName": "J", "givenName": "B" } });
//! let projection = Projection::new(&["NAME.familyname".to_owned()], &[]).unwrap();
//! projection.apply(&Registry::shared().user, user.as_object_mut().unwrap());
//! assert_eq!(user, serde_json::json!({ "id": "1", "name": { "familyName": "J" } }));
//! ```

use std::ptr;

use serde_json::{Map, Value};

use crate::error::{Kind, ScimError};
use crate::path::{AttrPath, Target};
use crate::schema::{Attribute, ResourceType, Returned, Schema, common_attribute};

/// What a client asked to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projection {
    mode: Mode,
    paths: Vec<AttrPath>,
}

/// What the paths of a request are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// Nothing asked: what is returned by default.
    #[default]
    Default,
    /// `attributes`: these and what is always returned.
    Only,
    /// `excludedAttributes`: the default without these.
    Without,
}

impl Projection {
    /// From the comma-separated (or listed) `attributes` and `excludedAttributes` of a request. Names that no
    /// schema knows are ignored, as they may belong to another resource type.
    ///
    /// # Errors
    /// Both at once is `invalidValue`.
    pub fn new(attributes: &[String], excluded: &[String]) -> Result<Self, ScimError> {
        let (attributes, excluded) = (names(attributes), names(excluded));
        let (mode, names) = match (attributes.is_empty(), excluded.is_empty()) {
            (true, true) => (Mode::Default, attributes),
            (false, true) => (Mode::Only, attributes),
            (true, false) => (Mode::Without, excluded),
            (false, false) => {
                let detail = "`attributes` and `excludedAttributes` exclude each other";
                return Err(ScimError::new(Kind::InvalidValue, detail));
            }
        };
        let paths = names.into_iter().filter_map(|name| AttrPath::parse(name).ok()).collect();
        Ok(Self { mode, paths })
    }

    /// Whether an attribute (such as `members` or `groups`) can appear at all: if not, it need not be loaded.
    pub fn wants(&self, resource_type: &ResourceType, attribute: &str) -> bool {
        let Some(target) = AttrPath::parse(attribute).ok().and_then(|path| path.resolve(resource_type)) else {
            return false;
        };
        let schema = target.extension.unwrap_or(&resource_type.schema);
        let selection = self.selection(resource_type);
        selection.keeps(schema, target.attribute)
            && target.sub.is_none_or(|sub| selection.keeps_sub(schema, target.attribute, sub))
    }

    /// Removes what the response must not carry, and what no schema knows. An object or list that this
    /// leaves empty goes too.
    pub fn apply(&self, resource_type: &ResourceType, resource: &mut Map<String, Value>) {
        let selection = self.selection(resource_type);
        let core = &resource_type.schema;
        resource.retain(|name, value| {
            if let Some(extension) = resource_type.find_extension(name) {
                return prune(value, |name, value| selection.retains(extension, extension.attribute(name), value));
            }
            selection.retains(core, core.attribute(name).or_else(|| common_attribute(name)), value)
        });
    }

    fn selection<'a>(&self, resource_type: &'a ResourceType) -> Selection<'a> {
        let named = |path: &AttrPath| {
            let core = &resource_type.schema;
            if let Some(extension) = path.extension(resource_type) {
                Some(Named::Schema(extension))
            } else if path.to_string().eq_ignore_ascii_case(&core.id) {
                Some(Named::Schema(core))
            } else {
                path.resolve(resource_type).map(Named::Attribute)
            }
        };
        Selection { mode: self.mode, named: self.paths.iter().filter_map(named).collect() }
    }
}

/// The names in a request's parameter, given as a list, with commas, or both.
fn names(parameter: &[String]) -> Vec<&str> {
    parameter.iter().flat_map(|part| part.split(',')).map(str::trim).filter(|name| !name.is_empty()).collect()
}

/// A projection for one resource type.
struct Selection<'a> {
    mode: Mode,
    named: Vec<Named<'a>>,
}

enum Named<'a> {
    /// All attributes of a schema.
    Schema(&'a Schema),
    Attribute(Target<'a>),
}

impl Selection<'_> {
    /// Whether a value stays; its sub-attributes are removed on the way.
    fn retains(&self, schema: &Schema, attribute: Option<&Attribute>, value: &mut Value) -> bool {
        let Some(attribute) = attribute else { return false };
        self.keeps(schema, attribute)
            && (attribute.sub_attributes.is_empty()
                || prune(value, |name, _| {
                    attribute.sub(name).is_some_and(|sub| self.keeps_sub(schema, attribute, sub))
                }))
    }

    fn keeps(&self, schema: &Schema, attribute: &Attribute) -> bool {
        match (attribute.returned, self.mode) {
            (Returned::Never, _) => false,
            (Returned::Always, _) | (Returned::Default, Mode::Default) => true,
            (Returned::Default, Mode::Only) => self.names(schema, attribute) || self.names_part(attribute),
            (Returned::Default, Mode::Without) => !self.names(schema, attribute),
            (Returned::Request, Mode::Only) => self.names_itself(attribute) || self.names_part(attribute),
            (Returned::Request, Mode::Default | Mode::Without) => false,
        }
    }

    fn keeps_sub(&self, schema: &Schema, attribute: &Attribute, sub: &Attribute) -> bool {
        match (sub.returned, self.mode) {
            (Returned::Never, _) => false,
            (Returned::Always, _) | (Returned::Default, Mode::Default) => true,
            (Returned::Default, Mode::Only) => {
                self.names(schema, attribute) || self.names_sub(sub) || !self.names_part(attribute)
            }
            (Returned::Default, Mode::Without) => !self.names_sub(sub),
            (Returned::Request, Mode::Only) => self.names_sub(sub),
            (Returned::Request, Mode::Default | Mode::Without) => false,
        }
    }

    /// By itself or with its whole schema.
    fn names(&self, schema: &Schema, attribute: &Attribute) -> bool {
        let of_schema = |named: &Named<'_>| match named {
            Named::Schema(named) => ptr::eq(*named, schema) && schema.attributes.iter().any(|a| ptr::eq(a, attribute)),
            Named::Attribute(_) => false,
        };
        self.names_itself(attribute) || self.named.iter().any(of_schema)
    }

    fn names_itself(&self, attribute: &Attribute) -> bool {
        self.targets().any(|target| ptr::eq(target.attribute, attribute) && target.sub.is_none())
    }

    fn names_part(&self, attribute: &Attribute) -> bool {
        self.targets().any(|target| ptr::eq(target.attribute, attribute) && target.sub.is_some())
    }

    fn names_sub(&self, sub: &Attribute) -> bool {
        self.targets().any(|target| target.sub.is_some_and(|named| ptr::eq(named, sub)))
    }

    fn targets(&self) -> impl Iterator<Item = &Target<'_>> {
        self.named.iter().filter_map(|named| match named {
            Named::Attribute(target) => Some(target),
            Named::Schema(_) => None,
        })
    }
}

/// Removes entries of an object, or of each object in a list; whether the value stays, that is, was not emptied so.
fn prune(value: &mut Value, mut keep: impl FnMut(&str, &mut Value) -> bool) -> bool {
    match value {
        Value::Array(elements) => {
            let had_any = !elements.is_empty();
            elements.retain_mut(|element| prune_object(element, &mut keep));
            !(had_any && elements.is_empty())
        }
        _ => prune_object(value, &mut keep),
    }
}

fn prune_object(value: &mut Value, keep: &mut impl FnMut(&str, &mut Value) -> bool) -> bool {
    let Some(object) = value.as_object_mut() else { return false };
    let had_any = !object.is_empty();
    object.retain(|name, value| keep(name, value));
    !(had_any && object.is_empty())
}
