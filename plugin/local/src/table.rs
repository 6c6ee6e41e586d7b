//! A hash table of a fixed number of slots in shared data, which can not grow and from which nothing falls out.
//!
//! Envoy's shared data can neither delete nor list keys, so keys are numbers, and what a slot holds says whose it is:
//! a name and a value, or nothing. A name is looked for from the slot of its hash on, slot after slot, up to one that
//! was never used. It is put into the first slot that is free, never used or emptied, and never moves. So a reader
//! finds it whatever other workers do meanwhile, provided that no name is put in twice, which is the caller's part.

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
}

impl<S: Shared> Table<S> {
    /// A table of that many slots.
    pub fn new(shared: Rc<S>, slots: u32) -> Self {
        Self { shared, slots }
    }

    /// The value of a name.
    pub fn get(&self, name: &Name) -> Option<Vec<u8>> {
        self.find(name).map(|(_, _, value)| value)
    }

    /// Puts in a name that is not there.
    ///
    /// # Errors
    /// There is no room; nothing was put in.
    pub fn insert(&self, name: &Name, value: &[u8], room: Room) -> Result<(), Full> {
        let entry = [name, value].concat();
        for key in self.sections(name, room).flat_map(Section::keys) {
            let free = match self.shared.get(&key) {
                None => Some(None),
                Some((value, generation)) if value.is_empty() => Some(Some(generation)),
                Some(_) => None,
            };
            // A lost race means that another worker has the slot now.
            if free.is_some_and(|generation| self.shared.set(&key, &entry, generation)) {
                return Ok(());
            }
        }
        Err(Full)
    }

    /// Takes a name out, if it is there; its slot is free again.
    pub fn remove(&self, name: &Name) {
        if let Some((key, generation, _)) = self.find(name) {
            // A lost race means that another worker has removed it.
            self.shared.set(&key, &[], Some(generation));
        }
    }

    /// Every name that is there; one look at each slot.
    pub fn names(&self) -> Vec<Name> {
        let values = (0..self.slots).filter_map(|index| self.shared.get(&key(index)));
        values.filter_map(|(value, _)| value.first_chunk().copied()).collect()
    }

    fn find(&self, name: &Name) -> Option<(String, u32, Vec<u8>)> {
        for section in self.sections(name, Room::Reserve) {
            for key in section.keys() {
                // A slot that was never used ends its section.
                let Some((mut entry, generation)) = self.shared.get(&key) else { break };
                if entry.starts_with(name) {
                    return Some((key, generation, entry.split_off(NAME)));
                }
            }
        }
        None
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
struct Section {
    start: u32,
    slots: u32,
    first: u32,
    most: u32,
}

impl Section {
    /// The keys of the slots that may hold the name, in order.
    fn keys(self) -> impl Iterator<Item = String> {
        let Self { start, slots, first, most } = self;
        (0..most).map(move |step| key(start + first.wrapping_add(step).checked_rem(slots).unwrap_or(0)))
    }
}

fn key(index: u32) -> String {
    format!("lp-{index}")
}
