//! From a stored resource to the one a client sees: derived attributes, `meta`, projection.

use serde_json::{Map, Value, json};

use crate::env::Limits;
use crate::project::Projection;
use crate::schema::{Registry, ResourceType};
use crate::scim::directory::{Resource, decode};
use crate::scim::gather::gather;
use crate::scim::layout::Kind;
use crate::scim::members::{self, Membership};
use crate::store::{Fault, Txn};

/// What rendering needs to know of its request.
pub struct Renderer<'a> {
    /// Absolute URL of the SCIM base.
    pub base: &'a str,
    /// Resource types of the connection.
    pub registry: &'a Registry,
    /// Bounds.
    pub limits: &'a Limits,
}

/// A resource that is to be shown.
pub struct Found {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// What is stored of it.
    pub stored: Stored,
}

/// A resource as stored, read or not.
pub enum Stored {
    Bytes(Vec<u8>),
    Read(Resource),
}

impl Stored {
    fn read(self) -> Result<Resource, Fault> {
        match self {
            Self::Bytes(bytes) => decode(&bytes),
            Self::Read(resource) => Ok(resource),
        }
    }
}

/// The resource type of a kind.
pub fn resource_type(registry: &Registry, kind: Kind) -> &ResourceType {
    match kind {
        Kind::User => &registry.user,
        Kind::Group => &registry.group,
    }
}

impl Renderer<'_> {
    /// Absolute URL of a resource.
    pub fn location(&self, kind: Kind, id: &str) -> String {
        let mut url = format!("{}/{}/", self.base, kind.segment());
        for byte in id.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => url.push(char::from(byte)),
                other => url.push_str(&format!("%{other:02X}")),
            }
        }
        url
    }

    /// Version of a resource: of a user, with its groups; of a group, without reading its members.
    pub fn version(&self, txn: &Txn<'_>, kind: Kind, stored: &Resource) -> Result<String, Fault> {
        let rendered = match kind {
            Kind::User => {
                let groups = members::groups_of(txn, &[id(stored)], self.limits)?.concat();
                self.user(stored.clone(), &groups)
            }
            Kind::Group => self.group(stored.clone(), Vec::new()),
        };
        Ok(version(&rendered))
    }

    /// Resources of a page, with what the projection wants of their derived attributes; projection itself is [`Self::project`].
    /// None is read before all that belongs to them is at hand.
    pub fn page(&self, txn: &Txn<'_>, found: Vec<Found>, wanted: &Projection) -> Result<Vec<Resource>, Fault> {
        let users: Vec<String> = found.iter().filter(|one| one.kind == Kind::User).map(|one| one.id.clone()).collect();
        // `groups` decides the version as well, so it is always looked up; it costs one short range a user.
        let mut groups = members::groups_of(txn, &users, self.limits)?.into_iter();
        let with_members = wanted.wants(&self.registry.group, "members");
        let lists = gather(&found, |one| match one.kind {
            Kind::Group if with_members => members::of_group(txn, &one.id, self.limits),
            _ => Ok(Vec::new()),
        })?;
        let rendered = found.into_iter().zip(lists).map(|(one, members)| match one.kind {
            Kind::User => Ok(self.user(one.stored.read()?, &groups.next().unwrap_or_default())),
            Kind::Group => Ok(self.group(one.stored.read()?, members)),
        });
        rendered.collect()
    }

    /// The groups of users, which their versions depend on; of groups, nobody asks.
    pub fn groups(&self, txn: &Txn<'_>, kind: Kind, ids: &[String]) -> Result<Vec<Vec<Membership>>, Fault> {
        if kind == Kind::User { members::groups_of(txn, ids, self.limits) } else { Ok(Vec::new()) }
    }

    /// Removes what the response must not carry.
    pub fn project(&self, kind: Kind, mut resource: Resource, projection: &Projection) -> Resource {
        projection.apply(resource_type(self.registry, kind), &mut resource);
        resource
    }

    fn user(&self, stored: Resource, groups: &[Membership]) -> Resource {
        let listed: Vec<Value> = groups.iter().map(|group| self.membership(group)).collect();
        let suffix = if listed.is_empty() { String::new() } else { format!("-{:08x}", fingerprint(groups)) };
        let derived = (!listed.is_empty()).then(|| ("groups", Value::Array(listed)));
        self.finish(Kind::User, stored, derived, &suffix)
    }

    fn group(&self, stored: Resource, members: Vec<Map<String, Value>>) -> Resource {
        let linked: Vec<Value> = members.into_iter().map(|member| self.linked(member)).collect();
        let derived = (!linked.is_empty()).then(|| ("members", Value::Array(linked)));
        self.finish(Kind::Group, stored, derived, "")
    }

    fn membership(&self, group: &Membership) -> Value {
        let mut entry = json!({ "value": group.group, "$ref": self.location(Kind::Group, &group.group) });
        if let (Some(entry), Some(display)) = (entry.as_object_mut(), &group.display) {
            entry.insert("display".to_owned(), display.as_str().into());
        }
        if let Some(entry) = entry.as_object_mut() {
            entry.insert("type".to_owned(), if group.direct { "direct" } else { "indirect" }.into());
        }
        entry
    }

    fn linked(&self, mut member: Map<String, Value>) -> Value {
        let target = Kind::ALL.into_iter().find(|kind| member.get("type").and_then(Value::as_str) == Some(kind.name()));
        if let (Some(kind), Some(id)) = (target, member.get("value").and_then(Value::as_str)) {
            let location = self.location(kind, id);
            member.insert("$ref".to_owned(), location.into());
        }
        Value::Object(member)
    }

    fn finish(&self, kind: Kind, stored: Resource, derived: Option<(&str, Value)>, suffix: &str) -> Resource {
        let mut whole = Map::new();
        let text = |name: &str| stored.get("meta").and_then(|meta| meta.get(name)).cloned().unwrap_or_default();
        let version =
            stored.get("meta").and_then(|meta| meta.get("version")).and_then(Value::as_u64).unwrap_or_default();
        let meta = json!({
            "resourceType": kind.name(),
            "created": text("created"),
            "lastModified": text("lastModified"),
            "version": format!("W/\"{version}{suffix}\""),
            "location": self.location(kind, &id(&stored)),
        });
        whole.extend(stored.into_iter().filter(|(name, _)| name != "meta"));
        whole.extend(derived.map(|(name, value)| (name.to_owned(), value)));
        whole.insert("meta".to_owned(), meta);
        whole
    }
}

/// Id of a resource.
pub fn id(resource: &Resource) -> String {
    text(resource, "id")
}

/// `meta.version` of a rendered resource.
pub fn version(resource: &Resource) -> String {
    resource.get("meta").and_then(|meta| meta.get("version")).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// `meta.location` of a rendered resource.
pub fn location(resource: &Resource) -> String {
    resource.get("meta").and_then(|meta| meta.get("location")).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn text(resource: &Resource, name: &str) -> String {
    resource.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Tells one list of groups from another: a user's representation changes when its groups do, though the user does not.
fn fingerprint(groups: &[Membership]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for group in groups {
        hasher.update(group.group.as_bytes());
        hasher.update(group.display.as_deref().unwrap_or_default().as_bytes());
        hasher.update(&[0, u8::from(group.direct)]);
    }
    hasher.finalize()
}
