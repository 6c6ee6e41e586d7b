//! The directory store: a copy-on-write B+tree of immutable pages under one mutable head.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::env::Env;
use crate::error::ScimError;
use crate::http::Response;

/// Name of a directory: a connection's id, or [`DirectoryId::ENVIRONMENT`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DirectoryId(String);

/// Name of an immutable page: the nonce of the commit that wrote it, and a number within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageId(pub [u8; 18]);

/// What a step still has to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Heads of directories.
    pub heads: Vec<DirectoryId>,
    /// Pages, with the directory each belongs to.
    pub pages: Vec<(DirectoryId, PageId)>,
}

/// Why a step did not finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Load these and run the step again.
    Need(Need),
    /// The request is refused.
    Refused(Response),
    /// A head or page fails its checksum or does not parse; it is never served.
    Damaged(String),
}

impl From<ScimError> for Fault {
    fn from(error: ScimError) -> Self {
        Self::Refused(error.response())
    }
}

/// A finished step.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What to answer once every commit has landed.
    pub response: Response,
    /// Commits, in order; each is atomic in its directory.
    pub commits: Vec<Commit>,
}

/// One atomic change of one directory.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The directory.
    pub directory: DirectoryId,
    /// Bytes of the head this commit was computed from; `None` creates the directory.
    pub expected: Option<Arc<[u8]>>,
    /// Bytes of the head it installs.
    pub head: Vec<u8>,
    /// Version of the directory after it.
    pub version: u64,
    /// Finds this commit again in a later head.
    pub nonce: [u8; 16],
    /// New pages; written before the head.
    pub pages: Vec<(PageId, Vec<u8>)>,
    /// Pages no current or recent head refers to; deleted after the head.
    pub obsolete: Vec<PageId>,
}

impl DirectoryId {
    /// The directory that lists an environment's connections, roles and settings.
    pub const ENVIRONMENT: &'static str = "environment";

    /// A directory's name: 1 to 64 letters, digits and `-`; `None` for anything else.
    pub fn new(name: &str) -> Option<Self> {
        let valid = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        valid.then(|| Self(name.to_owned()))
    }

    /// The environment's own directory.
    pub fn environment() -> Self {
        Self(Self::ENVIRONMENT.to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a host keeps pages it has at hand: a port with one method.
pub trait PageSource {
    /// The page of that id if it is here; never waits.
    fn page(&self, id: &PageId) -> Option<Arc<Page>>;
}

/// A decoded page (stub: the store module owns this).
#[derive(Debug)]
pub struct Page;

/// A decoded head (stub: the store module owns this).
#[derive(Debug)]
pub struct Head;

/// The heads loaded for one step, and the pages at hand.
pub struct View<'a> {
    /// Loaded heads; a directory that does not exist is present with `None`.
    pub heads: HashMap<DirectoryId, Option<Arc<Head>>>,
    /// Pages at hand.
    pub pages: &'a dyn PageSource,
}

/// Reads and writes of one step in one directory (stub: the store module owns this).
pub struct Txn<'v> {
    _view: &'v View<'v>,
}

type Entry = (Vec<u8>, Vec<u8>);

#[allow(unused_variables, clippy::todo, clippy::missing_errors_doc)]
impl<'v> Txn<'v> {
    /// Opens a directory at its current head; `None` when it does not exist.
    pub fn open(view: &'v View<'v>, directory: &DirectoryId) -> Result<Option<Self>, Fault> {
        todo!()
    }
    /// Starts a directory that does not exist yet; its commit has `expected: None`.
    pub fn create(view: &'v View<'v>, directory: &DirectoryId) -> Self {
        todo!()
    }
    /// Version of the directory as read; 0 for a new one. Every commit adds one.
    pub fn version(&self) -> u64 {
        todo!()
    }
    /// The opaque record kept in the head: the connection record.
    pub fn record(&self) -> &[u8] {
        todo!()
    }
    /// Replaces the record.
    pub fn set_record(&mut self, record: Vec<u8>) {
        todo!()
    }
    /// The value of a key, own writes included.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        todo!()
    }
    /// Values of many keys; missing pages of all of them are asked for at once.
    pub fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        todo!()
    }
    /// Entries of a range in key order (backwards when `reverse`), after `skip` of them, at most `limit`.
    pub fn scan(&self, range: Range<&[u8]>, skip: u64, limit: usize, reverse: bool) -> Result<Vec<Entry>, Fault> {
        todo!()
    }
    /// Number of entries in a range, in O(log n).
    pub fn count(&self, range: Range<&[u8]>) -> Result<u64, Fault> {
        todo!()
    }
    /// Sets a key.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        todo!()
    }
    /// Removes a key; nothing happens when it is absent.
    pub fn remove(&mut self, key: Vec<u8>) {
        todo!()
    }
    /// The commit of all writes; `None` when nothing was written. May need pages, for a merge.
    pub fn commit(self, env: &Env<'_>) -> Result<Option<Commit>, Fault> {
        todo!()
    }
}
