//! Immutable pages of the tree.
//!
//! A page is an envelope (magic `sp`, version 1, kind = level: 0 for a leaf) around:
//!
//! ```text
//! 18 bytes  the page's own id: a page found under another name is damaged
//!  varint   number of entries, at least 1
//!           leaf entry:   key bytes, value bytes
//!           inner entry:  low bytes, 18 bytes child id, varint number of leaf entries below the child
//! ```
//!
//! (The envelope, varints and *bytes* are described in `codec.rs`: 2 bytes magic, 1 byte version, 1 byte
//! level, 4 bytes little-endian CRC-32 of everything else.) Keys and lows ascend strictly. A child of an inner
//! page holds the keys from its low up to the next child's low; the first child also holds whatever is below its
//! own low.

use std::sync::Arc;

use super::PageId;
use super::codec::{self, Damage, Reader, Span};

const MAGIC: [u8; 2] = *b"sp";
const VERSION: u8 = 1;
/// More levels than any directory can have: with two children a page, 2^40 entries.
pub(crate) const MAX_LEVEL: u8 = 40;
/// Bytes of a page besides its entries, at most.
pub(crate) const OVERHEAD: usize = codec::ENVELOPE + 18 + 5;

/// A decoded page: the stored bytes, and where in them each entry lies.
#[derive(Debug)]
pub struct Page {
    bytes: Arc<[u8]>,
    id: PageId,
    slots: Slots,
    level: u8,
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
}

impl Page {
    /// Checks and indexes stored bytes.
    ///
    /// # Errors
    /// [`Damage`] for anything an encoder of this format did not write; no input panics.
    pub fn decode(bytes: Arc<[u8]>) -> Result<Self, Damage> {
        let (level, mut reader) = codec::open(&bytes, MAGIC, VERSION)?;
        let (id, slots) = read_body(&bytes, level, &mut reader).ok_or(Damage::Malformed)?;
        Ok(Self { id, slots, level, bytes })
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

    /// Ids of the pages directly below.
    pub fn children(&self) -> impl Iterator<Item = PageId> + '_ {
        self.inner().iter().map(|(_, id, _)| *id)
    }

    /// Number of keys in this leaf that are less than `key`.
    pub(crate) fn below(&self, key: &[u8]) -> usize {
        self.leaf().partition_point(|(k, _)| k.of(&self.bytes) < key)
    }

    /// A leaf's entry.
    pub(crate) fn entry(&self, index: usize) -> Option<(&[u8], &[u8])> {
        self.leaf().get(index).map(|(key, value)| (key.of(&self.bytes), value.of(&self.bytes)))
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

    /// An inner page's children in order: low, id, count.
    pub(crate) fn links(&self) -> impl ExactSizeIterator<Item = (&[u8], PageId, u64)> {
        self.inner().iter().map(|(low, id, count)| (low.of(&self.bytes), *id, *count))
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
    codec::seal(MAGIC, VERSION, level, &body)
}

fn begin(id: &PageId, entries: usize) -> Vec<u8> {
    let mut body = id.0.to_vec();
    codec::put_varint(&mut body, entries as u64);
    body
}

fn read_body(bytes: &[u8], level: u8, reader: &mut Reader<'_>) -> Option<(PageId, Slots)> {
    let id = PageId(reader.array()?);
    // An entry takes at least two bytes, so a count cannot make us reserve more than the page itself.
    let count = usize::try_from(reader.varint()?).ok().filter(|n| (1..=reader.left() / 2).contains(n))?;
    let slots = match level {
        0 => Slots::Leaf(read_leaf(bytes, count, reader)?),
        1..=MAX_LEVEL => Slots::Inner(read_inner(bytes, count, reader)?),
        _ => return None,
    };
    reader.at_end().then_some((id, slots))
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
