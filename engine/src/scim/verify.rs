//! Whether a directory holds together: what no sequence of requests may ever break.
//!
//! The rules are checked from the stored entries alone, apart from the code that writes them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::connections::record::Record;
use crate::env::Timestamp;
use crate::log::Entry;
use crate::log::tally::Hour;
use crate::resource::{self, is_stored};
use crate::schema::{Attribute, Registry, ResourceType};
use crate::scim::directory;
use crate::scim::layout::{self, Index, Kind};
use crate::scim::{read, render};
use crate::store::{Fault, Txn};

/// What is wrong with a directory, one line each, naming ids and attributes but never a value; empty when all is well.
///
/// Resources are whole and meet their schema, every index holds exactly what the resources say, unique values are
/// held once, every membership is seen from both sides and from an existing group, what is never returned is not
/// stored, every entry of the log is one and of a commit that has been, every count by the hour is of its hour, and the counts
/// of the tree are the numbers of its entries.
///
/// # Errors
/// [`Fault::Need`] for pages not at hand, [`Fault::Damaged`] for a tree or resource that cannot be read.
pub fn verify(txn: &Txn<'_>) -> Result<Vec<String>, Fault> {
    let record: Option<Record> = serde_json::from_slice(txn.record()).ok();
    let custom = record.as_ref().map(read::custom).transpose()?.flatten();
    let registry = custom.as_ref().unwrap_or_else(|| Registry::shared());
    let all = txn.scan(&[]..&[0xff, 0xff], 0, usize::MAX, false)?;
    let dissolving = record.map(|record| record.dissolving).unwrap_or_default();
    let mut check = Check { problems: Vec::new(), entries: all.into_iter().collect(), dissolving };
    check.counts(txn)?;
    check.kinds();
    for kind in Kind::ALL {
        check.resources(txn.version(), kind, render::resource_type(registry, kind))?;
    }
    check.memberships()?;
    check.log(txn.version());
    check.hours();
    Ok(check.problems)
}

/// What keys begin with.
const KINDS: [u8; 7] = *b"ugimbla";

struct Check {
    problems: Vec<String>,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Deleted groups whose memberships are on their way out.
    dissolving: Vec<String>,
}

impl Check {
    fn expect(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(problem());
        }
    }

    /// The entries below a prefix, copied: a check looks at others meanwhile.
    fn below(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.entries.range(layout::under(prefix)).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Counts are read from inner pages, entries from leaves: both must tell the same.
    fn counts(&mut self, txn: &Txn<'_>) -> Result<(), Fault> {
        for prefix in KINDS {
            let counted = directory::count(txn, &[prefix])?;
            let found = self.below(&[prefix]).len() as u64;
            let kind = char::from(prefix);
            self.expect(counted == found, || format!("`{kind}` counts {counted} entries and has {found}"));
        }
        Ok(())
    }

    fn kinds(&mut self) {
        let foreign = self.entries.keys().filter(|key| !key.first().is_some_and(|kind| KINDS.contains(kind))).count();
        self.expect(foreign == 0, || format!("{foreign} entries are of no known kind"));
    }

    /// The resources of a kind, and that its indexes hold what these say and nothing else.
    fn resources(&mut self, version: u64, kind: Kind, of: &ResourceType) -> Result<(), Fault> {
        let prefix = layout::resources(kind);
        let mut indexed = BTreeSet::new();
        for (key, value) in self.below(&prefix) {
            let id = layout::tail(&key, &prefix);
            let resource = directory::decode(&value)?;
            self.resource(version, kind, of, &id, &resource);
            indexed.extend(layout::index_keys(kind, &resource, &id));
        }
        for index in Index::of(kind) {
            self.index(*index, &indexed);
        }
        Ok(())
    }

    fn resource(&mut self, version: u64, kind: Kind, of: &ResourceType, id: &str, resource: &Map<String, Value>) {
        let what = format!("{} `{id}`", kind.name());
        self.expect(render::id(resource) == id, || format!("{what} has another `id`"));
        for derived in ["groups", "members"] {
            self.expect(!resource.contains_key(derived), || format!("{what} stores `{derived}`"));
        }
        if let Err(error) = resource::check(of, resource) {
            self.problems.push(format!("{what}: {}", error.detail));
        }
        self.hidden(&what, &of.schema.attributes, resource);
        for extension in &of.extensions {
            if let Some(Value::Object(inner)) = resource.get(&extension.id) {
                self.hidden(&what, &extension.attributes, inner);
            }
        }
        let meta = resource.get("meta").and_then(Value::as_object).cloned().unwrap_or_default();
        let time = |name: &str| meta.get(name).and_then(Value::as_str).and_then(Timestamp::parse);
        let ordered = time("created").zip(time("lastModified")).is_some_and(|(created, changed)| created <= changed);
        self.expect(ordered, || format!("{what} was changed before it was made"));
        let written = meta.get("version").and_then(Value::as_u64);
        let known = written.is_some_and(|written| (1..=version).contains(&written));
        self.expect(known, || format!("{what} is of a version the directory has not reached"));
    }

    /// Nothing that is never returned may be stored.
    fn hidden(&mut self, what: &str, attributes: &[Attribute], object: &Map<String, Value>) {
        for attribute in attributes {
            let Some(value) = object.get(&attribute.name) else { continue };
            self.expect(is_stored(attribute), || format!("{what} stores `{}`", attribute.name));
            let parts = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            for part in parts.iter().filter_map(Value::as_object) {
                self.hidden(what, &attribute.sub_attributes, part);
            }
        }
    }

    fn index(&mut self, index: Index, expected: &BTreeSet<Vec<u8>>) {
        let (attribute, _) = index.attribute();
        let range = layout::under(&index.all());
        let found: BTreeSet<Vec<u8>> = self.below(&index.all()).into_iter().map(|(key, _)| key).collect();
        let expected: BTreeSet<Vec<u8>> = expected.range(range).cloned().collect();
        for key in expected.difference(&found) {
            let id = layout::indexed_id(key);
            self.problems.push(format!("`{id}` is missing from the index of `{attribute}`"));
        }
        for key in found.difference(&expected) {
            let id = layout::indexed_id(key);
            self.problems.push(format!("the index of `{attribute}` names `{id}`, which has no such value"));
        }
        if index.unique() {
            let values: BTreeSet<&[u8]> = found.iter().filter_map(|key| layout::indexed_value(key)).collect();
            self.expect(values.len() == found.len(), || format!("a unique value of `{attribute}` is held twice"));
        }
    }

    /// Every entry of the log can be read, under the version of a commit and its place in it.
    fn log(&mut self, version: u64) {
        let prefix = layout::log();
        for (key, value) in self.below(&prefix) {
            let place = key.strip_prefix(&prefix[..]).and_then(|place| place.split_first_chunk::<8>());
            let known = place.is_some_and(|(of, number)| number.len() == 4 && u64::from_be_bytes(*of) <= version);
            self.expect(known, || "an entry of the log is of a version the directory has not reached".to_owned());
            let readable = serde_json::from_slice::<Entry>(&value).is_ok();
            self.expect(readable, || "an entry of the log cannot be read".to_owned());
        }
    }

    /// Every count by the hour can be read, and is of the hour it lies under.
    fn hours(&mut self) {
        for (key, value) in self.below(&layout::hours()) {
            let hour = serde_json::from_slice::<Hour>(&value).ok();
            let known = hour.is_some_and(|hour| layout::hour(hour.hour) == key);
            self.expect(known, || "a count by the hour is not of its hour".to_owned());
        }
    }

    /// Every membership is there from both sides, and its group exists.
    fn memberships(&mut self) -> Result<(), Fault> {
        let mut seen = BTreeSet::new();
        for (key, value) in self.below(b"m") {
            let Some((group, member)) = layout::membership(&key) else {
                self.problems.push("a membership names no group".to_owned());
                continue;
            };
            let named = directory::decode(&value)?.get("value").and_then(Value::as_str) == Some(member.as_str());
            self.expect(named, || format!("a member of `{group}` is stored under another id"));
            let exists =
                self.entries.contains_key(&layout::resource(Kind::Group, &group)) || self.dissolving.contains(&group);
            self.expect(exists, || format!("`{group}` has members and does not exist"));
            seen.insert(layout::belongs(&member, &group));
        }
        let reverse: BTreeSet<Vec<u8>> = self.below(b"b").into_iter().map(|(key, _)| key).collect();
        let lost = seen.symmetric_difference(&reverse).count();
        self.expect(lost == 0, || format!("{lost} memberships are seen from one side only"));
        Ok(())
    }
}
