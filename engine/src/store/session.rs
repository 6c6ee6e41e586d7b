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
//!
//! # Creating a directory
//!
//! A swap on an *absent* key is an unconditional write in the stores we know, so two creators of one head could both
//! succeed, and the first would lose what it wrote. A connection's head has one creator, the request that drew its random
//! id, so a plain write will do. The environment's head has many candidates: those who find it absent increment a
//! counter, which every store does atomically, and only the first may create it, after looking once more; the others
//! answer 503 until it is there. Should that one crash in between, the 21st takes its turn, then the 41st, and so on; a
//! creator would have to sleep through twenty requests between two calls to do harm.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::group::{Approach, Boarded, Draft, End, Flight, GroupCommit, Seat, Step};
use super::{Aside, Commit, DirectoryId, Fault, Head, Need, Outcome, Page, PageCache, PageId, PageSource, Txn, View};
use crate::env::{Config, Env, Timestamp};
use crate::error::{Kind, ScimError};
use crate::http::{Request, Response};

/// A step: what a request does, given what it can see.
pub type Handler = fn(&Request, &View<'_>, &Env<'_>) -> Result<Outcome, Fault>;

/// How often a request may lose a race before it is answered 503.
const ATTEMPTS: u32 = 256;
/// How often a step may start over because pages were gone.
const RESTARTS: u32 = 8;
/// How often a step may be run for its work aside.
const ASIDE_RUNS: u32 = 6;
/// Of how many candidates one may create the environment.
const CANDIDATES: u64 = 20;

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

/// A call to the key-value store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Read the head; answered by [`Reply::Head`]. It must be the latest value.
    LoadHead(DirectoryId),
    /// Read the heads of several directories; answered by [`Reply::Heads`], in the order asked. Each must be the latest
    /// value.
    LoadHeads(Vec<DirectoryId>),
    /// Read pages; answered by [`Reply::Pages`], in the order asked.
    LoadPages(Vec<(DirectoryId, PageId)>),
    /// Write pages, durably; answered by [`Reply::Done`].
    StorePages(DirectoryId, Vec<(PageId, Vec<u8>)>),
    /// Increment the directory's election counter atomically; answered by [`Reply::Elected`].
    Elect(DirectoryId),
    /// Write a head that has no rival, durably; answered by [`Reply::Done`].
    CreateHead {
        /// The directory.
        directory: DirectoryId,
        /// The head.
        head: Vec<u8>,
    },
    /// Write the head if it is still `expected`, which is what this session's last [`Call::LoadHead`] of that directory
    /// gave; answered by [`Reply::Swapped`], or by [`Reply::Head`] if the host has found another one there.
    SwapHead {
        /// The directory.
        directory: DirectoryId,
        /// The head it has to replace.
        expected: Arc<[u8]>,
        /// The new head.
        head: Vec<u8>,
    },
    /// Delete pages nobody refers to; answered by [`Reply::Done`]. Failing does no harm.
    DeletePages(DirectoryId, Vec<PageId>),
}

/// What came of a [`Call`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The head, if there is one.
    Head(Option<Vec<u8>>),
    /// The heads, `None` for directories that do not exist.
    Heads(Vec<Option<Vec<u8>>>),
    /// The pages, `None` for those that are gone.
    Pages(Vec<Option<Vec<u8>>>),
    /// It is done.
    Done,
    /// Whether the store says the swap happened; it need not be true.
    Swapped(bool),
    /// The counter after the increment.
    Elected(u64),
    /// The call failed, or its reply was lost: it may have happened or not. The text is for the log.
    Failed(String),
}

impl Reply {
    /// What is wrong with a reply nobody expected, for the log.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Failed(reason) => reason,
            Self::Head(_) | Self::Heads(_) | Self::Pages(_) | Self::Done | Self::Swapped(_) | Self::Elected(_) => {
                "unexpected reply"
            }
        }
    }
}

/// Key of a directory's head.
pub fn head_key(directory: &DirectoryId) -> String {
    format!("head:{}", directory.as_str())
}

/// Key of a page; at most 96 bytes.
pub fn page_key(directory: &DirectoryId, page: &PageId) -> String {
    format!("page:{}:{}", directory.as_str(), page.text())
}

/// Key of a directory's election counter.
pub fn elect_key(directory: &DirectoryId) -> String {
    format!("elect:{}", directory.as_str())
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

    /// Loads what a step needs: heads first, for a page belongs to a head.
    fn load(&mut self, cache: &PageCache, mut need: Need) -> Turn {
        need.heads.retain(|directory| !self.heads.contains_key(directory));
        need.pages.retain(|(_, page)| !self.pages.contains_key(page));
        if need.is_empty() {
            return self.broken("a step asks for what it was given");
        }
        self.load_rest(cache, need)
    }

    fn load_rest(&mut self, cache: &PageCache, mut need: Need) -> Turn {
        if need.heads.len() > 1 {
            let directories = std::mem::take(&mut need.heads);
            self.waiting = Waiting::Heads { directories: directories.clone(), rest: need };
            return Turn::Call(Call::LoadHeads(directories));
        }
        if let Some(directory) = need.heads.pop() {
            return self.look(cache, directory, need);
        }
        if need.pages.is_empty() {
            return self.step(cache);
        }
        self.waiting = Waiting::Pages(need.pages.clone());
        Turn::Call(Call::LoadPages(need.pages))
    }

    /// Loads a head, unless the session is one that may write and meets a flight: its draft is as fresh, and what comes of
    /// the head that is stored now would have to be thrown away.
    fn look(&mut self, cache: &PageCache, directory: DirectoryId, rest: Need) -> Turn {
        let joins = self.approach.is_some() && self.draft.is_none();
        match self.group.as_ref().filter(|_| joins).and_then(|group| group.meet(&directory)) {
            None => self.load_head(directory, rest, Vote::None),
            met => self.follow(cache, directory, met),
        }
    }

    fn load_head(&mut self, directory: DirectoryId, rest: Need, vote: Vote) -> Turn {
        self.waiting = Waiting::Head { directory: directory.clone(), rest, vote };
        Turn::Call(Call::LoadHead(directory))
    }

    fn on_head(&mut self, cache: &PageCache, directory: DirectoryId, rest: Need, vote: Vote, reply: Reply) -> Turn {
        match reply {
            Reply::Head(None) if directory.as_str() == DirectoryId::ENVIRONMENT => self.elect(directory, rest, vote),
            Reply::Head(bytes) => match self.take_head(directory, bytes) {
                Ok(()) => self.load_rest(cache, rest),
                Err(damage) => self.broken(&damage),
            },
            other => self.unavailable("a head could not be loaded", &other),
        }
    }

    fn on_heads(&mut self, cache: &PageCache, directories: Vec<DirectoryId>, mut rest: Need, reply: Reply) -> Turn {
        let found = match reply {
            Reply::Heads(found) if found.len() == directories.len() => found,
            other => return self.unavailable("heads could not be loaded", &other),
        };
        for (directory, bytes) in directories.into_iter().zip(found) {
            if bytes.is_none() && directory.as_str() == DirectoryId::ENVIRONMENT {
                // It is asked for once more, by itself, and then created.
                rest.heads.push(directory);
            } else if let Err(damage) = self.take_head(directory, bytes) {
                return self.broken(&damage);
            }
        }
        self.load_rest(cache, rest)
    }

    fn take_head(&mut self, directory: DirectoryId, bytes: Option<Vec<u8>>) -> Result<(), String> {
        let head = bytes.map(|bytes| Head::decode(bytes.into())).transpose();
        let head = head.map_err(|damage| format!("head of directory `{}`: {damage}", directory.as_str()))?;
        self.heads.insert(directory, head.map(Arc::new));
        Ok(())
    }

    fn elect(&mut self, directory: DirectoryId, rest: Need, vote: Vote) -> Turn {
        match vote {
            Vote::None => {
                self.waiting = Waiting::Election { directory: directory.clone(), rest };
                Turn::Call(Call::Elect(directory))
            }
            Vote::Won => self.create(directory, rest),
            Vote::Lost => self.unavailable("the environment is being created", &Reply::Head(None)),
        }
    }

    fn on_election(&mut self, directory: DirectoryId, rest: Need, reply: Reply) -> Turn {
        let Reply::Elected(count) = reply else {
            return self.unavailable("the environment could not be created", &reply);
        };
        let vote = if count % CANDIDATES == 1 { Vote::Won } else { Vote::Lost };
        self.load_head(directory, rest, vote)
    }

    fn create(&mut self, directory: DirectoryId, rest: Need) -> Turn {
        let view = View { heads: HashMap::new(), pages: &AtHand::NOTHING };
        let env = Env::new(self.now, self.seed, self.attempt, &self.config);
        let commit = Txn::create(&view, &directory).commit(&env);
        // The nonce is used up: the step's own commit must be told from this one.
        self.attempt += 1;
        let Ok(Some(commit)) = commit else { return self.broken("an empty directory could not be made") };
        self.waiting = Waiting::Creation { directory: directory.clone(), rest };
        Turn::Call(Call::CreateHead { directory, head: commit.head })
    }

    fn on_creation(&mut self, directory: DirectoryId, rest: Need, reply: Reply) -> Turn {
        match reply {
            Reply::Done => self.load_head(directory, rest, Vote::Lost),
            other => self.unavailable("the environment could not be created", &other),
        }
    }

    fn on_pages(&mut self, cache: &PageCache, asked: &[(DirectoryId, PageId)], reply: Reply) -> Turn {
        let found = match reply {
            Reply::Pages(found) if found.len() == asked.len() => found,
            other => return self.unavailable("pages could not be loaded", &other),
        };
        let mut gone = None;
        for ((directory, id), bytes) in asked.iter().zip(found) {
            let Some(bytes) = bytes else {
                self.heads.remove(directory);
                self.absent.insert(*id);
                gone = Some((directory, id));
                continue;
            };
            match Page::decode(bytes.into()) {
                Ok(page) if page.id() == id => {
                    let page = Arc::new(page);
                    cache.insert(Arc::clone(&page));
                    self.pages.insert(*id, page);
                }
                Ok(_) => return self.broken(&page_incident(directory, id, "is another page")),
                Err(damage) => return self.broken(&page_incident(directory, id, &damage.to_string())),
            }
        }
        if let Some((directory, id)) = gone {
            self.restarts += 1;
            if self.restarts > RESTARTS {
                return self.broken(&page_incident(directory, id, "is missing"));
            }
        }
        match self.draft.take_if(|(directory, _)| !self.heads.contains_key(directory)) {
            // Somebody else has replaced the draft's head: its flight will lose, and is not to be joined again.
            Some((directory, seat)) => self.follow(cache, directory, Some(Boarded::Missed(seat))),
            None => self.step(cache),
        }
    }

    /// Makes the next commit of a step, or answers.
    fn next(&mut self, cache: &PageCache, response: Response, mut rest: VecDeque<Commit>) -> Turn {
        match rest.pop_front() {
            Some(commit) => self.board(cache, commit, response, rest),
            None => self.answer(response),
        }
    }

    fn board(&mut self, cache: &PageCache, commit: Commit, response: Response, rest: VecDeque<Commit>) -> Turn {
        let directory = commit.directory.clone();
        let boarded = match &self.group {
            // Who creates a directory has no rival.
            Some(group) if commit.expected.is_some() => group.board(commit, self.config.limits.group),
            _ => Boarded::Aboard(Flight::alone(commit)),
        };
        if let Boarded::Aboard(seat) = boarded {
            (self.approach, self.draft) = (None, None);
            return self.travel(cache, Trip { seat, directory, then: Then::Finish(response, rest) }, None);
        }
        self.follow(cache, directory, Some(boarded))
    }

    /// Runs the step again, on the draft of the directory's flight if there is one it can still join.
    fn follow(&mut self, cache: &PageCache, directory: DirectoryId, boarded: Option<Boarded>) -> Turn {
        match boarded {
            None | Some(Boarded::Aboard(_)) => self.step(cache),
            Some(Boarded::Behind(seat, Draft { head, pages })) => {
                self.pages.extend(pages.into_iter().map(|page| (*page.id(), page)));
                self.heads.insert(directory.clone(), Some(head));
                self.draft = Some((directory, seat));
                self.step(cache)
            }
            Some(Boarded::Missed(seat)) => {
                (self.approach, self.draft) = (None, None);
                self.travel(cache, Trip { seat, directory, then: Then::Rerun }, None)
            }
        }
    }

    fn travel(&mut self, cache: &PageCache, trip: Trip, reply: Option<Reply>) -> Turn {
        match trip.seat.advance(cache, reply, self.truthful) {
            Step::Call(call) => {
                self.waiting = Waiting::Flight(Box::new(trip));
                Turn::Call(call)
            }
            Step::Wait => {
                self.waiting = Waiting::Flight(Box::new(trip));
                Turn::Wait
            }
            Step::Over(end, None) => self.arrive(cache, trip, end),
            Step::Over(end, Some(call)) => {
                self.waiting = Waiting::Cleaning(Box::new(trip), end);
                Turn::Call(call)
            }
        }
    }

    fn arrive(&mut self, cache: &PageCache, trip: Trip, end: End) -> Turn {
        let Trip { directory, then, .. } = trip;
        match (then, end) {
            (Then::Finish(response, rest), End::Landed(_)) => self.next(cache, response, rest),
            (Then::Finish(..), End::Failed(incident)) => self.fail(incident),
            (Then::Conclude(result), End::Landed(Some(head))) => {
                self.heads.insert(directory, Some(head));
                self.conclude(cache, result)
            }
            (Then::Rerun, End::Landed(Some(head))) => {
                self.heads.insert(directory.clone(), Some(head));
                self.run_again(cache, directory)
            }
            (_, End::Lost(head)) => {
                // What was decided stands; only the head of the work aside is looked at again.
                if self.decided.is_none() {
                    self.heads.clear();
                }
                self.heads.insert(directory.clone(), Some(head));
                self.run_again(cache, directory)
            }
            (Then::Conclude(_) | Then::Rerun, End::Failed(_) | End::Landed(None)) => {
                self.heads.remove(&directory);
                self.run_again(cache, directory)
            }
        }
    }

    /// Runs the step again after a race, with new page names.
    fn run_again(&mut self, cache: &PageCache, directory: DirectoryId) -> Turn {
        self.attempt += 1;
        if self.attempt >= ATTEMPTS {
            return self.fail(format!("too many writers: {ATTEMPTS} races lost"));
        }
        if let (Some(group), None) = (&self.group, &self.decided) {
            self.approach = Some(group.approach());
        }
        let met = self.group.as_ref().and_then(|group| group.meet(&directory));
        self.follow(cache, directory, met)
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

fn page_incident(directory: &DirectoryId, id: &PageId, what: &str) -> String {
    format!("page `{}` of directory `{}`: {what}", id.text(), directory.as_str())
}

/// Pages this request has loaded, which no other request's needs can push out, and those of the cache.
struct AtHand<'a> {
    pages: &'a HashMap<PageId, Arc<Page>>,
    absent: &'a HashSet<PageId>,
    cache: &'a dyn PageSource,
}

struct Nothing;

impl AtHand<'_> {
    const NOTHING: Nothing = Nothing;
}

impl PageSource for Nothing {
    fn page(&self, _id: &PageId) -> Option<Arc<Page>> {
        None
    }
}

impl PageSource for AtHand<'_> {
    fn page(&self, id: &PageId) -> Option<Arc<Page>> {
        self.pages.get(id).cloned().or_else(|| self.cache.page(id))
    }

    fn absent(&self, id: &PageId) -> bool {
        self.absent.contains(id)
    }
}
