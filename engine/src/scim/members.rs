//! Membership: one entry for the group, one for the member, always both (RFC 7643 sections 4.1.2 and 4.2).

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::env::Limits;
use crate::error::{Kind as Wrong, ScimError};
use crate::filter::Filter;
use crate::patch::MemberChange;
use crate::schema::{Attribute, ResourceType};
use crate::scim::directory::{self, decode};
use crate::scim::gather::gather;
use crate::scim::layout::{self, Kind};
use crate::store::{Fault, Need, Txn, distinct};

type Member = Map<String, Value>;

/// Deepest nesting of groups that a user's `groups` follows.
const DEPTH: usize = 16;
/// Bytes of a member as it is stored. Its id is part of two keys, and a page holds several.
const LARGEST: usize = 4 << 10;

/// Every member of a group, or `tooMany`: a list is never silently cut.
pub fn of_group(txn: &Txn<'_>, group: &str, limits: &Limits) -> Result<Vec<Member>, Fault> {
    let prefix = layout::members(group);
    let entries = directory::entries(txn, &prefix, limits.members + 1)?;
    if entries.len() > limits.members {
        let detail = format!(
            "the group has more than {} members; exclude `members` or filter by `members.value`",
            limits.members
        );
        return Err(ScimError::new(Wrong::TooMany, detail).into());
    }
    entries.iter().map(|(_, value)| decode(value)).collect()
}

/// Those of a group's members that have one of these identifiers.
pub fn of_group_named(txn: &Txn<'_>, group: &str, ids: &[&str]) -> Result<Vec<Member>, Fault> {
    let keys: Vec<_> = ids.iter().map(|id| layout::member(group, id)).collect();
    txn.get_many(&keys)?.iter().flatten().map(|bytes| decode(bytes)).collect()
}

/// Applies one change to a group's members; whether anything changed.
pub fn apply(
    txn: &mut Txn<'_>,
    group: &str,
    change: MemberChange,
    of: &ResourceType,
    limits: &Limits,
) -> Result<bool, Fault> {
    match change {
        MemberChange::Add(members) => add(txn, group, members),
        MemberChange::Remove(ids) => remove(txn, group, ids),
        MemberChange::RemoveMatching(filter) => {
            let found = matching(txn, group, &filter, of, limits)?;
            remove(txn, group, found.iter().filter_map(id_of).collect())
        }
        MemberChange::Update(filter, change) => update(txn, group, &filter, &change, of, limits),
        MemberChange::Replace(members) => replace(txn, group, members, limits),
    }
}

fn add(txn: &mut Txn<'_>, group: &str, members: Vec<Member>) -> Result<bool, Fault> {
    let typed = gather(members, |member| typed(txn, member))?;
    let keys: Vec<_> = typed.iter().map(|(id, _)| layout::member(group, id)).collect();
    let present = txn.get_many(&keys)?;
    let mut changed = false;
    for ((id, member), old) in typed.into_iter().zip(present) {
        // Adding a member again keeps what was known of it and takes over what is new.
        let mut merged = old.as_deref().map(decode).transpose()?.unwrap_or_default();
        merged.extend(member);
        let bytes = serde_json::to_vec(&merged).unwrap_or_default();
        if bytes.len() > LARGEST {
            return Err(ScimError::new(Wrong::TooLarge, format!("a member is larger than {LARGEST} bytes")).into());
        }
        if old.as_deref() != Some(bytes.as_slice()) {
            changed = true;
            txn.put(layout::member(group, &id), bytes);
            txn.put(layout::belongs(&id, group), Vec::new());
        }
    }
    Ok(changed)
}

/// A member with its `type`: what the client says, else what the directory knows; an unknown member is kept as sent.
fn typed(txn: &Txn<'_>, mut member: Member) -> Result<(String, Member), Fault> {
    let Some(id) = id_of(&member) else {
        return Err(ScimError::new(Wrong::InvalidValue, "a member needs a `value`").into());
    };
    if !member.contains_key("type") {
        let keys: Vec<_> = Kind::ALL.iter().map(|kind| layout::resource(*kind, &id)).collect();
        let known = txn.get_many(&keys)?;
        if let Some((kind, _)) = Kind::ALL.iter().zip(known).find(|(_, value)| value.is_some()) {
            member.insert("type".to_owned(), kind.name().into());
        }
    }
    Ok((id, member))
}

fn remove(txn: &mut Txn<'_>, group: &str, ids: Vec<String>) -> Result<bool, Fault> {
    let keys: Vec<_> = ids.iter().map(|id| layout::member(group, id)).collect();
    let present = txn.get_many(&keys)?;
    let mut changed = false;
    for (id, _) in ids.iter().zip(present).filter(|(_, value)| value.is_some()) {
        changed = true;
        txn.remove(layout::member(group, id));
        txn.remove(layout::belongs(id, group));
    }
    Ok(changed)
}

fn replace(txn: &mut Txn<'_>, group: &str, members: Vec<Member>, limits: &Limits) -> Result<bool, Fault> {
    let wanted: HashSet<String> = members.iter().filter_map(id_of).collect();
    let prefix = layout::members(group);
    // A whole replacement has to see the whole; it is bounded like a whole answer would be, ten times over.
    let limit = limits.members.saturating_mul(10);
    if count(txn, group)? > limit as u64 {
        let detail = format!("the group has more than {limit} members; add and remove them, or delete the group");
        return Err(ScimError::new(Wrong::TooMany, detail).into());
    }
    let present = directory::entries(txn, &prefix, limit)?;
    let gone = present.iter().map(|(key, _)| layout::tail(key, &prefix)).filter(|id| !wanted.contains(id)).collect();
    let removed = remove(txn, group, gone)?;
    Ok(add(txn, group, members)? || removed)
}

fn update(
    txn: &mut Txn<'_>,
    group: &str,
    filter: &Filter,
    change: &Member,
    of: &ResourceType,
    limits: &Limits,
) -> Result<bool, Fault> {
    let found = matching(txn, group, filter, of, limits)?;
    let mut changed = false;
    for member in found {
        let mut new = member.clone();
        new.extend(change.clone());
        if new != member {
            remove(txn, group, id_of(&member).into_iter().collect())?;
            add(txn, group, vec![new])?;
            changed = true;
        }
    }
    Ok(changed)
}

/// The members that meet a filter: at least one (RFC 7644 section 3.5.2, `noTarget`).
fn matching(
    txn: &Txn<'_>,
    group: &str,
    filter: &Filter,
    of: &ResourceType,
    limits: &Limits,
) -> Result<Vec<Member>, Fault> {
    let Some(attribute) = members_attribute(of) else { return Ok(Vec::new()) };
    let mut members = of_group(txn, group, limits)?;
    members.retain(|member| filter.matches_element(attribute, &Value::Object(member.clone())));
    if members.is_empty() {
        return Err(ScimError::new(Wrong::NoTarget, "no member meets the filter").into());
    }
    Ok(members)
}

fn members_attribute(of: &ResourceType) -> Option<&Attribute> {
    of.schema.attribute("members")
}

fn id_of(member: &Member) -> Option<String> {
    member.get("value").and_then(Value::as_str).map(str::to_owned)
}

/// Takes a resource out of every group; the ids of those groups.
pub fn leave_all(txn: &mut Txn<'_>, id: &str) -> Result<Vec<String>, Fault> {
    let prefix = layout::belonging(id);
    let groups: Vec<String> =
        directory::entries(txn, &prefix, usize::MAX)?.iter().map(|(key, _)| layout::tail(key, &prefix)).collect();
    for group in &groups {
        txn.remove(layout::member(group, id));
        txn.remove(layout::belongs(id, group));
    }
    Ok(groups)
}

/// Members that a write takes out of deleted groups, beside what it is for; and of one group, its deletion.
const DISSOLVED: usize = 50;
/// Deleted groups that wait for each to have so many taken out.
const WAITING: usize = 8;

/// Removes the memberships of a deleted group, if they are few; whether they are left to [`go_on`]. Until then they count for
/// nothing, for a membership is one of an existing group only.
pub fn dissolve(txn: &mut Txn<'_>, group: &str) -> Result<bool, Fault> {
    let many = count(txn, group)? > DISSOLVED as u64;
    if !many {
        take_out(txn, group, DISSOLVED)?;
    }
    Ok(many)
}

/// Removes some memberships of these deleted groups, more when many wait; a group of which none is left leaves the list.
/// Only a commit that merges does so, for it rewrites pages anyway.
pub fn go_on(txn: &mut Txn<'_>, dissolving: &mut Vec<String>, limits: &Limits) -> Result<(), Fault> {
    if !txn.is_merging(limits) {
        return Ok(());
    }
    let mut most = DISSOLVED * (1 + dissolving.len() / WAITING).min(10);
    while let Some(group) = dissolving.first() {
        let taken = take_out(txn, group, most)?;
        if taken == most {
            break;
        }
        most -= taken;
        dissolving.remove(0);
    }
    Ok(())
}

/// Removes memberships of a group; how many.
fn take_out(txn: &mut Txn<'_>, group: &str, most: usize) -> Result<usize, Fault> {
    let prefix = layout::members(group);
    let entries = directory::entries(txn, &prefix, most)?;
    for (key, _) in &entries {
        txn.remove(layout::belongs(&layout::tail(key, &prefix), group));
        txn.remove(key.clone());
    }
    Ok(entries.len())
}

/// Number of a group's members.
pub fn count(txn: &Txn<'_>, group: &str) -> Result<u64, Fault> {
    directory::count(txn, &layout::members(group))
}

/// A group that a user belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Id of the group.
    pub group: String,
    /// Its `displayName`.
    pub display: Option<String>,
    /// Named by the group itself, rather than through a group inside it.
    pub direct: bool,
}

/// The groups of each of these members, nested ones included, level by level so that one round trip serves all.
pub fn groups_of(txn: &Txn<'_>, ids: &[String], limits: &Limits) -> Result<Vec<Vec<Membership>>, Fault> {
    let mut found: Vec<Vec<Membership>> = vec![Vec::new(); ids.len()];
    let mut visited: Vec<HashSet<String>> = vec![HashSet::new(); ids.len()];
    let mut frontier: Vec<(usize, String)> = ids.iter().cloned().enumerate().collect();
    for depth in 0..=DEPTH {
        let distinct = distinct(frontier.iter().map(|(_, id)| id));
        let read = |id: &String| Ok((id.clone(), Place::read(txn, id, depth, limits)?));
        let places: HashMap<String, Place> = gather(distinct, read)?.into_iter().collect();
        let mut next = Vec::new();
        for (owner, id) in frontier {
            let (Some(place), Some(known), Some(visited)) =
                (places.get(&id), found.get_mut(owner), visited.get_mut(owner))
            else {
                continue;
            };
            match (&place.group, depth) {
                (_, 0) => {}
                (Some(display), _) => {
                    known.push(Membership { group: id, display: display.clone(), direct: depth == 1 });
                }
                (None, _) => continue,
            }
            // A group may contain itself, through others.
            for group in &place.within {
                if visited.len() < limits.members && visited.insert(group.clone()) {
                    next.push((owner, group.clone()));
                }
            }
        }
        frontier = next;
        if frontier.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// A member on the way up.
struct Place {
    /// Its `displayName`, if it is a group and there: of one that is being dissolved, memberships may be left.
    group: Option<Option<String>>,
    /// The groups that name it.
    within: Vec<String>,
}

impl Place {
    fn read(txn: &Txn<'_>, id: &str, depth: usize, limits: &Limits) -> Result<Self, Fault> {
        let mut need = Need::default();
        let group = if depth > 0 { need.gather(directory::load(txn, Kind::Group, id))?.flatten() } else { None };
        let prefix = layout::belonging(id);
        let limit = if depth < DEPTH { limits.members } else { 0 };
        let entries = need.gather(directory::entries(txn, &prefix, limit))?.unwrap_or_default();
        need.settle()?;
        Ok(Self {
            group: group.map(|group| group.get("displayName")?.as_str().map(str::to_owned)),
            within: entries.iter().map(|(key, _)| layout::tail(key, &prefix)).collect(),
        })
    }
}
