//! Reading the log: newest first, both directories as one list.
//!
//! Each directory's entries lie in the order of its commits. A page takes from whichever has the later entry next. The
//! cursor is where it stopped in both, so entries that arrive meanwhile neither shift nor repeat anything.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::Entry;
use super::aside;
use super::keep::horizon;
use crate::env::Env;
use crate::scim::layout;
use crate::store::{Fault, Need, Txn};

/// Entries of either directory that one page with a filter looks at.
const SCAN: usize = 2000;

/// Which entries to show.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Most entries of the page.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
    /// Accepted ones only, or refused ones only.
    pub success: Option<bool>,
    /// Those of one resource.
    pub resource: Option<String>,
    /// Those of one operation, in any case.
    pub operation: Option<String>,
}

/// A page of the log.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Entries, newest first, in the form the API shows.
    pub items: Vec<Value>,
    /// Where to go on; `None` at the end. A page of a filter may be short, or empty, and yet not the last.
    pub next: Option<Cursor>,
}

/// A place in both directories: whatever lies before these commits is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor([Place; 2]);

/// The commit that put an entry, and the entry's number in it.
type Place = (u64, u32);

const END: Place = (u64::MAX, u32::MAX);
/// What the ids of entries begin with: writes, and what was noted aside.
const KINDS: [char; 2] = ['w', 'a'];

impl Cursor {
    /// The form a client is given.
    pub fn text(&self) -> String {
        let bytes = self.0.iter().flat_map(|(version, number)| {
            version.to_be_bytes().into_iter().chain(number.to_be_bytes()).collect::<Vec<_>>()
        });
        URL_SAFE_NO_PAD.encode(bytes.collect::<Vec<_>>())
    }

    /// Reads that form.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == 24)?;
        let (first, second) = bytes.split_at_checked(12)?;
        Some(Self([place(first)?, place(second)?]))
    }
}

/// A page of a connection's log: `writes` is its own directory, `noted` the one beside it.
///
/// # Errors
/// Pages may have to be loaded first.
pub fn page(writes: &Txn<'_>, noted: Option<&Txn<'_>>, query: &Query, env: &Env<'_>) -> Result<Page, Fault> {
    let filtered = query.success.is_some() || query.resource.is_some() || query.operation.is_some();
    let budget = if filtered { SCAN } else { query.limit };
    let Cursor([first, second]) = query.cursor.unwrap_or(Cursor([END, END]));
    let mut need = Need::default();
    let writes = need.gather(Source::load(Some(writes), first, budget, env))?;
    let noted = need.gather(Source::load(noted, second, budget, env))?;
    need.settle()?;
    let mut sources = [writes.unwrap_or_default(), noted.unwrap_or_default()];
    let mut items = Vec::new();
    while items.len() < query.limit {
        let Some((kind, (version, number), entry)) = next(&mut sources) else { break };
        if query.admits(&entry) {
            items.push(entry.describe(&format!("{kind}{version}-{number}")));
        }
    }
    let rest = sources.iter().any(|source| source.more || !source.ahead.is_empty());
    let [writes, noted] = sources;
    Ok(Page { items, next: rest.then_some(Cursor([writes.before, noted.before])) })
}

impl Query {
    fn admits(&self, entry: &Entry) -> bool {
        self.success.is_none_or(|success| success == entry.succeeded())
            && self.resource.as_ref().is_none_or(|resource| entry.resource.as_ref() == Some(resource))
            && self.operation.as_ref().is_none_or(|operation| operation.eq_ignore_ascii_case(&entry.operation))
    }
}

/// One directory's entries of a page.
#[derive(Default)]
struct Source {
    /// Oldest first, so that the next one is the last.
    ahead: Vec<(Place, Entry)>,
    /// Whether there are more behind them.
    more: bool,
    /// The entry taken last.
    before: Place,
}

impl Source {
    fn load(txn: Option<&Txn<'_>>, before: Place, budget: usize, env: &Env<'_>) -> Result<Self, Fault> {
        let Some(txn) = txn else { return Ok(Self::default()) };
        let start = aside::entries().start;
        let end = layout::log_entry(before.0, before.1);
        let found = txn.scan(&start..&end, 0, budget, true)?;
        let mut more = found.len() == budget;
        let mut ahead = Vec::new();
        for (key, value) in found {
            let place = key.strip_prefix(start.as_slice()).and_then(place);
            let (Some(place), Ok(entry)) = (place, serde_json::from_slice::<Entry>(&value)) else { continue };
            if entry.time < horizon(env) {
                more = false;
                break;
            }
            ahead.push((place, entry));
        }
        ahead.reverse();
        Ok(Self { ahead, more, before })
    }
}

/// The latest entry of all; none when a source has run out before its end, for what it has not shown might be later.
fn next(sources: &mut [Source; 2]) -> Option<(char, Place, Entry)> {
    if sources.iter().any(|source| source.more && source.ahead.is_empty()) {
        return None;
    }
    let latest = |source: &Source| source.ahead.last().map(|(_, entry)| entry.time);
    let (kind, source) = KINDS.into_iter().zip(sources).max_by_key(|(_, source)| latest(source))?;
    let (place, entry) = source.ahead.pop()?;
    source.before = place;
    Some((kind, place, entry))
}

fn place(bytes: &[u8]) -> Option<Place> {
    let (version, number) = bytes.split_at_checked(8)?;
    Some((u64::from_be_bytes(version.try_into().ok()?), u32::from_be_bytes(number.try_into().ok()?)))
}
