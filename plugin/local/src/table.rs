//! A hash table of a fixed number of slots in shared data, which can not grow and from which nothing falls out.
//!
//! Envoy's shared data can neither delete nor list keys, so keys are numbers, and what a slot holds says whose it is:
//! a name and a value, or nothing. A name is looked for from the slot of its hash on, slot after slot, up to one that
//! was never used. It is put into the first slot that is free, never used or emptied, and never moves. So a reader
//! finds it whatever other workers do meanwhile, provided that no name is put in twice, which is the caller's part.
//!
//! A look at a slot copies a page. So a worker remembers what it saw in each, and begins with the slots that are likely to
//! be right. That is never more than a guess: other workers fill and empty slots too.

use std::cell::RefCell;
use std::rc::Rc;

use scim_filter::shared::{Shared, slot_of};

/// Bytes of a name.
pub const NAME: usize = 19;

/// Names an entry.
pub type Name = [u8; NAME];

/// Where an entry may be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Near the slot of its hash.
    Common,
    /// There, or anywhere in the last part of the table, which is kept for what will make room: deletions.
    Reserve,
}

/// How far from the slot of its hash an entry may be, so that reading stays quick.
const REACH: u32 = 64;

/// Slots of the reserve, unless an eighth of the table is more. Whatever a deletion's merge rewrites must fit: a leaf for
/// each entry that may be pending (`Limits::pending_entries`), and what is above them.
const RESERVE: u32 = 96;

/// No slot is free where the entry may be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The table.
pub struct Table<S> {
    shared: Rc<S>,
    slots: u32,
    /// Marks of the names this worker last saw in the slots.
    seen: RefCell<Vec<u32>>,
}

/// Mark of a slot that was empty, or not looked at yet.
const NOTHING: u32 = 0;

/// Stands for a name: another one may have the same.
fn mark(name: &Name) -> u32 {
    slot_of(name, u32::MAX) + 1
}

/// An entry where it lies.
struct Found {
    slot: u32,
    generation: u32,
    value: Vec<u8>,
}

impl<S: Shared> Table<S> {
    /// A table of that many slots.
    pub fn new(shared: Rc<S>, slots: u32) -> Self {
        Self { shared, slots, seen: RefCell::new(vec![NOTHING; slots as usize]) }
    }

    /// The value of a name.
    pub fn get(&self, name: &Name) -> Option<Vec<u8>> {
        self.find(name).map(|found| found.value)
    }

    /// Puts in a name that is not there.
    ///
    /// # Errors
    /// There is no room; nothing was put in.
    pub fn insert(&self, name: &Name, value: &[u8], room: Room) -> Result<(), Full> {
        let entry = [name, value].concat();
        let done = self.sections(name, room).any(|section| {
            section.slots().any(|slot| self.saw(slot, NOTHING) && self.fill(slot, name, &entry))
                || section.slots().any(|slot| self.fill(slot, name, &entry))
        });
        if done { Ok(()) } else { Err(Full) }
    }

    /// Takes a name out, if it is there, and answers what its value was; its slot is free again.
    pub fn remove(&self, name: &Name) -> Option<Vec<u8>> {
        let Found { slot, generation, value } = self.find(name)?;
        // A lost race means that another worker has removed it.
        self.shared.set(&key(slot), &[], Some(generation));
        self.note(slot, NOTHING);
        Some(value)
    }

    /// Every name that is there; one look at each slot.
    pub fn names(&self) -> Vec<Name> {
        let values = (0..self.slots).filter_map(|slot| self.look(slot));
        values.filter_map(|(value, _)| value.first_chunk().copied()).collect()
    }

    fn find(&self, name: &Name) -> Option<Found> {
        let of = |slot: u32, (mut entry, generation): (Vec<u8>, u32)| {
            let value = entry.starts_with(name).then(|| entry.split_off(NAME))?;
            Some(Found { slot, generation, value })
        };
        let mark = mark(name);
        self.sections(name, Room::Reserve).find_map(|section| {
            let likely = section.slots().filter(|slot| self.saw(*slot, mark));
            let found = likely.filter_map(|slot| of(slot, self.look(slot)?)).next();
            // A slot that was never used ends its section.
            let all = || section.slots().map_while(|slot| Some((slot, self.look(slot)?)));
            found.or_else(|| all().find_map(|(slot, entry)| of(slot, entry)))
        })
    }

    /// Puts an entry into a slot, if that is free.
    fn fill(&self, slot: u32, name: &Name, entry: &[u8]) -> bool {
        let generation = match self.look(slot) {
            None => None,
            Some((value, generation)) if value.is_empty() => Some(generation),
            Some(_) => return false,
        };
        // A lost race means that another worker has the slot now.
        let done = self.shared.set(&key(slot), entry, generation);
        if done {
            self.note(slot, mark(name));
        }
        done
    }

    /// What is in a slot; `None` if it was never used.
    fn look(&self, slot: u32) -> Option<(Vec<u8>, u32)> {
        let found = self.shared.get(&key(slot));
        let name = found.as_ref().and_then(|(entry, _)| entry.first_chunk());
        self.note(slot, name.map_or(NOTHING, mark));
        found
    }

    fn note(&self, slot: u32, mark: u32) {
        if let Some(seen) = self.seen.borrow_mut().get_mut(slot as usize) {
            *seen = mark;
        }
    }

    /// Whether that mark is what this worker saw there last.
    fn saw(&self, slot: u32, mark: u32) -> bool {
        self.seen.borrow().get(slot as usize) == Some(&mark)
    }

    /// The sections where a name may be, in order.
    fn sections(&self, name: &Name, room: Room) -> impl Iterator<Item = Section> + use<S> {
        let reserve = (self.slots / 8).max(RESERVE.min(self.slots / 2));
        let common = self.slots - reserve;
        let section =
            |start, slots, most: u32| Section { start, slots, first: slot_of(name, slots), most: most.min(slots) };
        let reserved = (room == Room::Reserve).then(|| section(common, reserve, reserve));
        [section(0, common, REACH)].into_iter().chain(reserved)
    }
}

/// Some neighbouring slots: so many of them, beginning with the first, may hold a name.
#[derive(Clone, Copy)]
struct Section {
    start: u32,
    slots: u32,
    first: u32,
    most: u32,
}

impl Section {
    /// The slots that may hold the name, in order.
    fn slots(self) -> impl Iterator<Item = u32> {
        let Self { start, slots, first, most } = self;
        (0..most).map(move |step| start + first.wrapping_add(step).checked_rem(slots).unwrap_or(0))
    }
}

fn key(slot: u32) -> String {
    format!("lp-{slot}")
}
