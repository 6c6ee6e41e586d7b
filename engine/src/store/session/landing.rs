//! How a step's commits reach the store: pages, head, certainty, then cleaning up.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{ATTEMPTS, Call, Reply, Session, Turn, Waiting};
use crate::http::Response;
use crate::store::head::RECENT;
use crate::store::{Commit, Head, Outcome, Page, PageCache};

/// How often a swap is repeated, or its outcome asked for, before it counts as unknown.
const TRIES: u32 = 8;

/// A finished step whose commits are landing, one after the other.
pub(super) struct Landing {
    response: Response,
    commit: Commit,
    rest: VecDeque<Commit>,
    phase: Phase,
    tries: u32,
}

#[derive(Clone, Copy)]
enum Phase {
    Storing,
    Installing,
    Confirming,
    Cleaning,
}

/// What a head says about a commit.
enum Verdict {
    Landed,
    /// The head is the one the commit was computed from: nothing has happened yet.
    Pending,
    /// The head is older than that: the store answered from the past.
    Stale,
    Lost(Head),
    Unknown,
}

impl Session {
    pub(super) fn land(&mut self, cache: &PageCache, outcome: Outcome) -> Turn {
        self.next(cache, outcome.response, outcome.commits.into())
    }

    fn next(&mut self, _cache: &PageCache, response: Response, mut rest: VecDeque<Commit>) -> Turn {
        let Some(commit) = rest.pop_front() else { return self.answer(response) };
        let landing = Landing { response, commit, rest, phase: Phase::Storing, tries: 0 };
        if landing.commit.pages.is_empty() {
            return self.install(landing);
        }
        let call = Call::StorePages(landing.commit.directory.clone(), landing.commit.pages.clone());
        self.wait(landing, Phase::Storing, call)
    }

    pub(super) fn on_landing(&mut self, cache: &PageCache, landing: Landing, reply: Reply) -> Turn {
        match (landing.phase, reply) {
            (Phase::Storing, Reply::Done) => self.install(landing),
            (Phase::Storing, other) => self.unavailable("pages could not be stored", &other),
            (Phase::Installing, Reply::Swapped(true)) if self.truthful => self.landed(cache, landing),
            (Phase::Installing, Reply::Done) if landing.commit.expected.is_none() => self.landed(cache, landing),
            (Phase::Installing, _) => self.confirm(landing),
            (Phase::Confirming, Reply::Head(Some(bytes))) => self.judge(cache, landing, bytes.into()),
            (Phase::Confirming, Reply::Head(None)) => {
                self.unavailable("a head is gone", &Reply::Failed("the commit's outcome is unknown".to_owned()))
            }
            (Phase::Confirming, other) => self.again(landing, &other, Self::confirm),
            (Phase::Cleaning, _) => self.next(cache, landing.response, landing.rest),
        }
    }

    fn install(&mut self, landing: Landing) -> Turn {
        let (directory, head) = (landing.commit.directory.clone(), landing.commit.head.clone());
        let call = match &landing.commit.expected {
            Some(expected) => Call::SwapHead { directory, expected: Arc::clone(expected), head },
            None => Call::CreateHead { directory, head },
        };
        self.wait(landing, Phase::Installing, call)
    }

    fn confirm(&mut self, landing: Landing) -> Turn {
        let call = Call::LoadHead(landing.commit.directory.clone());
        self.wait(landing, Phase::Confirming, call)
    }

    fn judge(&mut self, cache: &PageCache, landing: Landing, bytes: Arc<[u8]>) -> Turn {
        let reply = |text: &str| Reply::Failed(text.to_owned());
        match landing.commit.verdict(bytes) {
            Verdict::Landed => self.landed(cache, landing),
            Verdict::Pending => self.again(landing, &reply("the swap does not happen"), Self::install),
            Verdict::Stale => self.again(landing, &reply("the head is out of date"), Self::confirm),
            Verdict::Lost(head) => self.lost(cache, landing.commit, head),
            Verdict::Unknown => self.unavailable("a commit's outcome is unknown", &reply("the head has moved on")),
        }
    }

    fn again(&mut self, mut landing: Landing, reply: &Reply, go: fn(&mut Self, Landing) -> Turn) -> Turn {
        landing.tries += 1;
        if landing.tries > TRIES {
            return self.unavailable("a commit's outcome is unknown", reply);
        }
        go(self, landing)
    }

    fn landed(&mut self, cache: &PageCache, mut landing: Landing) -> Turn {
        for (_, bytes) in std::mem::take(&mut landing.commit.pages) {
            if let Ok(page) = Page::decode(bytes.into()) {
                cache.insert(Arc::new(page));
            }
        }
        if landing.commit.obsolete.is_empty() {
            return self.next(cache, landing.response, landing.rest);
        }
        let call = Call::DeletePages(landing.commit.directory.clone(), std::mem::take(&mut landing.commit.obsolete));
        self.wait(landing, Phase::Cleaning, call)
    }

    /// Runs the step again on the head that won; the pages of the loser can never be referred to any more.
    fn lost(&mut self, cache: &PageCache, commit: Commit, head: Head) -> Turn {
        self.attempt += 1;
        if self.attempt >= ATTEMPTS {
            return self.unavailable("too many writers", &Reply::Failed(format!("{ATTEMPTS} races lost")));
        }
        // What was decided stands; only the head of the work aside is looked at again.
        if self.decided.is_none() {
            self.heads.clear();
        }
        self.heads.insert(commit.directory.clone(), Some(Arc::new(head)));
        if commit.pages.is_empty() {
            return self.step(cache);
        }
        self.waiting = Waiting::Discard;
        Turn::Call(Call::DeletePages(commit.directory, commit.pages.into_iter().map(|(id, _)| id).collect()))
    }

    fn wait(&mut self, landing: Landing, phase: Phase, call: Call) -> Turn {
        self.waiting = Waiting::Landing(Box::new(Landing { phase, ..landing }));
        Turn::Call(call)
    }
}

impl Commit {
    fn verdict(&self, found: Arc<[u8]>) -> Verdict {
        if *found == *self.head {
            return Verdict::Landed;
        }
        if self.expected.as_deref() == Some(&*found) {
            return Verdict::Pending;
        }
        let Ok(head) = Head::decode(found) else { return Verdict::Unknown };
        if head.recent().contains(&self.nonce) {
            return Verdict::Landed;
        }
        if head.version() < self.version {
            return Verdict::Stale;
        }
        // A head remembers so many commits: beyond that, a missing nonce proves nothing.
        if head.version() - self.version >= RECENT as u64 {
            return Verdict::Unknown;
        }
        Verdict::Lost(head)
    }
}
