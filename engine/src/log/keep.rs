//! Keeping entries in a directory's tree, and no more of them than the bounds allow.

use super::Entry;
use crate::env::{Env, Timestamp};
use crate::scim::layout;
use crate::store::{Fault, Need, Txn};

/// How many commits share one look for entries over the bound: finding them takes pages of its own.
const EVERY: u64 = 8;
/// How many such entries a commit takes out beyond the number it adds.
const MOST: usize = 64;

/// Puts entries into the commit a transaction will end with, and takes out old ones: every few commits a few, so that the
/// bound holds to within a hundred entries and no commit pays for many.
///
/// # Errors
/// Pages may have to be loaded first.
pub(crate) fn keep(txn: &mut Txn<'_>, entries: &[Entry], env: &Env<'_>) -> Result<(), Fault> {
    if env.config.limits.log_entries == 0 || entries.is_empty() {
        return Ok(());
    }
    // The version of no commit before this one: these keys are new.
    let version = txn.version() + 1;
    for (number, entry) in (0..).zip(entries) {
        txn.put_fresh(layout::log_entry(version, number), serde_json::to_vec(entry).unwrap_or_default());
    }
    if version.is_multiple_of(EVERY) || entries.len() as u64 >= EVERY {
        prune(txn, MOST + entries.len(), env)
    } else {
        Ok(())
    }
}

/// Whether the leaf is at hand that entries come to lie in, if the commit merges.
///
/// # Errors
/// Pages may have to be loaded first.
pub(crate) fn foresee(txn: &Txn<'_>, env: &Env<'_>) -> Result<(), Fault> {
    let limits = &env.config.limits;
    if limits.log_entries == 0 || !txn.is_merging(limits) {
        return Ok(());
    }
    txn.get(&layout::log_entry(txn.version() + 1, 0)).map(drop)
}

fn prune(txn: &mut Txn<'_>, most: usize, env: &Env<'_>) -> Result<(), Fault> {
    let range = layout::under(&layout::log());
    let mut need = Need::default();
    let count = need.gather(txn.count(&range.start..&range.end))?;
    let oldest = need.gather(txn.scan(&range.start..&range.end, 0, most, false))?;
    need.settle()?;
    let limit = env.config.limits.log_entries as u64;
    let over = usize::try_from(count.unwrap_or_default().saturating_sub(limit)).unwrap_or(usize::MAX);
    for (at, (key, value)) in oldest.unwrap_or_default().into_iter().enumerate() {
        if at >= over && !is_expired(&value, env) {
            break;
        }
        txn.remove(key);
    }
    Ok(())
}

/// The time before which entries count as gone.
pub(crate) fn horizon(env: &Env<'_>) -> Timestamp {
    let age = env.config.limits.log_days.saturating_mul(24 * 60 * 60 * 1000);
    Timestamp(env.now.0.saturating_sub(age))
}

fn is_expired(value: &[u8], env: &Env<'_>) -> bool {
    serde_json::from_slice::<Entry>(value).map_or(true, |entry| entry.time < horizon(env))
}
