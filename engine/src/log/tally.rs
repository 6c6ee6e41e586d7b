//! How many requests were accepted and refused in each hour, further back than the log itself reaches.
//!
//! The hour at hand is counted in the record of the directory's head, which a commit stores anyway. Once another begins, its
//! count becomes an entry of the tree. So counting takes no call to the store, and one small entry an hour.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Entry;
use super::aside::Window;
use crate::env::Env;
use crate::scim::layout;
use crate::store::{Fault, Need, Txn};

/// Milliseconds of an hour.
pub const HOUR: u64 = 3_600_000;
/// Hours that are kept: a month, and the day that has not ended.
pub const KEPT: u64 = 31 * 24;
/// How many that are older a commit takes out.
const MOST: usize = 64;

/// The requests of one hour, as far as the log has taken them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hour {
    /// Hours since the epoch.
    #[serde(rename = "h")]
    pub hour: u64,
    /// Accepted ones.
    #[serde(rename = "a")]
    pub accepted: u64,
    /// Refused ones.
    #[serde(rename = "r")]
    pub refused: u64,
}

impl Hour {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.accepted + self.refused == 0
    }

    /// Counts entries that a transaction puts into the log. When they are of a later hour than those before, the count of
    /// that one goes into the tree, and what is too old out of it.
    ///
    /// # Errors
    /// Pages may have to be loaded first.
    pub(crate) fn count(&mut self, txn: &mut Txn<'_>, entries: &[Entry], env: &Env<'_>) -> Result<(), Fault> {
        let hour = env.now.0 / HOUR;
        if env.config.limits.log_entries == 0 || entries.is_empty() {
            return Ok(());
        }
        // Clocks of several hosts differ a little: what comes late counts in the hour that has begun.
        if hour > self.hour {
            if !self.is_empty() {
                txn.put(layout::hour(self.hour), serde_json::to_vec(self).unwrap_or_default());
                forget(txn, hour)?;
            }
            *self = Self { hour, ..Self::default() };
        }
        let refused = entries.iter().filter(|entry| !entry.succeeded()).count() as u64;
        self.refused += refused;
        self.accepted += entries.len() as u64 - refused;
        Ok(())
    }
}

/// Takes out what is too old; the rest of it goes with a later hour.
fn forget(txn: &mut Txn<'_>, hour: u64) -> Result<(), Fault> {
    let (start, end) = (layout::hours(), layout::hour(hour.saturating_sub(KEPT)));
    for (key, _) in txn.scan(&start..&end, 0, MOST, false)? {
        txn.remove(key);
    }
    Ok(())
}

/// The last so many hours of a connection, this one included and the latest first: what was accepted and refused in each.
/// `at_hand` is the count of its record, `beside` the directory of what was noted without a write.
///
/// # Errors
/// Pages may have to be loaded first.
pub fn recent(
    txn: &Txn<'_>,
    at_hand: Hour,
    beside: Option<&Txn<'_>>,
    hours: u64,
    env: &Env<'_>,
) -> Result<Vec<Hour>, Fault> {
    let now = env.now.0 / HOUR;
    let first = (now + 1).saturating_sub(hours);
    let mut need = Need::default();
    let mut found = vec![at_hand];
    found.extend(need.gather(stored(txn, first))?.unwrap_or_default());
    if let Some(beside) = beside {
        found.extend(Window::of(beside.record()).map(|window| window.hour));
        found.extend(need.gather(stored(beside, first))?.unwrap_or_default());
    }
    need.settle()?;
    let mut sums: BTreeMap<u64, Hour> = BTreeMap::new();
    for one in found.into_iter().filter(|one| (first..=now).contains(&one.hour)) {
        let sum = sums.entry(one.hour).or_insert(Hour { hour: one.hour, ..Hour::default() });
        sum.accepted += one.accepted;
        sum.refused += one.refused;
    }
    Ok(sums.into_values().rev().collect())
}

fn stored(txn: &Txn<'_>, first: u64) -> Result<Vec<Hour>, Fault> {
    let (start, end) = (layout::hour(first), layout::under(&layout::hours()).end);
    let entries = txn.scan(&start..&end, 0, usize::MAX, false)?;
    Ok(entries.iter().filter_map(|(_, value)| serde_json::from_slice(value).ok()).collect())
}
