//! `scim-edge sweep`: removes pages that commits which were cut off left behind. Safe beside any number of servers.
//!
//! A page that no head leads to may be an orphan, or belong to a commit that is about to swap the head. So the orphans of
//! a directory are listed, then the directory's head is replaced by one that says the same: whatever commit was under way
//! when the list was made was computed from an older head, and can only lose its race from now on. Pages of the list that
//! the directory does not lead to after that are nobody's for ever. No clock and no standstill is needed.

use scim_engine::store::{DirectoryId, PageId};

use super::{Data, Offline, Snapshot};

/// How often the head of a directory is tried to be replaced while servers write.
const TRIES: usize = 20;

/// Settings of `sweep`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    data: Data,
    /// Orphan pages to remove at most; run it again for the rest
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    limit: usize,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Pages removed.
    pub removed: usize,
    /// Pages left, for the limit was reached.
    pub left: usize,
}

/// `scim-edge sweep`: prints how many pages it removed.
///
/// # Errors
/// As [`sweep`].
pub fn run(options: &Options) -> anyhow::Result<()> {
    let Swept { removed, left } = sweep(&options.data.open()?, options.limit)?;
    let rest = if left == 0 { String::new() } else { format!(", {left} are left: run it again") };
    println!("{removed} orphan pages removed{rest}");
    Ok(())
}

/// Removes up to `limit` orphans, directory by directory.
///
/// # Errors
/// The store fails, or a directory is damaged, so that what it leads to is not known.
pub fn sweep(offline: &Offline, limit: usize) -> anyhow::Result<Swept> {
    let keys = offline.keys()?;
    let mut swept = Swept::default();
    for directory in keys.directories() {
        let listed = sound(offline, &directory)?.orphans(keys.pages(&directory));
        let room = limit - swept.removed;
        let (now, later) = listed.split_at_checked(room).unwrap_or((&listed, &[]));
        swept.left += later.len();
        swept.removed += remove(offline, &directory, now.to_vec())?;
    }
    Ok(swept)
}

fn sound(offline: &Offline, directory: &DirectoryId) -> anyhow::Result<Snapshot> {
    let snapshot = Snapshot::take(offline, directory)?;
    let damaged = snapshot.problems.first();
    match damaged {
        None => Ok(snapshot),
        Some(problem) => anyhow::bail!("`{}`: {problem}; run `scim-edge check`", directory.as_str()),
    }
}

fn remove(offline: &Offline, directory: &DirectoryId, listed: Vec<PageId>) -> anyhow::Result<usize> {
    if listed.is_empty() {
        return Ok(0);
    }
    fence(offline, directory)?;
    let orphans = sound(offline, directory)?.orphans(listed);
    offline.delete_pages(directory, &orphans)?;
    Ok(orphans.len())
}

/// Replaces the head by one that says the same.
fn fence(offline: &Offline, directory: &DirectoryId) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        let snapshot = sound(offline, directory)?;
        let commit = offline.commit(&snapshot, |txn| {
            txn.set_record(txn.record().to_vec());
            Ok(())
        })?;
        let Some(commit) = commit else { continue };
        offline.store_pages(directory, &commit.pages)?;
        if offline.install(directory, snapshot.head().bytes(), &commit.head, commit.nonce)? {
            return offline.delete_pages(directory, &commit.obsolete);
        }
        let pages: Vec<_> = commit.pages.iter().map(|(id, _)| *id).collect();
        offline.delete_pages(directory, &pages)?;
    }
    anyhow::bail!("`{}` changes faster than it can be swept: try again when less is written", directory.as_str())
}
