//! What all workers of one Envoy know together: heads and pages in shared data.
//!
//! Envoy's shared data can neither delete nor list keys, so there is a fixed number of *slots*, found by hash, and
//! what a slot holds says whose it is. Their keys are made with the configuration: no request can create one. What is
//! written there is what the origin confirmed.
//!
//! A head's slot also carries what makes a cached head unfit to serve:
//!
//! - the *floor*: the version of the latest acknowledged write, below which no later read may go;
//! - the *barrier*: the time of the latest write's answer. A check of the head that began before it proves nothing,
//!   even if the floor was lost because another directory took the slot in between. So barriers outlive directories.

use std::rc::Rc;
use std::sync::Arc;

use scim_engine::store::{DirectoryId, Head, Page, PageCache, PageId, PageSource};

use crate::config::Slots;
use crate::quick::QuickMap;
use crate::rates;

/// The map every worker shares: linearizable per key.
pub trait Shared {
    /// A value and its generation; the generation is never 0.
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)>;

    /// Writes a value if the key's generation is the expected one (`None`: if the key does not exist). Answers
    /// whether it did.
    fn set(&self, key: &str, value: &[u8], expected: Option<u32>) -> bool;
}

/// Makes the keys of all slots, empty ones, so that no request ever makes a key, or waits while Envoy's table grows.
pub fn reserve(shared: &impl Shared, slots: Slots) {
    reserve_each(shared, slots.heads, stamp_key);
    reserve_each(shared, slots.heads, head_key);
    reserve_each(shared, slots.heads, rates::key);
    reserve_each(shared, slots.pages, page_key);
}

fn reserve_each(shared: &impl Shared, slots: u32, key: fn(u32) -> String) {
    // The last one is made last: where it is, another worker has made the others too.
    if shared.get(&key(slots.saturating_sub(1))).is_some() {
        return;
    }
    for index in 0..slots {
        // A slot that is there already keeps what it holds.
        let _made = shared.set(&key(index), &[], None);
    }
}

/// What is known of a directory.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The latest head seen.
    pub head: Option<Arc<Head>>,
    /// When the check began that confirmed it, in microseconds.
    pub checked: u64,
    /// Checks that began before this prove nothing.
    pub barrier: u64,
    /// No read may show a lower version.
    pub floor: u64,
}

impl Known {
    /// The head, if it may answer a request at `now` without asking the origin.
    pub fn fresh(&self, now: u64, max_staleness: u64) -> Option<&Arc<Head>> {
        let current = self.checked > self.barrier && now.saturating_sub(self.checked) <= max_staleness;
        self.at_least_floor().filter(|_| current)
    }

    /// The head, if it shows every acknowledged write.
    pub fn at_least_floor(&self) -> Option<&Arc<Head>> {
        self.head.as_ref().filter(|head| head.version() >= self.floor)
    }
}

/// Heads in shared data, and those this worker has decoded.
///
/// A slot has two keys. Its *stamp* is read by every request, and small: what is known of the head, and which it is. The
/// head's bytes are read by a worker that does not have that one yet. They are written first; should another worker
/// have replaced them by the time its own stamp is lost, then they are not those of the stamp, and no head is known.
pub struct Heads<S> {
    shared: Rc<S>,
    slots: u32,
    places: QuickMap<u32, Place>,
}

/// What a worker has of a slot.
struct Place {
    /// The stamp's key: a request does not wait for it to be formatted.
    key: String,
    /// Generation of the stamp that was decoded last; 0 for one that this worker wrote.
    generation: u32,
    slot: Rc<Slot>,
}

/// One slot; the layout of its stamp is: byte 2 (format), then little-endian checked, barrier and floor of 8 bytes each, the
/// nonce of the head's commit (zeros: no head), and the directory's name.
#[derive(Clone, Debug, Default)]
struct Slot {
    directory: Option<DirectoryId>,
    known: Known,
}

const FORMAT: u8 = 2;

/// Tells one head from every other.
type Nonce = [u8; 16];

/// Lost races after which an update gives up; each means that another worker's update went through.
const ATTEMPTS: usize = 1000;

impl<S: Shared> Heads<S> {
    /// Heads in that many slots.
    pub fn new(shared: Rc<S>, slots: u32) -> Self {
        Self { shared, slots, places: QuickMap::default() }
    }

    /// What is known of a directory; nothing but a barrier if another one has its slot.
    pub fn get(&mut self, directory: &DirectoryId) -> Known {
        let index = self.index(directory);
        let (_, slot) = self.read(index);
        slot.of(directory).known
    }

    /// The origin confirmed a head by a check that began at `started`.
    pub fn confirm(&mut self, directory: &DirectoryId, head: &Arc<Head>, started: u64) {
        self.update(directory, |known| {
            if started > known.checked {
                known.head = Some(Arc::clone(head));
                known.checked = started;
            }
        });
    }

    /// The origin said that the directory does not exist. Nothing is written unless a slot says otherwise.
    pub fn absent(&mut self, directory: &DirectoryId, now: u64) {
        if self.get(directory).head.is_some() {
            self.update(directory, |known| *known = Known { barrier: known.barrier.max(now), ..Known::default() });
        }
    }

    /// A write was answered at `now`, with the version it made if it says so: no earlier check counts any more.
    pub fn wrote(&mut self, directory: &DirectoryId, version: Option<u64>, now: u64) {
        self.update(directory, |known| {
            known.barrier = known.barrier.max(now);
            known.floor = known.floor.max(version.unwrap_or(0));
        });
    }

    fn update(&mut self, directory: &DirectoryId, change: impl Fn(&mut Known)) {
        let index = self.index(directory);
        for _ in 0..ATTEMPTS {
            let (generation, slot) = self.read(index);
            let mut changed = slot.of(directory);
            change(&mut changed.known);
            if changed.nonce() != slot.nonce() {
                self.write_head(index, &changed);
            }
            let place = place(&mut self.places, index);
            if self.shared.set(&place.key, &changed.encode(), generation) {
                (place.generation, place.slot) = (0, Rc::new(changed));
                return;
            }
        }
        log::error!("a head slot could not be updated");
    }

    fn read(&mut self, index: u32) -> (Option<u32>, Rc<Slot>) {
        let place = place(&mut self.places, index);
        let Some((stamp, generation)) = self.shared.get(&place.key) else { return (None, Rc::default()) };
        if place.generation != generation {
            let slot = decode(&*self.shared, index, &stamp, &place.slot).unwrap_or_default();
            (place.generation, place.slot) = (generation, Rc::new(slot));
        }
        (Some(generation), Rc::clone(&place.slot))
    }

    fn write_head(&self, index: u32, slot: &Slot) {
        let Some(head) = &slot.known.head else { return };
        let key = head_key(index);
        let generation = self.shared.get(&key).map(|(_, generation)| generation);
        // A lost race means that another worker has a head to put there, and a stamp to follow.
        self.shared.set(&key, head.bytes(), generation);
    }

    fn index(&self, directory: &DirectoryId) -> u32 {
        slot_of(directory.as_str().as_bytes(), self.slots)
    }
}

fn place(places: &mut QuickMap<u32, Place>, index: u32) -> &mut Place {
    places.entry(index).or_insert_with(|| Place { key: stamp_key(index), generation: 0, slot: Rc::default() })
}

/// The slot of a stamp, with the head that the worker has already if it is that one.
fn decode(shared: &impl Shared, index: u32, stamp: &[u8], last: &Slot) -> Option<Slot> {
    let (mut slot, nonce) = Slot::decode(stamp)?;
    slot.known.head = if last.nonce() == nonce {
        last.known.head.clone()
    } else {
        let (bytes, _) = shared.get(&head_key(index))?;
        let head = Head::decode(bytes.into()).ok().map(Arc::new);
        head.filter(|head| head.recent().first() == nonce.as_ref())
    };
    Some(slot)
}

fn stamp_key(index: u32) -> String {
    format!("stamp-{index}")
}

fn head_key(index: u32) -> String {
    format!("head-{index}")
}

impl Slot {
    /// This slot, or the one to put in its place for another directory.
    fn of(&self, directory: &DirectoryId) -> Self {
        let known = if self.directory.as_ref() == Some(directory) {
            self.known.clone()
        } else {
            Known { barrier: self.known.barrier, ..Known::default() }
        };
        Self { directory: Some(directory.clone()), known }
    }

    /// Which head it has.
    fn nonce(&self) -> Option<Nonce> {
        self.known.head.as_ref()?.recent().first().copied()
    }

    fn encode(&self) -> Vec<u8> {
        let Known { checked, barrier, floor, .. } = self.known;
        let name = self.directory.as_ref().map_or("", DirectoryId::as_str);
        let nonce = self.nonce().unwrap_or_default();
        let [checked, barrier, floor] = [checked, barrier, floor].map(u64::to_le_bytes);
        [&[FORMAT], &checked[..], &barrier, &floor, &nonce, name.as_bytes()].concat()
    }

    /// All but the head, and which that is.
    fn decode(stamp: &[u8]) -> Option<(Self, Option<Nonce>)> {
        let rest = stamp.strip_prefix(&[FORMAT])?;
        let (checked, rest) = rest.split_first_chunk()?;
        let (barrier, rest) = rest.split_first_chunk()?;
        let (floor, rest) = rest.split_first_chunk()?;
        let (nonce, name) = rest.split_first_chunk()?;
        let [checked, barrier, floor] = [checked, barrier, floor].map(|number| u64::from_le_bytes(*number));
        let known = Known { head: None, checked, barrier, floor };
        let directory = DirectoryId::new(std::str::from_utf8(name).ok()?);
        Some((Self { directory, known }, Some(*nonce).filter(|nonce| *nonce != Nonce::default())))
    }
}

/// Pages in shared data, and those this worker has decoded.
pub struct Pages<S> {
    shared: Rc<S>,
    slots: u32,
    largest: usize,
    decoded: PageCache,
}

impl<S: Shared> Pages<S> {
    /// No pages yet.
    pub fn new(shared: Rc<S>, slots: Slots) -> Self {
        let Slots { pages, page_bytes, worker_bytes, .. } = slots;
        Self { shared, slots: pages, largest: page_bytes, decoded: PageCache::new(worker_bytes) }
    }

    /// Keeps a page the origin sent; answers whether it is one.
    pub fn keep(&self, bytes: &[u8]) -> bool {
        let Ok(page) = Page::decode(bytes.into()) else { return false };
        if bytes.len() <= self.largest {
            let key = self.key(page.id());
            let generation = self.shared.get(&key).map(|(_, generation)| generation);
            // A lost race means that another worker put a page there: any page is a good one.
            self.shared.set(&key, bytes, generation);
        }
        self.decoded.insert(Arc::new(page));
        true
    }

    fn key(&self, id: &PageId) -> String {
        page_key(slot_of(&id.0, self.slots))
    }
}

fn page_key(index: u32) -> String {
    format!("page-{index}")
}

impl<S: Shared> PageSource for Pages<S> {
    fn page(&self, id: &PageId) -> Option<Arc<Page>> {
        if let Some(page) = self.decoded.page(id) {
            return Some(page);
        }
        let (bytes, _) = self.shared.get(&self.key(id))?;
        let page = Arc::new(Page::decode(bytes.into()).ok().filter(|page| page.id() == id)?);
        self.decoded.insert(Arc::clone(&page));
        Some(page)
    }
}

/// The slot of a name: FNV-1a, the same in every build, for slots outlive a filter's update.
pub fn slot_of(name: &[u8], slots: u32) -> u32 {
    let hash = name.iter().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash.checked_rem(slots).unwrap_or(0)
}
