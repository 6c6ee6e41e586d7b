//! How many requests a connection may make, counted by all workers of an Envoy together: a limit per worker would depend
//! on how many workers there are and on which of them the kernel picks.
//!
//! What is counted is kept as one time, when the requests so far would be due if they kept the rate (the generic cell rate
//! algorithm of ITU-T I.371). Each request moves it on by its share of a second; further than a burst ahead of the clock
//! it must not get. It lies in a fixed number of slots of shared data, found by hash. Only admitted requests are
//! counted, so nobody without a token uses up a connection's share, or writes anything.
//!
//! A connection has a choice of slots. It takes the place of the one whose time is least ahead: mostly one that is not ahead
//! at all, of which there is nothing to remember. Else it goes on from that time, so that connections which push each other
//! out are let through no more, all together, than their slots are.

use std::rc::Rc;

use scim_engine::store::DirectoryId;

use crate::config::Rate;
use crate::quick::QuickMap;
use crate::shared::{Shared, slot_of};

/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// Lost races after which requests go uncounted.
const ATTEMPTS: usize = 16;

/// Slots a connection may lie in.
const CHOICE: u32 = 8;

/// Of a large burst, this part may be admitted by a worker before it counts it: each count is two calls to Envoy.
const BATCHES: u32 = 64;
/// But no more than so many requests.
const BATCH: u32 = 16;
/// And for no longer than this, in microseconds.
const DELAY: u64 = 20_000;

/// The slots; one holds 8 bytes little-endian, the time in nanoseconds, and the directory's name.
pub struct Rates<S> {
    shared: Rc<S>,
    slots: u32,
    /// Nanoseconds of one request; 0 for no limit.
    share: u64,
    /// Nanoseconds the due time may be ahead.
    burst: u64,
    /// Requests a worker may admit before it counts them.
    batch: u32,
    /// What this worker knows of slots.
    tabs: QuickMap<u32, Tab>,
}

/// A slot, the due time in it, and its generation.
#[derive(Default)]
struct Place {
    index: u32,
    due: u64,
    generation: Option<u32>,
}

/// What one worker admitted since it last counted.
struct Tab {
    directory: DirectoryId,
    /// The due time then.
    due: u64,
    /// When that was, in microseconds.
    counted: u64,
    /// Requests since.
    open: u32,
}

impl<S: Shared> Rates<S> {
    /// A rate for each connection.
    pub fn new(shared: Rc<S>, slots: u32, rate: Rate) -> Self {
        let share = SECOND.checked_div(rate.per_second.into()).unwrap_or(0);
        Self {
            shared,
            slots,
            share,
            burst: share * u64::from(rate.burst.max(1)),
            batch: (rate.burst / BATCHES).min(BATCH),
            tabs: QuickMap::default(),
        }
    }

    /// Admits one more request at `now`, in microseconds, if there is room for it.
    pub fn take(&mut self, directory: &DirectoryId, now: u64) -> bool {
        if self.share == 0 {
            return true;
        }
        let most = now * 1000 + self.burst;
        let tab =
            self.choice(directory).find(|index| self.tabs.get(index).is_some_and(|tab| tab.directory == *directory));
        if let Some(tab) = tab.and_then(|index| self.tabs.get_mut(&index)) {
            let due = tab.due.max(now * 1000) + self.share * u64::from(tab.open + 1);
            if tab.open < self.batch && now.saturating_sub(tab.counted) < DELAY && due <= most {
                tab.open += 1;
                return true;
            }
        }
        for _ in 0..ATTEMPTS {
            let Place { index, due, generation } = self.place(directory, now);
            // What a connection that is pushed out has open is counted with the slot.
            let open = self.tabs.get(&index).map_or(0, |tab| tab.open);
            let due = due + self.share * u64::from(open + 1);
            if due > most {
                return false;
            }
            let value = [&due.to_le_bytes(), directory.as_str().as_bytes()].concat();
            if self.shared.set(&key(index), &value, generation) {
                let tab = Tab { directory: directory.clone(), due, counted: now, open: 0 };
                self.tabs.insert(index, tab);
                return true;
            }
        }
        true
    }

    /// The slots a directory may lie in.
    fn choice(&self, directory: &DirectoryId) -> impl Iterator<Item = u32> + use<S> {
        let (first, slots) = (slot_of(directory.as_str().as_bytes(), self.slots), self.slots);
        (0..CHOICE.min(slots)).map(move |step| first.wrapping_add(step).checked_rem(slots).unwrap_or(0))
    }

    /// Where a directory lies, or else is to lie.
    fn place(&self, directory: &DirectoryId, now: u64) -> Place {
        let mut least: Option<Place> = None;
        for index in self.choice(directory) {
            let found = self.shared.get(&key(index));
            let slot = found.as_ref().and_then(|(value, _)| value.split_first_chunk());
            // Only a clock that was put back leaves a due time so far ahead: it must not shut anybody out.
            let due = slot.map_or(0, |(due, _)| u64::from_le_bytes(*due));
            let due = if due > now * 1000 + 2 * self.burst + SECOND { 0 } else { due }.max(now * 1000);
            let place = Place { index, due, generation: found.as_ref().map(|(_, generation)| *generation) };
            if slot.is_some_and(|(_, name)| name == directory.as_str().as_bytes()) {
                return place;
            }
            if least.as_ref().is_none_or(|least| due < least.due) {
                least = Some(place);
            }
        }
        least.unwrap_or_default()
    }
}

/// The key of a slot.
pub fn key(index: u32) -> String {
    format!("rate-{index}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Memory;

    /// In microseconds.
    const SECOND: u64 = 1_000_000;

    fn directory(name: &str) -> DirectoryId {
        DirectoryId::new(name).unwrap()
    }

    fn taken(rates: &mut Rates<Rc<Memory>>, name: &str, now: u64) -> usize {
        let take = |_: &usize| rates.take(&directory(name), now);
        (0..10_000).take_while(take).count()
    }

    #[test]
    fn a_burst_goes_through_and_then_the_rate() {
        let shared = Rc::new(Rc::new(Memory::default()));
        let rate = Rate { per_second: 10, burst: 30 };
        let mut workers = [(); 2].map(|()| Rates::new(Rc::clone(&shared), 8, rate));
        let now = 1_800_000_000 * SECOND;
        assert_eq!(taken(&mut workers[0], "a", now), 30);
        assert_eq!(taken(&mut workers[1], "a", now), 0);
        assert_eq!(taken(&mut workers[1], "b", now), 30);
        assert_eq!(taken(&mut workers[1], "a", now + SECOND / 2), 5);
        assert_eq!(taken(&mut workers[0], "a", now + SECOND), 5);
        assert_eq!(taken(&mut workers[0], "a", now + 60 * SECOND), 30);
        assert_eq!(taken(&mut workers[0], "a", now), 30);
        assert_eq!(taken(&mut workers[0], "a", now + SECOND), 10);
        assert!(shared.values.borrow().len() <= 8);
    }

    #[test]
    fn a_worker_counts_many_requests_at_once_and_is_ahead_of_the_others_by_no_more() {
        let shared = Rc::new(Rc::new(Memory::default()));
        let rate = Rate { per_second: 1000, burst: 5000 };
        let mut workers = [(); 2].map(|()| Rates::new(Rc::clone(&shared), 8, rate));
        let now = 1_800_000_000 * SECOND;
        let rounds = (0..10_000).map(|_| workers.each_mut().map(|worker| worker.take(&directory("a"), now)));
        let admitted = rounds.flatten().filter(|admitted| *admitted).count();
        assert!((5000..=5000 + 2 * 16).contains(&admitted), "{admitted} were admitted");
        let sets = shared.generation.get();
        assert!(sets < 400, "{sets} calls for {admitted} requests");
        // A request a second is counted at once.
        let later = now + 60 * SECOND;
        let before = shared.generation.get();
        (0..5).for_each(|second| assert!(workers[0].take(&directory("a"), later + second * SECOND)));
        assert_eq!(shared.generation.get(), before + 5);
    }

    /// Names of directories whose first slots are the same one.
    fn alike(slots: u32, count: usize) -> Vec<String> {
        let names = (0..).map(|number| format!("name-{number}"));
        names.filter(|name| slot_of(name.as_bytes(), slots) == 3).take(count).collect()
    }

    #[test]
    fn connections_of_one_slot_do_not_lift_each_others_limit() {
        for rate in [Rate { per_second: 10, burst: 30 }, Rate { per_second: 100, burst: 640 }] {
            let burst = rate.burst as usize;
            for count in [2, CHOICE as usize, 100] {
                let shared = Rc::new(Rc::new(Memory::default()));
                let mut rates = Rates::new(Rc::clone(&shared), 1024, rate);
                let (names, now) = (alike(1024, count), 1_800_000_000 * SECOND);
                // Each in turn, and each many times before the next.
                for times in [1, 40] {
                    let now = now + times * 60 * SECOND;
                    let turns = (0..2 * burst).flat_map(|_| &names).flat_map(|name| (0..times).map(move |_| name));
                    let admitted = turns
                        .take(3 * burst * CHOICE as usize)
                        .filter(|name| rates.take(&directory(name), now))
                        .count();
                    let (most, batches) = (burst * count.min(CHOICE as usize), BATCH as usize * count);
                    let least = if count > CHOICE as usize { 0 } else { most - batches.min(most) };
                    assert!((least..=most + batches).contains(&admitted), "{admitted} of {count} connections");
                }
                assert!(shared.values.borrow().len() <= CHOICE as usize);
            }
        }
    }

    #[test]
    fn no_rate_is_no_limit_and_writes_nothing() {
        let shared = Rc::new(Rc::new(Memory::default()));
        let mut rates = Rates::new(Rc::clone(&shared), 8, Rate { per_second: 0, burst: 1 });
        assert_eq!(taken(&mut rates, "a", SECOND), 10_000);
        assert!(shared.values.borrow().is_empty());
    }
}
