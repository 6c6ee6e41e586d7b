//! Two workers on random interleavings of their calls to shared data, some of which kill the worker that makes them.
//! `SIMULATION_SEED=7 cargo test -p scim-plugin-local interleaved` replays one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;

use scim_engine::env::Env;
use scim_engine::http::{Request, Response};
use scim_engine::scim;
use scim_engine::store::{DirectoryId, Fault, Outcome, PageId, Txn, View};
use serde_json::{Value, json};

use super::envoy::{Envoy, Handle, Killed, NOW, Random, entropy, seed_entropy};
use super::{ask, body, create, document, get, id, request, total};
use crate::config::Config;
use crate::worker::Worker;

const SEEDS: u64 = 200;
const WORKERS: usize = 2;
const REQUESTS: usize = 25;
/// Users of each worker alone, and names both want.
const OWN: usize = 6;
const CONTESTED: usize = 3;

/// What the requests of one worker were answered.
#[derive(Default)]
struct Acknowledged {
    /// Each of its users: id and title, or that there is none. A user whose last change was cut off is left out.
    users: BTreeMap<usize, Option<(String, String)>>,
    members: BTreeSet<String>,
    /// Contested names it was given, and those it may have been given.
    won: Vec<usize>,
    unknown: Vec<usize>,
    kills: usize,
}

struct Racer {
    number: usize,
    random: Random,
    envoy: Envoy,
    worker: Worker<Handle>,
    group: String,
    seen: Acknowledged,
}

fn settings() -> Value {
    document(&["a"], json!({ "slots": { "connections": 1, "pages": 512 }, "limits": { "page_bytes": 512 } }))
}

/// A worker whose every write makes pages.
fn worker(handle: Handle) -> Worker<Handle> {
    let mut config = Config::parse(settings().to_string().as_bytes()).unwrap();
    Arc::get_mut(&mut config.engine).unwrap().limits.pending_entries = 0;
    Worker::new(Rc::new(config), Rc::new(handle))
}

/// The same once it has taken its configuration.
fn established(handle: Handle) -> Worker<Handle> {
    let mut worker = worker(handle);
    worker.establish(entropy, NOW).unwrap();
    worker
}

impl Racer {
    /// Makes a request; `None` if it killed the worker, which is then a new one that knows nothing.
    fn ask(&mut self, method: &str, path: &str, body: &Value) -> Option<Response> {
        let request = request("a", "t", method, path, body);
        self.survive(|worker| ask(worker, &request))
    }

    fn survive<T>(&mut self, act: impl FnOnce(&mut Worker<Handle>) -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(|| act(&mut self.worker)));
        match done {
            Ok(done) => Some(done),
            Err(reason) if reason.is::<Killed>() => {
                self.seen.kills += 1;
                self.worker = loop {
                    let again = || established(self.envoy.handle(self.number));
                    if let Ok(again) = catch_unwind(AssertUnwindSafe(again)) {
                        break again;
                    }
                };
                None
            }
            Err(reason) => resume_unwind(reason),
        }
    }

    fn act(&mut self) {
        let user = self.random.below(OWN);
        let title = format!("t{}", self.random.below(1000));
        match (self.random.below(10), self.seen.users.get(&user).cloned()) {
            (0, _) => drop(self.survive(|worker| worker.sweep(entropy, NOW))),
            (1, _) => self.contest(),
            (_, None) => self.create(user),
            (_, Some(None)) => self.create(user),
            (2..=4, Some(Some((id, _)))) => self.retitle(user, &id, &title),
            (5 | 6, Some(Some((id, _)))) => self.join(&id),
            (7, Some(Some((id, _)))) => self.delete(user, &id),
            (_, Some(Some((id, title)))) => {
                let read = self.ask("GET", &format!("/Users/{id}"), &Value::Null);
                read.iter().for_each(|read| assert_eq!(body(read)["title"], title));
            }
        }
    }

    fn create(&mut self, user: usize) {
        if self.seen.users.remove(&user).is_none() && self.seen.kills > 0 {
            return;
        }
        let new = json!({ "userName": format!("w{}-{user}", self.number), "title": "new" });
        if let Some(created) = self.ask("POST", "/Users", &new) {
            self.seen.users.insert(user, Some((id(&created), "new".to_owned())));
        }
    }

    fn retitle(&mut self, user: usize, id: &str, title: &str) {
        self.seen.users.remove(&user);
        let patch = json!({ "Operations": [{ "op": "replace", "path": "title", "value": title }] });
        if let Some(patched) = self.ask("PATCH", &format!("/Users/{id}"), &patch) {
            assert_eq!(patched.status, 200);
            self.seen.users.insert(user, Some((id.to_owned(), title.to_owned())));
        }
    }

    fn join(&mut self, id: &str) {
        let add = json!({ "Operations": [{ "op": "add", "path": "members", "value": [{ "value": id }] }] });
        if let Some(added) = self.ask("PATCH", &format!("/Groups/{}", self.group), &add) {
            assert_eq!(added.status, 200);
            self.seen.members.insert(id.to_owned());
        }
    }

    fn delete(&mut self, user: usize, id: &str) {
        self.seen.users.remove(&user);
        self.seen.members.remove(id);
        if let Some(deleted) = self.ask("DELETE", &format!("/Users/{id}"), &Value::Null) {
            assert_eq!(deleted.status, 204);
            self.seen.users.insert(user, None);
        }
    }

    fn contest(&mut self) {
        let name = self.random.below(CONTESTED);
        match self.ask("POST", "/Users", &json!({ "userName": format!("both-{name}") })) {
            Some(created) if created.status == 201 => self.seen.won.push(name),
            Some(refused) => assert_eq!(refused.status, 409),
            None => self.seen.unknown.push(name),
        }
    }
}

/// Races on one seed, then looks at everything; gives how many workers were killed.
fn simulate(seed: u64) -> usize {
    let envoy = Envoy::new();
    seed_entropy(seed << 8);
    let mut first = established(envoy.handle(0));
    let group = id(&ask(&mut first, &request("a", "t", "POST", "/Groups", &json!({ "displayName": "g" }))));
    let deadliness = if seed.is_multiple_of(2) { 0 } else { 400 };
    envoy.race(WORKERS, seed, deadliness);
    let seen: Vec<Acknowledged> = std::thread::scope(|scope| {
        let race = |number: usize| {
            let (envoy, group) = (envoy.clone(), group.clone());
            scope.spawn(move || {
                let _present = Present { envoy: &envoy, number };
                seed_entropy((seed << 8) + 1 + number as u64);
                let random = Random(seed.wrapping_mul(31) + number as u64);
                let worker = worker(envoy.handle(number));
                let mut racer =
                    Racer { number, random, envoy: envoy.clone(), worker, group, seen: Acknowledged::default() };
                (0..REQUESTS).for_each(|_| racer.act());
                racer.seen
            })
        };
        let racers: Vec<_> = (0..WORKERS).map(race).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    let mut last = established(envoy.calm());
    is_all_there(&mut last, &group, &seen);
    let kills = seen.iter().map(|seen| seen.kills).sum();
    holds_together(&mut last, kills == 0);
    kills
}

/// Says that a worker has left, however it ends.
struct Present<'e> {
    envoy: &'e Envoy,
    number: usize,
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.envoy.leave(self.number);
    }
}

fn is_all_there(worker: &mut Worker<Handle>, group: &str, seen: &[Acknowledged]) {
    let mut named = |name: &str| total(&get(worker, "a", &format!("/Users?filter=userName%20eq%20%22{name}%22")));
    for name in 0..CONTESTED {
        let won = seen.iter().flat_map(|seen| &seen.won).filter(|won| **won == name).count();
        let unknown = seen.iter().flat_map(|seen| &seen.unknown).any(|unknown| *unknown == name);
        let found = named(&format!("both-{name}"));
        assert!(won <= 1 && (found == won as u64 || unknown && found == 1), "{name}: won {won}, found {found}");
    }
    for (number, seen) in seen.iter().enumerate() {
        for (user, known) in &seen.users {
            assert_eq!(named(&format!("w{number}-{user}")), u64::from(known.is_some()));
        }
    }
    let members = body(&get(worker, "a", &format!("/Groups/{group}")))["members"].clone();
    let members: Vec<_> = members.as_array().into_iter().flatten().map(|member| &member["value"]).collect();
    for seen in seen {
        seen.members.iter().for_each(|id| assert!(members.contains(&&json!(id)), "{id} is no member"));
        for (id, title) in seen.users.values().flatten() {
            assert_eq!(body(&get(worker, "a", &format!("/Users/{id}")))["title"], *title);
        }
    }
}

/// The directory is sound, and its pages are exactly those the head refers to: at once if nobody was killed, and else
/// once they were swept.
fn holds_together(worker: &mut Worker<Handle>, swept: bool) {
    let checked = worker.run(verify, &Request::default(), entropy(), NOW, crate::table::Room::Common);
    assert_eq!(String::from_utf8(checked.body).unwrap(), "");
    if !swept {
        worker.sweep(entropy, NOW);
    }
    let stored: BTreeSet<PageId> = worker.store.pages.parts().iter().filter_map(|part| part.page()).collect();
    let known: BTreeSet<PageId> = worker.reachable(&directory()).unwrap().into_iter().collect();
    let orphans = stored.difference(&known).count();
    assert_eq!(orphans, 0, "of {} pages", stored.len());
    drop(id(&create(worker, "a", "afterwards")));
}

fn directory() -> DirectoryId {
    DirectoryId::new("a").unwrap()
}

fn verify(_: &Request, view: &View<'_>, _: &Env<'_>) -> Result<Outcome, Fault> {
    let problems = Txn::open(view, &directory())?.map(|txn| scim::verify(&txn)).transpose()?.unwrap_or_default();
    let response = Response { body: problems.join("\n").into_bytes(), ..Response::empty(200) };
    Ok(Outcome { response, ..Outcome::default() })
}

/// A worker is suspended in the midst of a write, after so many of its calls, while another one sweeps; gives how many
/// calls the write would have made undisturbed.
fn sweep_amid_a_write(after: usize) -> usize {
    let envoy = Envoy::new();
    seed_entropy(1 << 40);
    let mut first = established(envoy.handle(0));
    (0..30).for_each(|n| drop(id(&create(&mut first, "a", &format!("user-{n}")))));
    let before = envoy.calls();
    drop(id(&create(&mut first, "a", "measured")));
    let calls = envoy.calls() - before;
    envoy.suspend(after);
    let created = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let _present = Present { envoy: &envoy, number: 1 };
            seed_entropy((1 << 40) + 1);
            id(&create(&mut worker(envoy.handle(1)), "a", "suspended"))
        });
        let present = Present { envoy: &envoy, number: 0 };
        worker(envoy.handle(0)).sweep(entropy, NOW);
        drop(present);
        writer.join().unwrap()
    });
    let mut last = established(envoy.calm());
    assert_eq!(get(&mut last, "a", &format!("/Users/{created}")).status, 200);
    holds_together(&mut last, true);
    calls
}

#[test]
fn a_sweep_takes_no_page_from_a_write_under_way() {
    let calls = sweep_amid_a_write(0);
    // The writer begins with an empty cache, so it makes more calls than were measured.
    for after in 1..2 * calls {
        sweep_amid_a_write(after);
    }
}

#[test]
fn interleaved_writers_lose_nothing_and_killed_ones_leave_nothing_that_lasts() {
    if let Some(seed) = std::env::var("SIMULATION_SEED").ok().and_then(|seed| seed.parse().ok()) {
        simulate(seed);
        return;
    }
    let mut kills = 0;
    for seed in 0..SEEDS {
        let done = catch_unwind(|| simulate(seed));
        kills += done.unwrap_or_else(|reason| {
            eprintln!("seed {seed} fails");
            resume_unwind(reason)
        });
    }
    assert!(kills > 20, "only {kills} workers were killed");
}
