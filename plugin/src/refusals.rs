//! What this worker has refused and not yet told the origin, for the connections' provisioning logs.
//!
//! Telling never delays an answer, and costs the origin little however much is refused: what does not fit is dropped and
//! counted, and the last entry kept says that later ones are missing.

use scim_engine::edge;
use scim_engine::log::Entry;
use scim_engine::store::DirectoryId;

/// Connections of which refusals are kept at once.
const MAX_DIRECTORIES: usize = 64;
/// How many of them may be such that this Envoy knows nothing of: most of those do not exist.
const MAX_UNKNOWN: usize = 2;
/// Connections reported at a time.
const MAX_REPORTS: usize = 8;

/// Refusals by connection.
#[derive(Default)]
pub struct Refusals {
    /// Few enough to look through.
    batches: Vec<Batch>,
    dropped: u64,
}

struct Batch {
    directory: DirectoryId,
    known: bool,
    entries: Vec<Entry>,
}

impl Refusals {
    /// Keeps an entry if there is room; it is made only then. `known` tells whether this Envoy has seen the connection.
    pub fn note(&mut self, directory: &DirectoryId, known: bool, entry: impl FnOnce() -> Option<Entry>) {
        let found = self.batches.iter().position(|batch| batch.directory == *directory);
        if found.is_none() {
            let unknown = self.batches.iter().filter(|batch| !batch.known).count();
            if self.batches.len() >= MAX_DIRECTORIES || (!known && unknown >= MAX_UNKNOWN) {
                self.dropped += 1;
                return;
            }
            self.batches.push(Batch { directory: directory.clone(), known, entries: Vec::new() });
        }
        let batch = match found {
            Some(index) => self.batches.get_mut(index),
            None => self.batches.last_mut(),
        };
        let Some(batch) = batch else { return };
        batch.known |= known;
        if batch.entries.len() < edge::MAX_REFUSALS {
            batch.entries.extend(entry());
            return;
        }
        self.dropped += 1;
        if let Some(last) = batch.entries.last_mut() {
            last.limited = true;
        }
    }

    /// Some connections' refusals, as bodies of requests: the known ones' first.
    pub fn take(&mut self) -> Vec<(DirectoryId, Vec<Entry>)> {
        let first = |known: bool| move |batch: &Batch| batch.known == known;
        let mut taken = Vec::new();
        while taken.len() < MAX_REPORTS {
            let next = self.batches.iter().position(first(true)).or_else(|| self.batches.iter().position(first(false)));
            let Some(batch) = next.map(|index| self.batches.swap_remove(index)) else { break };
            taken.push((batch.directory, batch.entries));
        }
        taken
    }

    /// Counts refusals that nobody will hear of.
    pub fn lost(&mut self, number: usize) {
        self.dropped += number as u64;
    }

    /// How many refusals were dropped since the last time this was asked.
    pub fn dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(refusals: &mut Refusals, name: &str, known: bool) {
        let directory = DirectoryId::new(name).unwrap();
        refusals.note(&directory, known, || Some(Entry { status: 401, ..Entry::default() }));
    }

    #[test]
    fn a_batch_is_bounded_and_its_last_entry_says_so() {
        let mut refusals = Refusals::default();
        (0..100).for_each(|_| note(&mut refusals, "a", true));
        let batches = refusals.take();
        let [(_, entries)] = batches.as_slice() else { panic!("{} batches", batches.len()) };
        assert_eq!(entries.len(), edge::MAX_REFUSALS);
        assert_eq!(entries.iter().filter(|entry| entry.limited).count(), 1);
        assert!(entries.last().unwrap().limited);
        assert_eq!((refusals.dropped(), refusals.dropped()), (100 - edge::MAX_REFUSALS as u64, 0));
        assert!(refusals.take().is_empty());
    }

    #[test]
    fn strangers_names_take_little_room_and_wait_for_the_known_ones() {
        let mut refusals = Refusals::default();
        (0..1000).for_each(|n| note(&mut refusals, &format!("unknown-{n}"), false));
        (0..1000).for_each(|n| note(&mut refusals, &format!("known-{n}"), true));
        assert_eq!(refusals.dropped(), 2000 - MAX_DIRECTORIES as u64);
        let first = refusals.take();
        assert_eq!(first.len(), MAX_REPORTS);
        assert!(first.iter().all(|(id, _)| id.as_str().starts_with("known")));
        let rest = (0..100).map(|_| refusals.take().len()).sum::<usize>();
        assert_eq!(rest, MAX_DIRECTORIES - MAX_REPORTS);
    }
}
