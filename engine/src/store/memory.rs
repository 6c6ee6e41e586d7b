//! A key-value store in memory: the reference of what a store has to do, for tests and native targets.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Call, PageCache, Reply, Session, Turn, elect_key, head_key, page_key};
use crate::http::Response;

/// Keys and values behind a lock; it never fails and always tells the truth.
#[derive(Debug, Default)]
pub struct MemoryStore {
    values: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl MemoryStore {
    /// Answers one call; atomic.
    pub fn call(&self, call: &Call) -> Reply {
        let mut values = self.values();
        match call {
            Call::LoadHead(directory) => Reply::Head(values.get(&head_key(directory)).cloned()),
            Call::LoadHeads(directories) => {
                Reply::Heads(directories.iter().map(|directory| values.get(&head_key(directory)).cloned()).collect())
            }
            Call::LoadPages(pages) => {
                Reply::Pages(pages.iter().map(|(d, page)| values.get(&page_key(d, page)).cloned()).collect())
            }
            Call::StorePages(directory, pages) => {
                values.extend(pages.iter().map(|(page, bytes)| (page_key(directory, page), bytes.clone())));
                Reply::Done
            }
            Call::Elect(directory) => {
                let counter = values.entry(elect_key(directory)).or_default();
                let count = counter.as_slice().try_into().map_or(0, u64::from_be_bytes) + 1;
                *counter = count.to_be_bytes().to_vec();
                Reply::Elected(count)
            }
            Call::CreateHead { directory, head } => {
                values.insert(head_key(directory), head.clone());
                Reply::Done
            }
            Call::SwapHead { directory, expected, head } => {
                let current = values.get_mut(&head_key(directory)).filter(|current| current.as_slice() == &**expected);
                Reply::Swapped(current.map(|current| current.clone_from(head)).is_some())
            }
            Call::DeletePages(directory, pages) => {
                for page in pages {
                    values.remove(&page_key(directory, page));
                }
                Reply::Done
            }
        }
    }

    /// The keys and values, to look at or to tamper with.
    pub fn values(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drives a session to its end.
pub fn run(mut session: Session, store: &MemoryStore, cache: &PageCache) -> Response {
    let mut reply = None;
    loop {
        match session.turn(cache, reply.take()) {
            Turn::Call(call) => reply = Some(store.call(&call)),
            Turn::Wait => {}
            Turn::Done(response) => return response,
        }
    }
}
