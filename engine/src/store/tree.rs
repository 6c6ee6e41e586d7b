//! Reading the B+tree.
//!
//! Every read asks for all the pages it can already name as missing at once. Ranks come from the counts in inner
//! pages, so a range, what of it is skipped, and its count cost a path from the root each, whatever the size of the tree.

mod rewrite;

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use super::head::{Head, Root, Slot};
use super::page::Place;
use super::{DirectoryId, Fault, Need, Page, PageId, PageSource};

/// The leaf that the latest of several lookups ended at: where keys are near each other, the next one ends there too.
#[derive(Default)]
pub(crate) struct Near(Option<Arc<Page>>);

impl Near {
    /// That leaf.
    pub fn leaf(&self) -> Option<&Page> {
        self.0.as_deref()
    }
}

/// A tree at one root.
pub(crate) struct Tree<'v> {
    pub directory: &'v DirectoryId,
    pub pages: &'v dyn PageSource,
    pub root: Option<Root>,
}

impl Tree<'_> {
    /// The value of a key.
    pub fn get(&self, key: &[u8], near: &mut Near) -> Result<Option<Vec<u8>>, Fault> {
        let Some(leaf) = self.leaf_of(key, near)? else { return Ok(None) };
        let found = leaf.entry(leaf.below(key)).filter(|(k, _)| *k == key);
        Ok(found.map(|(_, value)| value.to_vec()))
    }

    /// Whether the tree holds a key.
    pub fn contains(&self, key: &[u8], near: &mut Near) -> Result<bool, Fault> {
        let Some(leaf) = self.leaf_of(key, near)? else { return Ok(false) };
        Ok(leaf.entry(leaf.below(key)).is_some_and(|(k, _)| k == key))
    }

    /// Number of keys less than `key`.
    pub fn rank(&self, key: &[u8]) -> Result<u64, Fault> {
        let Some(root) = self.root else { return Ok(0) };
        let (mut place, mut rank) = (Place::from(root), 0u64);
        loop {
            let page = self.load(&place.id, place.level)?;
            if place.level == 0 {
                return Ok(rank.saturating_add(page.below(key) as u64));
            }
            let index = page.child_of(key);
            rank = page.links(&place.newer).take(index).fold(rank, |sum, (_, _, count)| sum.saturating_add(count));
            place = self.child(&page, &place, index)?;
        }
    }

    /// The entries of `window`, which counts from the first in `range`, as they are under `overlay`.
    ///
    /// `overlay` holds writes within `range` only, keys ascending.
    pub fn select(&self, overlay: &[Slot<'_>], range: Range<&[u8]>, window: Range<u64>) -> Result<Vec<Entry>, Fault> {
        let mut walk = Walk { tree: self, range, window, rank: 0, slack: 0, found: Vec::new(), need: Need::default() };
        match self.root {
            Some(root) => walk.page(&root.into(), root.count, overlay, true)?,
            None => walk.leaf(None, overlay),
        }
        walk.need.settle()?;
        Ok(walk.found)
    }

    /// Whether the leaf after this one is at hand.
    pub fn after(&self, leaf: &Page) -> Result<(), Fault> {
        let Some((last, _)) = leaf.entries().last() else { return Ok(()) };
        self.select(&[], &[last, &[0]].concat()..&[0xff; 8], 0..1).map(drop)
    }

    /// A page, checked to be of that level: a page in the wrong place would otherwise send a reader in circles.
    fn load(&self, id: &PageId, level: u8) -> Result<Arc<Page>, Fault> {
        let Some(page) = self.pages.page(id) else {
            return Err(Fault::Need(Need { heads: Vec::new(), pages: vec![(self.directory.clone(), *id)] }));
        };
        if page.level() != level || page.id() != id {
            return Err(self.damaged(id));
        }
        Ok(page)
    }

    fn leaf_of<'n>(&self, key: &[u8], near: &'n mut Near) -> Result<Option<&'n Page>, Fault> {
        let Some(root) = self.root else { return Ok(None) };
        if !near.0.as_ref().is_some_and(|leaf| leaf.spans(key)) {
            near.0 = Some(self.descend(root, key)?);
        }
        Ok(near.0.as_deref())
    }

    fn descend(&self, root: Root, key: &[u8]) -> Result<Arc<Page>, Fault> {
        let mut place = Place::from(root);
        loop {
            let page = self.load(&place.id, place.level)?;
            if place.level == 0 {
                return Ok(page);
            }
            place = self.child(&page, &place, page.child_of(key))?;
        }
    }

    fn child(&self, page: &Page, at: &Place, index: usize) -> Result<Place, Fault> {
        let link = page.links(&at.newer).nth(index).zip(at.level.checked_sub(1));
        let place = link.map(|((_, id, _), level)| Place { id, level, newer: page.newer_below(index) });
        place.ok_or_else(|| self.damaged(page.id()))
    }

    fn damaged(&self, id: &PageId) -> Fault {
        Fault::Damaged(format!(
            "page `{}` of directory `{}` is not where it belongs",
            id.text(),
            self.directory.as_str()
        ))
    }
}

/// An entry: key and value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// How many more or fewer keys there are under an overlay.
pub(crate) fn overlaid(count: u64, overlay: &[Slot<'_>]) -> u64 {
    overlay.iter().fold(count, |count, slot| match (slot.value.is_some(), slot.in_tree) {
        (true, false) => count.saturating_add(1),
        (false, true) => count.saturating_sub(1),
        (true, true) | (false, false) => count,
    })
}

/// One descent that visits the page the range starts in, those whose live entries fall in a window of ranks, and no others.
struct Walk<'w, 'v> {
    tree: &'w Tree<'v>,
    range: Range<&'w [u8]>,
    window: Range<u64>,
    /// Live entries of the range before the place the walk has come to, at most.
    rank: u64,
    /// How many fewer there may be: the page the range starts in is not at hand.
    slack: u64,
    found: Vec<Entry>,
    need: Need,
}

impl Walk<'_, '_> {
    /// Visits a page of `count` entries; `overlay` is the part that falls into it, and with `start` so does the start of
    /// the range.
    fn page(&mut self, at: &Place, count: u64, overlay: &[Slot<'_>], start: bool) -> Result<(), Fault> {
        let Some(page) = self.need.gather(self.tree.load(&at.id, at.level))? else {
            let live = overlaid(count, overlay);
            self.rank = self.rank.saturating_add(live);
            self.slack = self.slack.saturating_add(if start { live } else { 0 });
            return Ok(());
        };
        let Some(level) = at.level.checked_sub(1) else {
            self.leaf(Some(&page), overlay);
            return Ok(());
        };
        // No write lies over what comes before the range.
        let before = if start { page.child_of(self.range.start) } else { 0 };
        let mut rest = overlay;
        let mut links = page.links(&at.newer).enumerate().skip(before).peekable();
        let mut low: &[u8] = &[];
        while let Some((index, (_, id, count))) = links.next() {
            if low >= self.range.end || self.rank >= self.window.end {
                break;
            }
            let high = links.peek().map(|(_, (low, ..))| *low);
            let split = high.map_or(rest.len(), |high| rest.partition_point(|slot| slot.key < high));
            let (here, after) = rest.split_at_checked(split).unwrap_or((rest, &[]));
            let next = self.rank.saturating_add(overlaid(count, here));
            let child = Place { id, level, newer: page.newer_below(index) };
            match start && index == before {
                // How many of its entries lie before the range is seen at its leaf alone.
                true => self.page(&child, count, here, true)?,
                // Whatever the slack, some of these are wanted.
                false if next.saturating_sub(self.slack) > self.window.start => {
                    self.page(&child, count, here, false)?;
                    self.rank = next;
                }
                false => self.rank = next,
            }
            (rest, low) = (after, high.unwrap_or_default());
        }
        Ok(())
    }

    /// Visits a leaf and the writes over it, in key order.
    fn leaf(&mut self, page: Option<&Page>, overlay: &[Slot<'_>]) {
        let before = page.map_or(0, |page| page.below(self.range.start));
        let mut over = overlay.iter().peekable();
        for (key, value) in page.iter().flat_map(|page| page.entries_from(before)) {
            if key >= self.range.end || self.rank >= self.window.end {
                break;
            }
            while let Some(slot) = over.next_if(|slot| slot.key < key) {
                self.live(slot.key, slot.value);
            }
            match over.next_if(|slot| slot.key == key) {
                Some(slot) => self.live(key, slot.value),
                None => self.live(key, Some(value)),
            }
        }
        for slot in over {
            self.live(slot.key, slot.value);
        }
    }

    fn live(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Some(value) = value else { return };
        if self.window.contains(&self.rank) && self.range.contains(&key) {
            self.found.push((key.to_vec(), value.to_vec()));
        }
        self.rank = self.rank.saturating_add(1);
    }
}

/// The pages of a directory that were written after `version`, upper levels first: what a reader that has the rest
/// is missing. `None` when the head no longer remembers that version, or there are more than `limit`.
///
/// # Errors
/// [`Fault::Need`] for pages not at hand, all that are known to be missing at once.
pub fn pages_since(
    head: &Head,
    version: u64,
    limit: usize,
    directory: &DirectoryId,
    pages: &dyn PageSource,
) -> Result<Option<Vec<Arc<Page>>>, Fault> {
    let Ok(behind) = usize::try_from(head.version().saturating_sub(version)) else { return Ok(None) };
    let Some(fresh) = head.recent().get(..behind) else { return Ok(None) };
    let tree = Tree { directory, pages, root: head.root() };
    let is_fresh = |place: &Place| fresh.contains(&place.id.nonce());
    let mut places: Vec<Place> = head.root().map(Place::from).into_iter().collect();
    let mut found: Vec<Arc<Page>> = Vec::new();
    loop {
        // What is above a fresh page is fresh, or knows a newer link past one that is not.
        let passed = |place: Place| if is_fresh(&place) { vec![place] } else { place.newest() };
        places = places.into_iter().flat_map(passed).filter(is_fresh).collect();
        if places.is_empty() {
            found.sort_by_key(|page| Reverse(page.level()));
            return Ok(Some(found));
        }
        if found.len() + places.len() > limit {
            return Ok(None);
        }
        let mut need = Need::default();
        let mut below = Vec::new();
        for place in &places {
            let Some(page) = need.gather(tree.load(&place.id, place.level))? else { continue };
            below.extend(page.children(place));
            found.push(page);
        }
        need.settle()?;
        places = below;
    }
}
