//! Sessions run in every order their calls can take, on stores that misreport swaps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Waker};

use scim_engine::env::{Config, Limits};
use scim_engine::http::Response;
use scim_engine::store::memory::{MemoryStore, run};
use scim_engine::store::{Call, GroupCommit, Page, PageCache, Reply, Session, Turn};

use crate::support::{check_tree, config, directory, head, session, tiny};

/// What a store says about swaps; what it does is always right.
#[derive(Clone, Copy, Debug)]
pub enum Report {
    Truth,
    AlwaysLost,
    AlwaysWon,
}

pub const REPORTS: [Report; 3] = [Report::Truth, Report::AlwaysLost, Report::AlwaysWon];

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It is not made, and the session is told so.
    Fails,
    /// It is made, the reply lost.
    ReplyLost,
    /// It is not made, for the session has gone away.
    GoneBefore,
    /// It is made, and the session has gone away.
    GoneAfter,
    /// The session has gone away, and the call is made when all others have ended.
    GoneAndLate,
}

/// Scripts that start at the same time.
pub struct Race {
    pub config: Arc<Config>,
    pub before: BTreeMap<String, Vec<u8>>,
    pub scripts: Vec<&'static str>,
    pub report: Report,
    pub trusting: bool,
    /// Which process runs each script, if several share one.
    pub processes: Option<Vec<usize>>,
    /// What befalls the call of that number.
    pub mishap: Option<(usize, Mishap)>,
}

/// What came of one order.
pub struct Ended {
    pub store: MemoryStore,
    /// The answers; status 0 for a session that went away.
    pub responses: Vec<Response>,
    pub choices: Vec<usize>,
    /// How many sessions could go on at each step.
    widths: Vec<usize>,
    pub calls: usize,
    /// Swaps that happened.
    pub swaps: usize,
}

struct Runner {
    number: usize,
    session: Session,
    /// The call to make; none while it waits.
    call: Option<Call>,
}

impl Race {
    /// A race that starts after `before` has run.
    pub fn new(limits: Limits, before: &[String], scripts: &[&'static str], report: Report) -> Self {
        let (store, config) = (MemoryStore::default(), config(limits));
        for (n, script) in (1000..).zip(before) {
            assert_eq!(run(session(script, n, &config), &store, &PageCache::new(0)).status, 200);
        }
        let (before, scripts) = (store.values().clone(), scripts.to_vec());
        Self { config, before, scripts, report, trusting: false, processes: None, mishap: None }
    }

    /// Runs every schedule; gives their number.
    pub fn every_schedule(&self, check: impl Fn(&Ended)) -> usize {
        let mut prefix = Some(Vec::new());
        let mut count = 0;
        while let Some(choices) = prefix {
            let ended = self.one_schedule(&choices);
            check(&ended);
            count += 1;
            prefix = next_schedule(&ended);
        }
        count
    }

    pub fn one_schedule(&self, prefix: &[usize]) -> Ended {
        let store = MemoryStore::default();
        store.values().extend(self.before.clone());
        let mut ended =
            Ended { store, responses: Vec::new(), choices: Vec::new(), widths: Vec::new(), calls: 0, swaps: 0 };
        ended.responses.resize(self.scripts.len(), Response::default());
        let caches: Vec<_> = self.scripts.iter().map(|_| self.warm_cache()).collect();
        let groups: Vec<_> = self.scripts.iter().map(|_| Arc::new(GroupCommit::default())).collect();
        let process = |n: usize| self.processes.as_ref().map_or(n, |processes| processes[n]);
        let mut running = Vec::new();
        let mut late = Vec::new();
        for (n, script) in self.scripts.iter().enumerate() {
            let session = self.session(script, n, &groups[process(n)]);
            let runner = Runner { number: n, session, call: None };
            running.extend(advance(runner, &caches[process(n)], None, &mut ended));
        }
        while !running.is_empty() {
            let ready: Vec<usize> = (0..running.len()).filter(|at| running[*at].is_ready()).collect();
            assert!(!ready.is_empty(), "nobody can go on: {:?}", ended.choices);
            let choice = prefix.get(ended.choices.len()).copied().unwrap_or(0);
            ended.widths.push(ready.len());
            ended.choices.push(choice);
            let mut runner = running.remove(ready[choice]);
            let reply = match runner.call.take() {
                None => Some(None),
                Some(call) => self.make(call, &mut ended, &mut late).map(Some),
            };
            // Without a reply, the session has gone away.
            let Some(reply) = reply else { continue };
            let cache = &caches[process(runner.number)];
            if let Some(runner) = advance(runner, cache, reply, &mut ended) {
                running.insert(ready[choice], runner);
            }
        }
        for call in late {
            ended.store.call(&call);
        }
        ended
    }

    /// Makes a call, or what befalls it.
    fn make(&self, call: Call, ended: &mut Ended, late: &mut Vec<Call>) -> Option<Reply> {
        let mishap = self.mishap.filter(|(at, _)| *at == ended.calls).map(|(_, mishap)| mishap);
        ended.calls += 1;
        let lost = Reply::Failed("lost".to_owned());
        match mishap {
            Some(Mishap::Fails) => return Some(lost),
            Some(Mishap::GoneBefore) => return None,
            Some(Mishap::GoneAndLate) => {
                late.push(call);
                return None;
            }
            Some(Mishap::ReplyLost | Mishap::GoneAfter) | None => {}
        }
        let reply = ended.store.call(&call);
        ended.swaps += usize::from(reply == Reply::Swapped(true));
        match mishap {
            Some(Mishap::ReplyLost) => Some(lost),
            Some(_) => None,
            None => Some(self.misreport(reply)),
        }
    }

    fn session(&self, script: &str, number: usize, group: &Arc<GroupCommit>) -> Session {
        let session = session(script, number as u64, &self.config);
        let session = if self.trusting { session.trusting_swaps() } else { session };
        if self.processes.is_some() { session.committing_with(group) } else { session }
    }

    /// The pages from before the race: loading them is not what it is about.
    fn warm_cache(&self) -> PageCache {
        let cache = PageCache::new(usize::MAX);
        for (_, bytes) in self.before.iter().filter(|(key, _)| key.starts_with("page:")) {
            cache.insert(Arc::new(Page::decode(bytes.as_slice().into()).unwrap()));
        }
        cache
    }

    fn misreport(&self, reply: Reply) -> Reply {
        match (self.report, reply) {
            (Report::AlwaysLost, Reply::Swapped(_)) => Reply::Swapped(false),
            (Report::AlwaysWon, Reply::Swapped(_)) => Reply::Swapped(true),
            (_, reply) => reply,
        }
    }

    pub fn read(&self, ended: &Ended, script: &str) -> String {
        let response = run(session(script, 99, &self.config), &ended.store, &PageCache::new(0));
        String::from_utf8(response.body).unwrap()
    }
}

impl Runner {
    fn is_ready(&self) -> bool {
        self.call.is_some() || self.session.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready()
    }
}

fn advance(mut runner: Runner, cache: &PageCache, reply: Option<Reply>, ended: &mut Ended) -> Option<Runner> {
    match runner.session.turn(cache, reply) {
        Turn::Call(call) => Some(Runner { call: Some(call), ..runner }),
        Turn::Wait => Some(runner),
        Turn::Done(response) => {
            ended.responses[runner.number] = response;
            None
        }
    }
}

/// The last choice that has another option takes it; `None` when all have been taken.
fn next_schedule(ended: &Ended) -> Option<Vec<usize>> {
    let last = (0..ended.choices.len()).rev().find(|at| ended.choices[*at] + 1 < ended.widths[*at])?;
    let mut choices = ended.choices[..=last].to_vec();
    choices[last] += 1;
    Some(choices)
}

pub fn statuses(ended: &Ended) -> Vec<u16> {
    ended.responses.iter().map(|response| response.status).collect()
}

pub fn sorted(mut statuses: Vec<u16>) -> Vec<u16> {
    statuses.sort_unstable();
    statuses
}

/// Nothing is stored that nobody refers to, and nothing that is referred to is missing.
pub fn check_pages(ended: &Ended) {
    let reachable = check_tree(&ended.store, &directory(), tiny().page_bytes).len();
    let garbage = head(&ended.store, &directory()).unwrap().garbage().len();
    let stored = ended.store.values().keys().filter(|key| key.starts_with("page:")).count();
    assert_eq!(stored, reachable + garbage, "{:?}", ended.choices);
}

pub fn fill(prefix: &str, count: usize) -> String {
    (0..count).map(|n| format!("put {prefix}{n} v\n")).collect()
}
