//! Spin's store `spin`: a SQLite database with the same table and the same semantics.
//!
//! One thread owns the connection; callers wait without blocking theirs. Each call is a transaction of its own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use anyhow::Context;
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

use super::{Answer, Comparison, Store};

const GET: &str = "SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2";
const LIST: &str = "SELECT key FROM spin_key_value WHERE store = ?1";
const DELETE: &str = "DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2";
const SWAP: &str = "UPDATE spin_key_value SET value = ?3 WHERE store = ?1 AND key = ?2 AND value = ?4";
const SET: &str = "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (store, key) DO UPDATE SET value = ?3";
const CREATE: &str = "CREATE TABLE IF NOT EXISTS spin_key_value (store TEXT NOT NULL, key TEXT NOT NULL, \
                      value BLOB NOT NULL, PRIMARY KEY (store, key))";

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In this file, which is made if it is not there.
    File(PathBuf),
    /// In memory, for as long as the program runs.
    Memory,
}

/// A database; clones share it.
#[derive(Clone)]
pub struct Database {
    jobs: mpsc::Sender<Job>,
}

/// One named store of a database.
#[derive(Clone)]
struct Sqlite {
    database: Database,
    label: String,
}

impl Location {
    /// The file Spin keeps in its state directory unless it is told otherwise.
    pub fn default_in(directory: &Path) -> Self {
        Self::File(directory.join("sqlite_key_value.db"))
    }
}

impl Database {
    /// Opens or creates a database.
    ///
    /// # Errors
    /// The file can not be opened, or is no database.
    pub fn open(location: &Location) -> anyhow::Result<Self> {
        let open = || match location {
            Location::File(path) => Connection::open(path),
            Location::Memory => Connection::open_in_memory(),
        };
        let made = open().and_then(|database| database.execute(CREATE, []).map(|_| database));
        let mut database = made.with_context(|| match location {
            Location::File(path) => format!("can not use `{}`", path.display()),
            Location::Memory => "can not use a database in memory".to_owned(),
        })?;
        let (jobs, queue) = mpsc::channel::<Job>();
        let work = move || queue.into_iter().for_each(|job| job(&mut database));
        std::thread::Builder::new().name("key-value".to_owned()).spawn(work)?;
        Ok(Self { jobs })
    }

    /// The store of that name; it needs no creation.
    pub fn store(&self, label: &str) -> Arc<dyn Store> {
        Arc::new(Sqlite { database: self.clone(), label: label.to_owned() })
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn get(&self, key: String) -> Answer<Option<Vec<u8>>> {
        self.run(move |database, label| read(database, label, &key)).await
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Answer<()> {
        self.run(move |database, label| write(database, label, &key, &value)).await
    }

    async fn delete(&self, key: String) -> Answer<()> {
        self.run(move |database, label| remove(database, label, &key)).await
    }

    async fn exists(&self, key: String) -> Answer<bool> {
        self.run(move |database, label| database.prepare_cached(GET)?.exists(params![label, key])).await
    }

    async fn keys(&self) -> Answer<Vec<String>> {
        self.run(|database, label| database.prepare_cached(LIST)?.query_map([label], |row| row.get(0))?.collect()).await
    }

    /// Absent keys are left out.
    async fn get_many(&self, keys: Vec<String>) -> Answer<Vec<(String, Option<Vec<u8>>)>> {
        self.run(move |database, label| {
            let transaction = database.transaction()?;
            let pairs =
                keys.into_iter().map(|key| Ok(read(&transaction, label, &key)?.map(|value| (key, Some(value)))));
            pairs.filter_map(Result::transpose).collect()
        })
        .await
    }

    /// All or none.
    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Answer<()> {
        self.run(move |database, label| {
            let transaction = database.transaction()?;
            pairs.iter().try_for_each(|(key, value)| write(&transaction, label, key, value))?;
            transaction.commit()
        })
        .await
    }

    /// All or none.
    async fn delete_many(&self, keys: Vec<String>) -> Answer<()> {
        self.run(move |database, label| {
            let transaction = database.transaction()?;
            keys.iter().try_for_each(|key| remove(&transaction, label, key))?;
            transaction.commit()
        })
        .await
    }

    /// A counter is eight bytes, little-endian.
    async fn increment(&self, key: String, delta: i64) -> Answer<i64> {
        self.run(move |database, label| {
            let transaction = database.transaction()?;
            let old: [u8; 8] = match read(&transaction, label, &key)? {
                None => [0; 8],
                Some(value) => value.try_into().map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, 0))?,
            };
            let new = i64::from_le_bytes(old).wrapping_add(delta);
            write(&transaction, label, &key, &new.to_le_bytes())?;
            transaction.commit()?;
            Ok(new)
        })
        .await
    }

    async fn compare(&self, key: String) -> Answer<Arc<dyn Comparison>> {
        Ok(Arc::new(OldValue { store: self.clone(), key, seen: Mutex::default() }))
    }
}

/// A swap that compares the old value.
struct OldValue {
    store: Sqlite,
    key: String,
    seen: Mutex<Option<Vec<u8>>>,
}

#[async_trait]
impl Comparison for OldValue {
    async fn current(&self) -> Answer<Option<Vec<u8>>> {
        let found = self.store.get(self.key.clone()).await?;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&found);
        Ok(found)
    }

    /// A key expected to be absent is set whatever it holds.
    async fn swap(&self, value: Vec<u8>) -> Answer<bool> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        let key = self.key.clone();
        self.store
            .run(move |database, label| match seen {
                None => write(database, label, &key, &value).map(|()| true),
                Some(old) => {
                    let changed = database.prepare_cached(SWAP)?.execute(params![label, key, value, old])?;
                    Ok(changed == 1)
                }
            })
            .await
    }
}

impl Sqlite {
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection, &str) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<T> {
        let (sender, receiver) = oneshot::channel();
        let label = self.label.clone();
        let job: Job = Box::new(move |database| {
            // A caller that went away has no use for the answer.
            let _gone = sender.send(work(database, &label));
        });
        self.database.jobs.send(job).map_err(|_| "the store is closed")?;
        receiver.await.map_err(|_| "the store is closed")?.map_err(|error| error.to_string())
    }
}

fn read(database: &Connection, label: &str, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    database.prepare_cached(GET)?.query_row(params![label, key], |row| row.get(0)).optional()
}

fn write(database: &Connection, label: &str, key: &str, value: &[u8]) -> rusqlite::Result<()> {
    database.prepare_cached(SET)?.execute(params![label, key, value]).map(drop)
}

fn remove(database: &Connection, label: &str, key: &str) -> rusqlite::Result<()> {
    database.prepare_cached(DELETE)?.execute(params![label, key]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> (tempfile::TempDir, Arc<dyn Store>) {
        let directory = tempfile::tempdir().unwrap();
        let store = Database::open(&Location::default_in(directory.path())).unwrap().store("default");
        (directory, store)
    }

    #[tokio::test]
    async fn a_swap_compares_the_old_value_and_takes_absence_for_permission() {
        let (_directory, store) = opened();
        store.set("k".into(), b"a".to_vec()).await.unwrap();
        let late = store.compare("k".into()).await.unwrap();
        assert_eq!(late.current().await, Ok(Some(b"a".to_vec())));
        let early = store.compare("k".into()).await.unwrap();
        early.current().await.unwrap();
        assert_eq!(early.swap(b"b".to_vec()).await, Ok(true));
        assert_eq!(late.swap(b"c".to_vec()).await, Ok(false));
        let blind = store.compare("k".into()).await.unwrap();
        assert_eq!(blind.swap(b"d".to_vec()).await, Ok(true));
        assert_eq!(store.get("k".into()).await, Ok(Some(b"d".to_vec())));
    }

    #[tokio::test]
    async fn a_counter_is_eight_bytes_little_endian() {
        let (_directory, store) = opened();
        assert_eq!(store.increment("n".into(), 258).await, Ok(258));
        assert_eq!(store.increment("n".into(), -1).await, Ok(257));
        assert_eq!(store.get("n".into()).await, Ok(Some(vec![1, 1, 0, 0, 0, 0, 0, 0])));
    }

    #[tokio::test]
    async fn a_batch_skips_absent_keys_and_stores_are_apart() {
        let database = Database::open(&Location::Memory).unwrap();
        let store = database.store("default");
        let pairs = vec![("a".to_owned(), vec![1]), ("b".to_owned(), vec![2])];
        store.set_many(pairs).await.unwrap();
        let found = store.get_many(vec!["b".into(), "x".into()]).await;
        assert_eq!(found, Ok(vec![("b".to_owned(), Some(vec![2]))]));
        store.delete_many(vec!["a".into(), "x".into()]).await.unwrap();
        assert_eq!(store.keys().await, Ok(vec!["b".to_owned()]));
        assert_eq!(database.store("other").keys().await, Ok(vec![]));
    }

    #[tokio::test]
    async fn the_file_is_laid_out_as_spin_lays_it_out() {
        let (directory, store) = opened();
        store.set("k".into(), b"v".to_vec()).await.unwrap();
        let file = Connection::open(directory.path().join("sqlite_key_value.db")).unwrap();
        let row: (String, String, Vec<u8>) = file
            .query_row("SELECT store, key, value FROM spin_key_value", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .unwrap();
        assert_eq!(row, ("default".to_owned(), "k".to_owned(), b"v".to_vec()));
        let mode: String = file.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!(mode, "delete");
    }
}
