//! The directory beside a connection's own, for what is noted without a write.
//!
//! Its head's record is the [`Window`]: how much the current minute has taken, and the hour.

use serde::{Deserialize, Serialize};

use super::tally::Hour;
use super::{Entry, keep};
use crate::env::Env;
use crate::scim::layout;
use crate::store::{Aside, Commit, DirectoryId, Fault, Txn, View};

/// Entries a minute takes.
const PER_MINUTE: u64 = 60;
/// How many of them may be of requests without a valid token, so that a stranger cannot push the others out.
const STRANGERS: u64 = 20;
const MINUTE: u64 = 60_000;

/// What the current minute has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Window {
    /// Minutes since the epoch.
    minute: u64,
    /// Entries with a valid token.
    known: u64,
    /// Entries without.
    strangers: u64,
    /// What the current hour has taken.
    #[serde(skip_serializing_if = "Hour::is_empty")]
    pub(super) hour: Hour,
    /// The connection is deleted: nothing is taken any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    closed: bool,
}

/// Name of the directory; `None` for a connection whose id is too long to be one of ours.
pub(crate) fn directory(connection: &DirectoryId) -> Option<DirectoryId> {
    DirectoryId::new(&format!("log-{}", connection.as_str()))
}

/// The commit that makes the directory of a new connection.
///
/// # Errors
/// None but those of [`Txn::commit`].
pub(crate) fn open(view: &View<'_>, connection: &DirectoryId, env: &Env<'_>) -> Result<Option<Commit>, Fault> {
    let Some(directory) = directory(connection) else { return Ok(None) };
    let mut txn = Txn::create(view, &directory);
    txn.set_record(Window::default().to_bytes());
    txn.commit(env)
}

/// Takes up to `limit` entries out, and nothing in any more; says whether those were all. No commit: that is done already.
///
/// # Errors
/// The head and pages may have to be loaded first.
pub(crate) fn close(
    view: &View<'_>,
    connection: &DirectoryId,
    limit: usize,
    env: &Env<'_>,
) -> Result<(Option<Commit>, bool), Fault> {
    let txn = directory(connection).map(|directory| Txn::open(view, &directory)).transpose()?.flatten();
    let Some(mut txn) = txn else { return Ok((None, true)) };
    let entries = txn.scan(&[0][..]..&[0xff][..], 0, limit, false)?;
    let last = entries.len() < limit;
    if entries.is_empty() && !txn.has_garbage() && Window::of(txn.record()).is_none_or(|window| window.closed) {
        return Ok((None, true));
    }
    txn.purge();
    txn.set_record(Window { closed: true, ..Window::default() }.to_bytes());
    for (key, _) in entries {
        txn.remove(key);
    }
    Ok((txn.commit(env)?, last))
}

/// The work of noting entries that no write carries. Whatever stands in its way, there is just nothing to do.
pub(crate) fn aside(view: &View<'_>, connection: &DirectoryId, entries: Vec<Entry>, env: &Env<'_>) -> Aside {
    match note(view, connection, entries, env) {
        Ok(Some(commit)) => Aside::Commit(commit),
        Err(Fault::Need(need)) => Aside::Need(need),
        Ok(None) | Err(Fault::Refused(_) | Fault::Damaged(_)) => Aside::Nothing,
    }
}

fn note(
    view: &View<'_>,
    connection: &DirectoryId,
    mut entries: Vec<Entry>,
    env: &Env<'_>,
) -> Result<Option<Commit>, Fault> {
    let Some(directory) = directory(connection).filter(|_| env.config.limits.log_entries > 0) else { return Ok(None) };
    let Some(mut txn) = Txn::open(view, &directory)? else { return Ok(None) };
    let Some(mut window) = Window::of(txn.record()).filter(|window| !window.closed) else { return Ok(None) };
    window.admit(&mut entries, env);
    if entries.is_empty() {
        return Ok(None);
    }
    window.hour.count(&mut txn, &entries, env)?;
    txn.set_record(window.to_bytes());
    keep(&mut txn, &entries, env)?;
    txn.commit(env)
}

impl Window {
    pub(super) fn of(record: &[u8]) -> Option<Self> {
        serde_json::from_slice(record).ok()
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Cuts entries down to what this minute still takes; the last one it takes says so.
    fn admit(&mut self, entries: &mut Vec<Entry>, env: &Env<'_>) {
        let minute = env.now.0 / MINUTE;
        if self.minute != minute {
            *self = Self { minute, hour: self.hour, ..Self::default() };
        }
        entries.retain_mut(|entry| {
            let (taken, most) = if entry.status == 401 {
                (&mut self.strangers, STRANGERS)
            } else {
                (&mut self.known, PER_MINUTE - STRANGERS)
            };
            let admitted = *taken < most;
            *taken += u64::from(admitted);
            entry.limited |= *taken >= most;
            admitted
        });
    }
}

/// Where the entries of either directory begin and end.
pub(super) fn entries() -> std::ops::Range<Vec<u8>> {
    layout::under(&layout::log())
}
