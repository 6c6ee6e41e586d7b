//! What this Envoy knows of directories, and how the origin's answers change it.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use scim_engine::edge::{self, Item};
use scim_engine::store::{DirectoryId, Head, PageId};

use crate::config::Slots;
use crate::origin::Reply;
use crate::shared::{Heads, Pages, Shared};

/// After a call that failed, this worker does not ask again for so long, in microseconds.
const DOWN: u64 = 1_000_000;

/// Directories remembered as absent, at most.
const MAX_ABSENT: usize = 1024;

/// What came of a request's fetch of pages; of several calls, the worst.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fetch {
    /// It has not fetched any.
    None,
    /// It has, or is about to.
    Whole,
    /// The origin does not have all of them any more.
    Outdated,
    /// The origin did not answer.
    Failed,
}

/// What a check of a head said.
#[derive(Clone)]
pub enum Check {
    /// The current head.
    Found(Arc<Head>),
    /// There is no such directory.
    Absent,
    /// Nothing that can be trusted.
    Failed,
}

/// Heads and pages at hand, and what is known of the origin.
pub struct Replica<S> {
    /// Heads.
    pub heads: Heads<S>,
    /// Pages.
    pub pages: Pages<S>,
    absent: HashMap<DirectoryId, u64>,
    failing: bool,
    down_until: u64,
}

impl<S: Shared> Replica<S> {
    /// Over the shared caches, with nothing of its own.
    pub fn new(shared: Rc<S>, slots: Slots) -> Self {
        Self {
            heads: Heads::new(Rc::clone(&shared), slots.heads),
            pages: Pages::new(shared, slots),
            absent: HashMap::new(),
            failing: false,
            down_until: 0,
        }
    }

    /// Whether a call failed so recently that another one is not worth waiting for.
    pub fn is_down(&self, now: u64) -> bool {
        now < self.down_until
    }

    /// Whether the last call failed: nobody who can be answered without it should wait for the next one.
    pub fn is_failing(&self) -> bool {
        self.failing
    }

    /// A call ended, well or not.
    fn heard(&mut self, well: bool, now: u64) {
        self.failing = !well;
        if !well {
            self.down_until = now + DOWN;
        }
    }

    /// Whether the origin said within `max_staleness` that there is no such directory.
    pub fn is_absent(&self, directory: &DirectoryId, now: u64, max_staleness: u64) -> bool {
        self.absent.get(directory).is_some_and(|at| now.saturating_sub(*at) < max_staleness)
    }

    /// The origin answered a check of a head that began at `started`.
    pub fn head_landed(
        &mut self,
        directory: &DirectoryId,
        known: Option<Arc<Head>>,
        started: u64,
        reply: &Reply,
        now: u64,
    ) -> Check {
        let check = match (reply, known) {
            (Reply::Answer { status: 200, body }, _) => self.head_in(body).map_or(Check::Failed, Check::Found),
            (Reply::Answer { status: 304, .. }, Some(known)) => Check::Found(known),
            (Reply::Answer { status: 404, body }, _) if edge::says_absent(body) => Check::Absent,
            (Reply::Answer { status: 401 | 403, .. }, _) => {
                log::error!("the origin refuses this edge's credential");
                Check::Failed
            }
            (Reply::Answer { .. } | Reply::Failed, _) => Check::Failed,
        };
        match &check {
            Check::Found(head) => self.heads.confirm(directory, head, started),
            Check::Absent => self.remember_absent(directory, now),
            Check::Failed => {}
        }
        self.heard(!matches!(check, Check::Failed), now);
        check
    }

    /// The head in a frame; the pages it brings along are kept.
    fn head_in(&mut self, frame: &[u8]) -> Option<Arc<Head>> {
        let mut found = None;
        for item in edge::decode(frame)? {
            match item {
                Item::Head(bytes) => found = Some(Arc::new(Head::decode(bytes.into()).ok()?)),
                Item::Page(bytes) => self.pages.keep(bytes).then_some(())?,
                Item::Missing(_) => {}
            }
        }
        found
    }

    /// The origin answered a fetch of pages.
    pub fn pages_landed(&mut self, directory: &DirectoryId, ids: &[PageId], reply: &Reply, now: u64) -> Fetch {
        let items = match reply {
            Reply::Answer { status: 200, body } => edge::decode(body),
            Reply::Answer { .. } | Reply::Failed => None,
        };
        let Some(items) = items else {
            log::warn!("{} pages of a directory could not be fetched", ids.len());
            self.heard(false, now);
            return Fetch::Failed;
        };
        self.heard(true, now);
        let mut fetch = Fetch::Whole;
        for item in items {
            match item {
                Item::Page(bytes) if self.pages.keep(bytes) => {}
                Item::Page(_) => fetch = Fetch::Failed,
                Item::Missing(_) => fetch = fetch.max(Fetch::Outdated),
                Item::Head(_) => {}
            }
        }
        if fetch == Fetch::Outdated {
            // A commit replaced them, so the head that named them is not the current one.
            self.heads.wrote(directory, None, now);
        }
        fetch
    }

    fn remember_absent(&mut self, directory: &DirectoryId, now: u64) {
        self.heads.absent(directory, now);
        if self.absent.len() >= MAX_ABSENT {
            self.absent.clear();
        }
        self.absent.insert(directory.clone(), now);
    }
}
