//! `scim-edge check`, `sweep`, `export` and `import`: a data directory without a server.
//!
//! These read the database file itself, through the engine's own formats. What only reads sees one moment of the file and
//! may run beside a server; what writes takes the data directory's lock, so the server must be stopped.

pub mod check;
pub mod transfer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use scim_engine::store::{DirectoryId, Head, Page, PageCache, PageId, PageSource, View, head_key, page_key};

const GET: &str = "SELECT value FROM spin_key_value WHERE store = 'default' AND key = ?1";
const BELOW: &str = "SELECT key FROM spin_key_value WHERE store = 'default' AND key > ?1 AND key < ?2 ORDER BY key";
/// Bytes of pages kept while reading.
const CACHE: usize = 256 << 20;

/// Where the data is.
#[derive(clap::Args)]
pub struct Data {
    /// Directory of the data
    #[arg(long, value_name = "DIR", default_value = ".scim-edge")]
    pub data: PathBuf,
}

/// The database file, in one transaction: it shows one moment.
pub struct Offline {
    database: Connection,
    cache: PageCache,
}

impl Offline {
    /// Opens the file, `writing` or not.
    ///
    /// # Errors
    /// There is none, or it is no database.
    pub fn open(directory: &Path, writing: bool) -> anyhow::Result<Self> {
        let path = directory.join("sqlite_key_value.db");
        let mode = if writing { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
        let database =
            Connection::open_with_flags(&path, mode).with_context(|| format!("can not open `{}`", path.display()))?;
        database.execute_batch(if writing { "BEGIN IMMEDIATE" } else { "BEGIN" })?;
        Ok(Self { database, cache: PageCache::new(CACHE) })
    }

    /// Ends the transaction; what was written is durable.
    ///
    /// # Errors
    /// The database refuses.
    pub fn commit(self) -> anyhow::Result<()> {
        Ok(self.database.execute_batch("COMMIT")?)
    }

    fn get(&self, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
        self.database.prepare_cached(GET)?.query_row([key], |row| row.get(0)).optional()
    }

    fn set(&self, key: &str, value: &[u8]) -> rusqlite::Result<()> {
        let set = "INSERT OR REPLACE INTO spin_key_value (store, key, value) VALUES ('default', ?1, ?2)";
        self.database.prepare_cached(set)?.execute(params![key, value]).map(drop)
    }

    fn delete(&self, key: &str) -> rusqlite::Result<()> {
        let delete = "DELETE FROM spin_key_value WHERE store = 'default' AND key = ?1";
        self.database.prepare_cached(delete)?.execute([key]).map(drop)
    }

    /// What follows `prefix` in the keys that begin with it, which ends in `/`.
    fn names(&self, prefix: &str) -> rusqlite::Result<Vec<String>> {
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let keys = self
            .database
            .prepare_cached(BELOW)?
            .query_map([prefix, &end], |row| row.get::<_, String>(0))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(keys.into_iter().filter_map(|key| key.strip_prefix(prefix).map(str::to_owned)).collect())
    }

    /// Every directory.
    fn directories(&self) -> anyhow::Result<Vec<DirectoryId>> {
        Ok(self.names("head/")?.iter().filter_map(|name| DirectoryId::new(name)).collect())
    }

    fn head(&self, directory: &DirectoryId) -> anyhow::Result<Arc<Head>> {
        let Some(bytes) = self.get(&head_key(directory))? else { bail!("there is no `{}`", directory.as_str()) };
        let head = Head::decode(bytes.into()).with_context(|| format!("head of `{}`", directory.as_str()))?;
        Ok(Arc::new(head))
    }

    /// Runs `read` on a directory as it is in the file.
    fn with_view<T>(
        &self,
        directory: &DirectoryId,
        read: impl FnOnce(&View<'_>) -> Result<T, scim_engine::store::Fault>,
    ) -> anyhow::Result<T> {
        let pages = Pages { offline: self, directory };
        let heads = HashMap::from([(directory.clone(), Some(self.head(directory)?))]);
        match read(&View { heads, pages: &pages }) {
            Ok(value) => Ok(value),
            Err(fault) => bail!("`{}` is damaged: {fault:?}; run `scim-edge check`", directory.as_str()),
        }
    }
}

/// A directory's pages, read when they are asked for.
struct Pages<'o> {
    offline: &'o Offline,
    directory: &'o DirectoryId,
}

impl PageSource for Pages<'_> {
    fn page(&self, id: &PageId) -> Option<Arc<Page>> {
        if let Some(page) = self.offline.cache.page(id) {
            return Some(page);
        }
        let bytes = self.offline.get(&page_key(self.directory, id)).ok()??;
        let page = Arc::new(Page::decode(bytes.into()).ok()?);
        self.offline.cache.insert(Arc::clone(&page));
        Some(page)
    }
}
