//! Pages kept in memory between steps. A page never changes, so nothing in here is ever stale.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Page, PageId, PageSource};

/// A cache of pages, bounded by their bytes.
///
/// Which page goes first is decided by *second chance*: pages queue in order of arrival, and one that was used
/// since it last reached the front goes to the back once more. A page with links has more chances than a leaf: each read
/// passes one of every level, and of the lowest there are many, so that each of them is used rarely, but soon again. It may
/// be shared by threads.
#[derive(Debug)]
pub struct PageCache {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pages: HashMap<PageId, Kept>,
    queue: VecDeque<PageId>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    page: Arc<Page>,
    /// How often it may yet go to the back.
    chances: u8,
}

impl PageCache {
    /// A cache of at most `limit` bytes of pages.
    pub fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// Keeps a page, if it fits at all.
    pub fn insert(&self, page: Arc<Page>) {
        let size = weight(&page);
        if size > self.limit {
            return;
        }
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        let id = *page.id();
        let chances = chances(&page) - 1;
        if state.pages.insert(id, Kept { page, chances }).is_some() {
            return;
        }
        state.queue.push_back(id);
        state.bytes += size;
        while state.bytes > self.limit {
            let Some(oldest) = state.queue.pop_front() else { return };
            state.retire(oldest);
        }
    }

    /// Drops pages that nobody will ask for again.
    pub fn forget(&self, pages: &[PageId]) {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        for kept in pages.iter().filter_map(|id| state.pages.remove(id)) {
            state.bytes = state.bytes.saturating_sub(weight(&kept.page));
        }
        // Their names are still in the queue, which would only grow if nothing were ever to make room.
        let State { pages, queue, .. } = state;
        if queue.len() > 2 * pages.len() + 64 {
            queue.retain(|id| pages.contains_key(id));
        }
    }

    /// Bytes held now.
    pub fn bytes(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }
}

impl State {
    fn retire(&mut self, id: PageId) {
        let Some(kept) = self.pages.get_mut(&id) else { return };
        if kept.chances > 0 {
            kept.chances -= 1;
            self.queue.push_back(id);
            return;
        }
        self.bytes = self.bytes.saturating_sub(weight(&kept.page));
        self.pages.remove(&id);
    }
}

impl PageSource for PageCache {
    fn page(&self, id: &PageId) -> Option<Arc<Page>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = state.pages.get_mut(id)?;
        kept.chances = chances(&kept.page);
        Some(Arc::clone(&kept.page))
    }
}

/// How often a page that was used goes to the back.
fn chances(page: &Page) -> u8 {
    if page.level() == 0 { 1 } else { 4 }
}

/// Memory a page takes: its bytes and its index.
fn weight(page: &Page) -> usize {
    page.bytes().len() + page.len() * 32 + 128
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::page::{Child, encode_inner, encode_leaf};

    fn leaf(number: u16) -> Arc<Page> {
        let id = PageId::of_commit([1; 16], number);
        decode(encode_leaf(&id, &[(vec![1], vec![0; 1000])]))
    }

    fn inner(number: u16) -> Arc<Page> {
        let id = PageId::of_commit([2; 16], number);
        let below = PageId::of_commit([1; 16], number);
        decode(encode_inner(&id, 1, &[Child { low: vec![0; 1000], id: below, count: 1, newer: Vec::new() }]))
    }

    fn decode(bytes: Vec<u8>) -> Arc<Page> {
        Arc::new(Page::decode(bytes.into()).unwrap())
    }

    #[test]
    fn pages_with_links_outlast_leaves() {
        let cache = PageCache::new(100_000);
        (0..20).for_each(|number| cache.insert(inner(number)));
        for number in 0..300 {
            cache.insert(leaf(number));
            let used = inner(number % 20);
            assert!(cache.page(used.id()).is_some(), "after {number} leaves");
        }
        assert!(cache.bytes() <= 100_000);
        assert!(cache.page(leaf(0).id()).is_none(), "nothing has made room");
    }

    #[test]
    fn pages_with_links_go_when_nothing_uses_them() {
        let cache = PageCache::new(100_000);
        (0..20).for_each(|number| cache.insert(inner(number)));
        (0..1000).for_each(|number| cache.insert(leaf(number)));
        assert!((0..20).all(|number| cache.page(inner(number).id()).is_none()));
    }

    #[test]
    fn what_is_forgotten_takes_no_room() {
        let cache = PageCache::new(100_000);
        for number in 0..5000 {
            cache.insert(leaf(number));
            cache.forget(&[*leaf(number).id()]);
            assert_eq!(cache.bytes(), 0);
        }
        assert!(cache.state.lock().unwrap().queue.len() < 100, "names pile up");
    }
}
