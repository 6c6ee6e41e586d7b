//! Group commit: sessions of one process that change one directory at the same time share one swap.
//!
//! The first of them opens a *flight*. Those that come to their commit while it has not left yet run their step again on
//! its *draft*, the head its last commit would install, and add theirs: a chain. Then the flight leaves. The pages of
//! all are stored in one batch, and the last head is swapped in for the one the first commit was computed from, so that
//! either all of them land or none, and each is found by its nonce in the head as ever. Those that come to their commit
//! meanwhile wait for its end and make up the next flight; reading waits for nobody.
//!
//! - What a step answers because of a draft, a refusal for instance, is held back until the flight has landed.
//! - If the flight loses its race, everybody aboard runs again on the head that won.
//! - Who came when the swap was under way already looks at the head for itself afterwards.
//! - The session that opened a flight makes its calls. Should it go away, another one aboard takes over where it stood, as
//!   if the reply to the call under way had been lost.
//! - It leaves when letting the others run has brought nobody new, and no other session of this process that has begun
//!   still looks for what it wants to do; or when it is full. Alone, that is at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::head::RECENT;
use super::landing::{Landing, Progress};
use super::{Call, Commit, DirectoryId, Head, Page, PageCache, Reply};

/// Commits of one flight. All their nonces have to be found in the head, together with those of a later flight.
const MOST: usize = RECENT / 2;
/// Sessions a flight waits for in vain.
const PATIENCE: u64 = 2 * MOST as u64;

/// The commits of one process, whose sessions share it.
#[derive(Debug, Default)]
pub struct GroupCommit {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The flight of each directory that has one under way.
    flights: HashMap<DirectoryId, Arc<Flight>>,
    /// Sessions that have begun, and how many of them still look for what they want to do.
    begun: u64,
    approaching: u64,
    /// Those who wait for that number to change.
    watchers: Vec<Waker>,
}

/// A session that may come to a commit soon.
pub(super) struct Approach(Arc<GroupCommit>);

/// Commits on their way together.
#[derive(Debug)]
pub(super) struct Flight {
    group: Option<Arc<GroupCommit>>,
    state: Mutex<Chain>,
}

/// The commits as one, and who has to do with them.
#[derive(Debug)]
struct Chain {
    commit: Commit,
    commits: usize,
    most: usize,
    stage: Stage,
    seats: BTreeMap<u64, Option<Waker>>,
    tickets: u64,
    /// Who makes the calls.
    driver: Option<u64>,
    /// What the next commit is computed on, once somebody asked for it.
    draft: Option<Draft>,
}

#[derive(Debug)]
enum Stage {
    Boarding(Traffic),
    Landing(Landing),
    Over(End),
}

/// What the driver of a flight has seen of the other sessions.
#[derive(Debug, Default)]
struct Traffic {
    /// Sessions that had ceased to approach when it was opened.
    opened: u64,
    /// Those that had begun when the driver last let others run.
    seen: Option<u64>,
}

/// What came of a flight.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// The commits are in the directory, whose head this is; decoded if anybody has use for it.
    Landed(Option<Arc<Head>>),
    /// None is; this head was installed in their place.
    Lost(Arc<Head>),
    /// It is not known; what goes into the log.
    Failed(String),
}

/// A head that is not installed yet, and the pages below it that are not stored yet.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub head: Arc<Head>,
    pub pages: Vec<Arc<Page>>,
}

/// A place in a flight, with a commit aboard or only to learn of its end.
pub(super) struct Seat {
    flight: Arc<Flight>,
    number: u64,
    /// Whether the swap was still to come when this seat was taken. Else the head may be an old one by the time the flight is
    /// over: it may have been swapped in, and out again by somebody else, before this session began.
    early: bool,
}

/// Where a commit got.
pub(super) enum Boarded {
    /// It is in the flight.
    Aboard(Seat),
    /// The flight is still open, but the commit must be computed again on its draft.
    Behind(Seat, Draft),
    /// The flight has left, or is full.
    Missed(Seat),
}

/// What the holder of a seat does next.
pub(super) enum Step {
    Call(Call),
    Wait,
    /// The flight is over; who made its calls also makes the last one, which may fail.
    Over(End, Option<Call>),
}

impl GroupCommit {
    /// Counts a session that has begun.
    pub(super) fn approach(self: &Arc<Self>) -> Approach {
        let mut state = self.state();
        state.begun += 1;
        state.approaching += 1;
        Approach(Arc::clone(self))
    }

    /// Takes a commit on: opens a flight with it or adds it to the one that is open, if it was computed on that draft.
    pub(super) fn board(self: &Arc<Self>, commit: Commit, most: usize) -> Boarded {
        let commit = match self.flight(&commit.directory) {
            None => commit,
            Some(flight) => match flight.board(commit) {
                Ok(boarded) => return boarded,
                Err(commit) => commit,
            },
        };
        let directory = commit.directory.clone();
        let mut state = self.state();
        let flight = Flight::open(
            Some(Arc::clone(self)),
            commit,
            most.min(MOST),
            Traffic { opened: state.resolved(), seen: None },
        );
        state.flights.insert(directory, Arc::clone(&flight));
        drop(state);
        Boarded::Aboard(flight.seat())
    }

    /// The flight a session has to reckon with that is about to look at a directory.
    pub(super) fn meet(self: &Arc<Self>, directory: &DirectoryId) -> Option<Boarded> {
        let flight = self.flight(directory)?;
        let mut chain = flight.chain();
        if let Stage::Over(_) = chain.stage {
            return None;
        }
        let draft = if chain.is_open() { Some(chain.draft()?) } else { None };
        drop(chain);
        Some(match draft {
            Some(draft) => Boarded::Behind(flight.seat(), draft),
            None => Boarded::Missed(flight.seat()),
        })
    }

    fn flight(&self, directory: &DirectoryId) -> Option<Arc<Flight>> {
        self.state().flights.get(directory).cloned()
    }

    fn retire(&self, flight: &Arc<Flight>) {
        self.state().flights.retain(|_, current| !Arc::ptr_eq(current, flight));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn resolved(&self) -> u64 {
        self.begun - self.approaching
    }
}

impl Drop for Approach {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.approaching -= 1;
        let watchers = std::mem::take(&mut state.watchers);
        drop(state);
        watchers.into_iter().for_each(Waker::wake);
    }
}

impl Flight {
    /// A flight nobody else can join.
    pub fn alone(commit: Commit) -> Seat {
        Self::open(None, commit, 1, Traffic::default()).seat()
    }

    fn open(group: Option<Arc<GroupCommit>>, commit: Commit, most: usize, traffic: Traffic) -> Arc<Self> {
        let chain = Chain {
            commit,
            commits: 1,
            most,
            stage: Stage::Boarding(traffic),
            seats: BTreeMap::new(),
            tickets: 0,
            driver: Some(1),
            draft: None,
        };
        Arc::new(Self { group, state: Mutex::new(chain) })
    }

    fn seat(self: &Arc<Self>) -> Seat {
        let mut chain = self.chain();
        chain.tickets += 1;
        let number = chain.tickets;
        chain.seats.insert(number, None);
        let early = match &chain.stage {
            Stage::Boarding(_) => true,
            Stage::Landing(landing) => landing.is_storing(),
            Stage::Over(_) => false,
        };
        Seat { flight: Arc::clone(self), number, early }
    }

    /// Takes a commit on, or gives it back when the flight is over.
    #[allow(
        clippy::result_large_err,
        reason = "the commit is handed back as it came, once; it is small where pointers are"
    )]
    fn board(self: &Arc<Self>, commit: Commit) -> Result<Boarded, Commit> {
        let mut chain = self.chain();
        if let Stage::Over(_) = chain.stage {
            return Err(commit);
        }
        if !chain.is_open() {
            drop(chain);
            return Ok(Boarded::Missed(self.seat()));
        }
        if commit.expected.as_deref() != Some(chain.commit.head.as_slice()) {
            let Some(draft) = chain.draft() else { return Err(commit) };
            drop(chain);
            return Ok(Boarded::Behind(self.seat(), draft));
        }
        chain.commit.append(commit);
        (chain.commits, chain.draft) = (chain.commits + 1, None);
        let full = if chain.is_open() { None } else { chain.driver_waker() };
        drop(chain);
        full.into_iter().for_each(Waker::wake);
        Ok(Boarded::Aboard(self.seat()))
    }

    /// Nobody shall find it any more.
    fn retire(self: &Arc<Self>) {
        if let Some(group) = &self.group {
            group.retire(self);
        }
    }

    /// Whether it leaves now: it may, and since the driver last let others run, nobody new has begun.
    fn leaves(&self, traffic: &mut Traffic, full: bool) -> bool {
        let Some(group) = &self.group else { return true };
        let state = group.state();
        let quiet = traffic.seen.replace(state.begun) == Some(state.begun);
        full || traffic.has_had_enough(&state) || (quiet && state.approaching == 0)
    }

    /// Whether there is nobody to wait for; if not, the waker is told when that changes.
    fn may_leave(&self, traffic: &Traffic, full: bool, cx: &Context<'_>) -> bool {
        let Some(group) = &self.group else { return true };
        let mut state = group.state();
        let may = full || traffic.has_had_enough(&state) || state.approaching == 0;
        if !may {
            state.watchers.push(cx.waker().clone());
        }
        may
    }

    fn chain(&self) -> MutexGuard<'_, Chain> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Traffic {
    /// The flight has waited for so many who did not come.
    fn has_had_enough(&self, state: &State) -> bool {
        state.resolved().saturating_sub(self.opened) >= PATIENCE
    }
}

impl Chain {
    fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Boarding(_)) && self.commits < self.most
    }

    fn driver_waker(&mut self) -> Option<Waker> {
        self.seats.get_mut(&self.driver?)?.take()
    }

    fn draft(&mut self) -> Option<Draft> {
        if self.draft.is_none() {
            let head = Head::decode(self.commit.head.as_slice().into()).ok()?.unlanded(self.commits);
            let pages = self.commit.pages.iter().map(|(_, bytes)| Page::decode(bytes.as_slice().into()).map(Arc::new));
            self.draft = Some(Draft { head: Arc::new(head), pages: pages.collect::<Result<_, _>>().ok()? });
        }
        self.draft.clone()
    }

    /// Keeps the pages, and reads the head if somebody else has use for it.
    fn landed(&mut self, cache: &PageCache) -> End {
        for (_, bytes) in std::mem::take(&mut self.commit.pages) {
            if let Ok(page) = Page::decode(bytes.into()) {
                cache.insert(Arc::new(page));
            }
        }
        let shared = self.seats.len() > 1;
        End::Landed(shared.then(|| Head::decode(self.commit.head.as_slice().into()).ok().map(Arc::new)).flatten())
    }

    fn wakers(&mut self) -> Vec<Waker> {
        self.seats.values_mut().filter_map(Option::take).collect()
    }
}

impl Seat {
    /// Whether the head a flight ends with is at least as new as this seat.
    pub fn is_early(&self) -> bool {
        self.early
    }

    /// Goes on with the reply to the last call, if this seat's holder made it.
    pub fn advance(&self, cache: &PageCache, reply: Option<Reply>, truthful: bool) -> Step {
        let mut guard = self.flight.chain();
        let chain = &mut *guard;
        let takes_over = chain.driver.is_none();
        if *chain.driver.get_or_insert(self.number) != self.number {
            return match &chain.stage {
                Stage::Over(end) => Step::Over(end.clone(), None),
                Stage::Boarding(_) | Stage::Landing(_) => Step::Wait,
            };
        }
        let progress = match &mut chain.stage {
            Stage::Over(end) => return Step::Over(end.clone(), None),
            Stage::Boarding(traffic) => {
                if !self.flight.leaves(traffic, chain.commits >= chain.most) {
                    return Step::Wait;
                }
                let (landing, call) = Landing::begin(&chain.commit, truthful);
                chain.stage = Stage::Landing(landing);
                return Step::Call(call);
            }
            Stage::Landing(landing) if takes_over => return Step::Call(landing.resume(&chain.commit)),
            Stage::Landing(landing) => {
                let reply = reply.unwrap_or_else(|| Reply::Failed("no reply was handed in".to_owned()));
                landing.on(&chain.commit, reply)
            }
        };
        let (end, pages) = match progress {
            Progress::Call(call) => return Step::Call(call),
            Progress::Landed => (chain.landed(cache), std::mem::take(&mut chain.commit.obsolete)),
            // The pages of the loser can never be referred to any more.
            Progress::Lost(head) => {
                let pages = chain.commit.pages.drain(..).map(|(id, _)| id);
                (End::Lost(Arc::new(head)), pages.collect())
            }
            Progress::Failed(incident) => (End::Failed(incident), Vec::new()),
        };
        cache.forget(&pages);
        chain.stage = Stage::Over(end.clone());
        let directory = chain.commit.directory.clone();
        let wakers = chain.wakers();
        drop(guard);
        self.flight.retire();
        wakers.into_iter().for_each(Waker::wake);
        Step::Over(end, (!pages.is_empty()).then_some(Call::DeletePages(directory, pages)))
    }

    /// Whether [`Self::advance`] would do anything; if not, the waker is told when it might.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut chain = self.flight.chain();
        let drives = chain.driver.is_none_or(|driver| driver == self.number);
        let ready = match &chain.stage {
            Stage::Over(_) => true,
            Stage::Boarding(traffic) => drives && self.flight.may_leave(traffic, chain.commits >= chain.most, cx),
            Stage::Landing(_) => drives,
        };
        if ready {
            return Poll::Ready(());
        }
        chain.seats.insert(self.number, Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut chain = self.flight.chain();
        chain.seats.remove(&self.number);
        let mut wakers = Vec::new();
        if chain.driver == Some(self.number) {
            chain.driver = None;
            wakers = chain.wakers();
        }
        let deserted = chain.seats.is_empty();
        drop(chain);
        if deserted {
            self.flight.retire();
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}
