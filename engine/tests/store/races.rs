//! Writers racing on every interleaving of their calls, on stores that misreport swaps in every way known.

use std::collections::BTreeMap;
use std::sync::Arc;

use scim_engine::env::{Config, Limits};
use scim_engine::http::Response;
use scim_engine::store::memory::{MemoryStore, run};
use scim_engine::store::{Call, Page, PageCache, Reply, Session, Turn};

use crate::support::{check_tree, config, directory, session, tiny};

/// What a store says about swaps; what it does is always right.
#[derive(Clone, Copy, Debug)]
enum Report {
    Truth,
    AlwaysLost,
    AlwaysWon,
}

struct Race {
    config: Arc<Config>,
    before: BTreeMap<String, Vec<u8>>,
    scripts: Vec<&'static str>,
    report: Report,
    trusting: bool,
}

struct Ended {
    store: MemoryStore,
    responses: Vec<Response>,
    choices: Vec<usize>,
    /// How many sessions were still running at each step.
    widths: Vec<usize>,
}

impl Race {
    /// A race that starts after `before` has run.
    fn new(limits: Limits, before: &[String], scripts: &[&'static str], report: Report) -> Self {
        let (store, config) = (MemoryStore::default(), config(limits));
        for (n, script) in (1000..).zip(before) {
            assert_eq!(run(session(script, n, &config), &store, &PageCache::new(0)).status, 200);
        }
        let before = store.values().clone();
        Self { config, before, scripts: scripts.to_vec(), report, trusting: false }
    }

    /// Runs every schedule; gives their number.
    fn every_schedule(&self, check: impl Fn(&Ended)) -> usize {
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

    fn one_schedule(&self, prefix: &[usize]) -> Ended {
        let store = MemoryStore::default();
        store.values().extend(self.before.clone());
        let caches: Vec<_> = self.scripts.iter().map(|_| self.warm_cache()).collect();
        let sessions = self.scripts.iter().zip(0..).map(|(script, n)| self.session(script, n));
        let mut running: Vec<(usize, Session, Call)> = Vec::new();
        let mut ended = Ended { store, responses: Vec::new(), choices: Vec::new(), widths: Vec::new() };
        ended.responses.resize(self.scripts.len(), Response::default());
        for (n, mut session) in sessions.enumerate() {
            match session.turn(&caches[n], None) {
                Turn::Call(call) => running.push((n, session, call)),
                Turn::Done(response) => ended.responses[n] = response,
            }
        }
        while !running.is_empty() {
            let choice = prefix.get(ended.choices.len()).copied().unwrap_or(0);
            ended.widths.push(running.len());
            ended.choices.push(choice);
            let (n, session, call) = &mut running[choice];
            let reply = self.misreport(ended.store.call(call));
            match session.turn(&caches[*n], Some(reply)) {
                Turn::Call(next) => *call = next,
                Turn::Done(response) => {
                    ended.responses[*n] = response;
                    running.remove(choice);
                }
            }
        }
        ended
    }

    fn session(&self, script: &str, number: u64) -> Session {
        let session = session(script, number, &self.config);
        if self.trusting { session.trusting_swaps() } else { session }
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

    fn read(&self, ended: &Ended, script: &str) -> String {
        let response = run(session(script, 99, &self.config), &ended.store, &PageCache::new(0));
        String::from_utf8(response.body).unwrap()
    }
}

/// The last choice that has another option takes it; `None` when all have been taken.
fn next_schedule(ended: &Ended) -> Option<Vec<usize>> {
    let last = (0..ended.choices.len()).rev().find(|at| ended.choices[*at] + 1 < ended.widths[*at])?;
    let mut choices = ended.choices[..=last].to_vec();
    choices[last] += 1;
    Some(choices)
}

const REPORTS: [Report; 3] = [Report::Truth, Report::AlwaysLost, Report::AlwaysWon];

fn statuses(ended: &Ended) -> Vec<u16> {
    ended.responses.iter().map(|response| response.status).collect()
}

fn sorted(mut statuses: Vec<u16>) -> Vec<u16> {
    statuses.sort_unstable();
    statuses
}

/// Nothing is stored that nobody refers to, and nothing that is referred to is missing.
fn check_pages(ended: &Ended) {
    let reachable = check_tree(&ended.store, &directory(), tiny().page_bytes).len();
    let garbage = crate::support::head(&ended.store, &directory()).unwrap().garbage().len();
    let stored = ended.store.values().keys().filter(|key| key.starts_with("page:")).count();
    assert_eq!(stored, reachable + garbage);
}

#[test]
fn two_writers_lose_no_update() {
    for report in REPORTS {
        let race = Race::new(tiny(), &["create".into()], &["add sum\nput a 1", "add sum\nput b 1"], report);
        let schedules = race.every_schedule(|ended| {
            assert_eq!(statuses(ended), [200, 200], "{:?}", ended.choices);
            assert_eq!(race.read(ended, "list"), "a=1;b=1;sum=2;", "{:?}", ended.choices);
        });
        assert!(schedules >= 20, "{schedules}");
    }
}

#[test]
fn three_writers_lose_no_update() {
    let race = Race::new(tiny(), &["create".into()], &["add sum", "add sum", "add sum"], Report::Truth);
    let schedules = race.every_schedule(|ended| {
        assert_eq!(statuses(ended), [200, 200, 200], "{:?}", ended.choices);
        assert_eq!(race.read(ended, "get sum"), "3;", "{:?}", ended.choices);
    });
    assert!(schedules >= 1680, "{schedules}");
}

#[test]
fn trusting_a_truthful_store_loses_no_update() {
    let mut race = Race::new(tiny(), &["create".into()], &["add sum", "add sum", "add sum"], Report::Truth);
    race.trusting = true;
    race.every_schedule(|ended| {
        assert_eq!(statuses(ended), [200, 200, 200], "{:?}", ended.choices);
        assert_eq!(race.read(ended, "get sum"), "3;", "{:?}", ended.choices);
    });
}

#[test]
fn a_unique_key_is_given_once() {
    for report in REPORTS {
        let race = Race::new(tiny(), &["create".into()], &["once name\nput a 1", "once name\nput b 1"], report);
        race.every_schedule(|ended| {
            assert_eq!(sorted(statuses(ended)), [200, 409], "{:?}", ended.choices);
            let winner = if ended.responses[0].status == 200 { "a=1;name=1;" } else { "b=1;name=1;" };
            assert_eq!(race.read(ended, "list"), winner, "{:?}", ended.choices);
        });
    }
}

#[test]
fn merges_that_race_leave_a_whole_tree_and_no_orphan() {
    let before = ["create".to_owned(), (0..40).map(|n| format!("put k{n:02} {n}\n")).collect(), fill("x", 4)];
    let scripts = ["add sum\nput k05 changed\nremove k20", "add sum\nremove k06\nput k21 changed"];
    for report in REPORTS {
        let race = Race::new(tiny(), &before, &scripts, report);
        let schedules = race.every_schedule(|ended| {
            assert_eq!(statuses(ended), [200, 200], "{:?}", ended.choices);
            check_pages(ended);
            let read = race.read(ended, "get sum\nget k05\nget k06\nget k20\nget k21\nget k22");
            assert_eq!(read, "2;changed;;;changed;22;", "{:?}", ended.choices);
        });
        assert!(schedules > 100, "{schedules}");
    }
}

#[test]
fn a_reader_sees_one_moment_while_pages_are_replaced_and_deleted() {
    // Two writers merge one after the other, so the second deletes what the reader may still be about to load.
    let before = ["create".to_owned(), (0..40).map(|n| format!("put k{n:02} 0\n")).collect()];
    let rewrite = "put k00 1\nput k10 1\nput k20 1\nput k30 1\nput k39 1";
    let again = "put k00 2\nput k10 2\nput k20 2\nput k30 2\nput k39 2";
    let race = Race::new(tiny(), &before, &[], Report::Truth);
    // The reader stops after each number of its calls, while both writers run to their end.
    for stop in 0.. {
        let store = MemoryStore::default();
        store.values().extend(race.before.clone());
        let cache = PageCache::new(0);
        let mut reader = session("get k00\nget k20\nget k39", 1, &race.config);
        let mut turn = reader.turn(&cache, None);
        let mut calls = 0;
        let response = loop {
            if calls == stop {
                assert_eq!(run(session(rewrite, 2, &race.config), &store, &cache).status, 200);
                assert_eq!(run(session(again, 3, &race.config), &store, &cache).status, 200);
            }
            match turn {
                Turn::Call(call) => turn = reader.turn(&cache, Some(store.call(&call))),
                Turn::Done(response) => break response,
            }
            calls += 1;
        };
        assert!(["0;0;0;", "2;2;2;"].map(str::as_bytes).contains(&response.body.as_slice()), "{response:?}");
        if calls < stop {
            return;
        }
    }
}

#[test]
fn the_environment_is_created_once() {
    for report in REPORTS {
        let race = Race::new(tiny(), &[], &["in environment\nput a 1", "in environment\nput b 1"], report);
        race.every_schedule(|ended| {
            let (a, b) = (ended.responses[0].status, ended.responses[1].status);
            assert!([200, 503].contains(&a) && [200, 503].contains(&b) && (a, b) != (503, 503));
            let expected = [(a, "a=1;"), (b, "b=1;")].map(|(status, entry)| if status == 200 { entry } else { "" });
            assert_eq!(race.read(ended, "in environment\nlist"), expected.concat(), "{:?}", ended.choices);
        });
    }
}

fn fill(prefix: &str, count: usize) -> String {
    (0..count).map(|n| format!("put {prefix}{n} v\n")).collect()
}
