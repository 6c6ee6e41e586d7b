//! SCIM requests of many clients at once, over a store that fails, loses replies, lies about swaps and outlives clients
//! that crash between any two calls; from a seed.
//!
//! A *step* is one call to the store, or one thing that befalls it. `SIMULATION_SEED=7 cargo test --release --package
//! scim-engine --test simulator` replays one seed; `SIMULATION_STEPS` sets the number of steps of a run, and
//! `SIMULATION_GROUP` how many writes of a process may share a commit: if it is not set, every other seed has each commit
//! alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
// The seed to replay comes from the environment.
#![allow(clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::task::{Context, Waker};

use scim_engine::env::{Config, Credential, Limits, Timestamp};
use scim_engine::http::{Request, Response};
use scim_engine::store::memory::{MemoryStore, run};
use scim_engine::store::{Call, GroupCommit, Handler, PageCache, Reply, Session, Turn};
use scim_engine::{connections, scim};
use serde_json::{Value, json};

/// Steps of one seed.
const WORLD: usize = 20_000;
/// People, each with at most one request under way.
const SLOTS: usize = 24;
const GROUPS: usize = 3;
/// Clients at once.
const CLIENTS: usize = 6;
/// Steps between two looks at everything.
const LOOK: usize = 250;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }
}

/// A user as the directory must show it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Person {
    id: String,
    name: String,
    tag: String,
    title: String,
    groups: BTreeSet<usize>,
}

/// What a client wants of its slot.
#[derive(Clone, Debug)]
enum Wish {
    Create(Person),
    Become(Person),
    Leave,
    Look,
}

struct Client {
    slot: usize,
    wish: Wish,
    process: usize,
    session: Session,
    /// The call to make; none while it waits for others.
    call: Option<Call>,
}

/// A client that went away. Others of its process may still commit what it wanted, and those who come while they are at
/// it may take that over from them: it is not settled before its process has been without clients.
struct Ghost {
    slot: usize,
    wish: Wish,
    process: usize,
}

/// Sessions that share a cache and their commits.
struct Process {
    cache: PageCache,
    group: Arc<GroupCommit>,
}

struct World {
    seed: u64,
    random: Random,
    config: Arc<Config>,
    store: MemoryStore,
    truth: PageCache,
    processes: Vec<Process>,
    clock: u64,
    base: String,
    token: String,
    groups: Vec<String>,
    slots: Vec<Option<Person>>,
    clients: Vec<Client>,
    ghosts: Vec<Ghost>,
    late: Vec<Call>,
    acknowledged: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let vendor = Credential { client_id: "vendor".into(), secret: "secret".into() };
        let group = setting("SIMULATION_GROUP").unwrap_or(if seed.is_multiple_of(2) { 1 } else { 16 });
        let limits = Limits {
            page_bytes: 700,
            pending_entries: 24,
            pending_bytes: 2500,
            log_entries: 40,
            garbage_pages: 20,
            group: usize::try_from(group).unwrap(),
            ..Limits::default()
        };
        let config = Arc::new(Config { vendor: Some(vendor), limits, ..Config::default() });
        let mut world = Self {
            seed,
            random: Random(seed),
            config,
            store: MemoryStore::default(),
            truth: PageCache::new(1 << 22),
            processes: [0, 6000, 1 << 22].map(Process::new).into(),
            clock: 1_700_000_000_000,
            base: String::new(),
            token: String::new(),
            groups: Vec::new(),
            slots: vec![None; SLOTS],
            clients: Vec::new(),
            ghosts: Vec::new(),
            late: Vec::new(),
            acknowledged: 0,
        };
        let credential = json!({ "clientId": "vendor", "secret": "secret" });
        world.token = text(&world.honestly(connections::handle, "POST", "/auth/vendor/", &credential)["token"]);
        let wanted = json!({ "source": "okta", "connectionName": "simulated" });
        let made = world.honestly(connections::handle, "POST", "/directory/resources/v1/configurations/scim2", &wanted);
        world.base = format!("/directory/resources/scim/v2.0/{}", text(&made["id"]));
        world.token = text(&made["token"]);
        for number in 0..GROUPS {
            let target = format!("{}/Groups", world.base);
            let group = json!({ "displayName": format!("g{number}") });
            let made = world.honestly(scim::handle, "POST", &target, &group);
            world.groups.push(text(&made["id"]));
        }
        world
    }

    fn session(&mut self, handler: Handler, method: &str, target: &str, body: &Value) -> Session {
        self.clock += 3;
        let mut headers = vec![("host".to_owned(), b"scim.example".to_vec())];
        headers.push(("authorization".to_owned(), format!("Bearer {}", self.token).into_bytes()));
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request { method: method.into(), target: target.into(), headers, body, source: None };
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.clock.to_be_bytes());
        seed[8..16].copy_from_slice(&self.seed.to_be_bytes());
        Session::new(handler, request, seed, Timestamp(self.clock), Arc::clone(&self.config))
    }

    /// A request that nothing befalls.
    fn honestly(&mut self, handler: Handler, method: &str, target: &str, body: &Value) -> Value {
        let session = self.session(handler, method, target, body);
        let response = run(session, &self.store, &self.truth);
        assert!(response.status < 300, "seed {}: {method} {target}: {}", self.seed, response.status);
        serde_json::from_slice(&response.body).unwrap_or_default()
    }

    fn look_at(&mut self, path: &str) -> Value {
        let target = format!("{}{path}", self.base);
        self.honestly(scim::handle, "GET", &target, &Value::Null)
    }

    /// Slots whose state is in somebody's hands.
    fn busy(&self) -> HashSet<usize> {
        let ghosts = self.ghosts.iter().map(|ghost| ghost.slot);
        self.clients.iter().map(|client| client.slot).chain(ghosts).collect()
    }

    fn step(&mut self) {
        let busy = self.busy();
        if self.clients.is_empty() || (self.clients.len() < CLIENTS && self.random.below(100) < 25) {
            let slot = self.random.below(SLOTS);
            if !busy.contains(&slot) {
                return self.arrive(slot);
            }
        }
        if !self.late.is_empty() && self.random.below(100) < 10 {
            let at = self.random.below(self.late.len());
            let call = self.late.swap_remove(at);
            self.store.call(&call);
            return;
        }
        if self.clients.is_empty() {
            return;
        }
        if self.random.below(500) == 0 {
            return self.crash();
        }
        let ready: Vec<usize> = (0..self.clients.len()).filter(|at| self.clients[*at].is_ready()).collect();
        assert!(!ready.is_empty(), "seed {}: nobody can go on", self.seed);
        let at = ready[self.random.below(ready.len())];
        let mut client = self.clients.swap_remove(at);
        match client.call.take() {
            Some(call) => self.advance(client, &call),
            // One that waits may go away too.
            None if self.random.below(50) == 0 => self.bury(client),
            None => self.turn(client, None),
        }
    }

    /// A process dies, and all its requests with it.
    fn crash(&mut self) {
        let process = self.random.below(self.processes.len());
        let (dead, alive) = self.clients.drain(..).partition(|client: &Client| client.process == process);
        self.clients = alive;
        let dead: Vec<_> = dead.into_iter().map(|client| (client.slot, client.wish)).collect();
        dead.into_iter().for_each(|(slot, wish)| self.settle(slot, &wish, None));
        self.release(process);
    }

    /// A client goes away, which the others of its process outlive.
    fn bury(&mut self, client: Client) {
        let Client { slot, wish, process, session, .. } = client;
        drop(session);
        self.ghosts.push(Ghost { slot, wish, process });
        self.release(process);
    }

    /// A client has ended: if it was the last of its process, its ghosts are settled.
    fn release(&mut self, process: usize) {
        if self.clients.iter().any(|client| client.process == process) {
            return;
        }
        let (settled, haunting) = self.ghosts.drain(..).partition(|ghost: &Ghost| ghost.process == process);
        self.ghosts = haunting;
        settled.into_iter().for_each(|ghost: Ghost| self.settle(ghost.slot, &ghost.wish, None));
    }

    fn arrive(&mut self, slot: usize) {
        let (wish, method, path, body) = self.wish(slot);
        let target = format!("{}{path}", self.base);
        let process = self.random.below(self.processes.len());
        let session = self.session(scim::handle, method, &target, &body);
        let Process { cache, group } = &self.processes[process];
        let mut session = session.committing_with(group);
        let call = match session.turn(cache, None) {
            Turn::Call(call) => Some(call),
            Turn::Wait => None,
            Turn::Done(_) => panic!("answered from nothing"),
        };
        self.clients.push(Client { slot, wish, process, session, call });
    }

    fn wish(&mut self, slot: usize) -> (Wish, &'static str, String, Value) {
        let tag = format!("t{}", self.clock);
        let Some(person) = self.slots[slot].clone() else {
            // Some names are wanted by several.
            let shared = self.random.below(3) == 0;
            let name = if shared { format!("shared{}", slot % 4) } else { format!("own{slot}") };
            let title = "new".to_owned();
            let body = json!({ "userName": name, "externalId": tag, "title": title });
            let person = Person { id: String::new(), name, tag, title, groups: BTreeSet::new() };
            return (Wish::Create(person), "POST", "/Users".into(), body);
        };
        let path = format!("/Users/{}", person.id);
        match self.random.below(10) {
            0 => (Wish::Leave, "DELETE", path, Value::Null),
            1..=3 => (Wish::Look, "GET", path, Value::Null),
            4 | 5 => {
                let change = json!({ "op": "replace", "path": "title", "value": tag });
                (Wish::Become(Person { title: tag, ..person }), "PATCH", path, json!({ "Operations": [change] }))
            }
            _ => {
                let group = self.random.below(GROUPS);
                let mut groups = person.groups.clone();
                let change = if groups.insert(group) {
                    json!({ "op": "add", "path": "members", "value": [{ "value": person.id }] })
                } else {
                    groups.remove(&group);
                    json!({ "op": "remove", "path": format!("members[value eq \"{}\"]", person.id) })
                };
                let path = format!("/Groups/{}", self.groups[group]);
                (Wish::Become(Person { groups, ..person }), "PATCH", path, json!({ "Operations": [change] }))
            }
        }
    }

    /// Makes a client's call and hands in the reply, or what fate makes of them.
    fn advance(&mut self, client: Client, call: &Call) {
        let fate = self.random.below(100);
        let mut reply = Reply::Failed("lost".to_owned());
        if !(4..8).contains(&fate) {
            reply = self.store.call(call);
        } else if !matches!(call, Call::SwapHead { .. }) && fate < 6 {
            self.late.push(call.clone());
        }
        if fate < 2 {
            return self.bury(client);
        }
        if (2..4).contains(&fate) {
            reply = Reply::Failed("lost".to_owned());
        }
        if let (Reply::Swapped(done), Call::SwapHead { directory, .. }) = (&reply, call) {
            reply = match self.random.below(4) {
                0 => Reply::Swapped(true),
                1 => Reply::Swapped(false),
                // A host that compares for itself says what it has found.
                2 if !done => self.store.call(&Call::LoadHead(directory.clone())),
                _ => reply,
            };
        }
        self.turn(client, Some(reply));
    }

    fn turn(&mut self, mut client: Client, reply: Option<Reply>) {
        match client.session.turn(&self.processes[client.process].cache, reply) {
            Turn::Call(call) => self.clients.push(Client { call: Some(call), ..client }),
            Turn::Wait => self.clients.push(client),
            Turn::Done(response) => {
                self.settle(client.slot, &client.wish, Some(&response));
                self.release(client.process);
            }
        }
    }

    /// A request is over: what was acknowledged is there, whole; what was not is there or not, never half.
    fn settle(&mut self, slot: usize, wish: &Wish, response: Option<&Response>) {
        let before = self.slots[slot].clone();
        let status = response.map_or(503, |response| response.status);
        let seed = self.seed;
        let tag = match wish {
            Wish::Create(person) => person.tag.clone(),
            _ => before.as_ref().map(|person| person.tag.clone()).unwrap_or_default(),
        };
        let now = self.person(&tag);
        let wanted = match wish {
            Wish::Create(person) => {
                let id = now.as_ref().map(|now| now.id.clone()).unwrap_or_default();
                Some(Person { id, ..person.clone() })
            }
            Wish::Become(person) => Some(person.clone()),
            Wish::Leave => None,
            Wish::Look => before.clone(),
        };
        match status {
            200 | 201 | 204 => {
                self.acknowledged += 1;
                assert_eq!(now, wanted, "seed {seed}: acknowledged {wish:?}, was {before:?}");
            }
            409 => {
                let clashes = matches!(wish, Wish::Create(person) if person.name.starts_with("shared"));
                assert!(clashes, "seed {seed}: refused {wish:?}");
                assert_eq!(now, before, "seed {seed}: refused {wish:?}");
            }
            503 => assert!(now == wanted || now == before, "seed {seed}: {now:?} of {before:?} and {wish:?}"),
            other => panic!("seed {seed}: {other} for {wish:?}, was {before:?}, is {now:?}"),
        }
        if let (Wish::Look, Some(response), Some(before)) = (wish, response.filter(|r| r.status == 200), before) {
            let seen = self.seen(&serde_json::from_slice(&response.body).unwrap());
            assert_eq!(seen, before, "seed {seed}: a reader saw something else");
        }
        self.slots[slot] = now;
    }

    /// The user created by that request, looked up by index.
    fn person(&mut self, tag: &str) -> Option<Person> {
        let found = self.look_at(&format!("/Users?filter=externalId%20eq%20%22{tag}%22"));
        assert!(found["totalResults"].as_u64() < Some(2), "seed {}: created twice", self.seed);
        found["Resources"].get(0).map(|user| self.seen(user))
    }

    fn seen(&self, user: &Value) -> Person {
        let groups = user["groups"].as_array().into_iter().flatten();
        let number = |group: &Value| self.groups.iter().position(|id| group["value"] == id.as_str()).unwrap();
        Person {
            id: text(&user["id"]),
            name: text(&user["userName"]),
            tag: text(&user["externalId"]),
            title: text(&user["title"]),
            groups: groups.map(number).collect(),
        }
    }

    /// Everything, with nothing cached: every page there, lists, indexes and both sides of memberships agreeing.
    fn look(&mut self) {
        self.truth = PageCache::new(1 << 22);
        let seed = self.seed;
        let listed = self.look_at("/Users?count=200");
        let users: Vec<Person> = listed["Resources"].as_array().unwrap().iter().map(|user| self.seen(user)).collect();
        assert_eq!(listed["totalResults"], users.len(), "seed {seed}: the count is wrong");
        let names: HashSet<&str> = users.iter().map(|user| user.name.as_str()).collect();
        assert_eq!(names.len(), users.len(), "seed {seed}: a name is held twice");
        for user in &users {
            let found = self.look_at(&format!("/Users?filter=userName%20eq%20%22{}%22", user.name));
            assert_eq!(found["totalResults"], 1, "seed {seed}: {user:?} is not found by name");
            assert_eq!(text(&found["Resources"][0]["id"]), user.id, "seed {seed}");
        }
        let by_tag: BTreeMap<&str, &Person> = users.iter().map(|user| (user.tag.as_str(), user)).collect();
        let busy = self.busy();
        for (slot, person) in self.slots.iter().enumerate().filter(|(slot, _)| !busy.contains(slot)) {
            let Some(person) = person else { continue };
            assert_eq!(by_tag.get(person.tag.as_str()), Some(&person), "seed {seed}: slot {slot}");
        }
        for number in 0..GROUPS {
            let path = format!("/Groups/{}", self.groups[number]);
            let group = self.look_at(&path);
            let members: BTreeSet<String> =
                group["members"].as_array().into_iter().flatten().map(|member| text(&member["value"])).collect();
            let within = users.iter().filter(|user| user.groups.contains(&number)).map(|user| user.id.clone());
            assert_eq!(members, within.collect(), "seed {seed}: the sides of a membership differ");
        }
    }
}

impl Client {
    fn is_ready(&self) -> bool {
        self.call.is_some() || self.session.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready()
    }
}

impl Process {
    fn new(cache: usize) -> Self {
        Self { cache: PageCache::new(cache), group: Arc::default() }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn simulate(seed: u64, steps: usize) -> usize {
    println!(
        "replay: SIMULATION_SEED={seed} SIMULATION_STEPS={steps} cargo test --release -p scim-engine --test simulator"
    );
    let mut world = World::new(seed);
    for step in 0..steps {
        world.step();
        if step % LOOK == 0 {
            world.look();
        }
    }
    world.look();
    world.acknowledged
}

#[test]
fn no_fault_between_any_two_calls_shows_in_what_clients_were_told() {
    let default = if cfg!(debug_assertions) { 40_000 } else { 1_000_000 };
    let steps = setting("SIMULATION_STEPS").map_or(default, |steps| usize::try_from(steps).unwrap());
    let worlds = steps.div_ceil(WORLD).max(1) as u64;
    let seeds = setting("SIMULATION_SEED").map_or(0..worlds, |seed| seed..seed + 1);
    for seed in seeds {
        let acknowledged = simulate(seed, steps.min(WORLD));
        assert!(acknowledged > steps.min(WORLD) / 100, "seed {seed}: only {acknowledged} were acknowledged");
    }
}
