//! What one worker decides about each request, with no call to Envoy: requests and replies in, verdicts out.
//!
//! A SCIM request goes through these steps, and starts over from the first whenever something it waited for arrives:
//!
//! 1. a *current* head of its directory: a fresh one at hand, else one check with the origin;
//! 2. authentication, from the head alone. A token the cached head does not know is worth one more check, for it may be
//!    new;
//! 3. the connection's rate, and the size of the body;
//! 4. a read is answered from pages at hand, after at most one fetch. If that is not enough, the origin answers while
//!    the cache goes on filling, so that the edge is never slower than no edge. Everything else goes to the origin.
//!
//! A read that was answered before from this same head is given that answer again, in the place of steps 2 and 4.
//!
//! What is refused here is noted, and told to the origin by and by.

mod again;
mod decide;

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use scim_engine::connections::record::Record;
use scim_engine::edge;
use scim_engine::env::{Env, Timestamp};
use scim_engine::error::{Kind, ScimError};
use scim_engine::http::{Request, Response};
use scim_engine::scim::{self, Access};
use scim_engine::store::{DirectoryId, Fault, Head, Need, Outcome, PageId, View};

use crate::bucket::Bucket;
use crate::config::Config;
use crate::decision::Ruling;
use crate::memo::Memo;
use crate::metrics::{self, Metric};
use crate::origin::{Ask, Call, Calls, Context, Flight, Open, Reply};
use crate::quick::QuickMap;
use crate::rates::Rates;
use crate::refusals::Refusals;
use crate::replica::{Check, Fetch, Replica};
use crate::shared::{Known, Shared};

/// Header of an origin's answer with the version its commit made.
pub const VERSION_HEADER: &str = "x-scim-version";

/// Bytes of an answer's head, about.
const ANSWER_HEAD: usize = 512;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It waits for the origin; a later verdict follows.
    Hold,
    /// The origin answers it, by Envoy's own routing.
    Forward,
    /// This is the answer; it may be given again.
    Answer(Rc<Response>),
    /// This was decided about an application's user.
    Rule(Box<Ruling>),
}

/// One worker: its view of the shared caches, its calls and its requests.
pub struct Worker<S> {
    config: Rc<Config>,
    replica: Replica<S>,
    calls: Calls,
    tickets: QuickMap<Context, Ticket>,
    rates: Rates<S>,
    refusals: Refusals,
    lookups: Bucket,
    rechecks: Bucket,
    /// Answers and rulings, by what they depend on.
    answers: Memo<Verdict>,
    measured: Vec<(Metric, u64)>,
}

/// Tells where the client of the stream in effect is: a call to Envoy, which most requests can do without.
pub type Locate = fn() -> Option<IpAddr>;

/// A SCIM request that is not finished.
struct Ticket {
    directory: DirectoryId,
    request: Request,
    /// How to find out where it comes from; `None` once that is known.
    locate: Option<Locate>,
    arrived: u64,
    /// The head it was last admitted or refused by.
    seen: Option<Arc<Head>>,
    /// The version below which this request may not read: that of the latest write answered before it came.
    floor: u64,
    /// What its own check of the head said.
    checked: Option<Check>,
    /// What came of its fetch of pages.
    fetch: Fetch,
    /// Calls it waits for.
    outstanding: usize,
    /// Whether the origin has it now.
    forwarded: bool,
    /// Whether it counts in its connection's rate already.
    counted: bool,
    /// The decision it is about, if it is none of SCIM's requests.
    pending: Option<decide::Pending>,
}

impl Ticket {
    fn new(directory: DirectoryId, request: Request, arrived: u64) -> Self {
        Self {
            directory,
            request,
            locate: None,
            arrived,
            seen: None,
            floor: 0,
            checked: None,
            fetch: Fetch::None,
            outstanding: 0,
            forwarded: false,
            counted: false,
            pending: None,
        }
    }

    /// Whether it may change the directory.
    fn writes(&self) -> bool {
        scim::may_write(&self.request)
    }

    /// Finds out where it comes from.
    fn locate(&mut self) {
        if let Some(locate) = self.locate.take() {
            self.request.source = locate();
        }
    }

    /// What it reads, as its origin is told: a GET of a resource or list.
    fn reads(&self) -> Option<String> {
        let target = &self.request.target;
        let tells = self.pending.is_none() && target.len() <= edge::MAX_READS;
        (tells && target.bytes().all(|byte| byte.is_ascii_graphic())).then(|| target.clone())
    }

    /// The request's id, by which the origin can tell what a call was made for.
    fn id(&self) -> Option<&str> {
        let id = self.request.header("x-request-id");
        id.filter(|id| id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic()))
    }
}

/// The head of an answer to a forwarded request.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// HTTP status.
    pub status: u16,
    /// [`VERSION_HEADER`].
    pub version: Option<u64>,
    /// Whether its media type is SCIM's.
    pub is_scim: bool,
}

impl Answered {
    /// Whether something else than the origin has answered: Envoy, which could not reach it, or something between, which
    /// would make an identity provider believe that a resource is made, or gone. What says that a request is malformed, or
    /// asks for less, or later, or faster, may come from anywhere.
    fn is_foreign(self, write: bool) -> bool {
        let Self { status, version, is_scim } = self;
        let unproven = write && (200..300).contains(&status) && version.is_none();
        unproven || !(is_scim || matches!(status, 204 | 304 | 400 | 408 | 413 | 429 | 431))
    }
}

/// A head to answer from: `None` for a directory that does not exist.
struct Current {
    head: Option<Arc<Head>>,
    /// Microseconds since the origin confirmed it.
    age: u64,
    /// That age, when it is longer than it should be.
    stale: Option<u64>,
}

impl Current {
    const ABSENT: Self = Self { head: None, age: 0, stale: None };

    fn confirmed(head: Arc<Head>, age: u64) -> Self {
        Self { head: Some(head), age, stale: None }
    }
}

impl<S: Shared> Worker<S> {
    /// A worker with empty caches of its own over the shared ones.
    pub fn new(config: Rc<Config>, shared: Rc<S>) -> Self {
        Self {
            rates: Rates::new(Rc::clone(&shared), config.slots.heads, config.bounds.rate),
            refusals: Refusals::default(),
            replica: Replica::new(shared, config.slots),
            calls: Calls::default(),
            tickets: QuickMap::default(),
            lookups: Bucket::new(config.bounds.lookups),
            rechecks: Bucket::new(config.bounds.rechecks),
            answers: Memo::new(config.slots.answer_bytes),
            measured: Vec::new(),
            config,
        }
    }

    /// Puts another configuration in force; requests and calls under way go on.
    pub fn configure(&mut self, config: Rc<Config>, shared: Rc<S>) {
        let calls = std::mem::take(&mut self.calls);
        let tickets = std::mem::take(&mut self.tickets);
        let refusals = std::mem::take(&mut self.refusals);
        *self = Self { calls, tickets, refusals, ..Self::new(config, shared) };
    }

    /// The head of a request to a directory arrived at `now`; its source is found out when it matters.
    pub fn arrive(
        &mut self,
        context: Context,
        directory: DirectoryId,
        request: Request,
        now: u64,
        locate: Locate,
    ) -> Verdict {
        let mut ticket = Ticket { locate: Some(locate), ..Ticket::new(directory, request, now) };
        if !has_one_bearer(&ticket.request) {
            // What a directory that does not exist answers is what this one must answer.
            ticket.checked = Some(Check::Absent);
        }
        self.settle(context, ticket, now)
    }

    /// What was measured since it was last asked for.
    pub fn measured(&mut self) -> impl Iterator<Item = (Metric, u64)> {
        self.measured.drain(..)
    }

    /// The next call to send; the caller says [`sent`](Self::sent) or [`land`](Self::land)s it as failed.
    pub fn next_call(&mut self) -> Option<Call> {
        self.calls.next(&self.config.origin)
    }

    /// Whether calls wait to be sent.
    pub fn has_calls(&self) -> bool {
        self.calls.queued()
    }

    /// A call went out under that token.
    pub fn sent(&mut self, flight: Flight, token: u32) {
        self.calls.sent(flight, token);
    }

    /// The call of that token.
    pub fn flight(&self, token: u32) -> Option<Flight> {
        self.calls.by_token(token)
    }

    /// A call ended: verdicts for those who waited for it.
    pub fn land(&mut self, flight: Flight, reply: Reply, now: u64) -> Vec<(Context, Verdict)> {
        let Some(Open { ask, started, waiters, .. }) = self.calls.close(flight) else { return Vec::new() };
        self.measure_call(&ask, &reply, now.saturating_sub(started));
        let landed = match ask {
            Ask::Head(directory, known) => {
                Landed::Head(self.replica.head_landed(&directory, known, started, &reply, now))
            }
            Ask::Pages(directory, ids, _) => Landed::Pages(self.replica.pages_landed(&directory, &ids, &reply, now)),
            Ask::Note(_, entries) => {
                if !matches!(reply, Reply::Answer { status: 204 | 404, .. }) {
                    self.refusals.lost(entries.len());
                }
                return Vec::new();
            }
        };
        let mut verdicts = Vec::new();
        for context in waiters {
            let Some(mut ticket) = self.tickets.remove(&context) else { continue };
            ticket.outstanding = ticket.outstanding.saturating_sub(1);
            match &landed {
                Landed::Head(check) => ticket.checked = Some(check.clone()),
                Landed::Pages(fetch) => ticket.fetch = ticket.fetch.max(*fetch),
            }
            if ticket.outstanding > 0 {
                self.tickets.insert(context, ticket);
                continue;
            }
            match self.settle(context, ticket, now) {
                Verdict::Hold => {}
                verdict => verdicts.push((context, verdict)),
            }
        }
        verdicts
    }

    /// What the origin is told of the client of a forwarded request, in [`edge::CLIENT_HEADER`].
    pub fn introduction(&self, context: Context, now: u64) -> Option<String> {
        let ticket = self.tickets.get(&context).filter(|ticket| ticket.forwarded)?;
        edge::introduce(&ticket.request, &self.config.origin.credential, Timestamp(now / 1000))
    }

    /// The head of the answer to a forwarded request went by: what to answer in its place if it cannot be the origin's.
    pub fn answered(&mut self, context: Context, answer: Answered, now: u64) -> Option<Response> {
        let ticket = self.tickets.remove(&context)?;
        let writes = ticket.writes();
        if writes || answer.version.is_some() {
            self.replica.heads.wrote(&ticket.directory, answer.version, now);
        }
        answer.is_foreign(writes).then(unanswered)
    }

    /// More of a request's body has arrived, `received` bytes in all: the answer if that is more than it may have.
    pub fn received(&mut self, context: Context, received: usize, now: u64) -> Option<Response> {
        if received <= self.config.engine.limits.body {
            return None;
        }
        let response = too_large().response();
        if let Some(mut ticket) = self.tickets.remove(&context) {
            // One that is not forwarded may be anybody's.
            if ticket.forwarded {
                self.note(&mut ticket, &response);
            }
            self.abandon(context, &ticket, now);
        }
        Some(response)
    }

    /// Queues calls that tell the origin what was refused; to be called every second or so.
    pub fn report(&mut self, now: u64) {
        if self.replica.is_down(now) || !self.has_room() {
            return;
        }
        for (directory, entries) in self.refusals.take() {
            self.calls.ask(Ask::Note(directory, entries), now, None, None);
        }
        let dropped = self.refusals.dropped();
        if dropped > 0 {
            log::warn!("{dropped} refusals are in no log");
        }
    }

    /// Whether the origin has this request now.
    pub fn is_forwarded(&self, context: Context) -> bool {
        self.tickets.get(&context).is_some_and(|ticket| ticket.forwarded)
    }

    /// Whether this request waits for a verdict.
    pub fn is_held(&self, context: Context) -> bool {
        self.tickets.get(&context).is_some_and(|ticket| !ticket.forwarded)
    }

    /// Whether this request is not finished.
    pub fn knows(&self, context: Context) -> bool {
        self.tickets.contains_key(&context)
    }

    /// A stream ended. A write whose answer never came may still have been done.
    pub fn gone(&mut self, context: Context, now: u64) {
        if let Some(ticket) = self.tickets.remove(&context) {
            self.abandon(context, &ticket, now);
        }
    }

    fn abandon(&mut self, context: Context, ticket: &Ticket, now: u64) {
        if ticket.forwarded && ticket.writes() {
            self.replica.heads.wrote(&ticket.directory, None, now);
        }
        self.calls.leave(context);
    }

    /// Notes a refusal for the log of a connection that exists, or may.
    fn note(&mut self, ticket: &mut Ticket, response: &Response) {
        if self.replica.is_absent(&ticket.directory, ticket.arrived, self.config.max_staleness) {
            return;
        }
        let head = ticket.seen.take().or_else(|| self.replica.heads.get(&ticket.directory).head);
        let config = Rc::clone(&self.config);
        self.refusals.note(&ticket.directory.clone(), head.is_some(), || {
            ticket.locate();
            let env = Env::new(Timestamp(ticket.arrived / 1000), [0; 32], 0, &config.engine);
            let record = head.as_ref().and_then(record);
            scim::refusal(&ticket.request, response, record.as_deref(), &env)
        });
    }

    /// Runs a request as far as it goes, and keeps it if it is not finished.
    fn settle(&mut self, context: Context, mut ticket: Ticket, now: u64) -> Verdict {
        let verdict = self.advance(context, &mut ticket, now);
        match &verdict {
            Verdict::Hold | Verdict::Forward => {
                ticket.locate();
                ticket.forwarded = verdict == Verdict::Forward;
                self.tickets.insert(context, ticket);
            }
            Verdict::Answer(response) if response.status >= 400 => self.note(&mut ticket, response),
            Verdict::Answer(_) | Verdict::Rule(_) => {}
        }
        verdict
    }

    fn advance(&mut self, context: Context, ticket: &mut Ticket, now: u64) -> Verdict {
        if ticket.pending.is_some() {
            return self.advance_decision(context, ticket, now);
        }
        if ticket.fetch == Fetch::Outdated {
            // It has waited for one call; the head that would be right now is one more.
            return Verdict::Forward;
        }
        let current = match self.current(context, ticket, now) {
            Ok(current) => current,
            Err(verdict) => return verdict,
        };
        let record = current.head.as_ref().and_then(record);
        if record.as_deref().is_some_and(names_networks) {
            ticket.locate();
        }
        let at = Timestamp(ticket.arrived / 1000);
        let key = match (&current.head, &record) {
            (Some(head), Some(record)) => again::key(head, record, &ticket.request, at),
            _ => None,
        };
        if let Some(Verdict::Answer(kept)) = key.as_ref().and_then(|key| self.answers.get(key)) {
            return if self.has_share(ticket, now) { self.give(ticket, &current, kept) } else { answer(too_many()) };
        }
        ticket.seen = current.head.clone();
        match self.step(ticket, &current, scim::admit) {
            // Who is not let in learns nothing of what is kept, and uses up nobody's share.
            Err(Fault::Refused(response)) if response.status == 401 => {
                self.refuse(context, ticket, &current, response, now)
            }
            _ if !self.has_share(ticket, now) => answer(too_many()),
            admitted => match ticket.request.method.as_str() {
                "GET" | "HEAD" | "OPTIONS" => self.read(context, ticket, &current, admitted, key, now),
                _ => self.pass_on(ticket, &current, admitted),
            },
        }
    }

    /// Step 3: whether the connection's rate allows the request; it counts once, however often it is run.
    fn has_share(&mut self, ticket: &mut Ticket, now: u64) -> bool {
        ticket.counted = ticket.counted || self.rates.take(&ticket.directory, now);
        ticket.counted
    }

    /// Step 1: a head to answer from.
    fn current(&mut self, context: Context, ticket: &mut Ticket, now: u64) -> Result<Current, Verdict> {
        let known = match &ticket.checked {
            Some(Check::Absent) => return Ok(Current::ABSENT),
            _ => self.replica.heads.get(&ticket.directory),
        };
        match &ticket.checked {
            Some(Check::Found(head)) => {
                // Meanwhile another check may have found a newer one, and somebody may have seen it.
                let newer = known.head.filter(|known| known.version() > head.version());
                let head = newer.unwrap_or_else(|| Arc::clone(head));
                // An origin that reads from a replica may be behind the write it has acknowledged itself.
                if head.version() < ticket.floor { Err(Verdict::Forward) } else { Ok(Current::confirmed(head, 0)) }
            }
            Some(Check::Failed) => self.within_grace(&known, now),
            Some(Check::Absent) | None => {
                let fresh = known.fresh(now, self.config.max_staleness);
                if ticket.fetch == Fetch::None {
                    self.measure_lookup("heads", fresh.is_some());
                }
                match fresh {
                    Some(head) => Ok(Current::confirmed(Arc::clone(head), now.saturating_sub(known.checked))),
                    None => self.look_up(context, ticket, &known, now),
                }
            }
        }
    }

    fn look_up(&mut self, context: Context, ticket: &mut Ticket, known: &Known, now: u64) -> Result<Current, Verdict> {
        ticket.floor = known.floor;
        let staleness = self.config.max_staleness;
        if self.replica.is_absent(&ticket.directory, now, staleness) {
            return Ok(Current::ABSENT);
        }
        if self.replica.is_down(now) {
            return self.within_grace(known, now);
        }
        let oldest = known.barrier.max(now.saturating_sub(staleness));
        if self.replica.is_failing()
            && let Ok(current) = self.within_grace(known, now)
        {
            // The next call may take its time and fail again: nobody waits for it.
            if !self.calls.join_head(&ticket.directory, oldest, None) && self.has_room() {
                self.calls.ask(Ask::Head(ticket.directory.clone(), known.head.clone()), now, None, ticket.id());
            }
            return Ok(current);
        }
        if self.calls.join_head(&ticket.directory, oldest, Some(context)) {
            ticket.outstanding += 1;
            return Err(Verdict::Hold);
        }
        if known.head.is_none() && !self.lookups.take(now) {
            return Err(unavailable());
        }
        self.check(context, ticket, known, now)
    }

    /// Whether one more call may be under way.
    fn has_room(&self) -> bool {
        self.calls.in_flight() < self.config.bounds.in_flight
    }

    /// Asks the origin for the head.
    fn check(&mut self, context: Context, ticket: &mut Ticket, known: &Known, now: u64) -> Result<Current, Verdict> {
        if !self.has_room() {
            return self.within_grace(known, now);
        }
        self.calls.ask(Ask::Head(ticket.directory.clone(), known.head.clone()), now, Some(context), ticket.id());
        ticket.outstanding += 1;
        Err(Verdict::Hold)
    }

    /// The origin does not answer: what was known is served for a while, if it shows every acknowledged write.
    fn within_grace(&self, known: &Known, now: u64) -> Result<Current, Verdict> {
        let age = now.saturating_sub(known.checked);
        match known.at_least_floor() {
            Some(head) if age <= self.config.grace => {
                Ok(Current { head: Some(Arc::clone(head)), age, stale: Some(age) })
            }
            _ => Err(unavailable()),
        }
    }

    /// Step 4 of a request that is answered here.
    fn read(
        &mut self,
        context: Context,
        ticket: &mut Ticket,
        current: &Current,
        admitted: Result<Access, Fault>,
        key: Option<Vec<u8>>,
        now: u64,
    ) -> Verdict {
        match admitted.and_then(|_| self.step(ticket, current, scim::read)) {
            Ok(Outcome { response, .. }) => {
                let response = Rc::new(response);
                if let Some(key) = key {
                    let size = response.body.len() + ANSWER_HEAD;
                    self.answers.keep(key, Verdict::Answer(Rc::clone(&response)), size);
                }
                self.give(ticket, current, response)
            }
            Err(Fault::Refused(response)) => Verdict::Answer(mark(response.into(), current.stale)),
            Err(Fault::Need(need)) => {
                self.measure_pages(ticket, false);
                if current.stale.is_some() || ticket.fetch == Fetch::Failed {
                    return unavailable();
                }
                self.fetch(context, ticket, need, now)
            }
            Err(Fault::Damaged(what)) => {
                self.measure_pages(ticket, false);
                log::error!("{what}");
                forward(current)
            }
        }
    }

    /// Gives the answer to a read.
    fn give(&mut self, ticket: &Ticket, current: &Current, response: Rc<Response>) -> Verdict {
        self.measure_pages(ticket, true);
        self.measured.push((Metric::AnswerAge, current.age / 1000));
        self.measured.extend(current.stale.map(|_| (Metric::StaleAnswers, 1)));
        Verdict::Answer(mark(response, current.stale))
    }

    /// Steps 3 and 4 of a request that the origin answers.
    fn pass_on(&self, ticket: &Ticket, current: &Current, admitted: Result<Access, Fault>) -> Verdict {
        // What a known token may not do is for the origin to say: it may know more of the token by now.
        if let Err(Fault::Damaged(what)) = admitted {
            log::error!("{what}");
        }
        if declared_length(&ticket.request) > self.config.engine.limits.body as u64 {
            return answer(too_large().response());
        }
        forward(current)
    }

    /// A token that the cached head does not know is worth one more look, if there has been none.
    fn refuse(
        &mut self,
        context: Context,
        ticket: &mut Ticket,
        current: &Current,
        response: Response,
        now: u64,
    ) -> Verdict {
        let cached = current.head.is_some() && current.stale.is_none() && ticket.checked.is_none();
        if cached && self.rechecks.take(now) {
            return self.recheck(context, ticket, now, response);
        }
        Verdict::Answer(mark(response.into(), current.stale))
    }

    /// It may have been made since.
    fn recheck(&mut self, context: Context, ticket: &mut Ticket, now: u64, refusal: Response) -> Verdict {
        let known = self.replica.heads.get(&ticket.directory);
        ticket.floor = known.floor;
        if self.calls.join_head(&ticket.directory, ticket.arrived, Some(context)) {
            ticket.outstanding += 1;
            return Verdict::Hold;
        }
        if self.replica.is_down(now) {
            return answer(refusal);
        }
        match self.check(context, ticket, &known, now) {
            Err(Verdict::Hold) => Verdict::Hold,
            _ => answer(refusal),
        }
    }

    fn measure_lookup(&mut self, cache: &'static str, hit: bool) {
        let result = if hit { "hit" } else { "miss" };
        self.measured.push((Metric::Lookups { cache, result }, 1));
    }

    /// A request looks for its pages once, however often it is run.
    fn measure_pages(&mut self, ticket: &Ticket, hit: bool) {
        if ticket.fetch == Fetch::None {
            self.measure_lookup("pages", hit);
        }
    }

    fn measure_call(&mut self, ask: &Ask, reply: &Reply, took: u64) {
        let call = match ask {
            Ask::Head(..) => "heads",
            Ask::Pages(..) => "pages",
            Ask::Note(..) => "refusals",
        };
        let result = match reply {
            Reply::Answer { status, .. } => metrics::outcome(*status),
            Reply::Failed => "unanswered",
        };
        self.measured.push((Metric::Calls { call, result }, 1));
        self.measured.push((Metric::CallDuration { call }, took));
    }

    fn step<T>(
        &self,
        ticket: &Ticket,
        current: &Current,
        handler: impl FnOnce(&Request, &View<'_>, &Env<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let heads = HashMap::from([(ticket.directory.clone(), current.head.clone())]);
        let view = View { heads, pages: &self.replica.pages };
        // What only reads makes up no identifiers.
        let env = Env::new(Timestamp(ticket.arrived / 1000), [0; 32], 0, &self.config.engine);
        handler(&ticket.request, &view, &env)
    }

    /// Fetches pages: for this request the first time, for the cache after that.
    fn fetch(&mut self, context: Context, ticket: &mut Ticket, need: Need, now: u64) -> Verdict {
        let mut ids: Vec<PageId> = need.pages.into_iter().map(|(_, id)| id).collect();
        if !need.heads.is_empty() || ids.len() > edge::MAX_PAGES || !self.has_room() {
            return Verdict::Forward;
        }
        let waiter = (ticket.fetch == Fetch::None).then_some(context);
        let mut calls = self.calls.join_pages(&mut ids, waiter);
        if !ids.is_empty() {
            let reads = waiter.and_then(|_| ticket.reads());
            let ask = Ask::Pages(ticket.directory.clone(), ids, reads);
            self.calls.ask(ask, now, waiter, ticket.id());
            calls += 1;
        }
        if waiter.is_none() {
            return Verdict::Forward;
        }
        ticket.outstanding += calls;
        ticket.fetch = Fetch::Whole;
        Verdict::Hold
    }
}

fn record(head: &Arc<Head>) -> Option<Arc<Record>> {
    head.record_as(Record::from_bytes)
}

/// Whether a token of the connection is good in some networks only.
fn names_networks(record: &Record) -> bool {
    record.tokens.iter().any(|token| !token.cidrs.is_empty())
}

enum Landed {
    Head(Check),
    Pages(Fetch),
}

/// Whether a request presents exactly one bearer token. What has none is refused without asking anybody.
pub fn has_one_bearer(request: &Request) -> bool {
    let mut values = request.header_values("authorization");
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let scheme = value.get(..7).unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"bearer ") && (8..=512).contains(&value.len()) && value.is_ascii()
}

/// What `content-length` says, if anything.
pub fn declared_length(request: &Request) -> u64 {
    request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)
}

/// The answer to a body over the limit.
pub fn too_large() -> ScimError {
    ScimError::new(Kind::TooLarge, "the body is larger than this server takes")
}

/// The answer to a connection over its rate. With a rate of one a second or more there is room again in a second, which is
/// what `Retry-After` says.
pub fn too_many() -> Response {
    ScimError::new(Kind::TooManyRequests, "too many requests on this connection: try again later").response()
}

/// The answer when nobody knows what came of a forwarded request.
fn unanswered() -> Response {
    let detail = "the directory did not answer: what was asked may have been done or not, try again";
    ScimError::new(Kind::Unavailable, detail).response()
}

/// The answer while the origin is needed and does not answer.
pub fn no_origin() -> Response {
    ScimError::new(Kind::Unavailable, "the directory can not be reached now: nothing was changed, try again").response()
}

/// To the origin, unless it is known not to answer.
fn forward(current: &Current) -> Verdict {
    if current.stale.is_none() { Verdict::Forward } else { unavailable() }
}

fn answer(response: Response) -> Verdict {
    Verdict::Answer(Rc::new(response))
}

fn unavailable() -> Verdict {
    answer(no_origin())
}

/// Says how old an answer is that could not be confirmed in time (RFC 9111 section 5.1; warning code 110 of RFC 7234).
fn mark(response: Rc<Response>, stale: Option<u64>) -> Rc<Response> {
    match stale {
        Some(age) => Rc::unwrap_or_clone(response)
            .with("age", age.div_ceil(1_000_000).to_string())
            .with("warning", "110 - \"the origin does not answer: this is the last confirmed state\"")
            .into(),
        None => response,
    }
}
