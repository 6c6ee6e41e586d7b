//! Shared data as Envoy keeps it, for workers that take turns call by call, in an order drawn from a seed.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use scim_filter::shared::Shared;

/// When everything happens, in microseconds.
pub const NOW: u64 = 1_800_000_000_000_000;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }
}

thread_local! {
    static DRAWN: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// From here on this thread's entropy is that of `seed`.
pub fn seed_entropy(seed: u64) {
    DRAWN.set((seed, 0));
}

/// Entropy nobody has seen before, the same in every run of a test.
pub fn entropy() -> [u8; 32] {
    let (seed, count) = DRAWN.get();
    DRAWN.set((seed, count + 1));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&count.to_le_bytes());
    bytes
}

type Values = BTreeMap<String, Vec<u8>>;

/// One Envoy.
#[derive(Clone)]
pub struct Envoy(Arc<(Mutex<State>, Condvar)>);

struct State {
    values: BTreeMap<String, (Vec<u8>, u32)>,
    generation: u32,
    random: Random,
    /// Who makes the next call.
    turn: usize,
    /// How many calls more are that worker's, and whose are the next so many.
    burst: usize,
    schedule: VecDeque<(usize, usize)>,
    /// Calls made so far.
    calls: usize,
    /// Who is still there to make calls.
    present: Vec<bool>,
    /// One call in so many kills the worker that was about to make it; 0 for none.
    deadliness: usize,
}

/// What a killed worker unwinds with.
pub struct Killed;

impl Envoy {
    /// With one worker.
    pub fn new() -> Self {
        let state = State {
            values: BTreeMap::new(),
            generation: 0,
            random: Random(0),
            turn: 0,
            burst: 0,
            schedule: VecDeque::new(),
            calls: 0,
            present: vec![true],
            deadliness: 0,
        };
        Self(Arc::new((Mutex::new(state), Condvar::new())))
    }

    /// From here on so many workers take turns, in the order of `seed`; one call in `deadliness` kills its worker.
    pub fn race(&self, workers: usize, seed: u64, deadliness: usize) {
        let mut state = self.state();
        (state.random, state.deadliness) = (Random(seed), deadliness);
        state.present = vec![true; workers];
    }

    /// From here on worker 1 makes so many calls, then worker 0 as many as it wants, then worker 1 again.
    pub fn suspend(&self, after: usize) {
        let mut state = self.state();
        state.present = vec![true; 2];
        state.schedule = VecDeque::from([(0, usize::MAX)]);
        (state.turn, state.burst) = (1, after);
        if after == 0 {
            (state.turn, state.burst) = (0, usize::MAX);
            state.schedule.clear();
        }
    }

    /// Calls made so far.
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    /// From here on one worker has it to itself, and nobody is killed.
    pub fn calm(&self) -> Handle {
        let mut state = self.state();
        (state.present, state.turn, state.burst, state.deadliness) = (vec![true], 0, 0, 0);
        drop(state);
        self.handle(0)
    }

    /// Shared data as that worker sees it.
    pub fn handle(&self, worker: usize) -> Handle {
        Handle { envoy: self.clone(), worker }
    }

    /// That worker makes no more calls; the others go on.
    pub fn leave(&self, worker: usize) {
        let mut state = self.state();
        state.present[worker] = false;
        if state.turn == worker {
            state.pass_on();
        }
        self.0.1.notify_all();
    }

    pub fn values(&self) -> Values {
        self.state().values.iter().map(|(key, (value, _))| (key.clone(), value.clone())).collect()
    }

    /// Bytes of all values.
    pub fn size(&self) -> usize {
        self.values().values().map(Vec::len).sum()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }
}

impl State {
    /// The next call is anybody's, but now and then one worker makes many, as if the others were suspended.
    fn pass_on(&mut self) {
        if self.burst > 0 && self.present.get(self.turn) == Some(&true) {
            self.burst -= 1;
            return;
        }
        if let Some((worker, calls)) = self.schedule.pop_front() {
            (self.turn, self.burst) = (worker, calls);
            return;
        }
        self.burst = if self.random.below(50) == 0 { self.random.below(1500) } else { 0 };
        let present: Vec<usize> = (0..self.present.len()).filter(|worker| self.present[*worker]).collect();
        if !present.is_empty() {
            self.turn = present[self.random.below(present.len())];
        }
    }
}

/// One worker's shared data.
#[derive(Clone)]
pub struct Handle {
    envoy: Envoy,
    worker: usize,
}

impl Handle {
    /// Waits for this worker's turn, makes the call and passes the turn on.
    fn turn<T>(&self, call: impl FnOnce(&mut State) -> T) -> T {
        let (lock, changed) = &*self.envoy.0;
        let mut state = changed.wait_while(lock.lock().unwrap(), |state| state.turn != self.worker).unwrap();
        let killed = state.deadliness > 0 && {
            let bound = state.deadliness;
            state.random.below(bound) == 0
        };
        let result = (!killed).then(|| call(&mut state));
        state.calls += 1;
        state.pass_on();
        drop(state);
        changed.notify_all();
        result.unwrap_or_else(|| resume_unwind(Box::new(Killed)))
    }
}

impl Shared for Handle {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.turn(|state| state.values.get(key).cloned())
    }

    fn set(&self, key: &str, value: &[u8], expected: Option<u32>) -> bool {
        self.turn(|state| {
            let found = state.values.get(key).map(|(_, generation)| *generation);
            // Envoy writes to an absent key whatever the generation expected of it.
            if found.is_some_and(|found| Some(found) != expected) {
                return false;
            }
            state.generation += 1;
            let generation = state.generation;
            state.values.insert(key.to_owned(), (value.to_vec(), generation));
            true
        })
    }
}
