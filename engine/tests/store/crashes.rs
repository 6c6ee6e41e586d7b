//! Crashes, failures and lost replies at every call of a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use scim_engine::env::Config;
use scim_engine::http::Response;
use scim_engine::store::memory::{MemoryStore, run};
use scim_engine::store::{Call, PageCache, Reply, Turn};

use crate::support::{check_tree, config, directory, session, tiny};

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// The process dies, the call never made.
    DiesBefore,
    /// The process dies, the call made.
    DiesAfter,
    /// The call fails and is not made.
    Fails,
    /// The call is made, the reply lost.
    ReplyLost,
    /// The reply is lost, and the call is made only when the request is over.
    Late,
}

const FATES: [Fate; 5] = [Fate::DiesBefore, Fate::DiesAfter, Fate::Fails, Fate::ReplyLost, Fate::Late];

struct Case {
    config: Arc<Config>,
    before: BTreeMap<String, Vec<u8>>,
    script: &'static str,
}

/// How a request ended: `None` when its process died.
struct Ended {
    store: MemoryStore,
    response: Option<Response>,
    calls: usize,
    swapped: bool,
}

impl Case {
    fn new(before: &[String], script: &'static str) -> Self {
        let (store, config) = (MemoryStore::default(), config(tiny()));
        for (n, script) in (1000..).zip(before) {
            assert_eq!(run(session(script, n, &config), &store, &PageCache::new(0)).status, 200);
        }
        let before = store.values().clone();
        Self { config, before, script }
    }

    fn run(&self, fates: &[(usize, Fate)]) -> Ended {
        let store = MemoryStore::default();
        store.values().extend(self.before.clone());
        let cache = PageCache::new(0);
        let mut session = session(self.script, 1, &self.config);
        let mut ended = Ended { store, response: None, calls: 0, swapped: false };
        let mut late: Vec<Call> = Vec::new();
        let mut turn = session.turn(&cache, None);
        while let Turn::Call(call) = turn {
            let fate = fates.iter().find(|(at, _)| *at == ended.calls).map(|(_, fate)| *fate);
            ended.calls += 1;
            if fate == Some(Fate::DiesBefore) {
                return ended;
            }
            let lost = Reply::Failed("lost".to_owned());
            let reply = match fate {
                Some(Fate::Fails) => lost,
                Some(Fate::Late) => {
                    late.push(call);
                    lost
                }
                _ => {
                    let reply = ended.store.call(&call);
                    ended.swapped |= reply == Reply::Swapped(true);
                    if fate == Some(Fate::ReplyLost) { lost } else { reply }
                }
            };
            if fate == Some(Fate::DiesAfter) {
                return ended;
            }
            turn = session.turn(&cache, Some(reply));
        }
        for call in late {
            let reply = ended.store.call(&call);
            ended.swapped |= reply == Reply::Swapped(true);
        }
        if let Turn::Done(response) = turn {
            ended.response = Some(response);
        }
        ended
    }

    fn read(&self, store: &MemoryStore, script: &str) -> String {
        String::from_utf8(run(session(script, 99, &self.config), store, &PageCache::new(0)).body).unwrap()
    }

    /// All or nothing is visible; all, if it was acknowledged; and work goes on.
    fn check(&self, fates: &[(usize, Fate)], before: &str, after: &str) -> usize {
        let ended = self.run(fates);
        let seen = self.read(&ended.store, "list");
        assert_eq!(seen, if ended.swapped { after } else { before }, "{fates:?}");
        match ended.response.as_ref().map(|response| response.status) {
            Some(200) => assert_eq!(seen, after, "{fates:?}"),
            Some(503) | None => {}
            other => panic!("{other:?} {fates:?}"),
        }
        check_tree(&ended.store, &directory(), tiny().page_bytes);
        let next = session(&format!("put z last\n{}", self.script), 2, &self.config);
        assert_eq!(run(next, &ended.store, &PageCache::new(0)).status, 200, "{fates:?}");
        assert_eq!(self.read(&ended.store, "get z"), "last;");
        check_tree(&ended.store, &directory(), tiny().page_bytes);
        ended.calls
    }
}

fn every_pair_of_faults(case: &Case) {
    let store = MemoryStore::default();
    store.values().extend(case.before.clone());
    let before = case.read(&store, "list");
    let whole = case.run(&[]);
    let after = case.read(&whole.store, "list");
    assert_ne!(before, after);
    assert_eq!(case.check(&[], &before, &after), whole.calls);
    for first in 0..whole.calls {
        for fate in FATES {
            let calls = case.check(&[(first, fate)], &before, &after);
            for second in first + 1..calls {
                for other in FATES {
                    case.check(&[(first, fate), (second, other)], &before, &after);
                }
            }
        }
    }
}

#[test]
fn a_small_write_survives_every_pair_of_faults() {
    every_pair_of_faults(&Case::new(&["create".into(), "put a 1\nput b 1".into()], "put a 2\nremove b\nput c 2"));
}

#[test]
fn a_merge_survives_every_pair_of_faults() {
    let before = ["create".to_owned(), (0..40).map(|n| format!("put k{n:02} {n}\n")).collect(), "put x 1".to_owned()];
    every_pair_of_faults(&Case::new(&before, "put k03 a\nput k13 b\nremove k23\nput k33 c\nput k39 d"));
}

#[test]
fn a_store_that_never_swaps_is_reported_and_not_retried_for_ever() {
    let case = Case::new(&["create".into()], "put a 1");
    let (store, cache) = (MemoryStore::default(), PageCache::new(0));
    store.values().extend(case.before.clone());
    let mut session = session(case.script, 1, &case.config);
    let mut turn = session.turn(&cache, None);
    let response = loop {
        turn = match turn {
            Turn::Call(Call::SwapHead { .. }) => session.turn(&cache, Some(Reply::Swapped(true))),
            Turn::Call(call) => session.turn(&cache, Some(store.call(&call))),
            Turn::Wait => session.turn(&cache, None),
            Turn::Done(response) => break response,
        };
    };
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    assert!(session.incident().unwrap().contains("outcome is unknown"));
}

#[test]
fn a_commit_too_far_back_to_be_found_is_neither_acknowledged_nor_repeated() {
    let case = Case::new(&["create".into()], "add a");
    let (store, cache) = (MemoryStore::default(), PageCache::new(0));
    store.values().extend(case.before.clone());
    let mut first = session(case.script, 1, &case.config);
    let mut turn = first.turn(&cache, None);
    let mut overtaken = false;
    let response = loop {
        let call = match turn {
            Turn::Call(call) => call,
            Turn::Wait => panic!("it commits alone"),
            Turn::Done(response) => break response,
        };
        let reply = store.call(&call);
        if matches!(call, Call::SwapHead { .. }) && !overtaken {
            overtaken = true;
            for n in 0..40 {
                assert_eq!(run(session("add sum", 10 + n, &case.config), &store, &cache).status, 200);
            }
        }
        turn = first.turn(&cache, Some(reply));
    };
    assert_eq!(response.status, 503);
    assert_eq!(case.read(&store, "get a\nget sum"), "1;40;");
}
