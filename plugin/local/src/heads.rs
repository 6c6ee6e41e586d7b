//! Heads in shared data, one slot for each connection there ever was: slots are given by configuration and kept.
//!
//! Who may enter and with what settings is said by the configuration of the filter that answers, not by what is
//! stored. So an update that adds, changes or removes connections or tokens is in force the moment Envoy uses it, one
//! that Envoy rejects never is, and the directories stay what they are. A head is *shown* to a step with the record
//! the configuration gives it.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use scim_engine::connections::record::Record;
use scim_engine::store::{DirectoryId, Head};
use scim_filter::shared::{Shared, slot_of};

use crate::config::Config;
use crate::table::Full;

/// The heads, and those this worker has shown.
pub struct Heads<S> {
    shared: Rc<S>,
    config: Rc<Config>,
    shown: HashMap<DirectoryId, Shown>,
}

/// A head as it was shown last, and where and when it was read.
struct Shown {
    key: String,
    generation: u32,
    head: Vec<u8>,
}

impl<S: Shared> Heads<S> {
    /// The heads of an Envoy, shown as this configuration says.
    pub fn new(shared: Rc<S>, config: Rc<Config>) -> Self {
        Self { shared, config, shown: HashMap::new() }
    }

    /// Makes a slot for a directory that has none. Answers whether there was none.
    ///
    /// # Errors
    /// Every slot is some other directory's.
    pub fn create(&self, directory: &DirectoryId, head: &[u8]) -> Result<bool, Full> {
        for key in self.keys(directory) {
            loop {
                match self.shared.get(&key) {
                    Some((slot, _)) if owner(&slot).as_ref() == Some(directory) => return Ok(false),
                    Some(_) => break,
                    None if self.shared.set(&key, &slot(directory, head), None) => return Ok(true),
                    // Another worker was faster: perhaps with the same directory.
                    None => {}
                }
            }
        }
        Err(Full)
    }

    /// The current head as a step may see it.
    pub fn load(&mut self, directory: &DirectoryId) -> Option<&[u8]> {
        let (key, generation, stored) = self.find(directory)?;
        let known = self.shown.get(directory).is_some_and(|shown| shown.generation == generation);
        if !known {
            let head = self.show(directory, stored);
            self.shown.insert(directory.clone(), Shown { key, generation, head });
        }
        self.shown.get(directory).map(|shown| shown.head.as_slice())
    }

    /// Replaces the head that was shown last, if it is `expected` and nobody else has replaced it since.
    pub fn swap(&mut self, directory: &DirectoryId, expected: &[u8], head: &[u8]) -> bool {
        let shown = self.shown.get(directory).filter(|shown| shown.head == expected);
        shown.is_some_and(|shown| self.shared.set(&shown.key, &slot(directory, head), Some(shown.generation)))
    }

    /// Every directory there is, of whatever configuration.
    pub fn directories(&self) -> Vec<DirectoryId> {
        let slots = (0..self.config.slots.connections).filter_map(|index| self.shared.get(&key(index)));
        slots.filter_map(|(slot, _)| owner(&slot)).collect()
    }

    fn find(&self, directory: &DirectoryId) -> Option<(String, u32, Vec<u8>)> {
        for key in self.keys(directory) {
            let (mut slot, generation) = self.shared.get(&key)?;
            if owner(&slot).as_ref() == Some(directory) {
                let head = slot.split_off(directory.as_str().len() + 1);
                return Some((key, generation, head));
            }
        }
        None
    }

    fn show(&self, directory: &DirectoryId, stored: Vec<u8>) -> Vec<u8> {
        let Some(configured) = self.config.connections.get(directory) else { return stored };
        let Ok(head) = Head::decode(Arc::from(stored.as_slice())) else { return stored };
        let Some(kept) = Record::from_bytes(head.record()) else { return stored };
        let Record { created_at, last_sync, dissolving, .. } = kept;
        let record = Record { created_at, last_sync, dissolving, ..configured.clone() };
        head.with_record(&record.to_bytes())
    }

    /// The slots where a directory may be, in order: all of them.
    fn keys(&self, directory: &DirectoryId) -> impl Iterator<Item = String> + use<S> {
        let slots = self.config.slots.connections;
        let first = slot_of(directory.as_str().as_bytes(), slots);
        (0..slots).map(move |step| key(first.wrapping_add(step).checked_rem(slots).unwrap_or(0)))
    }
}

fn key(index: u32) -> String {
    format!("lh-{index}")
}

/// A slot: a byte with the length of the directory's name, the name, and the head.
fn slot(directory: &DirectoryId, head: &[u8]) -> Vec<u8> {
    let name = directory.as_str().as_bytes();
    [&[u8::try_from(name.len()).unwrap_or(0)], name, head].concat()
}

fn owner(slot: &[u8]) -> Option<DirectoryId> {
    let (length, rest) = slot.split_first()?;
    DirectoryId::new(std::str::from_utf8(rest.get(..usize::from(*length))?).ok()?)
}
