//! A directory at one moment: its head, and every page the head leads to.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anyhow::bail;
use scim_engine::store::{Commit, DirectoryId, Fault, Head, Page, PageId, PageSource, Place, View, page_key};

use super::Offline;

/// How often a walk starts over because a server beside it replaced pages. What was read stays read, so each takes less.
const RESTARTS: usize = 100;

/// A directory at one moment.
pub struct Snapshot {
    directory: DirectoryId,
    head: Arc<Head>,
    pages: HashMap<PageId, Arc<Page>>,
    /// Entries in the leaves.
    pub entries: u64,
    /// Pages that are missing or damaged, one line each; what lies below them is not known.
    pub problems: Vec<String>,
}

impl Snapshot {
    /// Reads a directory.
    ///
    /// # Errors
    /// There is no such directory, its head is damaged, or the store fails.
    pub fn take(offline: &Offline, directory: &DirectoryId) -> anyhow::Result<Self> {
        let mut known = HashMap::new();
        for _ in 0..RESTARTS {
            let Some(head) = offline.head(directory)? else { bail!("there is no `{}`", directory.as_str()) };
            let walk = Walk { offline, directory, known, reached: HashMap::new(), entries: 0, problems: Vec::new() };
            let Walk { known: left, reached, entries, problems, .. } = walk.run(&head)?;
            let moved =
                || Ok::<_, anyhow::Error>(offline.head(directory)?.map(|now| now.version()) != Some(head.version()));
            if problems.is_empty() || !moved()? {
                return Ok(Self { directory: directory.clone(), head, pages: reached, entries, problems });
            }
            known = left;
            known.extend(reached);
        }
        bail!("`{}` changes faster than it can be read: try again when less is written", directory.as_str())
    }

    /// Its head.
    pub fn head(&self) -> &Arc<Head> {
        &self.head
    }

    /// How many pages the head leads to.
    pub fn size(&self) -> usize {
        self.pages.len()
    }

    /// Pages that are stored under the directory's name though neither the head leads to them nor the next merge is going
    /// to delete them.
    pub fn orphans(&self, stored: Vec<PageId>) -> Vec<PageId> {
        let garbage: HashSet<&PageId> = self.head.garbage().iter().collect();
        stored.into_iter().filter(|id| !self.pages.contains_key(id) && !garbage.contains(id)).collect()
    }

    /// Runs `read` on the directory as it was at that moment.
    ///
    /// # Errors
    /// What it needs is missing or damaged.
    pub fn read<T>(&self, read: impl FnOnce(&View<'_>, &DirectoryId) -> Result<T, Fault>) -> anyhow::Result<T> {
        let heads = HashMap::from([(self.directory.clone(), Some(Arc::clone(&self.head)))]);
        match read(&View { heads, pages: self }, &self.directory) {
            Ok(value) => Ok(value),
            Err(Fault::Damaged(what)) => bail!("`{}` is damaged: {what}", self.directory.as_str()),
            Err(Fault::Refused(answer)) => bail!("{}", String::from_utf8_lossy(&answer.body)),
            Err(Fault::Need(_)) => bail!("`{}` is damaged: run `scim-edge check`", self.directory.as_str()),
        }
    }

    /// Goes on to the moment after a commit.
    ///
    /// # Errors
    /// The commit is not of the engine's form.
    pub fn apply(&mut self, commit: Commit) -> anyhow::Result<()> {
        self.head = Arc::new(Head::decode(commit.head.into())?);
        for (id, bytes) in commit.pages {
            self.pages.insert(id, Arc::new(Page::decode(bytes.into())?));
        }
        Ok(())
    }

    /// The pages `before` did not have and this head leads to, with their bytes.
    pub fn new_pages(&self, before: &HashSet<PageId>) -> Vec<(PageId, Vec<u8>)> {
        let reached = self.reached();
        let new = reached.iter().filter(|id| !before.contains(*id)).filter_map(|id| self.pages.get(id));
        new.map(|page| (*page.id(), page.bytes().to_vec())).collect()
    }

    /// The pages this head leads to.
    pub fn reached(&self) -> HashSet<PageId> {
        let mut reached = HashSet::new();
        let mut open: Vec<Place> = self.head.root().map(Place::from).into_iter().collect();
        while let Some(place) = open.pop() {
            if reached.insert(place.id)
                && let Some(page) = self.pages.get(&place.id)
            {
                open.extend(page.children(&place));
            }
        }
        reached
    }
}

impl PageSource for Snapshot {
    fn page(&self, id: &PageId) -> Option<Arc<Page>> {
        self.pages.get(id).cloned()
    }
}

/// A walk from a head over all pages.
struct Walk<'w> {
    offline: &'w Offline,
    directory: &'w DirectoryId,
    /// Pages of earlier walks.
    known: HashMap<PageId, Arc<Page>>,
    reached: HashMap<PageId, Arc<Page>>,
    entries: u64,
    problems: Vec<String>,
}

impl Walk<'_> {
    fn run(mut self, head: &Head) -> anyhow::Result<Self> {
        let mut open: Vec<Place> = head.root().map(Place::from).into_iter().collect();
        while let Some(place) = open.pop() {
            match self.page(&place.id, place.level)? {
                Err(problem) => self.problems.push(format!("page `{}` {problem}", place.id.text())),
                Ok(page) => {
                    if place.level == 0 {
                        self.entries += page.len() as u64;
                    }
                    open.extend(page.children(&place));
                    self.reached.insert(place.id, page);
                }
            }
        }
        let counted = head.root().map_or(0, |root| root.count);
        if self.problems.is_empty() && counted != self.entries {
            self.problems.push(format!("the head counts {counted} entries, the pages hold {}", self.entries));
        }
        Ok(self)
    }

    fn page(&mut self, id: &PageId, level: u8) -> anyhow::Result<Result<Arc<Page>, String>> {
        if let Some(page) = self.known.remove(id) {
            return Ok(Ok(page));
        }
        let Some(bytes) = self.offline.get(page_key(self.directory, id))? else {
            return Ok(Err("is missing".to_owned()));
        };
        Ok(match Page::decode(bytes.into()) {
            Err(damage) => Err(format!("is damaged: {damage}")),
            Ok(page) if page.id() != id || page.level() != level => Err("is not where it belongs".to_owned()),
            Ok(page) => Ok(Arc::new(page)),
        })
    }
}
