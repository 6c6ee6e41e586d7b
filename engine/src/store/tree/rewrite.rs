//! Rewriting the B+tree: a batch of writes becomes new pages; the old ones stay as they are.
//!
//! Bottom up, every touched page becomes a [`Body`] without bounds; its parent joins bodies that became too small with
//! a neighbour and cuts those that became too large into pages. Invariants of what is written:
//!
//! - keys ascend, counts are exact, all leaves are at level 0;
//! - a page is within its size, unless it is a leaf of one entry or an inner page of at most three children;
//! - the low of a page's first child is the page's own low, and that of the leftmost path is empty.
//!
//! Where each rewritten leaf is one leaf again, with the same low, the page above them may *stay*: the page above that takes
//! the newer links instead, a third of its size at most. Over that, the child with most of them takes them in.

use super::{Fault, Page, PageId, Root, Tree};
use crate::error::{Kind, ScimError};
use crate::store::Need;
use crate::store::codec::{counted_len, varint_len};
use crate::store::page::{self, Child, GRANDPARENT, MAX_LEVEL, Newer, OVERHEAD};

/// One write of a batch; `None` removes the key.
pub(crate) type Write<'a> = (&'a [u8], Option<&'a [u8]>);

/// What a batch of writes makes of a tree.
pub(crate) struct Rewritten {
    pub root: Option<Root>,
    pub pages: Vec<(PageId, Vec<u8>)>,
    pub replaced: Vec<PageId>,
}

/// The content of one or more pages of a level, before it is cut.
enum Body {
    Leaf { entries: Vec<(Vec<u8>, Vec<u8>)>, appended: bool },
    Inner { level: u8, children: Vec<Child> },
}

/// A child while its parent is rewritten.
enum Item {
    Kept(Child),
    Changed(Changed),
}

/// A rewritten page, not cut yet.
struct Changed {
    low: Vec<u8>,
    body: Body,
    stays: Option<Stays>,
}

/// A page that need not be written again if its parent takes these links.
struct Stays {
    id: PageId,
    newer: Vec<Newer>,
}

struct Rewrite<'t, 'v> {
    tree: &'t Tree<'v>,
    nonce: [u8; 16],
    capacity: usize,
    pages: Vec<(PageId, Vec<u8>)>,
    replaced: Vec<PageId>,
}

impl Tree<'_> {
    /// Applies writes, keys ascending, and names the new pages by `nonce`.
    pub fn rewrite(&self, writes: &[Write<'_>], nonce: [u8; 16], page_bytes: usize) -> Result<Rewritten, Fault> {
        let capacity = page_bytes.saturating_sub(OVERHEAD).max(1);
        let mut rewrite = Rewrite { tree: self, nonce, capacity, pages: Vec::new(), replaced: Vec::new() };
        let body = match self.root {
            Some(Root { id, level, count }) => {
                let root = Child { low: Vec::new(), id, count, newer: Vec::new() };
                let changed = rewrite.page(root, level, writes)?;
                rewrite.give_up(changed).1
            }
            None => Body::Leaf { entries: merge(std::iter::empty(), writes), appended: true },
        };
        let root = rewrite.root(body)?;
        Ok(Rewritten { root, pages: rewrite.pages, replaced: rewrite.replaced })
    }
}

impl Rewrite<'_, '_> {
    fn page(&mut self, child: Child, level: u8, writes: &[Write<'_>]) -> Result<Changed, Fault> {
        let page = self.tree.load(&child.id, level)?;
        let Some(below) = level.checked_sub(1) else {
            self.replaced.push(child.id);
            let last = page.len().checked_sub(1).and_then(|last| page.entry(last));
            let appended = writes.first().zip(last).is_some_and(|((key, _), (last, _))| *key > last);
            let body = Body::Leaf { entries: merge(page.entries(), writes), appended };
            return Ok(Changed { low: child.low, body, stays: None });
        };
        let items = self.touch(links_of(&page, &child), below, writes)?;
        let mut items = self.join(items, below)?;
        if level == GRANDPARENT {
            self.settle(&mut items, below)?;
        }
        let mut children = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Item::Kept(child) => children.push(child),
                Item::Changed(Changed { low, body, stays: Some(Stays { id, newer }) }) => {
                    children.push(Child { low, id, count: body.count(), newer });
                }
                Item::Changed(Changed { low, body, stays: None }) => children.extend(self.cut(low, body)?),
            }
        }
        adopt(&mut children, child.low.clone());
        let newer = if below == 0 { newer_links(&page, &children) } else { None };
        let stays = newer.map(|newer| Stays { id: child.id, newer });
        if stays.is_none() {
            self.replaced.push(child.id);
        }
        Ok(Changed { low: child.low, body: Body::Inner { level, children }, stays })
    }

    /// Rewrites the children the writes fall into.
    fn touch(&mut self, children: Vec<Child>, level: u8, writes: &[Write<'_>]) -> Result<Vec<Item>, Fault> {
        let mut need = Need::default();
        let mut items = Vec::with_capacity(children.len());
        let mut rest = writes;
        let mut children = children.into_iter().peekable();
        while let Some(child) = children.next() {
            let high = children.peek().map(|next| next.low.as_slice());
            let split = high.map_or(rest.len(), |high| rest.partition_point(|(key, _)| *key < high));
            let (here, after) = rest.split_at_checked(split).unwrap_or((rest, &[]));
            rest = after;
            if here.is_empty() {
                items.push(Item::Kept(child));
            } else {
                items.extend(need.gather(self.page(child, level, here))?.map(Item::Changed));
            }
        }
        need.settle()?;
        Ok(items)
    }

    /// Has children take in their newer links: a child without siblings, so that nothing is lost if it becomes the root, and
    /// as many as it takes to get within what a page has for them.
    fn settle(&mut self, items: &mut Vec<Item>, level: u8) -> Result<(), Fault> {
        if items.len() == 1
            && let Some(item) = items.pop()
        {
            let (low, body) = self.open(item, level)?;
            items.push(Item::Changed(Changed { low, body, stays: None }));
        }
        let mut total: usize = items.iter().map(Item::newer_bytes).sum();
        while total > self.capacity / 3 {
            let staying = items.iter_mut().filter(|item| matches!(item, Item::Changed(Changed { stays: Some(_), .. })));
            let Some(most) = staying.max_by_key(|item| item.newer_bytes()) else { break };
            total = total.saturating_sub(most.newer_bytes());
            if let Item::Changed(Changed { stays, .. }) = most {
                self.replaced.extend(stays.take().map(|stays| stays.id));
            }
        }
        Ok(())
    }

    /// The content of a page that will not stay.
    fn give_up(&mut self, changed: Changed) -> (Vec<u8>, Body) {
        self.replaced.extend(changed.stays.map(|stays| stays.id));
        (changed.low, changed.body)
    }

    /// Drops empty bodies, and joins those that are too small with a neighbour.
    fn join(&mut self, items: Vec<Item>, level: u8) -> Result<Vec<Item>, Fault> {
        let mut need = Need::default();
        let mut rest = items.into_iter().filter(|item| !item.is_empty()).peekable();
        let mut done: Vec<Item> = Vec::new();
        while let Some(item) = rest.next() {
            let small = self.is_small(&item) || done.last().is_some_and(|left| self.is_small(left));
            let Some(left) = done.pop_if(|left| small && (self.is_small(left) || self.prefers(left, rest.peek())))
            else {
                done.push(item);
                continue;
            };
            done.extend(self.concat(left, item, level, &mut need)?);
        }
        // What was joined last may still be too small, with nothing to its right.
        if let Some(last) = done.pop_if(|last| self.is_small(last)) {
            match done.pop() {
                Some(left) => done.extend(self.concat(left, last, level, &mut need)?),
                None => done.push(last),
            }
        }
        need.settle()?;
        Ok(done)
    }

    fn concat(&mut self, left: Item, right: Item, level: u8, need: &mut Need) -> Result<Option<Item>, Fault> {
        let (left, right) = (need.gather(self.open(left, level))?, need.gather(self.open(right, level))?);
        let joined = |((low, left), (_, right))| Changed { low, body: concat(left, right), stays: None };
        Ok(left.zip(right).map(joined).map(Item::Changed))
    }

    /// Whether a small item joins its left neighbour, not its right one: always at the end, and where that saves
    /// reading and replacing a page.
    fn prefers(&self, left: &Item, right: Option<&Item>) -> bool {
        matches!((left, right), (_, None) | (Item::Changed(_), Some(_)))
    }

    fn is_small(&self, item: &Item) -> bool {
        match item {
            Item::Kept(_) => false,
            Item::Changed(Changed { body: Body::Inner { children, .. }, .. }) if children.len() < 2 => true,
            Item::Changed(Changed { body, .. }) => body.bytes() < self.capacity / 3,
        }
    }

    /// The content of an item, read if it was not touched.
    fn open(&mut self, item: Item, level: u8) -> Result<(Vec<u8>, Body), Fault> {
        match item {
            Item::Changed(changed) => Ok(self.give_up(changed)),
            Item::Kept(child) => {
                let page = self.tree.load(&child.id, level)?;
                self.replaced.push(child.id);
                let body = if level == 0 {
                    Body::Leaf { entries: merge(page.entries(), &[]), appended: false }
                } else {
                    Body::Inner { level, children: links_of(&page, &child) }
                };
                Ok((child.low, body))
            }
        }
    }

    /// Cuts a body into pages.
    fn cut(&mut self, low: Vec<u8>, body: Body) -> Result<Vec<Child>, Fault> {
        let mut low = Some(low);
        let mut out = Vec::new();
        match body {
            Body::Leaf { entries, appended } => {
                let mut last: Vec<u8> = Vec::new();
                for run in
                    pack(entries, |(key, value)| counted_len(key) + counted_len(value), self.capacity, appended, 1)
                {
                    let first = run.first().map(|(key, _)| key.as_slice()).unwrap_or_default();
                    let low = low.take().unwrap_or_else(|| separator(&last, first));
                    let id = self.name()?;
                    self.pages.push((id, page::encode_leaf(&id, &run)));
                    out.push(Child { low, id, count: run.len() as u64, newer: Vec::new() });
                    last = run.into_iter().next_back().map(|(key, _)| key).unwrap_or_default();
                }
            }
            Body::Inner { level, children } => {
                for run in pack(children, link_len, self.capacity, false, 2) {
                    let first = run.first().map(|child| child.low.clone()).unwrap_or_default();
                    let id = self.name()?;
                    self.pages.push((id, page::encode_inner(&id, level, &run)));
                    let count = sum(&run);
                    out.push(Child { low: low.take().unwrap_or(first), id, count, newer: Vec::new() });
                }
            }
        }
        Ok(out)
    }

    /// Puts levels above a body until one page is left; a root with one child gives way to that child.
    fn root(&mut self, mut body: Body) -> Result<Option<Root>, Fault> {
        loop {
            let (level, children) = match body {
                Body::Inner { level, children } if children.len() < 2 => (level.saturating_sub(1), children),
                body => (body.level(), self.cut(Vec::new(), body)?),
            };
            if let [child] = children.as_slice() {
                return Ok(Some(self.collapse(Root { id: child.id, level, count: child.count })));
            }
            if children.is_empty() {
                return Ok(None);
            }
            if level >= MAX_LEVEL {
                return Err(too_large());
            }
            body = Body::Inner { level: level + 1, children };
        }
    }

    /// A new root page with a single child is left out.
    fn collapse(&mut self, mut root: Root) -> Root {
        while let Some(at) = self.pages.iter().position(|(id, _)| *id == root.id) {
            let page = self.pages.get(at).and_then(|(_, bytes)| Page::decode(bytes.as_slice().into()).ok());
            let Some(page) = page.filter(|page| page.level() > 0 && page.len() == 1) else { break };
            let Some(child) = page.children(&root.into()).next() else { break };
            self.pages.swap_remove(at);
            root = Root { id: child.id, level: root.level.saturating_sub(1), count: root.count };
        }
        root
    }

    fn name(&mut self) -> Result<PageId, Fault> {
        // Pages are only ever left out at the very end, by `collapse`, so their number is free.
        let index = u16::try_from(self.pages.len()).map_err(|_| too_large())?;
        Ok(PageId::of_commit(self.nonce, index))
    }
}

impl Item {
    fn is_empty(&self) -> bool {
        match self {
            Self::Kept(_) => false,
            Self::Changed(Changed { body: Body::Leaf { entries, .. }, .. }) => entries.is_empty(),
            Self::Changed(Changed { body: Body::Inner { children, .. }, .. }) => children.is_empty(),
        }
    }

    /// Bytes of the links its parent keeps for it.
    fn newer_bytes(&self) -> usize {
        let newer = match self {
            Self::Kept(child) => child.newer.as_slice(),
            Self::Changed(Changed { stays, .. }) => stays.as_ref().map_or(&[][..], |stays| &stays.newer),
        };
        newer.iter().map(Newer::bytes).sum()
    }
}

impl Body {
    fn level(&self) -> u8 {
        match self {
            Self::Leaf { .. } => 0,
            Self::Inner { level, .. } => *level,
        }
    }

    fn count(&self) -> u64 {
        match self {
            Self::Leaf { entries, .. } => entries.len() as u64,
            Self::Inner { children, .. } => sum(children),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Leaf { entries, .. } => {
                entries.iter().map(|(key, value)| counted_len(key) + counted_len(value)).sum()
            }
            Self::Inner { children, .. } => children.iter().map(link_len).sum(),
        }
    }
}

fn concat(left: Body, right: Body) -> Body {
    match (left, right) {
        (Body::Leaf { mut entries, .. }, Body::Leaf { entries: more, appended }) => {
            entries.extend(more);
            Body::Leaf { entries, appended }
        }
        (Body::Inner { level, mut children }, Body::Inner { children: more, .. }) => {
            children.extend(more);
            Body::Inner { level, children }
        }
        // Neighbours are of one level: `Tree::load` has checked it.
        (left, _) => left,
    }
}

/// The children of a page, as its parent knows them. The page may have become its parent's first child, and its low less,
/// since it was written.
fn links_of(page: &Page, at: &Child) -> Vec<Child> {
    let links = page.links(&at.newer).enumerate();
    let child = |(place, (low, id, count)): (usize, (&[u8], PageId, u64))| Child {
        low: low.to_vec(),
        id,
        count,
        newer: page.newer_below(place),
    };
    let mut children: Vec<Child> = links.map(child).collect();
    adopt(&mut children, at.low.clone());
    children
}

/// The links that make a page one of these children, if it differs from that in ids alone.
fn newer_links(page: &Page, children: &[Child]) -> Option<Vec<Newer>> {
    if page.len() != children.len() {
        return None;
    }
    let mut newer = Vec::new();
    for (place, ((low, id, _), child)) in page.links(&[]).zip(children).enumerate() {
        // The low of the first is the page's own, whatever is written there.
        if place > 0 && low != child.low {
            return None;
        }
        if id != child.id {
            newer.push(Newer { place, id: child.id, count: child.count });
        }
    }
    Some(newer)
}

fn sum(children: &[Child]) -> u64 {
    children.iter().fold(0u64, |sum, child| sum.saturating_add(child.count))
}

fn adopt(children: &mut [Child], low: Vec<u8>) {
    if let Some(first) = children.first_mut() {
        first.low = low;
    }
}

fn link_len(child: &Child) -> usize {
    let newer: usize = child.newer.iter().map(Newer::bytes).sum();
    counted_len(&child.low) + child.id.0.len() + varint_len(child.count) + newer
}

fn too_large() -> Fault {
    ScimError::new(Kind::TooLarge, "the change is too large for one request").into()
}

/// The shortest text above `left` and not above `right`.
fn separator(left: &[u8], right: &[u8]) -> Vec<u8> {
    let common = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    right.iter().take(common + 1).copied().collect()
}

/// Entries of a leaf with writes applied.
fn merge<'p>(entries: impl Iterator<Item = (&'p [u8], &'p [u8])>, writes: &[Write<'_>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut out = Vec::with_capacity(entries.size_hint().0 + writes.len());
    let mut writes = writes.iter().peekable();
    for (key, value) in entries {
        while let Some((key, value)) = writes.next_if(|(k, _)| *k < key) {
            out.extend(value.map(|value| (key.to_vec(), value.to_vec())));
        }
        let value = match writes.next_if(|(k, _)| *k == key) {
            Some((_, value)) => *value,
            None => Some(value),
        };
        out.extend(value.map(|value| (key.to_vec(), value.to_vec())));
    }
    out.extend(writes.filter_map(|(key, value)| value.map(|value| (key.to_vec(), value.to_vec()))));
    out
}

/// Packs items into runs of at most `capacity` bytes, each of at least `least` items, where there are so many.
///
/// Runs are of even size, for whatever comes next may fall anywhere; after an append, which is likely followed by
/// more of its kind, they are filled.
fn pack<T>(items: Vec<T>, size: impl Fn(&T) -> usize, capacity: usize, fill: bool, least: usize) -> Vec<Vec<T>> {
    let total: usize = items.iter().map(&size).sum();
    let even = total.div_ceil(total.div_ceil(capacity).max(1));
    let target = if fill { capacity } else { even };
    let mut runs: Vec<Vec<T>> = Vec::new();
    let mut run: Vec<T> = Vec::new();
    let mut used = 0;
    for item in items {
        let more = size(&item);
        let full = used >= target || used + more > capacity;
        if run.len() >= least && full {
            runs.push(std::mem::take(&mut run));
            used = 0;
        }
        used += more;
        run.push(item);
    }
    if run.len() < least
        && let Some(last) = runs.last_mut()
    {
        // One is too few: the neighbour gives one away, or takes it in if it has none to spare.
        let start = if last.len() > least { last.len() - 1 } else { 0 };
        let mut joined = last.split_off(start);
        joined.append(&mut run);
        run = joined;
        runs.retain(|run| !run.is_empty());
    }
    if !run.is_empty() {
        runs.push(run);
    }
    runs
}
