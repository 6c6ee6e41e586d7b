//! Whether every page that is referred to is there and whole, and which pages nobody refers to.

use std::collections::HashSet;

use scim_engine::store::{DirectoryId, Head, Page, PageId, page_key};

use super::{Data, Offline};
use crate::serve;

/// Settings of `sweep`.
#[derive(clap::Args)]
pub struct SweepOptions {
    #[command(flatten)]
    data: Data,
    /// Orphan pages to remove at most; run it again for the rest
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    limit: usize,
}

/// What a directory's pages are like.
#[derive(Debug, Default)]
pub struct Report {
    /// Pages the head refers to, directly or not.
    pub pages: usize,
    /// Entries in them.
    pub entries: u64,
    /// Pages nobody refers to.
    pub orphans: Vec<PageId>,
    /// What is wrong, one line each.
    pub problems: Vec<String>,
}

/// `scim-edge check`: prints a line for each directory and each problem. Whether all is well.
///
/// # Errors
/// The data cannot be read.
pub fn check(data: &Data) -> anyhow::Result<bool> {
    let offline = Offline::open(&data.data, false)?;
    let mut sound = true;
    for directory in offline.directories()? {
        let report = examine(&offline, &directory)?;
        let Report { pages, entries, orphans, problems } = &report;
        let (name, orphans) = (directory.as_str(), orphans.len());
        println!("{name}: {pages} pages, {entries} entries, {orphans} orphan pages, {} problems", problems.len());
        problems.iter().for_each(|problem| println!("{name}: {problem}"));
        sound &= problems.is_empty();
    }
    Ok(sound)
}

/// `scim-edge sweep`: removes pages nobody refers to. They come from commits that were cut off.
///
/// # Errors
/// A server uses the data, or a directory is damaged, so that what it refers to is not known.
pub fn sweep(options: &SweepOptions) -> anyhow::Result<()> {
    let _lock = serve::lock(&options.data.data)?;
    let offline = Offline::open(&options.data.data, true)?;
    let mut removed = 0;
    for directory in offline.directories()? {
        let report = examine(&offline, &directory)?;
        anyhow::ensure!(report.problems.is_empty(), "`{}` is damaged: run `scim-edge check`", directory.as_str());
        for orphan in report.orphans.iter().take(options.limit - removed) {
            offline.delete(&page_key(&directory, orphan))?;
            removed += 1;
        }
    }
    offline.commit()?;
    println!("{removed} orphan pages removed");
    Ok(())
}

/// Walks a directory from its head.
///
/// # Errors
/// The database cannot be read.
pub fn examine(offline: &Offline, directory: &DirectoryId) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let head = match offline.head(directory) {
        Ok(head) => head,
        Err(error) => {
            report.problems.push(format!("{error:#}"));
            return Ok(report);
        }
    };
    let reached = walk(offline, directory, &head, &mut report)?;
    let known: HashSet<&PageId> = reached.iter().chain(head.garbage()).collect();
    let stored = offline.names(&format!("page/{}/", directory.as_str()))?;
    report.orphans = stored.iter().filter_map(|name| PageId::parse(name)).filter(|id| !known.contains(id)).collect();
    Ok(report)
}

fn walk(
    offline: &Offline,
    directory: &DirectoryId,
    head: &Head,
    report: &mut Report,
) -> anyhow::Result<HashSet<PageId>> {
    let mut reached = HashSet::new();
    let mut open: Vec<(PageId, u8)> = head.root().iter().map(|root| (root.id, root.level)).collect();
    while let Some((id, level)) = open.pop() {
        reached.insert(id);
        report.pages += 1;
        let page = match offline.get(&page_key(directory, &id))?.map(|bytes| Page::decode(bytes.into())) {
            None => Err("is missing".to_owned()),
            Some(Err(damage)) => Err(format!("is damaged: {damage}")),
            Some(Ok(page)) if *page.id() != id || page.level() != level => Err("is not where it belongs".to_owned()),
            Some(Ok(page)) => Ok(page),
        };
        match page {
            Err(problem) => report.problems.push(format!("page `{}` {problem}", id.text())),
            Ok(page) if level == 0 => report.entries += page.len() as u64,
            Ok(page) => open.extend(page.children().map(|child| (child, level - 1))),
        }
    }
    let counted = head.root().map_or(0, |root| root.count);
    if report.problems.is_empty() && counted != report.entries {
        report.problems.push(format!("the head counts {counted} entries, the pages hold {}", report.entries));
    }
    Ok(reached)
}
