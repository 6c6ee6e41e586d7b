//! The engine's store calls, made on Spin's key-value store.
//!
//! Two interfaces lead to the same store. `spin:key-value` is asynchronous: reads of many heads or pages overlap. Only
//! `wasi:keyvalue` has compare-and-swap, counters and batches. Batches of reads are left alone, for Redis refuses them.

use std::cell::OnceCell;
use std::rc::Rc;

use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use scim_engine::store::{Call, DirectoryId, PageId, Reply, elect_key, head_key, page_key};
use spin_sdk::experimental::wasi::keyvalue::{atomics, batch, store};
use spin_sdk::key_value::Store;

/// The store our components are granted in `spin.toml`.
pub const LABEL: &str = "default";

/// Reads under way at once.
const AT_ONCE: usize = 64;

/// Pairs of one batch: DynamoDB refuses more.
const BATCH: usize = 25;

thread_local! {
    static OPENED: OnceCell<Rc<Bucket>> = const { OnceCell::new() };
}

/// The store, opened by both interfaces.
pub struct Bucket {
    reads: Store,
    swaps: store::Bucket,
}

impl Bucket {
    /// The store, opened once per instance.
    ///
    /// # Errors
    /// The store is not granted or not reachable; the text is for the log.
    pub async fn open() -> Result<Rc<Self>, String> {
        if let Some(opened) = OPENED.with(|cell| cell.get().cloned()) {
            return Ok(opened);
        }
        let reads = Store::open(LABEL).await.map_err(|error| format!("key-value store `{LABEL}`: {error}"))?;
        let swaps = store::open(LABEL).map_err(|error| format!("key-value store `{LABEL}`: {error}"))?;
        Ok(OPENED.with(|cell| Rc::clone(cell.get_or_init(|| Rc::new(Self { reads, swaps })))))
    }

    /// Makes one call; whatever goes wrong is a reply too.
    pub async fn perform(&self, call: Call) -> Reply {
        self.attempt(call).await.unwrap_or_else(Reply::Failed)
    }

    async fn attempt(&self, call: Call) -> Result<Reply, String> {
        match call {
            Call::LoadHead(directory) => self.get(head_key(&directory)).await.map(Reply::Head),
            Call::LoadHeads(directories) => {
                self.get_all(directories.iter().map(head_key).collect()).await.map(Reply::Heads)
            }
            Call::LoadPages(pages) => {
                let keys = pages.iter().map(|(directory, id)| page_key(directory, id)).collect();
                self.get_all(keys).await.map(Reply::Pages)
            }
            Call::StorePages(directory, pages) => self.store_pages(&directory, pages),
            Call::CreateHead { directory, head } => {
                self.reads.set(head_key(&directory), head).await.map_err(text)?;
                Ok(Reply::Done)
            }
            Call::SwapHead { directory, expected, head } => self.swap(&head_key(&directory), &expected, &head),
            Call::DeletePages(directory, pages) => self.delete_pages(&directory, &pages).await,
            Call::Elect(directory) => {
                let count = atomics::increment(&self.swaps, &elect_key(&directory), 1).map_err(text)?;
                u64::try_from(count).map(Reply::Elected).map_err(text)
            }
        }
    }

    async fn get(&self, key: String) -> Result<Option<Vec<u8>>, String> {
        self.reads.get(key).await.map_err(text)
    }

    /// The values of many keys, some of them at a time.
    async fn get_all(&self, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, String> {
        stream::iter(keys).map(|key| self.get(key)).buffered(AT_ONCE).try_collect().await
    }

    fn store_pages(&self, directory: &DirectoryId, pages: Vec<(PageId, Vec<u8>)>) -> Result<Reply, String> {
        let pairs: Vec<_> = pages.into_iter().map(|(id, bytes)| (page_key(directory, &id), bytes)).collect();
        pairs.chunks(BATCH).try_for_each(|chunk| batch::set_many(&self.swaps, chunk)).map_err(text)?;
        Ok(Reply::Done)
    }

    /// Spin compares with what `current` read, so the comparison with `expected` is made here, between the two. It also
    /// spares Spin most swaps that fail: each keeps one of its 256 slots for as long as the instance lives.
    fn swap(&self, key: &str, expected: &[u8], head: &[u8]) -> Result<Reply, String> {
        let cas = atomics::Cas::new(&self.swaps, key).map_err(text)?;
        match cas.current().map_err(text)? {
            Some(current) if current == expected => {}
            Some(other) => return Ok(Reply::Head(Some(other))),
            // An absent key has to count as a lost race: Spin would take the swap for an unconditional write.
            None => return Ok(Reply::Swapped(false)),
        }
        match atomics::swap(cas, head) {
            Ok(()) => Ok(Reply::Swapped(true)),
            Err(atomics::CasError::CasFailed(_)) => Ok(Reply::Swapped(false)),
            Err(atomics::CasError::StoreError(error)) => Err(text(error)),
        }
    }

    async fn delete_pages(&self, directory: &DirectoryId, pages: &[PageId]) -> Result<Reply, String> {
        let keys: Vec<_> = pages.iter().map(|id| page_key(directory, id)).collect();
        for chunk in keys.chunks(BATCH) {
            if batch::delete_many(&self.swaps, chunk).is_err() {
                try_join_all(chunk.iter().map(|key| self.reads.delete(key))).await.map_err(text)?;
            }
        }
        Ok(Reply::Done)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
