//! `scim-edge check`, `sweep`, `export` and `import`: directories without a server, or beside one.
//!
//! These work on the key-value store itself, through the engine's own formats, and need no standstill: pages never
//! change, so a head and the pages it leads to are a [`Snapshot`] of one moment, and what writes swaps a head like any
//! server does.

pub mod check;
mod snapshot;
pub mod sweep;
pub mod transfer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, ensure};
use scim_engine::env::{Config, Env, Timestamp};
use scim_engine::store::{Commit, DirectoryId, Fault, Head, PageId, Txn, head_key, page_key};
use tokio::runtime::Runtime;

use crate::spin::runtime_config::{Place, RuntimeConfig};
use crate::spin::store::sqlite::Location;
use crate::spin::store::{Answer, Store};
pub use snapshot::Snapshot;

/// Keys of one batch: the narrowest store takes no more.
const BATCH: usize = 25;

/// Where the data is.
#[derive(clap::Args)]
pub struct Data {
    /// Directory of the data
    #[arg(long, value_name = "DIR", default_value = ".scim-edge")]
    pub data: PathBuf,
    /// Where key-value stores are, as `serve` and `spin up` take it; else SQLite in `--data`
    #[arg(long, value_name = "FILE")]
    pub runtime_config_file: Option<PathBuf>,
}

/// The store of a deployment.
pub struct Offline {
    store: Arc<dyn Store>,
    runtime: Runtime,
    config: Config,
}

impl Data {
    /// Opens the store.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub fn open(&self) -> anyhow::Result<Offline> {
        let config = RuntimeConfig::read(self.runtime_config_file.as_deref(), &self.data)?;
        match config.default_store() {
            Place::Sqlite(Location::File(path)) => {
                ensure!(path.is_file(), "there is no `{}`: name the directory with `--data`", path.display());
            }
            Place::Sqlite(Location::Memory) => anyhow::bail!("a store in memory ends with its server"),
            Place::Redis(_) => {}
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let store = runtime.block_on(config.open_default())?;
        Ok(Offline { store, runtime, config: Config::default() })
    }
}

impl Offline {
    fn wait<T>(&self, answer: impl Future<Output = Answer<T>>) -> anyhow::Result<T> {
        self.runtime.block_on(answer).map_err(|reason| anyhow!("the store fails: {reason}"))
    }

    fn get(&self, key: String) -> anyhow::Result<Option<Vec<u8>>> {
        self.wait(self.store.get(key))
    }

    /// Every key of the store.
    ///
    /// # Errors
    /// As of every method here: the store fails.
    pub fn keys(&self) -> anyhow::Result<Keys> {
        let mut keys = self.wait(self.store.keys())?;
        keys.sort_unstable();
        Ok(Keys(keys))
    }

    /// A directory's head; `None` when there is no such directory.
    pub(crate) fn head(&self, directory: &DirectoryId) -> anyhow::Result<Option<Arc<Head>>> {
        let Some(bytes) = self.get(head_key(directory))? else { return Ok(None) };
        let head = Head::decode(bytes.into()).with_context(|| format!("the head of `{}`", directory.as_str()))?;
        Ok(Some(Arc::new(head)))
    }

    fn store_pages(&self, directory: &DirectoryId, pages: &[(PageId, Vec<u8>)]) -> anyhow::Result<()> {
        pages.chunks(BATCH).try_for_each(|chunk| {
            let pairs = chunk.iter().map(|(id, bytes)| (page_key(directory, id), bytes.clone()));
            self.wait(self.store.set_many(pairs.collect()))
        })
    }

    fn delete_pages(&self, directory: &DirectoryId, pages: &[PageId]) -> anyhow::Result<()> {
        pages.chunks(BATCH).try_for_each(|chunk| {
            self.wait(self.store.delete_many(chunk.iter().map(|id| page_key(directory, id)).collect()))
        })
    }

    /// Installs a head over the one it was computed from; whether it is there. The store's own word is a hint only.
    fn install(&self, directory: &DirectoryId, expected: &[u8], head: &[u8], nonce: [u8; 16]) -> anyhow::Result<bool> {
        let comparison = self.wait(self.store.compare(head_key(directory)))?;
        if self.wait(comparison.current())?.as_deref() != Some(expected) {
            return Ok(false);
        }
        let _hint = self.wait(comparison.swap(head.to_vec()));
        Ok(self.head(directory)?.is_some_and(|head| head.recent().contains(&nonce)))
    }

    /// The commit of what `write` does to a snapshot.
    fn commit(
        &self,
        snapshot: &Snapshot,
        write: impl FnOnce(&mut Txn<'_>) -> Result<(), Fault>,
    ) -> anyhow::Result<Option<Commit>> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| anyhow!("no entropy: {error}"))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let env = Env::new(Timestamp(u64::try_from(now.as_millis())?), seed, 0, &self.config);
        snapshot.read(|view, directory| {
            let Some(mut txn) = Txn::open(view, directory)? else { return Ok(None) };
            write(&mut txn)?;
            txn.commit(&env)
        })
    }
}

/// The keys of a store, sorted.
pub struct Keys(Vec<String>);

impl Keys {
    /// What follows `prefix` in the keys that begin with it.
    fn below<'k>(&'k self, prefix: &'k str) -> impl Iterator<Item = &'k str> {
        let start = self.0.partition_point(|key| key.as_str() < prefix);
        self.0.iter().skip(start).map_while(move |key| key.strip_prefix(prefix))
    }

    /// Every directory, by name.
    pub fn directories(&self) -> Vec<DirectoryId> {
        self.below("head:").filter_map(DirectoryId::new).collect()
    }

    /// Every page of a directory, referred to or not.
    pub fn pages(&self, directory: &DirectoryId) -> Vec<PageId> {
        self.below(&format!("page:{}:", directory.as_str())).filter_map(PageId::parse).collect()
    }
}
