//! A step driven over a key-value store, without doing any I/O itself.
//!
//! The host repeats: [`Session::turn`] says which [`Call`] to make, the host makes it and hands in the [`Reply`],
//! until the turn is a response. The store may fail, lose replies and misreport swaps; what a session answers is true
//! nevertheless:
//!
//! - **2xx means committed.** The answer of a swap is a hint. The head is loaded again and the commit's nonce looked for:
//!   found, it has landed; another head of the same or a later version without it, it is lost, for versions form one
//!   chain; the head it was computed from, the swap did not happen and is repeated as it is, which is harmless, for it
//!   can land once only. Whatever stays unknown is answered 503, never 2xx.
//! - **A lost race is run again** on the fresh head, with new page names. A request with several commits must do the
//!   rest when it is run again after the first of them have landed.
//! - **Work aside never shows.** Once a step that changes nothing has decided its answer, its [`Aside`] is tried a few
//!   times; whatever happens then, that answer is given.
//! - **A page that is gone** was replaced by a later commit: the head is loaded again and the step starts over.

mod commit;
mod create;
mod load;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::group::{Approach, End, GroupCommit, Seat};
use super::{Aside, Call, Commit, DirectoryId, Fault, Head, Need, Outcome, Page, PageCache, PageId, Reply, View};
use crate::env::{Config, Env, Timestamp};
use crate::error::{Kind, ScimError};
use crate::http::{Request, Response};
use load::AtHand;

/// A step: what a request does, given what it can see.
pub type Handler = fn(&Request, &View<'_>, &Env<'_>) -> Result<Outcome, Fault>;

/// How often a step may be run for its work aside.
const ASIDE_RUNS: u32 = 6;

/// What the host is to do next.
#[derive(Debug)]
pub enum Turn {
    /// Make this call and hand in the reply.
    Call(Call),
    /// Let other sessions of this process run, then go on without a reply once [`Session::poll_ready`] says so. Only a
    /// session that [commits in a group](Session::committing_with) ever waits.
    Wait,
    /// Answer the request.
    Done(Response),
}

/// One request on its way from arrival to answer.
pub struct Session {
    handler: Handler,
    request: Request,
    seed: [u8; 32],
    now: Timestamp,
    config: Arc<Config>,
    truthful: bool,
    group: Option<Arc<GroupCommit>>,
    /// Until it is clear what this session wants to do.
    approach: Option<Approach>,
    /// The directory whose head is a draft, and the flight that is to install it.
    draft: Option<(DirectoryId, Seat)>,
    attempt: u32,
    restarts: u32,
    heads: HashMap<DirectoryId, Option<Arc<Head>>>,
    pages: HashMap<PageId, Arc<Page>>,
    absent: HashSet<PageId>,
    waiting: Waiting,
    /// The answer, once it only waits for work aside.
    decided: Option<Response>,
    aside_runs: u32,
    incident: Option<String>,
}

/// What the session has asked for.
#[derive(Default)]
enum Waiting {
    /// Nothing: the step is to be run.
    #[default]
    Step,
    Head {
        directory: DirectoryId,
        rest: Need,
        vote: Vote,
    },
    Heads {
        directories: Vec<DirectoryId>,
        rest: Need,
    },
    Pages(Vec<(DirectoryId, PageId)>),
    Election {
        directory: DirectoryId,
        rest: Need,
    },
    Creation {
        directory: DirectoryId,
        rest: Need,
    },
    Flight(Box<Trip>),
    /// The last call of a flight, whose end is known.
    Cleaning(Box<Trip>, End),
    Answered,
}

/// A commit under way, or what waits for one.
struct Trip {
    seat: Seat,
    directory: DirectoryId,
    then: Then,
}

/// What a session does when the flight it waits for has landed; otherwise it is run again.
enum Then {
    /// Its commit is aboard: it makes its other commits, and answers.
    Finish(Response, VecDeque<Commit>),
    /// This came of a step that has seen the draft.
    Conclude(Result<Outcome, Fault>),
    /// Its step is run again.
    Rerun,
}

/// Where a session stands in the creation of the environment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Vote {
    None,
    Won,
    Lost,
}

impl Session {
    /// A request at its start. `seed` must come from the host's secure generator, fresh for every request.
    pub fn new(handler: Handler, request: Request, seed: [u8; 32], now: Timestamp, config: Arc<Config>) -> Self {
        Self {
            handler,
            request,
            seed,
            now,
            config,
            truthful: false,
            group: None,
            approach: None,
            draft: None,
            attempt: 0,
            restarts: 0,
            heads: HashMap::new(),
            pages: HashMap::new(),
            absent: HashSet::new(),
            waiting: Waiting::Step,
            decided: None,
            aside_runs: 0,
            incident: None,
        }
    }

    /// Takes the store's word for a swap that succeeded, which saves loading the head again. Only for stores that are
    /// known to report success if and only if the swap happened, such as SQLite.
    #[must_use]
    pub fn trusting_swaps(mut self) -> Self {
        self.truthful = true;
        self
    }

    /// Shares swaps with other sessions of this process, if the settings let it; see [`GroupCommit`]. All must be driven
    /// while this one waits.
    #[must_use]
    pub fn committing_with(mut self, group: &Arc<GroupCommit>) -> Self {
        if self.config.limits.group < 2 {
            return self;
        }
        // What reads commits nothing that others should wait for.
        self.approach = (!self.request.only_reads()).then(|| group.approach());
        self.group = Some(Arc::clone(group));
        self
    }

    /// Whether a session that waits can go on; if not, the waker is told when it might.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.waiting {
            Waiting::Flight(trip) => trip.seat.poll_ready(cx),
            _ => Poll::Ready(()),
        }
    }

    /// What went wrong, for the log; without secrets or personal data.
    pub fn incident(&self) -> Option<&str> {
        self.incident.as_deref()
    }

    /// Goes on with the reply to the last call, `None` at the start.
    pub fn turn(&mut self, cache: &PageCache, reply: Option<Reply>) -> Turn {
        match std::mem::replace(&mut self.waiting, Waiting::Answered) {
            Waiting::Step => self.step(cache),
            Waiting::Flight(trip) => self.travel(cache, *trip, reply),
            Waiting::Cleaning(trip, end) => self.arrive(cache, *trip, end),
            waiting => self.on_reply(cache, waiting, reply.unwrap_or_else(no_reply)),
        }
    }

    fn on_reply(&mut self, cache: &PageCache, waiting: Waiting, reply: Reply) -> Turn {
        match waiting {
            Waiting::Head { directory, rest, vote } => self.on_head(cache, directory, rest, vote, reply),
            Waiting::Heads { directories, rest } => self.on_heads(cache, directories, rest, reply),
            Waiting::Pages(asked) => self.on_pages(cache, &asked, reply),
            Waiting::Election { directory, rest } => self.on_election(directory, rest, reply),
            Waiting::Creation { directory, rest } => self.on_creation(directory, rest, reply),
            _ => self.broken("the request is answered already"),
        }
    }

    fn step(&mut self, cache: &PageCache) -> Turn {
        let at_hand = AtHand { pages: &self.pages, absent: &self.absent, cache };
        let view = View { heads: self.heads.clone(), pages: &at_hand };
        let env = Env::new(self.now, self.seed, self.attempt, &self.config);
        match (self.handler)(&self.request, &view, &env) {
            Err(Fault::Need(need)) => self.load(cache, need),
            result => self.conclude(cache, result),
        }
    }

    /// Acts on what came of the step, which never is a need.
    fn conclude(&mut self, cache: &PageCache, result: Result<Outcome, Fault>) -> Turn {
        let waits = |directory: &DirectoryId| self.decided.is_none() && !changes(&result, directory);
        if let Some((directory, seat)) = self.draft.take_if(|(directory, _)| waits(directory)) {
            self.approach = None;
            return self.travel(cache, Trip { seat, directory, then: Then::Conclude(result) }, None);
        }
        match result {
            Ok(outcome) if self.decided.is_some() || outcome.commits.is_empty() => self.aside(cache, outcome),
            Ok(Outcome { response, commits, .. }) => self.next(cache, response, commits.into()),
            Err(Fault::Refused(response)) => self.answer(response),
            Err(Fault::Damaged(reason)) => self.broken(&reason),
            Err(Fault::Need(_)) => self.broken("a step that has ended asks for more"),
        }
    }

    /// Tries the work aside of a step that changes nothing. A step that is run again for it may by now find the
    /// directory changed and want a commit: the answer is given already, so nothing of that is done.
    fn aside(&mut self, cache: &PageCache, outcome: Outcome) -> Turn {
        let Outcome { response, commits, aside } = outcome;
        let response = self.decided.take().unwrap_or(response);
        self.aside_runs += 1;
        if !commits.is_empty() || self.aside_runs > ASIDE_RUNS {
            return self.answer(response);
        }
        match aside {
            Aside::Nothing => self.answer(response),
            Aside::Need(need) => {
                self.decided = Some(response);
                self.load(cache, need)
            }
            Aside::Commit(commit) => {
                self.decided = Some(response);
                self.board(cache, commit, Response::default(), VecDeque::new())
            }
        }
    }

    /// The end: the answer that was decided before the work aside, else this one.
    fn answer(&mut self, response: Response) -> Turn {
        (self.approach, self.draft) = (None, None);
        Turn::Done(self.decided.take().unwrap_or(response))
    }

    /// 503: the store did not do its part.
    fn unavailable(&mut self, what: &str, reply: &Reply) -> Turn {
        self.fail(format!("{what}: {}", reply.reason()))
    }

    fn fail(&mut self, incident: String) -> Turn {
        self.incident = Some(incident);
        self.answer(ScimError::new(Kind::Unavailable, "the directory can not be reached, try again").response())
    }

    /// 500: what is stored, or this program, is wrong; trying again would not help.
    fn broken(&mut self, reason: &str) -> Turn {
        self.incident = Some(reason.to_owned());
        self.answer(ScimError::new(Kind::Internal, "the directory could not be read").response())
    }
}

/// Whether the first thing a step wants is a commit of that directory.
fn changes(result: &Result<Outcome, Fault>, directory: &DirectoryId) -> bool {
    let commit = result.as_ref().ok().and_then(|outcome| outcome.commits.first());
    commit.is_some_and(|commit| commit.directory == *directory)
}

fn no_reply() -> Reply {
    Reply::Failed("no reply was handed in".to_owned())
}
