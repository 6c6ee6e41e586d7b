//! Writes: create, replace, patch, delete. Every check comes before the first write, so a refused operation of a
//! Bulk request leaves nothing behind in the transaction it shares.

use serde_json::{Map, Value, json};

use crate::env::Env;
use crate::error::{Kind as Wrong, ScimError};
use crate::log::Scribe;
use crate::patch::{self, MemberChange};
use crate::resource::{self, Accepted};
use crate::scim::directory::{self, Resource};
use crate::scim::gather::ahead;
use crate::scim::layout::{Index, Kind};
use crate::scim::members;
use crate::scim::precondition::Conditions;
use crate::scim::render::{Renderer, id, resource_type};
use crate::store::{Fault, Txn};

/// A directory under change.
pub struct Writer<'a, 'v> {
    pub txn: &'a mut Txn<'v>,
    pub renderer: &'a Renderer<'a>,
    pub env: &'a Env<'a>,
    /// Whether an unknown attribute is refused.
    pub strict: bool,
    /// Whether a POST of an inactive user's name brings that user back.
    pub revive: bool,
    /// Whether anything was written.
    pub changed: bool,
    /// Deleted groups with memberships left to remove.
    pub dissolving: Vec<String>,
    /// Notes for the provisioning log.
    pub scribe: Scribe<'a>,
}

impl Writer<'_, '_> {
    /// Makes a resource; its id. `id` is the one promised to a `bulkId`, else a fresh one.
    pub fn create(&mut self, kind: Kind, body: &Value, promised: Option<&str>) -> Result<String, Fault> {
        let mut new = self.accept(kind, body)?;
        let listed = take_members(&mut new);
        self.check(kind, &new)?;
        if kind == Kind::User {
            new.entry("active").or_insert(Value::Bool(true));
        }
        if let Some((index, holder)) = directory::holder(self.txn, kind, &new, None)? {
            return match self.inactive(kind, &holder)? {
                Some(old) if self.revive => self.revive(&holder, &old, new),
                _ => Err(taken(index, &new).into()),
            };
        }
        let id = promised.map_or_else(|| self.env.uuid_after(self.txn.version()), str::to_owned);
        self.put(kind, &id, None, new);
        if let Some(listed) = listed {
            self.change_members(&id, vec![MemberChange::Add(listed)])?;
        }
        Ok(id)
    }

    /// Puts a whole resource in the place of an old one (RFC 7644 section 3.5.1).
    pub fn replace(&mut self, kind: Kind, id: &str, body: &Value, conditions: &Conditions) -> Result<(), Fault> {
        let old = self.current(kind, id, conditions)?;
        let mut new = self.accept(kind, body)?;
        let listed = take_members(&mut new);
        resource::retain_immutable(self.of(kind), &content(&old), &mut new)?;
        self.check(kind, &new)?;
        // A body without `active` says nothing about it: it must neither bring a leaver back nor shut anybody out.
        if let (Kind::User, Some(active)) = (kind, old.get("active")) {
            new.entry("active").or_insert_with(|| active.clone());
        }
        let changes = match kind {
            Kind::User => Vec::new(),
            Kind::Group => vec![MemberChange::Replace(listed.unwrap_or_default())],
        };
        self.update(kind, id, &old, new, changes)
    }

    /// Applies a PATCH (RFC 7644 section 3.5.2).
    pub fn patch(&mut self, kind: Kind, id: &str, body: &Value, conditions: &Conditions) -> Result<(), Fault> {
        let old = self.current(kind, id, conditions)?;
        let patched = patch::apply(self.of(kind), &content(&old), body, self.strict, self.renderer.limits)?;
        self.scribe.read(patched.unknown, patched.normalised);
        self.check(kind, &patched.resource)?;
        self.update(kind, id, &old, patched.resource, patched.members)
    }

    /// Removes a resource, and it from every group, at once.
    pub fn delete(&mut self, kind: Kind, id: &str, conditions: &Conditions) -> Result<(), Fault> {
        let old = self.current(kind, id, conditions)?;
        let groups = members::leave_all(self.txn, id)?;
        directory::erase(self.txn, kind, id, &old);
        self.changed = true;
        let limits = &self.env.config.limits;
        ahead(self.txn.foresee(limits), || directory::find_many(self.txn, Kind::Group, &groups))?;
        self.touch(&groups)?;
        if kind == Kind::Group {
            self.dissolving.extend(members::dissolve(self.txn, id)?.then(|| id.to_owned()));
        }
        Ok(())
    }

    /// Reads a body, and notes how.
    fn accept(&mut self, kind: Kind, body: &Value) -> Result<Resource, ScimError> {
        let Accepted { resource, unknown, normalised } = resource::accept(self.of(kind), body, self.strict)?;
        self.scribe.read(unknown, normalised);
        Ok(resource)
    }

    fn of(&self, kind: Kind) -> &crate::schema::ResourceType {
        resource_type(self.renderer.registry, kind)
    }

    /// The stored resource, once its version is the one the client expects.
    fn current(&self, kind: Kind, id: &str, conditions: &Conditions) -> Result<Resource, Fault> {
        let next = || self.renderer.groups(self.txn, kind, &[id.to_owned()]);
        let old = ahead(directory::load(self.txn, kind, id), next)?.ok_or_else(|| not_found(kind, id))?;
        if !conditions.is_empty() {
            conditions.check(&self.renderer.version(self.txn, kind, &old)?)?;
        }
        Ok(old)
    }

    fn inactive(&self, kind: Kind, id: &str) -> Result<Option<Resource>, Fault> {
        let holder = if kind == Kind::User { directory::load(self.txn, kind, id)? } else { None };
        Ok(holder.filter(|user| user.get("active").and_then(Value::as_bool) == Some(false)))
    }

    /// A former employee comes back under the same id.
    fn revive(&mut self, id: &str, old: &Resource, new: Resource) -> Result<String, Fault> {
        self.update(Kind::User, id, old, new, Vec::new())?;
        Ok(id.to_owned())
    }

    fn update(
        &mut self,
        kind: Kind,
        id: &str,
        old: &Resource,
        new: Resource,
        changes: Vec<MemberChange>,
    ) -> Result<(), Fault> {
        if let Some((index, _)) = directory::holder(self.txn, kind, &new, Some((id, old)))? {
            return Err(taken(index, &new).into());
        }
        let members_changed = self.change_members(id, changes)?;
        if members_changed || new != content(old) {
            self.put(kind, id, Some(old), new);
        }
        Ok(())
    }

    fn change_members(&mut self, group: &str, changes: Vec<MemberChange>) -> Result<bool, Fault> {
        let mut changed = false;
        for change in changes {
            let of = resource_type(self.renderer.registry, Kind::Group);
            changed |= members::apply(self.txn, group, change, of, self.renderer.limits)?;
        }
        Ok(changed)
    }

    /// Marks groups whose members changed.
    fn touch(&mut self, groups: &[String]) -> Result<(), Fault> {
        for mut group in directory::load_many(self.txn, Kind::Group, groups)? {
            group.insert("meta".to_owned(), self.meta(created(&group)));
            directory::touch(self.txn, Kind::Group, &id(&group), &group);
        }
        Ok(())
    }

    fn put(&mut self, kind: Kind, id: &str, old: Option<&Resource>, new: Resource) {
        let stored = self.stored(id, old.and_then(created), new);
        match old {
            Some(old) => directory::replace(self.txn, kind, id, old, &stored),
            None => directory::create(self.txn, kind, id, &stored),
        }
        self.changed = true;
    }

    /// A resource as it is stored now, with `meta` as this write leaves it.
    fn stored(&self, id: &str, created: Option<Value>, new: Resource) -> Resource {
        let mut stored = Map::new();
        stored.extend(new.get("schemas").map(|schemas| ("schemas".to_owned(), schemas.clone())));
        stored.insert("id".to_owned(), id.into());
        stored.extend(new.into_iter().filter(|(name, _)| name != "schemas"));
        stored.insert("meta".to_owned(), self.meta(created));
        stored
    }

    fn meta(&self, created: Option<Value>) -> Value {
        let now = Value::String(self.env.now.rfc3339());
        let created = created.unwrap_or_else(|| now.clone());
        json!({ "created": created, "lastModified": now, "version": self.txn.version() + 1 })
    }

    fn check(&self, kind: Kind, new: &Resource) -> Result<(), ScimError> {
        resource::check(self.of(kind), new)?;
        let limit = self.renderer.limits.resource;
        if serde_json::to_vec(new).map_or(0, |bytes| bytes.len()) > limit {
            return Err(ScimError::new(Wrong::TooLarge, format!("the resource is larger than {limit} bytes")));
        }
        Ok(())
    }
}

/// The error for a resource that is not there.
pub fn not_found(kind: Kind, id: &str) -> ScimError {
    let shown: String = id.chars().filter(|c| !c.is_control()).take(64).collect();
    ScimError::new(Wrong::NotFound, format!("there is no {} `{shown}`", kind.name().to_lowercase()))
}

fn taken(index: Index, new: &Resource) -> ScimError {
    let (attribute, _) = index.attribute();
    let value = index.values(new).first().copied().unwrap_or_default().chars().take(128).collect::<String>();
    ScimError::new(Wrong::Uniqueness, format!("`{attribute}` `{value}` is already in use"))
}

/// What a client may write of a stored resource.
fn content(stored: &Resource) -> Resource {
    stored
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "id" | "meta"))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect()
}

fn created(stored: &Resource) -> Option<Value> {
    stored.get("meta")?.get("created").cloned()
}

fn take_members(new: &mut Resource) -> Option<Vec<Map<String, Value>>> {
    match new.shift_remove("members")? {
        Value::Array(members) => {
            Some(members.into_iter().filter_map(|m| if let Value::Object(m) = m { Some(m) } else { None }).collect())
        }
        _ => None,
    }
}
