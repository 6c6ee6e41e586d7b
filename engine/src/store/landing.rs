//! How one commit reaches the store: pages, head, certainty.

use std::sync::Arc;

use super::head::RECENT;
use super::{Call, Commit, Head, Reply};

/// How often a swap is repeated, or its outcome asked for, before it counts as unknown.
const TRIES: u32 = 8;

/// A commit on its way.
#[derive(Debug)]
pub(super) struct Landing {
    phase: Phase,
    tries: u32,
    /// Whether the store's word for a swap that succeeded is taken.
    truthful: bool,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Storing,
    Installing,
    Confirming,
}

/// What is to be done next for a commit.
#[derive(Debug)]
pub(super) enum Progress {
    Call(Call),
    Landed,
    /// Another head was installed in its place.
    Lost(Head),
    /// It is not known, or the store failed: what goes into the log.
    Failed(String),
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

impl Landing {
    /// Starts with the commit's pages.
    pub fn begin(commit: &Commit, truthful: bool) -> (Self, Call) {
        let mut landing = Self { phase: Phase::Storing, tries: 0, truthful };
        let call = if commit.pages.is_empty() { landing.install(commit) } else { store(commit) };
        (landing, call)
    }

    /// Whether the head has not been touched yet.
    pub fn is_storing(&self) -> bool {
        matches!(self.phase, Phase::Storing)
    }

    /// Goes on with the reply to the last call.
    pub fn on(&mut self, commit: &Commit, reply: Reply) -> Progress {
        match (self.phase, reply) {
            (Phase::Storing, Reply::Done) => Progress::Call(self.install(commit)),
            (Phase::Storing, other) => failed("pages could not be stored", &other),
            (Phase::Installing, Reply::Swapped(true)) if self.truthful => Progress::Landed,
            (Phase::Installing, Reply::Done) if commit.expected.is_none() => Progress::Landed,
            (Phase::Installing | Phase::Confirming, Reply::Head(Some(bytes))) => self.judge(commit, bytes.into()),
            (Phase::Installing, _) => Progress::Call(self.confirm(commit)),
            (Phase::Confirming, Reply::Head(None)) => Progress::Failed("a head is gone".to_owned()),
            (Phase::Confirming, other) => self.again(commit, &other, Self::confirm),
        }
    }

    /// Goes on for a session that went away with its call under way: nobody knows what came of that.
    pub fn resume(&mut self, commit: &Commit) -> Call {
        match self.phase {
            Phase::Storing => store(commit),
            Phase::Installing | Phase::Confirming => self.confirm(commit),
        }
    }

    fn install(&mut self, commit: &Commit) -> Call {
        self.phase = Phase::Installing;
        let (directory, head) = (commit.directory.clone(), commit.head.clone());
        match &commit.expected {
            Some(expected) => Call::SwapHead { directory, expected: Arc::clone(expected), head },
            None => Call::CreateHead { directory, head },
        }
    }

    fn confirm(&mut self, commit: &Commit) -> Call {
        self.phase = Phase::Confirming;
        Call::LoadHead(commit.directory.clone())
    }

    fn judge(&mut self, commit: &Commit, found: Arc<[u8]>) -> Progress {
        let reply = |reason: &str| Reply::Failed(reason.to_owned());
        match commit.verdict(found) {
            Verdict::Landed => Progress::Landed,
            Verdict::Pending => self.again(commit, &reply("the swap does not happen"), Self::install),
            Verdict::Stale => self.again(commit, &reply("the head is out of date"), Self::confirm),
            Verdict::Lost(head) => Progress::Lost(head),
            Verdict::Unknown => failed(UNKNOWN, &reply("the head has moved on")),
        }
    }

    fn again(&mut self, commit: &Commit, reply: &Reply, go: fn(&mut Self, &Commit) -> Call) -> Progress {
        self.tries += 1;
        if self.tries > TRIES {
            return failed(UNKNOWN, reply);
        }
        Progress::Call(go(self, commit))
    }
}

const UNKNOWN: &str = "a commit's outcome is unknown";

fn store(commit: &Commit) -> Call {
    Call::StorePages(commit.directory.clone(), commit.pages.clone())
}

fn failed(what: &str, reply: &Reply) -> Progress {
    Progress::Failed(format!("{what}: {}", reply.reason()))
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
        if head.version() <= self.base {
            return Verdict::Stale;
        }
        // A head remembers so many commits: beyond that, a missing nonce proves nothing.
        if head.version().saturating_sub(self.version) >= RECENT as u64 {
            return Verdict::Unknown;
        }
        Verdict::Lost(head)
    }
}
