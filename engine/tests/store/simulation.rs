//! Many writers and readers on a store that delays, fails, loses replies, lies about swaps and outlives crashing
//! clients, from a seed. A failing seed is named: call `simulate` with it alone to replay.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use scim_engine::env::Config;
use scim_engine::store::memory::{MemoryStore, run};
use scim_engine::store::{Call, PageCache, Reply, Session, Turn, head_key};

use crate::support::{check_tree, config, directory, session, tiny};

type Model = BTreeMap<String, String>;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn in_a_hundred(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

struct Client {
    session: Session,
    script: String,
    call: Call,
    /// The head this client saw last.
    seen: Vec<u8>,
    committed: bool,
}

struct World {
    seed: u64,
    random: Random,
    config: Arc<Config>,
    store: MemoryStore,
    caches: Vec<PageCache>,
    clients: Vec<Client>,
    late: Vec<Call>,
    /// What the directory holds under every head there ever was.
    models: HashMap<Vec<u8>, Model>,
    started: u64,
    acknowledged: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let (store, config) = (MemoryStore::default(), config(tiny()));
        assert_eq!(run(session("create", u64::MAX, &config), &store, &PageCache::new(0)).status, 200);
        let head = store.values()[&head_key(&directory())].clone();
        Self {
            seed,
            random: Random(seed),
            config,
            store,
            caches: [0, 1500, 1 << 20].map(PageCache::new).into(),
            clients: Vec::new(),
            late: Vec::new(),
            models: HashMap::from([(head, Model::new())]),
            started: 0,
            acknowledged: 0,
        }
    }

    fn script(&mut self) -> String {
        if self.random.in_a_hundred(25) {
            return "list".to_owned();
        }
        let lines = 1 + self.random.below(8);
        let line = |random: &mut Random| {
            let key = random.below(60);
            match random.below(5) {
                0 | 1 => format!("put k{key:02} {}\n", random.below(1000)),
                2 => format!("put k{key:02} {}\n", "x".repeat(40)),
                3 => format!("remove k{key:02}\n"),
                _ => "add sum\n".to_owned(),
            }
        };
        (0..lines).map(|_| line(&mut self.random)).collect()
    }

    fn arrive(&mut self) {
        let script = self.script();
        self.started += 1;
        let number = self.seed.wrapping_mul(1 << 20).wrapping_add(self.started);
        let mut session = session(&script, number, &self.config);
        let Turn::Call(call) = session.turn(&self.caches[0], None) else { panic!("nothing is answered from nothing") };
        self.clients.push(Client { session, script, call, seen: Vec::new(), committed: false });
    }

    /// Makes a call and keeps the model: a swap that happens is the one moment of change.
    fn make(&mut self, call: &Call, script: Option<&str>) -> (Reply, bool) {
        let reply = self.store.call(call);
        let Call::SwapHead { expected, head, .. } = call else { return (reply, false) };
        if reply != Reply::Swapped(true) {
            return (reply, false);
        }
        let mut model = self.models[&**expected].clone();
        script.into_iter().flat_map(str::lines).for_each(|line| apply(&mut model, line));
        assert!(self.models.insert(head.clone(), model).is_none(), "seed {}: a head came twice", self.seed);
        (reply, true)
    }

    fn step(&mut self) {
        if self.clients.is_empty() || (self.clients.len() < 6 && self.random.in_a_hundred(20)) {
            return self.arrive();
        }
        if !self.late.is_empty() && self.random.in_a_hundred(10) {
            let at = usize::try_from(self.random.below(self.late.len() as u64)).unwrap();
            let call = self.late.swap_remove(at);
            self.store.call(&call);
            return;
        }
        let at = usize::try_from(self.random.below(self.clients.len() as u64)).unwrap();
        let mut client = self.clients.swap_remove(at);
        let fate = self.random.below(100);
        let made = !(4..8).contains(&fate);
        let mut reply = Reply::Failed("lost".to_owned());
        if made {
            let (truth, swapped) = self.make(&client.call, Some(&client.script));
            client.committed |= swapped;
            reply = truth;
        } else if !matches!(client.call, Call::SwapHead { .. }) && fate < 6 {
            // Late swaps are tried exhaustively in `crashes`; here they would need a model of their own.
            self.late.push(client.call.clone());
        }
        if fate < 2 {
            return; // the client died
        }
        if (2..4).contains(&fate) {
            reply = Reply::Failed("lost".to_owned());
        }
        if let Reply::Swapped(_) = reply {
            reply = match self.random.below(4) {
                0 => Reply::Swapped(true),
                1 => Reply::Swapped(false),
                _ => reply,
            };
        }
        if let Reply::Head(Some(bytes)) = &reply {
            client.seen.clone_from(bytes);
        }
        let cache = usize::try_from(self.random.below(3)).unwrap();
        match client.session.turn(&self.caches[cache], Some(reply)) {
            Turn::Call(call) => {
                client.call = call;
                self.clients.push(client);
            }
            Turn::Done(response) => match response.status {
                200 if client.script == "list" => {
                    assert_eq!(
                        String::from_utf8(response.body).unwrap(),
                        text(&self.models[&client.seen]),
                        "seed {}",
                        self.seed
                    );
                }
                200 => {
                    assert!(client.committed, "seed {}: acknowledged, but not committed", self.seed);
                    self.acknowledged += 1;
                }
                status => assert_eq!(status, 503, "seed {}: {:?}", self.seed, client.session.incident()),
            },
        }
    }

    fn check(&self) {
        check_tree(&self.store, &directory(), tiny().page_bytes);
        let head = self.store.values()[&head_key(&directory())].clone();
        let seen = run(session("list", 0, &self.config), &self.store, &PageCache::new(0));
        assert_eq!(String::from_utf8(seen.body).unwrap(), text(&self.models[&head]), "seed {}", self.seed);
    }
}

fn apply(model: &mut Model, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    match words[0] {
        "put" => drop(model.insert(words[1].to_owned(), words[2].to_owned())),
        "remove" => drop(model.remove(words[1])),
        _ => {
            let sum = model.get(words[1]).map_or(0, |sum| sum.parse::<u64>().unwrap());
            model.insert(words[1].to_owned(), (sum + 1).to_string());
        }
    }
}

fn text(model: &Model) -> String {
    model.iter().map(|(key, value)| format!("{key}={value};")).collect()
}

fn simulate(seed: u64, steps: usize) -> u64 {
    let mut world = World::new(seed);
    for step in 0..steps {
        world.step();
        if step % 100 == 0 {
            world.check();
        }
    }
    world.check();
    world.acknowledged
}

#[test]
fn no_fault_loses_an_acknowledged_write_or_shows_half_of_one() {
    for seed in 0..100 {
        let acknowledged = simulate(seed, 1000);
        assert!(acknowledged > 20, "seed {seed}: {acknowledged}");
    }
}
