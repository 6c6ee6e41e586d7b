//! PATCH (RFC 7644 section 3.5.2), and the forms identity providers give it.
//!
//! A request is applied to a copy, operation by operation, so that an error changes nothing. A group's members
//! never pass through here: operations on them become [`MemberChange`]s.
//!
//! Two readings go beyond the RFC, because clients depend on them: `add` and `replace` through
//! `emails[type eq "work"].value` create the element they name when there is none, and a `remove` of a
//! multi-valued attribute with a `value` removes only what that lists.

mod attribute;
mod members;
mod operation;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use crate::env::Limits;
use crate::error::{Kind, ScimError};
use crate::filter::Filter;
use crate::path::{PatchPath, Target};
use crate::resource::place::{self, Place, schema_named};
use crate::resource::read::{Reader, invalid, is_absent, quote};
use crate::resource::{self, is_ignored, is_members, is_read_only};
use crate::schema::{ResourceType, Schema};
use operation::{Op, Operation};

/// Comparisons and visits of elements that one request may cost, so that many filters over long lists cannot
/// hold up a guest; over it, 413. An identity provider's largest requests need some thousands.
const MOST_VISITS: usize = 200_000;

/// The outcome of a PATCH on a resource without its members.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patched {
    /// The resource as it shall be stored.
    pub resource: Map<String, Value>,
    /// Changes of a group's `members`, in order; they never pass through the resource, so a group is
    /// changed without being read whole.
    pub members: Vec<MemberChange>,
    /// Names left out because no schema knows them.
    pub unknown: Vec<String>,
    /// IdP forms that were normalised, for the provisioning log.
    pub normalised: Vec<&'static str>,
}

/// One change of a group's members. A member is an object with at least a string `value`.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberChange {
    /// Add these; one that is a member already takes on the sub-attributes given.
    Add(Vec<Map<String, Value>>),
    /// Remove these ids; those that are no members do not matter.
    Remove(Vec<String>),
    /// Remove every member that meets the filter; `noTarget` when none does.
    RemoveMatching(Filter),
    /// Set these sub-attributes, `type` or `display`, of the members that meet the filter; `noTarget` when none does.
    Update(Filter, Map<String, Value>),
    /// These and no others.
    Replace(Vec<Map<String, Value>>),
}

/// Applies the body of a PATCH request to a resource; atomic: an error changes nothing.
///
/// The resource that comes back meets [`resource::check`].
///
/// # Errors
/// As RFC 7644 section 3.12: `invalidSyntax` for what is no PATCH request, `invalidPath`, `invalidFilter`,
/// `noTarget`, `mutability`, `invalidValue`; 413 for too many operations or values.
pub fn apply(
    resource_type: &ResourceType,
    resource: &Map<String, Value>,
    body: &Value,
    strict: bool,
    limits: &Limits,
) -> Result<Patched, ScimError> {
    let mut reader = Reader::new(strict);
    let operations = operation::parse(&mut reader, body, limits)?;
    let mut patch = Patch { resource_type, limits, reader, resource: resource.clone(), members: Vec::new(), visits: 0 };
    for (index, operation) in operations.iter().enumerate() {
        patch.run(operation).map_err(|error| match operations.len() {
            1 => error,
            _ => ScimError::new(error.kind, format!("operation {}: {}", index + 1, error.detail)),
        })?;
    }
    let Patch { reader, resource: mut patched, members, .. } = patch;
    resource::check_immutable(resource_type, resource, &patched)?;
    resource::set_schemas(resource_type, &mut patched);
    resource::check(resource_type, &patched)?;
    Ok(Patched { resource: patched, members, unknown: reader.unknown, normalised: reader.normalised })
}

/// A request being applied.
struct Patch<'a> {
    resource_type: &'a ResourceType,
    limits: &'a Limits,
    reader: Reader,
    resource: Map<String, Value>,
    members: Vec<MemberChange>,
    visits: usize,
}

/// The attribute, or the part of it, or of some of its elements, that an operation acts on.
struct Site<'a> {
    target: Target<'a>,
    filter: Option<Filter>,
}

impl<'a> Patch<'a> {
    fn run(&mut self, operation: &Operation<'_>) -> Result<(), ScimError> {
        let Operation { op, path, value } = *operation;
        let Some(path) = path else { return self.whole(op, value) };
        match schema_named(self.resource_type, path) {
            Some(Place::Core) => self.whole(op, value),
            Some(Place::Extension(schema)) => self.extension(op, schema, value),
            _ => {
                let site = self.site(path)?;
                self.at(op, &site, value)
            }
        }
    }

    /// An operation without a path.
    fn whole(&mut self, op: Op, value: Option<&Value>) -> Result<(), ScimError> {
        match (op, value) {
            (Op::Remove, Some(Value::Object(object))) if self.names_only_members(object) => {
                self.reader.note("remove without a path");
                self.object(op, "", object)
            }
            (Op::Remove, _) => Err(ScimError::new(Kind::NoTarget, "a `remove` needs a `path`")),
            (_, Some(Value::Object(object))) => self.object(op, "", object),
            _ => Err(invalid("an operation without a `path` needs an object as its `value`")),
        }
    }

    fn extension(&mut self, op: Op, schema: &'a Schema, value: Option<&Value>) -> Result<(), ScimError> {
        match (op, value) {
            (Op::Add | Op::Replace, Some(Value::Object(object))) => self.object(op, &format!("{}:", schema.id), object),
            (Op::Add | Op::Replace, None) => Err(operation::no_value()),
            (Op::Add | Op::Replace, Some(value)) if !is_absent(value) => {
                Err(invalid(format!("`{}` must be an object", schema.id)))
            }
            _ => {
                self.resource.shift_remove(&schema.id);
                Ok(())
            }
        }
    }

    /// Each name of a value object is a path of its own; what the server sets itself is passed over, and what
    /// no schema knows is left out.
    fn object(&mut self, op: Op, prefix: &str, object: &Map<String, Value>) -> Result<(), ScimError> {
        for (key, value) in object {
            let name = format!("{prefix}{key}");
            match schema_named(self.resource_type, &name) {
                Some(Place::Core) if prefix.is_empty() => match value {
                    Value::Object(inner) => self.object(op, &format!("{name}:"), inner)?,
                    _ => return Err(invalid(format!("`{}` must be an object", quote(key)))),
                },
                Some(Place::Extension(schema)) if prefix.is_empty() => self.extension(op, schema, Some(value))?,
                _ => match self.site(&name) {
                    Ok(site) if is_ignored(&site.target) => {}
                    Ok(site) => {
                        if key.contains(['.', ':', '[']) {
                            self.reader.note("path as a name in a value");
                        }
                        self.at(op, &site, Some(value))?;
                    }
                    Err(_) => self.reader.unknown(&name)?,
                },
            }
        }
        Ok(())
    }

    /// One operation at one place.
    fn at(&mut self, op: Op, site: &Site<'a>, value: Option<&Value>) -> Result<(), ScimError> {
        let target = &site.target;
        if target.extension.is_none() && target.attribute.name == "schemas" {
            return Ok(());
        }
        if is_read_only(target) || is_ignored(target) {
            return Err(mutability(&site.path(), "is read-only"));
        }
        if op != Op::Remove && value.is_none() {
            return Err(operation::no_value());
        }
        if is_members(self.resource_type, target) {
            self.members.extend(members::change(&mut self.reader, op, site, value)?);
            return Ok(());
        }
        let Self { reader, resource, visits, .. } = self;
        place::within(resource, target.extension, |container| {
            let elements = container.get(&target.attribute.name).and_then(Value::as_array).map_or(0, Vec::len);
            *visits += elements * site.filter.as_ref().map_or(1, terms);
            if *visits > MOST_VISITS {
                return Err(ScimError::new(Kind::TooLarge, "the operations visit too many values"));
            }
            match (op, value) {
                (Op::Remove, value) => attribute::remove(reader, container, site, value),
                (Op::Add | Op::Replace, value) => {
                    attribute::write(reader, container, site, op, value.unwrap_or(&Value::Null))
                }
            }
        })
    }

    /// What a path means here; `invalidPath` when it means nothing.
    fn site(&self, text: &str) -> Result<Site<'a>, ScimError> {
        let refused = || ScimError::new(Kind::InvalidPath, format!("`{}` is not a path in this resource", quote(text)));
        let path = PatchPath::parse(text, self.limits)?;
        let mut target = path.attribute.resolve(self.resource_type).ok_or_else(refused)?;
        if let Some(sub) = &path.sub {
            target.sub = Some(target.attribute.sub(sub).ok_or_else(refused)?);
        }
        if let Some(filter) = &path.filter {
            if !target.attribute.multi_valued {
                return Err(refused());
            }
            filter.check_element(target.attribute)?;
        }
        Ok(Site { target, filter: path.filter })
    }

    fn names_only_members(&self, object: &Map<String, Value>) -> bool {
        !object.is_empty()
            && object.keys().all(|key| {
                self.site(key).is_ok_and(|site| is_members(self.resource_type, &site.target) && site.filter.is_none())
            })
    }
}

impl Site<'_> {
    /// The attribute's name, for messages.
    fn attribute_path(&self) -> String {
        place::name(&self.target)
    }

    /// The name of the attribute and the part of it, for messages.
    fn path(&self) -> String {
        let attribute = self.attribute_path();
        self.target.sub.map_or(attribute.clone(), |sub| format!("{attribute}.{}", sub.name))
    }
}

/// The comparisons of a filter.
fn terms(filter: &Filter) -> usize {
    match filter {
        Filter::And(left, right) | Filter::Or(left, right) => terms(left) + terms(right),
        Filter::Not(inner) | Filter::Element(_, inner) => terms(inner),
        Filter::Compare(..) | Filter::Present(_) => 1,
    }
}

fn mutability(path: &str, why: &str) -> ScimError {
    ScimError::new(Kind::Mutability, format!("`{path}` {why}"))
}
