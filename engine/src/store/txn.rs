//! Reads and writes of one step in one directory.
//!
//! Three layers, nearest first: the step's own writes, the writes pending in the head, the tree.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::head::{Draft, RECENT, Slot};
use super::tree::{Near, Tree, overlaid};
use super::{Commit, DirectoryId, Fault, Head, Need, PageId, View};
use crate::env::{Env, Limits};

pub use super::tree::Entry;

/// Replaced pages a head remembers at most; a merge that replaces more has the rest deleted at once.
const GARBAGE: usize = 512;

/// Reads and writes of one step in one directory.
///
/// Nothing is stored until the [`Commit`] it ends with is.
pub struct Txn<'v> {
    view: &'v View<'v>,
    directory: DirectoryId,
    head: Option<Arc<Head>>,
    writes: BTreeMap<Vec<u8>, Write>,
    /// Ranges known to hold nothing in either layer below, by their start.
    vacant: BTreeMap<Vec<u8>, Vec<u8>>,
    record: Option<Vec<u8>>,
    /// What each write since the first savepoint replaced.
    undo: Option<Vec<(Vec<u8>, Option<Write>)>>,
    purges: bool,
}

/// What a step does to a key.
struct Write {
    /// A value, or its removal.
    value: Option<Vec<u8>>,
    /// Whether the tree holds the key, once that is known.
    in_tree: Cell<Option<bool>>,
    /// Whether that is known without a look at the tree.
    fresh: bool,
}

/// A moment of a [`Txn`] to return to.
#[derive(Clone, Copy, Debug)]
pub struct Savepoint(usize);

impl<'v> Txn<'v> {
    /// Opens a directory at its current head; `None` when it does not exist.
    ///
    /// # Errors
    /// [`Fault::Need`] when the head is not loaded.
    pub fn open(view: &'v View<'v>, directory: &DirectoryId) -> Result<Option<Self>, Fault> {
        let Some(head) = view.heads.get(directory) else {
            return Err(Fault::Need(Need { heads: vec![directory.clone()], pages: Vec::new() }));
        };
        Ok(head.as_ref().map(|head| Self { head: Some(Arc::clone(head)), ..Self::create(view, directory) }))
    }

    /// Starts a directory that does not exist yet; its commit has `expected: None`.
    ///
    /// Only for a directory whose id this very request invented: nobody else can be creating it.
    pub fn create(view: &'v View<'v>, directory: &DirectoryId) -> Self {
        Self {
            view,
            directory: directory.clone(),
            head: None,
            writes: BTreeMap::new(),
            vacant: BTreeMap::new(),
            record: None,
            undo: None,
            purges: false,
        }
    }

    /// Version of the directory as read; 0 for a new one. Every commit adds one.
    pub fn version(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.version())
    }

    /// The head as read; `None` for a new directory.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_deref()
    }

    /// The opaque record kept in the head: the connection record.
    pub fn record(&self) -> &[u8] {
        let stored = || self.head.as_ref().map(|head| head.record()).unwrap_or_default();
        self.record.as_deref().unwrap_or_else(stored)
    }

    /// Replaces the record.
    pub fn set_record(&mut self, record: Vec<u8>) {
        self.record = Some(record);
    }

    /// The value of a key, own writes included.
    ///
    /// # Errors
    /// [`Fault::Need`] for pages not at hand, [`Fault::Damaged`] for a tree that does not hold together; so it is
    /// for every read below.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.get_near(key, &mut Near::default())
    }

    fn get_near(&self, key: &[u8], near: &mut Near) -> Result<Option<Vec<u8>>, Fault> {
        if let Some(own) = self.writes.get(key) {
            return Ok(own.value.clone());
        }
        match self.pending(key) {
            Some(slot) => Ok(slot.value.map(<[u8]>::to_vec)),
            None => self.tree_at(key..key).get(key, near),
        }
    }

    /// Values of many keys; missing pages of all of them are asked for at once.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        let (mut need, mut near) = (Need::default(), Near::default());
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            values.push(need.gather(self.get_near(key, &mut near))?.flatten());
        }
        need.settle()?;
        Ok(values)
    }

    /// Entries of a range in key order (backwards when `reverse`), after `skip` of them, at most `limit`.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn scan(&self, range: Range<&[u8]>, skip: u64, limit: usize, reverse: bool) -> Result<Vec<Entry>, Fault> {
        if range.start >= range.end || limit == 0 {
            return Ok(Vec::new());
        }
        let limit = limit as u64;
        let window = if reverse {
            let end = self.count(range.clone())?.saturating_sub(skip);
            end.saturating_sub(limit)..end
        } else {
            skip..skip.saturating_add(limit)
        };
        let tree = self.tree_at(range.clone());
        let overlay = self.overlay(&range);
        let mut need = Need::default();
        let known = need.gather(overlay)?;
        let found = need.gather(tree.select(known.as_deref().unwrap_or_default(), range, window))?;
        need.settle()?;
        let mut found = found.unwrap_or_default();
        if reverse {
            found.reverse();
        }
        Ok(found)
    }

    /// Number of entries in a range, in O(log n).
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn count(&self, range: Range<&[u8]>) -> Result<u64, Fault> {
        if range.start >= range.end {
            return Ok(0);
        }
        let tree = self.tree_at(range.clone());
        let mut need = Need::default();
        let overlay = need.gather(self.overlay(&range))?;
        let (start, end) = (need.gather(tree.rank(range.start))?, need.gather(tree.rank(range.end))?);
        need.settle()?;
        let within = end.unwrap_or_default().saturating_sub(start.unwrap_or_default());
        Ok(overlaid(within, &overlay.unwrap_or_default()))
    }

    /// Sets a key.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.write(key, Some(value), false);
    }

    /// Sets a key that can not be there, for this run of the step made it up: nothing is read to find that out. Were it
    /// there nevertheless, the directory would count it twice.
    pub fn put_fresh(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.write(key, Some(value), true);
    }

    /// Says that no key of a range is stored, for this run of the step made up what they begin with: nothing is read to
    /// find that out.
    pub fn vacate(&mut self, range: Range<Vec<u8>>) {
        self.vacant.insert(range.start, range.end);
    }

    /// Removes a key; nothing happens when it is absent.
    pub fn remove(&mut self, key: Vec<u8>) {
        self.write(key, None, false);
    }

    fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>, fresh: bool) {
        let noted = self.undo.as_ref().map(|_| key.clone());
        let before = self.writes.get(&key);
        let known = if fresh { Some(false) } else { before.and_then(|write| write.in_tree.get()) };
        let fresh = fresh || before.is_some_and(|write| write.fresh);
        let replaced = self.writes.insert(key, Write { value, in_tree: Cell::new(known), fresh });
        if let (Some(undo), Some(key)) = (&mut self.undo, noted) {
            undo.push((key, replaced));
        }
    }

    /// This moment, to take back later writes with [`Self::roll_back`].
    pub fn savepoint(&mut self) -> Savepoint {
        Savepoint(self.undo.get_or_insert_default().len())
    }

    /// Takes back every put and remove since the savepoint.
    pub fn roll_back(&mut self, Savepoint(moment): Savepoint) {
        for (key, replaced) in self.undo.iter_mut().flat_map(|undo| undo.drain(moment.min(undo.len())..).rev()) {
            match replaced {
                Some(replaced) => self.writes.insert(key, replaced),
                None => self.writes.remove(&key),
            };
        }
    }

    /// Makes the commit leave nothing of removed entries behind: it merges whatever is pending, and replaced pages are
    /// deleted with it instead of later. For a directory nobody reads any more; its head remembers them until the next
    /// commit, so that this one, run again after a crash, deletes them again.
    pub fn purge(&mut self) {
        self.purges = true;
    }

    /// Whether all is at hand that the commit of the keys written so far takes: whether the tree holds them, and if it
    /// merges, the leaves they and what is pending fall into, and the leaf after one that becomes small.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn foresee(&self, limits: &Limits) -> Result<(), Fault> {
        let (mut need, mut near) = (Need::default(), Near::default());
        let merges = self.is_merging(limits);
        let mut losing: Option<(PageId, usize)> = None;
        for (key, write) in &self.writes {
            let found = need.gather(self.is_in_tree(key, write, &mut near))?;
            let (Some(true), None, Some(leaf)) = (found, &write.value, near.leaf()) else { continue };
            let before = losing.filter(|(id, _)| id == leaf.id()).map_or(0, |(_, lost)| lost);
            let lost = before + leaf.size_of(key);
            losing = Some((*leaf.id(), lost));
            // A leaf that becomes small is joined with the next one.
            let small = |lost: usize| leaf.bytes().len().saturating_sub(lost) < limits.page_bytes / 3;
            if merges && small(lost) && !small(before) {
                need.gather(self.tree().after(leaf))?;
            }
        }
        if merges {
            let pending = self.head.iter().flat_map(|head| head.pending()).map(|slot| slot.key);
            let fresh = self.writes.iter().filter(|(_, write)| write.fresh).map(|(key, _)| key.as_slice());
            for key in pending.chain(fresh) {
                need.gather(self.tree().contains(key, &mut near))?;
            }
        }
        need.settle()
    }

    fn is_in_tree(&self, key: &[u8], write: &Write, near: &mut Near) -> Result<bool, Fault> {
        if let Some(known) = write.in_tree.get() {
            return Ok(known);
        }
        let found = match self.pending(key) {
            Some(slot) => slot.in_tree,
            None => self.tree_at(key..key).contains(key, near)?,
        };
        write.in_tree.set(Some(found));
        Ok(found)
    }

    /// Whether the commit is to merge what is pending into the tree, as far as it can be told by now.
    pub fn is_merging(&self, limits: &Limits) -> bool {
        let pending = self.head.iter().flat_map(|head| head.pending()).map(|slot| slot.bytes());
        let own = self.writes.iter().map(|(key, write)| key.len() + write.value.as_ref().map_or(0, Vec::len));
        let (count, bytes) = pending.chain(own).fold((0, 0), |(count, sum), bytes| (count + 1, sum + bytes));
        self.purges || count > limits.pending_entries || bytes > limits.pending_bytes
    }

    /// Whether the head remembers pages that its commit replaced. After [`Self::purge`] they are deleted as a rule, but a
    /// crash may have come between.
    pub fn has_garbage(&self) -> bool {
        self.head.as_ref().is_some_and(|head| !head.garbage().is_empty())
    }

    /// The commit of all writes; `None` when nothing was written. A new directory counts as written.
    ///
    /// # Errors
    /// [`Fault::Need`] for the pages the writes fall into, [`Fault::Refused`] for a change of more than 65536 pages,
    /// [`Fault::Damaged`] as [`Self::get`].
    pub fn commit(self, env: &Env<'_>) -> Result<Option<Commit>, Fault> {
        if self.head.is_some() && self.writes.is_empty() && self.record.is_none() && !self.purges {
            return Ok(None);
        }
        let limits = &env.config.limits;
        let nonce = self.nonce(env);
        let slots = self.everything()?;
        let bytes: usize = slots.iter().map(Slot::bytes).sum();
        let merges = self.purges || slots.len() > limits.pending_entries || bytes > limits.pending_bytes;
        let old = self.head.as_deref();
        let recent = [nonce].into_iter().chain(old.iter().flat_map(|head| head.recent().iter().copied()));
        let mut draft = Draft {
            version: self.version() + 1,
            root: old.and_then(Head::root),
            recent: recent.take(RECENT).collect(),
            record: self.record(),
            pending: &slots,
            garbage: old.map(Head::garbage).unwrap_or_default(),
        };
        if !merges {
            return Ok(Some(self.finish(&draft, nonce)));
        }
        let writes: Vec<_> = slots.iter().map(|slot| (slot.key, slot.value)).collect();
        let merged = self.tree().rewrite(&writes, nonce, limits.page_bytes)?;
        let (superseded, replaced) = merged.replaced.into_iter().partition(|id| self.has_unlanded(id));
        let (garbage, obsolete) = self.retire(replaced, limits.garbage_pages);
        (draft.root, draft.pending, draft.garbage) = (merged.root, &[], &garbage);
        Ok(Some(Commit { pages: merged.pages, obsolete, superseded, ..self.finish(&draft, nonce) }))
    }

    /// Parts pages nobody refers to after a merge: those the head remembers for a later one to delete, and those to be
    /// deleted now. What the head remembers already has had its time, unless that head is a draft, and goes once there are
    /// more than `enough`.
    fn retire(&self, replaced: Vec<PageId>, enough: usize) -> (Vec<PageId>, Vec<PageId>) {
        let old = self.head.as_deref().map(Head::garbage).unwrap_or_default();
        if self.purges {
            return (replaced.iter().copied().take(GARBAGE).collect(), [old, &replaced].concat());
        }
        let waits = old.len() <= enough || self.head.as_ref().is_some_and(|head| head.is_draft());
        let (mut obsolete, mut garbage) =
            if waits { (Vec::new(), [old, &replaced].concat()) } else { (old.to_vec(), replaced) };
        obsolete.extend(garbage.drain(..garbage.len().saturating_sub(GARBAGE)));
        (garbage, obsolete)
    }

    fn has_unlanded(&self, page: &PageId) -> bool {
        self.head.as_ref().is_some_and(|head| head.has_unlanded(page))
    }

    fn finish(&self, draft: &Draft<'_>, nonce: [u8; 16]) -> Commit {
        Commit {
            directory: self.directory.clone(),
            expected: self.head.as_ref().map(|head| Arc::clone(head.bytes())),
            base: self.version(),
            head: draft.encode(),
            version: draft.version,
            nonce,
            pages: Vec::new(),
            obsolete: Vec::new(),
            superseded: Vec::new(),
        }
    }

    /// Page ids are unique across directories, so that one cache may serve them all.
    fn nonce(&self, env: &Env<'_>) -> [u8; 16] {
        let digest = Sha256::new().chain_update(env.nonce()).chain_update(self.directory.as_str()).finalize();
        let mut nonce = [0; 16];
        for (to, from) in nonce.iter_mut().zip(digest) {
            *to = from;
        }
        nonce
    }

    /// The tree, or an empty one where nothing is stored in it.
    fn tree_at(&self, range: Range<&[u8]>) -> Tree<'_> {
        let before = (Bound::Unbounded, Bound::Included(range.start));
        let vacant = self.vacant.range::<[u8], _>(before).next_back();
        let is_vacant = vacant.is_some_and(|(_, end)| range.start < end.as_slice() && range.end <= end.as_slice());
        if is_vacant { Tree { root: None, ..self.tree() } } else { self.tree() }
    }

    fn tree(&self) -> Tree<'_> {
        let root = self.head.as_ref().and_then(|head| head.root());
        Tree { directory: &self.directory, pages: self.view.pages, root }
    }

    fn pending(&self, key: &[u8]) -> Option<Slot<'_>> {
        self.head.as_ref()?.pending_of(key)
    }

    /// Pending and own writes of a range, as one overlay of the tree.
    fn overlay(&self, range: &Range<&[u8]>) -> Result<Vec<Slot<'_>>, Fault> {
        let bounds = (Bound::Included(range.start), Bound::Excluded(range.end));
        let pending = self.head.iter().flat_map(|head| head.pending_in(range));
        self.lay(pending, self.writes.range::<[u8], _>(bounds))
    }

    /// All pending and own writes that differ from an absent key.
    fn everything(&self) -> Result<Vec<Slot<'_>>, Fault> {
        let pending = self.head.iter().flat_map(|head| head.pending());
        let mut slots = self.lay(pending, self.writes.iter())?;
        slots.retain(|slot| slot.value.is_some() || slot.in_tree);
        Ok(slots)
    }

    /// Own writes over pending ones, both with keys ascending.
    fn lay<'t>(
        &'t self,
        pending: impl Iterator<Item = Slot<'t>>,
        own: impl Iterator<Item = (&'t Vec<u8>, &'t Write)>,
    ) -> Result<Vec<Slot<'t>>, Fault> {
        let (mut need, mut near) = (Need::default(), Near::default());
        let mut slots = Vec::new();
        let mut pending = pending.peekable();
        for (key, write) in own {
            slots.extend(std::iter::from_fn(|| pending.next_if(|slot| slot.key < key.as_slice())));
            pending.next_if(|slot| slot.key == key);
            let in_tree = need.gather(self.is_in_tree(key, write, &mut near))?.unwrap_or_default();
            slots.push(Slot { key, value: write.value.as_deref(), in_tree });
        }
        need.settle()?;
        slots.extend(pending);
        Ok(slots)
    }
}
