//! Pages kept in memory between steps. A page never changes, so nothing in here is ever stale.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Page, PageId, PageSource};

/// A cache of pages, bounded by their bytes.
///
/// Which page goes first is decided by *second chance*: pages queue in order of arrival, and one that was used
/// since it last reached the front goes to the back once more. It may be shared by threads.
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
    used: bool,
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
        if state.pages.insert(id, Kept { page, used: false }).is_some() {
            return;
        }
        state.queue.push_back(id);
        state.bytes += size;
        while state.bytes > self.limit {
            let Some(oldest) = state.queue.pop_front() else { return };
            state.retire(oldest);
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
        if std::mem::take(&mut kept.used) {
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
        kept.used = true;
        Some(Arc::clone(&kept.page))
    }
}

/// Memory a page takes: its bytes and its index.
fn weight(page: &Page) -> usize {
    page.bytes().len() + page.len() * 32 + 128
}
