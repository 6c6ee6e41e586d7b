//! A session creates the environment's directory.
//!
//! A swap on an *absent* key is an unconditional write in the stores we know, so two creators of one head could both
//! succeed, and the first would lose what it wrote. A connection's head has one creator, the request that drew its random
//! id, so a plain write will do. The environment's head has many candidates: those who find it absent increment a
//! counter, which every store does atomically, and only the first may create it, after looking once more; the others
//! answer 503 until it is there. Should that one crash in between, the 21st takes its turn, then the 41st, and so on; a
//! creator would have to sleep through twenty requests between two calls to do harm.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Session, Turn, Vote, Waiting};
use crate::env::Env;
use crate::store::{Call, DirectoryId, Need, Page, PageId, PageSource, Reply, Txn, View};

/// Of how many candidates one may create the environment.
const CANDIDATES: u64 = 20;

impl Session {
    pub(super) fn elect(&mut self, directory: DirectoryId, rest: Need, vote: Vote) -> Turn {
        match vote {
            Vote::None => {
                self.waiting = Waiting::Election { directory: directory.clone(), rest };
                Turn::Call(Call::Elect(directory))
            }
            Vote::Won => self.create(directory, rest),
            Vote::Lost => self.unavailable("the environment is being created", &Reply::Head(None)),
        }
    }

    pub(super) fn on_election(&mut self, directory: DirectoryId, rest: Need, reply: Reply) -> Turn {
        let Reply::Elected(count) = reply else {
            return self.unavailable("the environment could not be created", &reply);
        };
        let vote = if count % CANDIDATES == 1 { Vote::Won } else { Vote::Lost };
        self.load_head(directory, rest, vote)
    }

    pub(super) fn create(&mut self, directory: DirectoryId, rest: Need) -> Turn {
        let view = View { heads: HashMap::new(), pages: &Nothing };
        let env = Env::new(self.now, self.seed, self.attempt, &self.config);
        let commit = Txn::create(&view, &directory).commit(&env);
        // The nonce is used up: the step's own commit must be told from this one.
        self.attempt += 1;
        let Ok(Some(commit)) = commit else { return self.broken("an empty directory could not be made") };
        self.waiting = Waiting::Creation { directory: directory.clone(), rest };
        Turn::Call(Call::CreateHead { directory, head: commit.head })
    }

    pub(super) fn on_creation(&mut self, directory: DirectoryId, rest: Need, reply: Reply) -> Turn {
        match reply {
            Reply::Done => self.load_head(directory, rest, Vote::Lost),
            other => self.unavailable("the environment could not be created", &other),
        }
    }
}

/// No pages.
struct Nothing;

impl PageSource for Nothing {
    fn page(&self, _: &PageId) -> Option<Arc<Page>> {
        None
    }
}
