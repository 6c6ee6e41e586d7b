//! The directory store: a copy-on-write B+tree of immutable pages under one mutable head.
//!
//! A plain key-value store changes one key at a time. A directory has to change a resource, its indexes and
//! its memberships at once. So every page is written once, under a name never used again, and a commit is the
//! one compare-and-swap that installs a new [`Head`]. A crash before the swap leaves only pages nobody refers to;
//! after it there is nothing to repair.
//!
//! | Module | Idea |
//! |---|---|
//! | [`page`], [`head`] | the two stored formats, byte for byte |
//! | `tree` | reading the B+tree, and rewriting it in batches |
//! | [`Txn`] | one step's reads and writes: own writes over pending writes over the tree |
//! | [`Call`], [`Reply`] | what is asked of a key-value store, and what it says |
//! | [`Session`] | a step driven over a key-value store that may fail, lie or lose replies |
//! | `landing` | one commit on its way: pages, head, certainty |
//! | [`GroupCommit`] | sessions of one process that share a commit |
//! | [`PageCache`] | pages kept between steps |
//! | [`memory`] | a key-value store in memory |

mod cache;
mod call;
mod codec;
mod group;
pub mod head;
mod landing;
pub mod memory;
pub mod page;
mod session;
mod tree;
mod txn;

use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use cache::PageCache;
pub use call::{Call, Reply, elect_key, head_key, page_key};
pub use codec::Damage;
pub use group::GroupCommit;
pub use head::Head;
pub use page::{Page, Place};
pub use session::{Handler, Session, Turn};
pub use tree::pages_since;
pub use txn::{Entry, Savepoint, Txn};

use crate::error::ScimError;
use crate::http::Response;

/// Name of a directory: a connection's id, or [`DirectoryId::ENVIRONMENT`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DirectoryId(Arc<str>);

/// Name of an immutable page: the nonce of the commit that wrote it, and a number within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageId(pub [u8; 18]);

impl Hash for PageId {
    /// A nonce is part of a digest, so a part of it tells commits apart.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, .., y, z] = self.0;
        state.write_u64(u64::from_be_bytes([a, b, c, d, e, f, y, z]));
    }
}

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
    /// What a log is to know of the request. A host may leave it undone.
    pub aside: Aside,
}

/// Work beside the answer, for a request that changes nothing: it is tried once the answer is decided, and neither its
/// failure nor a race it loses ever changes that answer.
#[derive(Clone, Debug, Default)]
pub enum Aside {
    /// Nothing to do.
    #[default]
    Nothing,
    /// Load these and run the step again, for this work alone.
    Need(Need),
    /// Try this commit.
    Commit(Commit),
}

/// One atomic change of one directory.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The directory.
    pub directory: DirectoryId,
    /// Bytes of the head this commit was computed from; `None` creates the directory.
    pub expected: Option<Arc<[u8]>>,
    /// Version of that head; 0 for none.
    pub base: u64,
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
    /// Pages it replaced that a commit before it has not stored yet.
    pub superseded: Vec<PageId>,
}

impl Commit {
    /// Takes in the commit that was computed on the head of this one: both land, or neither.
    pub(crate) fn append(&mut self, next: Self) {
        self.pages.retain(|(id, _)| !next.superseded.contains(id));
        self.pages.extend(next.pages);
        self.obsolete.extend(next.obsolete);
        (self.head, self.version, self.nonce) = (next.head, next.version, next.nonce);
    }
}

impl DirectoryId {
    /// The directory that lists an environment's connections, roles and settings.
    pub const ENVIRONMENT: &'static str = "environment";

    /// A directory's name: 1 to 64 letters, digits and `-`; `None` for anything else.
    pub fn new(name: &str) -> Option<Self> {
        let valid = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        valid.then(|| Self(name.into()))
    }

    /// The environment's own directory.
    pub fn environment() -> Self {
        Self(Self::ENVIRONMENT.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PageId {
    /// The name as text: 24 characters of URL-safe base64.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Nonce of the commit that wrote the page.
    pub fn nonce(&self) -> [u8; 16] {
        let mut nonce = [0; 16];
        for (to, from) in nonce.iter_mut().zip(self.0) {
            *to = from;
        }
        nonce
    }

    /// The page number `index` of a commit.
    pub(crate) fn of_commit(nonce: [u8; 16], index: u16) -> Self {
        let mut id = [0; 18];
        for (to, from) in id.iter_mut().zip(nonce.into_iter().chain(index.to_be_bytes())) {
            *to = from;
        }
        Self(id)
    }
}

impl Need {
    /// Whether nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.pages.is_empty()
    }

    /// Takes a result apart: a need is added to this one, so that independent reads ask for everything at once.
    ///
    /// # Errors
    /// Any fault that is not a need.
    pub fn gather<T>(&mut self, result: Result<T, Fault>) -> Result<Option<T>, Fault> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Fault::Need(other)) => {
                self.heads.extend(other.heads);
                self.pages.extend(other.pages);
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    /// # Errors
    /// [`Fault::Need`] unless nothing is needed.
    pub fn settle(mut self) -> Result<(), Fault> {
        if self.is_empty() {
            return Ok(());
        }
        self.heads = distinct(self.heads);
        self.pages = distinct(self.pages);
        Err(Fault::Need(self))
    }
}

/// Each once, in order. A set is less code than a sort, which counts in an edge.
pub(crate) fn distinct<T: Ord>(some: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut set = BTreeSet::new();
    set.extend(some);
    set.into_iter().collect()
}

/// Where a host keeps pages it has at hand.
pub trait PageSource {
    /// The page of that id if it is here; never waits.
    fn page(&self, id: &PageId) -> Option<Arc<Page>>;

    /// Whether the store was asked for the page in this step's life and does not have it: a commit replaced it.
    /// Only a step that serves pages by name has use for this; to all others it stays a need.
    fn absent(&self, _id: &PageId) -> bool {
        false
    }
}

/// The heads loaded for one step, and the pages at hand.
pub struct View<'a> {
    /// Loaded heads; a directory that does not exist is present with `None`.
    pub heads: HashMap<DirectoryId, Option<Arc<Head>>>,
    /// Pages at hand.
    pub pages: &'a dyn PageSource,
}
