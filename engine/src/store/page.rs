//! Immutable pages of the tree.
//!
//! A page is an envelope (magic `sp`, version 1 or 2, kind = level: 0 for a leaf) around:
//!
//! ```text
//! 18 bytes  the page's own id: a page found under another name is damaged
//!  varint   number of entries, at least 1
//!           leaf entry:   key bytes, value bytes
//!           inner entry:  low bytes, 18 bytes child id, varint number of leaf entries below the child
//! in version 2, at level 2 only:
//!  varint   number of newer links, at least 1; for each, in order of place:
//!             varint place of a child, varint place of a leaf in that child, 18 bytes leaf id, varint its number of entries
//! ```
//!
//! (The envelope, varints and *bytes* are described in `codec.rs`: 2 bytes magic, 1 byte version, 1 byte
//! level, 4 bytes little-endian CRC-32 of everything else.) Keys and lows ascend strictly. A child of an inner
//! page holds the keys from its low up to the next child's low; the first child also holds whatever is below its
//! own low.
//!
//! A *newer link* stands for the one its child has in that place. A leaf that is replaced by one leaf with the same low is
//! linked from two levels above, and the page between stays as it is until many of its leaves have been replaced: entries
//! that fall anywhere in a large tree would else rewrite a page of links each. A page without newer links is written as
//! version 1.

use std::sync::Arc;

use super::PageId;
use super::codec::{self, Damage, Reader, Span};
use super::head::Root;

const MAGIC: [u8; 2] = *b"sp";
const VERSION: u8 = 1;
const WITH_NEWER: u8 = 2;
/// The only level whose pages have newer links.
pub(crate) const GRANDPARENT: u8 = 2;
/// More levels than any directory can have: with two children a page, 2^40 entries.
pub(crate) const MAX_LEVEL: u8 = 40;
/// Bytes of a page besides its entries and newer links, at most.
pub(crate) const OVERHEAD: usize = codec::ENVELOPE + 18 + 5;

/// A decoded page: the stored bytes, and where in them each entry lies.
#[derive(Debug)]
pub struct Page {
    bytes: Arc<[u8]>,
    id: PageId,
    slots: Slots,
    /// Newer links, with the place of the child each belongs to.
    newer: Vec<(usize, Newer)>,
    level: u8,
}

/// Where a page is, as the pages above it say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The page.
    pub id: PageId,
    /// Levels between it and the leaves.
    pub level: u8,
    /// Links that are newer than its own.
    pub(crate) newer: Vec<Newer>,
}

/// A link to a leaf that is newer than the one its parent has in that place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Newer {
    pub place: usize,
    pub id: PageId,
    pub count: u64,
}

#[derive(Debug)]
enum Slots {
    Leaf(Vec<(Span, Span)>),
    Inner(Vec<(Span, PageId, u64)>),
}

/// One entry of an inner page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Child {
    /// No key below the child is less, unless the child is the first of its page.
    pub low: Vec<u8>,
    /// The child.
    pub id: PageId,
    /// Number of leaf entries below it.
    pub count: u64,
    /// Links that are newer than its own.
    pub newer: Vec<Newer>,
}

impl Page {
    /// Checks and indexes stored bytes.
    ///
    /// # Errors
    /// [`Damage`] for anything an encoder of this format did not write; no input panics.
    pub fn decode(bytes: Arc<[u8]>) -> Result<Self, Damage> {
        let (version, level, mut reader) = codec::open(&bytes, MAGIC, WITH_NEWER)?;
        let (id, slots) = read_entries(&bytes, level, &mut reader).ok_or(Damage::Malformed)?;
        let newer = match version {
            WITH_NEWER => read_newer(level, &mut reader).ok_or(Damage::Malformed)?,
            _ => Vec::new(),
        };
        let whole = reader.at_end();
        let page = Self { id, slots, newer, level, bytes };
        let known = page.newer.last().is_none_or(|(child, _)| *child < page.len());
        if whole && known { Ok(page) } else { Err(Damage::Malformed) }
    }

    /// The stored bytes.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// The page's id.
    pub fn id(&self) -> &PageId {
        &self.id
    }

    /// Levels between this page and the leaves; 0 for a leaf.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Number of entries in this page.
    pub fn len(&self) -> usize {
        match &self.slots {
            Slots::Leaf(slots) => slots.len(),
            Slots::Inner(slots) => slots.len(),
        }
    }

    /// Never true of a decoded page.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pages directly below this one, which was found `at` that place.
    pub fn children<'p>(&'p self, at: &'p Place) -> impl Iterator<Item = Place> + 'p {
        let level = at.level.saturating_sub(1);
        let links = self.links(&at.newer).enumerate();
        links.map(move |(place, (_, id, _))| Place { id, level, newer: self.newer_below(place) })
    }

    /// Number of keys in this leaf that are less than `key`.
    pub(crate) fn below(&self, key: &[u8]) -> usize {
        self.leaf().partition_point(|(k, _)| k.of(&self.bytes) < key)
    }

    /// Whether a key lies between the first and the last of this leaf.
    pub(crate) fn spans(&self, key: &[u8]) -> bool {
        let (first, last) = (self.leaf().first(), self.leaf().last());
        first
            .zip(last)
            .is_some_and(|((first, _), (last, _))| (first.of(&self.bytes)..=last.of(&self.bytes)).contains(&key))
    }

    /// A leaf's entry.
    pub(crate) fn entry(&self, index: usize) -> Option<(&[u8], &[u8])> {
        self.leaf().get(index).map(|(key, value)| (key.of(&self.bytes), value.of(&self.bytes)))
    }

    /// Bytes that a key of this leaf takes with its value.
    pub(crate) fn size_of(&self, key: &[u8]) -> usize {
        let entry = self.entry(self.below(key)).filter(|(found, _)| *found == key);
        entry.map_or(0, |(key, value)| codec::counted_len(key) + codec::counted_len(value))
    }

    /// A leaf's entries.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.leaf().iter().map(|(key, value)| (key.of(&self.bytes), value.of(&self.bytes)))
    }

    /// A leaf's entries from the one at `index`.
    pub(crate) fn entries_from(&self, index: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
        let slots = self.leaf().get(index..).unwrap_or_default();
        slots.iter().map(|(key, value)| (key.of(&self.bytes), value.of(&self.bytes)))
    }

    /// Which child of this inner page holds `key`.
    pub(crate) fn child_of(&self, key: &[u8]) -> usize {
        self.inner().partition_point(|(low, _, _)| low.of(&self.bytes) <= key).saturating_sub(1)
    }

    /// An inner page's children in order: low, id, count; `newer` is what its parent knows better.
    pub(crate) fn links<'p>(&'p self, newer: &'p [Newer]) -> impl Iterator<Item = (&'p [u8], PageId, u64)> {
        let mut newer = newer.iter().peekable();
        self.inner().iter().enumerate().map(move |(place, (low, id, count))| {
            let (id, count) = newer.next_if(|link| link.place == place).map_or((*id, *count), |n| (n.id, n.count));
            (low.of(&self.bytes), id, count)
        })
    }

    /// What this page knows better than its child in that place.
    pub(crate) fn newer_below(&self, place: usize) -> Vec<Newer> {
        let start = self.newer.partition_point(|(of, _)| *of < place);
        self.newer.iter().skip(start).take_while(|(of, _)| *of == place).map(|(_, link)| *link).collect()
    }

    fn leaf(&self) -> &[(Span, Span)] {
        match &self.slots {
            Slots::Leaf(slots) => slots,
            Slots::Inner(_) => &[],
        }
    }

    fn inner(&self) -> &[(Span, PageId, u64)] {
        match &self.slots {
            Slots::Inner(slots) => slots,
            Slots::Leaf(_) => &[],
        }
    }
}

impl From<Root> for Place {
    fn from(root: Root) -> Self {
        Self { id: root.id, level: root.level, newer: Vec::new() }
    }
}

impl Place {
    /// The pages below it that its parent links.
    pub(crate) fn newest(&self) -> Vec<Self> {
        let level = self.level.saturating_sub(1);
        self.newer.iter().map(|link| Self { id: link.id, level, newer: Vec::new() }).collect()
    }
}

impl Newer {
    /// Bytes it takes in a page, at most.
    pub(crate) fn bytes(&self) -> usize {
        3 + codec::varint_len(self.place as u64) + self.id.0.len() + codec::varint_len(self.count)
    }
}

/// Writes a leaf.
pub(crate) fn encode_leaf(id: &PageId, entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut body = begin(id, entries.len());
    for (key, value) in entries {
        codec::put_counted(&mut body, key);
        codec::put_counted(&mut body, value);
    }
    codec::seal(MAGIC, VERSION, 0, &body)
}

/// Writes an inner page.
pub(crate) fn encode_inner(id: &PageId, level: u8, children: &[Child]) -> Vec<u8> {
    let mut body = begin(id, children.len());
    for child in children {
        codec::put_counted(&mut body, &child.low);
        body.extend_from_slice(&child.id.0);
        codec::put_varint(&mut body, child.count);
    }
    let newer = children.iter().map(|child| child.newer.len()).sum::<usize>();
    if newer == 0 {
        return codec::seal(MAGIC, VERSION, level, &body);
    }
    codec::put_varint(&mut body, newer as u64);
    for (child, link) in children.iter().enumerate().flat_map(|(at, child)| child.newer.iter().map(move |n| (at, n))) {
        codec::put_varint(&mut body, child as u64);
        codec::put_varint(&mut body, link.place as u64);
        body.extend_from_slice(&link.id.0);
        codec::put_varint(&mut body, link.count);
    }
    codec::seal(MAGIC, WITH_NEWER, level, &body)
}

fn begin(id: &PageId, entries: usize) -> Vec<u8> {
    let mut body = id.0.to_vec();
    codec::put_varint(&mut body, entries as u64);
    body
}

fn read_entries(bytes: &[u8], level: u8, reader: &mut Reader<'_>) -> Option<(PageId, Slots)> {
    let id = PageId(reader.array()?);
    // An entry takes at least two bytes, so a count cannot make us reserve more than the page itself.
    let count = usize::try_from(reader.varint()?).ok().filter(|n| (1..=reader.left() / 2).contains(n))?;
    let slots = match level {
        0 => Slots::Leaf(read_leaf(bytes, count, reader)?),
        1..=MAX_LEVEL => Slots::Inner(read_inner(bytes, count, reader)?),
        _ => return None,
    };
    Some((id, slots))
}

fn read_leaf(bytes: &[u8], count: usize, reader: &mut Reader<'_>) -> Option<Vec<(Span, Span)>> {
    let mut slots: Vec<(Span, Span)> = Vec::with_capacity(count);
    for _ in 0..count {
        let key = reader.counted()?;
        let value = reader.counted()?;
        if slots.last().is_some_and(|(last, _)| last.of(bytes) >= key.of(bytes)) {
            return None;
        }
        slots.push((key, value));
    }
    Some(slots)
}

fn read_inner(bytes: &[u8], count: usize, reader: &mut Reader<'_>) -> Option<Vec<(Span, PageId, u64)>> {
    let mut slots: Vec<(Span, PageId, u64)> = Vec::with_capacity(count);
    let mut total = 0u64;
    for _ in 0..count {
        let low = reader.counted()?;
        let id = PageId(reader.array()?);
        let below = reader.varint()?;
        total = total.checked_add(below)?;
        if slots.last().is_some_and(|(last, ..)| last.of(bytes) >= low.of(bytes)) {
            return None;
        }
        slots.push((low, id, below));
    }
    Some(slots)
}

fn read_newer(level: u8, reader: &mut Reader<'_>) -> Option<Vec<(usize, Newer)>> {
    let count = usize::try_from(reader.varint()?).ok().filter(|n| (1..=reader.left() / 21).contains(n))?;
    let mut newer: Vec<(usize, Newer)> = Vec::with_capacity(count);
    for _ in 0..count {
        let child = usize::try_from(reader.varint()?).ok()?;
        let place = usize::try_from(reader.varint()?).ok()?;
        let link = Newer { place, id: PageId(reader.array()?), count: reader.varint()? };
        if newer.last().is_some_and(|(of, last)| (*of, last.place) >= (child, place)) {
            return None;
        }
        newer.push((child, link));
    }
    (level == GRANDPARENT).then_some(newer)
}
