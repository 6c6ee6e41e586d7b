//! What every virtual machine of a process has in common: shared data, shared queues, metrics, and the host's own
//! counts. Each is linearizable; none is ever emptied by a virtual machine's end.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::UnboundedSender;

use super::abi::Status;
use super::worker::Notice;

/// State common to every virtual machine with one `vm_id`.
#[derive(Debug, Default)]
pub struct Shared {
    /// The key-value map.
    pub data: SharedData,
    /// The queues.
    pub queues: SharedQueues,
    /// Counters, gauges and histograms defined by guests.
    pub metrics: Metrics,
    /// What the host counts.
    pub counts: Counts,
}

/// A value and the number to compare-and-set it with.
pub type Versioned = (Vec<u8>, u32);

/// Envoy's shared data: per-key compare-and-set, no removal, no listing for guests.
#[derive(Debug, Default)]
pub struct SharedData(Mutex<(HashMap<Vec<u8>, Versioned>, u32)>);

impl SharedData {
    /// The value under `key`. A key once set is never absent again.
    pub fn get(&self, key: &[u8]) -> Option<Versioned> {
        lock(&self.0).0.get(key).cloned()
    }

    /// Sets `key`. A `cas` of 0 overwrites; any other is compared only where the key exists, so a first write
    /// succeeds whatever it says.
    pub fn set(&self, key: &[u8], value: &[u8], cas: u32) -> Result<(), Status> {
        let mut state = lock(&self.0);
        let (map, last) = &mut *state;
        let current = map.get_mut(key);
        if let Some((_, expected)) = &current
            && cas != 0
            && cas != *expected
        {
            return Err(Status::CasMismatch);
        }
        *last = last.checked_add(1).unwrap_or(1);
        match current {
            Some(entry) => *entry = (value.to_vec(), *last),
            None => drop(map.insert(key.to_vec(), (value.to_vec(), *last))),
        }
        Ok(())
    }

    /// Every key, sorted: for tests and inspection only, guests cannot ask.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        let mut keys: Vec<_> = lock(&self.0).0.keys().cloned().collect();
        keys.sort();
        keys
    }
}

/// Named queues. Whoever registered a name last is told of each new entry.
#[derive(Debug, Default)]
pub struct SharedQueues(Mutex<Vec<Queue>>);

#[derive(Debug)]
struct Queue {
    name: Vec<u8>,
    entries: VecDeque<Vec<u8>>,
    owner: (UnboundedSender<Notice>, u64),
}

impl SharedQueues {
    /// Registers a name for the virtual machine `vm` behind `inbox`, which from now on hears of its entries.
    pub fn register(&self, name: &[u8], inbox: UnboundedSender<Notice>, vm: u64) -> u32 {
        let mut queues = lock(&self.0);
        let owner = (inbox, vm);
        let index = match queues.iter().position(|queue| queue.name == name) {
            Some(index) => {
                queues[index].owner = owner;
                index
            }
            None => {
                queues.push(Queue { name: name.to_vec(), entries: VecDeque::new(), owner });
                queues.len() - 1
            }
        };
        index as u32 + 1
    }

    /// The number of the queue with this name.
    pub fn resolve(&self, name: &[u8]) -> Option<u32> {
        lock(&self.0).iter().position(|queue| queue.name == name).map(|index| index as u32 + 1)
    }

    /// Appends an entry and tells the owner.
    pub fn enqueue(&self, id: u32, entry: &[u8]) -> Result<(), Status> {
        let mut queues = lock(&self.0);
        let queue = queue(&mut queues, id)?;
        queue.entries.push_back(entry.to_vec());
        let (inbox, vm) = &queue.owner;
        // The owner may be gone: then nobody hears of it, as in Envoy.
        let _ = inbox.send(Notice::QueueReady { vm: *vm, queue: id });
        Ok(())
    }

    /// Takes the oldest entry.
    pub fn dequeue(&self, id: u32) -> Result<Vec<u8>, Status> {
        queue(&mut lock(&self.0), id)?.entries.pop_front().ok_or(Status::Empty)
    }
}

fn queue(queues: &mut [Queue], id: u32) -> Result<&mut Queue, Status> {
    (id as usize).checked_sub(1).and_then(|index| queues.get_mut(index)).ok_or(Status::NotFound)
}

/// Metrics by number; the low two bits of a number are its kind.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Vec<(Kind, String, u64)>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter = 0,
    Gauge = 1,
    Histogram = 2,
}

impl Metrics {
    /// Defines a metric, or finds it again.
    pub fn define(&self, kind: u32, name: &str) -> Result<u32, Status> {
        let kind = match kind {
            0 => Kind::Counter,
            1 => Kind::Gauge,
            2 => Kind::Histogram,
            _ => return Err(Status::BadArgument),
        };
        let mut metrics = lock(&self.0);
        let index = metrics.iter().position(|(other, known, _)| *other == kind && known == name).unwrap_or_else(|| {
            metrics.push((kind, name.to_owned(), 0));
            metrics.len() - 1
        });
        Ok((index as u32) << 2 | kind as u32)
    }

    /// Adds to a counter (which only grows) or a gauge.
    pub fn increment(&self, id: u32, offset: i64) -> Result<(), Status> {
        let mut metrics = lock(&self.0);
        let (kind, _, value) = metrics.get_mut((id >> 2) as usize).ok_or(Status::NotFound)?;
        match kind {
            Kind::Counter if offset <= 0 => return Err(Status::BadArgument),
            Kind::Counter | Kind::Gauge => *value = value.saturating_add_signed(offset),
            Kind::Histogram => return Err(Status::BadArgument),
        }
        Ok(())
    }

    /// Adds to a counter, sets a gauge, or counts one sample of a histogram.
    pub fn record(&self, id: u32, sample: u64) -> Result<(), Status> {
        let mut metrics = lock(&self.0);
        let (kind, _, value) = metrics.get_mut((id >> 2) as usize).ok_or(Status::NotFound)?;
        *value = match kind {
            Kind::Counter => value.saturating_add(sample),
            Kind::Gauge => sample,
            Kind::Histogram => value.saturating_add(1),
        };
        Ok(())
    }

    /// A counter's or gauge's value.
    pub fn get(&self, id: u32) -> Result<u64, Status> {
        match lock(&self.0).get((id >> 2) as usize) {
            None => Err(Status::NotFound),
            Some((Kind::Histogram, ..)) => Err(Status::BadArgument),
            Some((_, _, value)) => Ok(*value),
        }
    }

    /// Every metric by name; a histogram shows its number of samples.
    pub fn all(&self) -> BTreeMap<String, u64> {
        lock(&self.0).iter().map(|(_, name, value)| (name.clone(), *value)).collect()
    }
}

/// What the host counts.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests from clients.
    pub requests: AtomicU64,
    /// Requests sent to a cluster: forwarded ones and calls.
    pub upstream: AtomicU64,
    /// Calls dispatched by guests.
    pub calls: AtomicU64,
    /// Virtual machines that trapped.
    pub traps: AtomicU64,
    /// Virtual machines made to replace a trapped one.
    pub reloads: AtomicU64,
}

impl Counts {
    /// Adds one.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A panic elsewhere must not take the whole proxy down.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cas_is_compared_only_where_the_key_exists() {
        let data = SharedData::default();
        assert_eq!(data.set(b"k", b"1", u32::MAX), Ok(()));
        let (_, cas) = data.get(b"k").unwrap();
        assert_eq!(data.set(b"k", b"2", cas + 1), Err(Status::CasMismatch));
        assert_eq!(data.set(b"k", b"2", cas), Ok(()));
        assert_eq!(data.set(b"k", b"3", 0), Ok(()));
        assert_eq!(data.get(b"k").unwrap().0, b"3");
    }

    #[test]
    fn a_value_emptied_is_still_a_key() {
        let data = SharedData::default();
        data.set(b"k", b"1", 0).unwrap();
        data.set(b"k", b"", 0).unwrap();
        assert_eq!(data.get(b"k").map(|(value, _)| value), Some(Vec::new()));
        assert_eq!(data.get(b"other"), None);
    }

    #[test]
    fn counters_only_grow_and_histograms_cannot_be_read() {
        let metrics = Metrics::default();
        let [counter, gauge, histogram] = [0, 1, 2].map(|kind| metrics.define(kind, "m").unwrap());
        assert_eq!(metrics.increment(counter, 0), Err(Status::BadArgument));
        assert_eq!(metrics.increment(counter, 2), Ok(()));
        assert_eq!(metrics.increment(gauge, -1), Ok(()));
        assert_eq!(metrics.get(counter), Ok(2));
        assert_eq!(metrics.get(histogram), Err(Status::BadArgument));
        assert_eq!(metrics.record(1 << 20, 1), Err(Status::NotFound));
    }
}
