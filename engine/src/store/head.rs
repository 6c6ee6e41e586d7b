//! The one mutable value of a directory.
//!
//! A head is an envelope (magic `sh`, version 1, kind 0; see `codec.rs`) around:
//!
//! ```text
//!  varint   version of the directory: number of commits so far
//!  byte     1 when there is a tree, else 0; a tree is: 18 bytes root id, byte level of the root, varint entries
//!  byte     number of recent commits, at most 32; for each, newest first, its 16 byte nonce
//!  bytes    the record
//!  varint   number of pending writes; for each, keys ascending: key bytes, byte flags, value bytes if flag 2
//!             flag 1: the tree holds the key; flag 2: the write sets a value (else it removes the key)
//!  varint   number of garbage pages; for each its 18 byte id
//! ```
//!
//! No two heads of a directory are ever equal: each carries the nonce of its own commit. So a swap that compares
//! whole values can not mistake one head for another, and a commit can be found again in the heads after it.
//!
//! *Garbage* are the pages the latest merges replaced. They are deleted together by a later merge, once they are so many that
//! a call for them is worth its while: a reader that still holds an earlier head is rarely disturbed, and a crash between
//! swap and deletion leaks no more than these.

use std::any::Any;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::PageId;
use super::codec::{self, Damage, Reader, Span};
use super::page::MAX_LEVEL;

const MAGIC: [u8; 2] = *b"sh";
const VERSION: u8 = 1;
const IN_TREE: u8 = 1;
const SETS: u8 = 2;
/// How many commits a head remembers by nonce.
pub const RECENT: usize = 32;

/// A decoded head.
#[derive(Debug)]
pub struct Head {
    bytes: Arc<[u8]>,
    version: u64,
    root: Option<Root>,
    recent: Vec<[u8; 16]>,
    record: Span,
    read: OnceLock<Option<Arc<dyn Any + Send + Sync>>>,
    pending: Vec<(Span, Option<Span>, bool)>,
    garbage: Vec<PageId>,
    unlanded: usize,
}

/// Where a tree starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The root page.
    pub id: PageId,
    /// Its level.
    pub level: u8,
    /// Entries of the whole tree.
    pub count: u64,
}

/// A write that lies over the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot<'a> {
    pub key: &'a [u8],
    /// `None` removes the key.
    pub value: Option<&'a [u8]>,
    /// Whether the tree below holds the key.
    pub in_tree: bool,
}

impl Slot<'_> {
    /// Bytes of key and value.
    pub(crate) fn bytes(&self) -> usize {
        self.key.len() + self.value.map_or(0, <[u8]>::len)
    }
}

/// What a new head is made of.
pub(crate) struct Draft<'a> {
    pub version: u64,
    pub root: Option<Root>,
    pub recent: Vec<[u8; 16]>,
    pub record: &'a [u8],
    pub pending: &'a [Slot<'a>],
    pub garbage: &'a [PageId],
}

impl Head {
    /// Checks and indexes stored bytes.
    ///
    /// # Errors
    /// [`Damage`] for anything an encoder of this format did not write; no input panics.
    pub fn decode(bytes: Arc<[u8]>) -> Result<Self, Damage> {
        let (_, kind, mut reader) = codec::open(&bytes, MAGIC, VERSION)?;
        let head = read_body(Arc::clone(&bytes), &mut reader).filter(|_| kind == 0 && reader.at_end());
        head.ok_or(Damage::Malformed)
    }

    /// The stored bytes.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// Version of the directory: number of commits so far.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The opaque record.
    pub fn record(&self) -> &[u8] {
        self.record.of(&self.bytes)
    }

    /// The record as `read` understands it. It is read once, however many requests a head answers.
    pub fn record_as<T: Any + Send + Sync>(&self, read: impl FnOnce(&[u8]) -> Option<T>) -> Option<Arc<T>> {
        let known = self.read.get_or_init(|| Some(Arc::new(read(self.record())?)));
        Arc::clone(known.as_ref()?).downcast().ok()
    }

    /// Where the tree starts; `None` for an empty one.
    pub fn root(&self) -> Option<Root> {
        self.root
    }

    /// Nonces of the latest commits, newest first: the first is of [`Self::version`], the next of the version before.
    pub fn recent(&self) -> &[[u8; 16]] {
        &self.recent
    }

    /// Says that this head is not installed yet, nor those of the commits before it, `commits` in all.
    pub(crate) fn unlanded(mut self, commits: usize) -> Self {
        self.unlanded = commits;
        self
    }

    /// Whether this head is not installed yet: the pages it calls garbage are those of the head that is.
    pub(crate) fn is_draft(&self) -> bool {
        self.unlanded > 0
    }

    /// Whether a page belongs to a commit that has not landed yet.
    pub(crate) fn has_unlanded(&self, page: &PageId) -> bool {
        self.recent.iter().take(self.unlanded).any(|nonce| *nonce == page.nonce())
    }

    /// Pages the latest merges replaced.
    pub fn garbage(&self) -> &[PageId] {
        &self.garbage
    }

    /// The stored form of this head with another record, and nothing else changed. It must not be stored as it is: a
    /// host shows it to a step, whose commit then carries the record on.
    pub fn with_record(&self, record: &[u8]) -> Vec<u8> {
        let pending: Vec<_> = self.pending().collect();
        let draft = Draft {
            version: self.version,
            root: self.root,
            recent: self.recent.clone(),
            record,
            pending: &pending,
            garbage: &self.garbage,
        };
        draft.encode()
    }

    /// Writes over the tree, keys ascending.
    pub(crate) fn pending(&self) -> impl Iterator<Item = Slot<'_>> {
        self.pending.iter().map(|slot| self.slot(slot))
    }

    /// Those of a range of keys.
    pub(crate) fn pending_in(&self, range: &Range<&[u8]>) -> impl Iterator<Item = Slot<'_>> {
        let below = |end: &[u8]| self.pending.partition_point(|(key, ..)| key.of(&self.bytes) < end);
        let (start, end) = (below(range.start), below(range.end));
        self.pending.iter().take(end).skip(start).map(|slot| self.slot(slot))
    }

    /// The write of that key over the tree.
    pub(crate) fn pending_of(&self, key: &[u8]) -> Option<Slot<'_>> {
        let index = self.pending.binary_search_by(|(k, ..)| k.of(&self.bytes).cmp(key)).ok()?;
        self.pending.get(index).map(|slot| self.slot(slot))
    }

    fn slot(&self, (key, value, in_tree): &(Span, Option<Span>, bool)) -> Slot<'_> {
        Slot { key: key.of(&self.bytes), value: value.map(|value| value.of(&self.bytes)), in_tree: *in_tree }
    }
}

impl Draft<'_> {
    /// The stored form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        codec::put_varint(&mut body, self.version);
        body.push(u8::from(self.root.is_some()));
        if let Some(root) = self.root {
            body.extend_from_slice(&root.id.0);
            body.push(root.level);
            codec::put_varint(&mut body, root.count);
        }
        let recent = self.recent.iter().take(RECENT);
        body.push(u8::try_from(recent.len()).unwrap_or_default());
        body.extend(recent.flatten());
        codec::put_counted(&mut body, self.record);
        codec::put_varint(&mut body, self.pending.len() as u64);
        for slot in self.pending {
            codec::put_counted(&mut body, slot.key);
            body.push(if slot.in_tree { IN_TREE } else { 0 } | if slot.value.is_some() { SETS } else { 0 });
            if let Some(value) = slot.value {
                codec::put_counted(&mut body, value);
            }
        }
        codec::put_varint(&mut body, self.garbage.len() as u64);
        body.extend(self.garbage.iter().flat_map(|id| id.0));
        codec::seal(MAGIC, VERSION, 0, &body)
    }
}

fn read_body(bytes: Arc<[u8]>, reader: &mut Reader<'_>) -> Option<Head> {
    let version = reader.varint()?;
    let root = match reader.byte()? {
        0 => None,
        1 => Some(read_root(reader)?),
        _ => return None,
    };
    let recent = reader.byte()?;
    let recent = (0..recent).map(|_| reader.array()).collect::<Option<Vec<_>>>()?;
    let record = reader.counted()?;
    let pending = read_pending(&bytes, reader)?;
    let garbage = count(reader, 18)?;
    let garbage = (0..garbage).map(|_| reader.array().map(PageId)).collect::<Option<Vec<_>>>()?;
    (recent.len() <= RECENT).then_some(Head {
        version,
        root,
        recent,
        record,
        read: OnceLock::new(),
        pending,
        garbage,
        unlanded: 0,
        bytes,
    })
}

fn read_root(reader: &mut Reader<'_>) -> Option<Root> {
    let id = PageId(reader.array()?);
    let level = reader.byte().filter(|level| *level <= MAX_LEVEL)?;
    Some(Root { id, level, count: reader.varint()? })
}

fn read_pending(bytes: &[u8], reader: &mut Reader<'_>) -> Option<Vec<(Span, Option<Span>, bool)>> {
    let count = count(reader, 2)?;
    let mut pending: Vec<(Span, Option<Span>, bool)> = Vec::with_capacity(count);
    for _ in 0..count {
        let key = reader.counted()?;
        let flags = reader.byte().filter(|flags| flags & !(IN_TREE | SETS) == 0)?;
        let value = if flags & SETS != 0 { Some(reader.counted()?) } else { None };
        if pending.last().is_some_and(|(last, ..)| last.of(bytes) >= key.of(bytes)) {
            return None;
        }
        pending.push((key, value, flags & IN_TREE != 0));
    }
    Some(pending)
}

/// A number of items of at least `size` bytes each: never more than the bytes left can hold.
fn count(reader: &mut Reader<'_>, size: usize) -> Option<usize> {
    let count = usize::try_from(reader.varint()?).ok()?;
    (count <= reader.left() / size).then_some(count)
}
