//! Resources and their indexes in a directory's tree.

use serde_json::{Map, Value};

use crate::scim::gather::gather;
use crate::scim::layout::{self, Index, Kind};
use crate::store::{Entry, Fault, Txn};

/// A resource as stored: without `members` or `groups`, with `meta` reduced to what is not derived.
pub type Resource = Map<String, Value>;

/// Reads a stored value.
pub fn decode(bytes: &[u8]) -> Result<Resource, Fault> {
    serde_json::from_slice(bytes).map_err(|_| Fault::Damaged("a stored resource is not JSON".to_owned()))
}

/// The resource of that id.
pub fn load(txn: &Txn<'_>, kind: Kind, id: &str) -> Result<Option<Resource>, Fault> {
    find(txn, kind, id)?.map(|bytes| decode(&bytes)).transpose()
}

/// What is stored of that id.
pub fn find(txn: &Txn<'_>, kind: Kind, id: &str) -> Result<Option<Vec<u8>>, Fault> {
    txn.get(&layout::resource(kind, id))
}

/// The resources of those ids, those that exist.
pub fn load_many(txn: &Txn<'_>, kind: Kind, ids: &[String]) -> Result<Vec<Resource>, Fault> {
    find_many(txn, kind, ids)?.iter().flatten().map(|bytes| decode(bytes)).collect()
}

/// What is stored of those ids.
pub fn find_many(txn: &Txn<'_>, kind: Kind, ids: &[String]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
    let keys: Vec<_> = ids.iter().map(|id| layout::resource(kind, id)).collect();
    txn.get_many(&keys)
}

/// Puts in a resource whose identifier is new, and its index entries, which end with it.
pub fn create(txn: &mut Txn<'_>, kind: Kind, id: &str, new: &Resource) {
    for key in layout::index_keys(kind, new, id) {
        txn.put_fresh(key, Vec::new());
    }
    txn.put_fresh(layout::resource(kind, id), encode(new));
    txn.vacate(layout::under(&layout::belonging(id)));
    txn.vacate(layout::under(&layout::members(id)));
}

/// Puts a resource in the place of an older one, and its index entries likewise.
pub fn replace(txn: &mut Txn<'_>, kind: Kind, id: &str, old: &Resource, new: &Resource) {
    let before = layout::index_keys(kind, old, id);
    let after = layout::index_keys(kind, new, id);
    for key in before.iter().filter(|key| !after.contains(key)) {
        txn.remove(key.clone());
    }
    for key in after.iter().filter(|key| !before.contains(key)) {
        txn.put(key.clone(), Vec::new());
    }
    touch(txn, kind, id, new);
}

/// Puts a resource in the place of an older one that has the same index entries.
pub fn touch(txn: &mut Txn<'_>, kind: Kind, id: &str, new: &Resource) {
    txn.put(layout::resource(kind, id), encode(new));
}

fn encode(resource: &Resource) -> Vec<u8> {
    serde_json::to_vec(resource).unwrap_or_default()
}

/// Removes a resource and its index entries.
pub fn erase(txn: &mut Txn<'_>, kind: Kind, id: &str, old: &Resource) {
    for key in layout::index_keys(kind, old, id) {
        txn.remove(key);
    }
    txn.remove(layout::resource(kind, id));
}

/// Another resource that holds a value which must be unique. What the old resource of that id holds, no other can.
pub fn holder(
    txn: &Txn<'_>,
    kind: Kind,
    new: &Resource,
    old: Option<(&str, &Resource)>,
) -> Result<Option<(Index, String)>, Fault> {
    let own = old.map(|(id, _)| id).unwrap_or_default();
    let held = |index: Index, value: &str| {
        let before = old.map(|(_, old)| index.values(old)).unwrap_or_default();
        before.into_iter().any(|before| index.exactly(before) == index.exactly(value))
    };
    let unique = Index::of(kind).iter().copied().filter(|index| index.unique());
    let values = unique.flat_map(|index| index.values(new).into_iter().map(move |value| (index, value)));
    let claims: Vec<(Index, &str)> = values.filter(|(index, value)| !held(*index, value)).collect();
    let found = gather(claims, |(index, value)| {
        let range = layout::under(&index.exactly(value));
        let entries = txn.scan(&range.start..&range.end, 0, 2, false)?;
        Ok(entries.iter().map(|(key, _)| layout::indexed_id(key)).find(|id| id != own).map(|id| (index, id)))
    })?;
    Ok(found.into_iter().flatten().next())
}

/// A range as the store takes it.
pub fn entries(txn: &Txn<'_>, prefix: &[u8], limit: usize) -> Result<Vec<Entry>, Fault> {
    let range = layout::under(prefix);
    txn.scan(&range.start..&range.end, 0, limit, false)
}

/// How many keys lie under a prefix.
pub fn count(txn: &Txn<'_>, prefix: &[u8]) -> Result<u64, Fault> {
    let range = layout::under(prefix);
    txn.count(&range.start..&range.end)
}
