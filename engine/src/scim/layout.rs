//! Where things are in a directory's tree: the only module that knows keys.
//!
//! ```text
//! u id                     user, as JSON without `groups`
//! g id                     group, as JSON without `members`
//! i index value 00 01 id   secondary index; value folded as the index compares
//! m group 00 01 member     membership, as JSON of the member
//! b member 00 01 group     the same membership, seen from the member
//! a hour                   what that hour has brought: 8 bytes of hours since the epoch
//! l version number         entry of the provisioning log: 8 bytes of the commit that put it, 4 of its place in it
//! ```
//!
//! Identifiers are UUIDv7, so resources lie in order of creation. In values and foreign identifiers a zero byte is
//! written `00 FF`, so that the terminator `00 01` sorts before any longer value and no two keys collide.

use std::ops::Range;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Users or groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `/Users`
    User,
    /// `/Groups`
    Group,
}

impl Kind {
    /// Both, in the order a search of all types lists them.
    pub const ALL: [Self; 2] = [Self::User, Self::Group];

    /// Path segment of the endpoint.
    pub fn segment(self) -> &'static str {
        match self {
            Self::User => "Users",
            Self::Group => "Groups",
        }
    }

    /// Name of the resource type.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    fn prefix(self) -> u8 {
        match self {
            Self::User => b'u',
            Self::Group => b'g',
        }
    }
}

/// An indexed attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// Users by `userName`, in any case; unique.
    UserName,
    /// Users by `externalId`.
    UserExternalId,
    /// Users by `displayName`, in any case.
    UserDisplayName,
    /// Users by `emails.value`, in any case.
    Email,
    /// Groups by `displayName`, in any case; unique.
    GroupDisplayName,
    /// Groups by `externalId`.
    GroupExternalId,
}

impl Index {
    /// Every index of a kind of resource.
    pub fn of(kind: Kind) -> &'static [Self] {
        match kind {
            Kind::User => &[Self::UserName, Self::UserExternalId, Self::UserDisplayName, Self::Email],
            Kind::Group => &[Self::GroupDisplayName, Self::GroupExternalId],
        }
    }

    /// The attribute and sub-attribute it indexes.
    pub fn attribute(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::UserName => ("userName", None),
            Self::UserExternalId | Self::GroupExternalId => ("externalId", None),
            Self::UserDisplayName | Self::GroupDisplayName => ("displayName", None),
            Self::Email => ("emails", Some("value")),
        }
    }

    /// Whether two resources may not share a value.
    pub fn unique(self) -> bool {
        matches!(self, Self::UserName | Self::GroupDisplayName)
    }

    fn code(self) -> u8 {
        match self {
            Self::UserName => b'n',
            Self::UserExternalId => b'x',
            Self::UserDisplayName => b'd',
            Self::Email => b'e',
            Self::GroupDisplayName => b'D',
            Self::GroupExternalId => b'X',
        }
    }

    fn fold(self, value: &str) -> String {
        match self {
            Self::UserExternalId | Self::GroupExternalId => value.to_owned(),
            _ => value.to_lowercase(),
        }
    }

    /// The values of a resource under this index.
    pub fn values(self, resource: &Map<String, Value>) -> Vec<&str> {
        let (attribute, sub) = self.attribute();
        match (resource.get(attribute), sub) {
            (Some(Value::String(value)), None) => vec![value],
            (Some(Value::Array(elements)), Some(sub)) => {
                elements.iter().filter_map(|element| element.get(sub)?.as_str()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The key of one entry.
    pub fn key(self, value: &str, id: &str) -> Vec<u8> {
        let mut key = self.exactly(value);
        key.extend(id.as_bytes());
        key
    }

    /// Prefix of every entry of exactly that value.
    pub fn exactly(self, value: &str) -> Vec<u8> {
        let mut key = vec![b'i', self.code()];
        key.extend(terminated(&bounded(&self.fold(value))));
        key
    }

    /// Whether [`Self::starting`] finds nothing but values that start so: of a longer text only the start is kept.
    pub fn keeps(self, start: &str) -> bool {
        self.fold(start).len() <= LONG
    }

    /// Prefix of every entry whose value starts so.
    pub fn starting(self, value: &str) -> Vec<u8> {
        let folded = self.fold(value);
        let mut key = vec![b'i', self.code()];
        key.extend(escaped(folded.as_bytes().get(..LONG).unwrap_or(folded.as_bytes())));
        key
    }

    /// Prefix of the whole index: its entries in order of value.
    pub fn all(self) -> Vec<u8> {
        vec![b'i', self.code()]
    }
}

/// Bytes of a value that an index keeps as they are; longer values are cut there and told apart by their hash.
const LONG: usize = 200;

fn bounded(value: &str) -> Vec<u8> {
    let bytes = value.as_bytes();
    match bytes.get(..LONG) {
        Some(start) if bytes.len() > LONG => [start, Sha256::digest(bytes).as_slice()].concat(),
        _ => bytes.to_vec(),
    }
}

fn escaped(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 2);
    for byte in value {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out
}

fn terminated(value: &[u8]) -> Vec<u8> {
    let mut out = escaped(value);
    out.extend([0, 1]);
    out
}

/// Key of a resource.
pub fn resource(kind: Kind, id: &str) -> Vec<u8> {
    let mut key = vec![kind.prefix()];
    key.extend(id.as_bytes());
    key
}

/// Prefix of every resource of a kind.
pub fn resources(kind: Kind) -> Vec<u8> {
    vec![kind.prefix()]
}

/// Key of a membership, seen from the group.
pub fn member(group: &str, member: &str) -> Vec<u8> {
    let mut key = members(group);
    key.extend(member.as_bytes());
    key
}

/// Prefix of a group's members.
pub fn members(group: &str) -> Vec<u8> {
    let mut key = vec![b'm'];
    key.extend(terminated(group.as_bytes()));
    key
}

/// Key of a membership, seen from the member.
pub fn belongs(member: &str, group: &str) -> Vec<u8> {
    let mut key = belonging(member);
    key.extend(group.as_bytes());
    key
}

/// Prefix of the groups that name a member.
pub fn belonging(member: &str) -> Vec<u8> {
    let mut key = vec![b'b'];
    key.extend(terminated(member.as_bytes()));
    key
}

/// Prefix of the provisioning log.
pub fn log() -> Vec<u8> {
    vec![b'l']
}

/// Key of an entry of the provisioning log; the keys are in the order of commits.
pub fn log_entry(version: u64, number: u32) -> Vec<u8> {
    [&log()[..], &version.to_be_bytes(), &number.to_be_bytes()].concat()
}

/// Prefix of the counts by the hour.
pub fn hours() -> Vec<u8> {
    vec![b'a']
}

/// Key of an hour's count; the keys are in the order of time.
pub fn hour(hour: u64) -> Vec<u8> {
    [&hours()[..], &hour.to_be_bytes()].concat()
}

/// Every key that starts with a prefix.
pub fn under(prefix: &[u8]) -> Range<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            break;
        }
    }
    prefix.to_vec()..end
}

/// The identifier at the end of a key, after its prefix.
pub fn tail(key: &[u8], prefix: &[u8]) -> String {
    String::from_utf8_lossy(key.strip_prefix(prefix).unwrap_or_default()).into_owned()
}

/// The identifier at the end of an index entry.
pub fn indexed_id(key: &[u8]) -> String {
    let end = key.windows(2).rposition(|pair| pair == [0, 1]).map_or(0, |at| at + 2);
    String::from_utf8_lossy(key.get(end..).unwrap_or_default()).into_owned()
}

/// An index entry without its identifier: the index and the value.
pub fn indexed_value(key: &[u8]) -> Option<&[u8]> {
    key.strip_suffix(indexed_id(key).as_bytes())
}

/// The two identifiers of a membership entry, from either side, in the order of the key.
pub fn membership(key: &[u8]) -> Option<(String, String)> {
    let (mut first, mut rest) = (Vec::new(), key.get(1..)?);
    loop {
        let (byte, after) = rest.split_first()?;
        rest = match (byte, after.split_first()) {
            (0, Some((1, second))) => {
                return Some((String::from_utf8(first).ok()?, String::from_utf8(second.to_vec()).ok()?));
            }
            (0, Some((0xff, after))) => after,
            (0, _) => return None,
            _ => after,
        };
        first.push(*byte);
    }
}

/// Every index entry of a resource.
pub fn index_keys(kind: Kind, resource: &Map<String, Value>, id: &str) -> Vec<Vec<u8>> {
    let mut keys: Vec<_> =
        Index::of(kind).iter().flat_map(|index| index.values(resource).into_iter().map(|v| index.key(v, id))).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_continues_another_is_never_under_it() {
        let all = |value: &str| Index::UserName.key(value, "id");
        assert!(under(&Index::UserName.exactly("a")).contains(&all("A")));
        for other in ["ab", "a\0", "a\u{1}", ""] {
            assert!(!under(&Index::UserName.exactly("a")).contains(&all(other)), "{other:?}");
        }
        assert!(under(&Index::UserName.starting("a")).contains(&all("AB")));
    }

    #[test]
    fn long_values_keep_apart_and_keep_their_start() {
        let long = "x".repeat(300);
        let longer = format!("{long}y");
        assert_ne!(Index::UserName.exactly(&long), Index::UserName.exactly(&longer));
        assert!(under(&Index::UserName.starting(&long)).contains(&Index::UserName.key(&longer, "id")));
    }

    #[test]
    fn an_index_entry_gives_its_id_back() {
        assert_eq!(indexed_id(&Index::Email.key("a\0b@x", "0190-id")), "0190-id");
    }

    #[test]
    fn a_membership_gives_both_ids_back() {
        for (group, member) in [("g", "m"), ("g\0\u{1}", "\0"), ("", "")] {
            let ids = || Some((group.to_owned(), member.to_owned()));
            assert_eq!(super::membership(&super::member(group, member)), ids());
            assert_eq!(super::membership(&belongs(group, member)), ids());
        }
    }
}
