//! A session loads what its step needs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Session, Turn, Vote, Waiting};
use crate::store::group::Boarded;
use crate::store::{Call, DirectoryId, Head, Need, Page, PageCache, PageId, PageSource, Reply};

/// How often a step may start over because pages were gone.
const RESTARTS: u32 = 8;

impl Session {
    /// Loads what a step needs: heads first, for a page belongs to a head.
    pub(super) fn load(&mut self, cache: &PageCache, mut need: Need) -> Turn {
        need.heads.retain(|directory| !self.heads.contains_key(directory));
        need.pages.retain(|(_, page)| !self.pages.contains_key(page));
        if need.is_empty() {
            return self.broken("a step asks for what it was given");
        }
        self.load_rest(cache, need)
    }

    pub(super) fn load_rest(&mut self, cache: &PageCache, mut need: Need) -> Turn {
        if need.heads.len() > 1 {
            let directories = std::mem::take(&mut need.heads);
            self.waiting = Waiting::Heads { directories: directories.clone(), rest: need };
            return Turn::Call(Call::LoadHeads(directories));
        }
        if let Some(directory) = need.heads.pop() {
            return self.look(cache, directory, need);
        }
        if need.pages.is_empty() {
            return self.step(cache);
        }
        self.waiting = Waiting::Pages(need.pages.clone());
        Turn::Call(Call::LoadPages(need.pages))
    }

    /// Loads a head, unless the session is one that may write and meets a flight: its draft is as fresh, and what comes of
    /// the head that is stored now would have to be thrown away.
    pub(super) fn look(&mut self, cache: &PageCache, directory: DirectoryId, rest: Need) -> Turn {
        let joins = self.approach.is_some() && self.draft.is_none();
        match self.group.as_ref().filter(|_| joins).and_then(|group| group.meet(&directory)) {
            None => self.load_head(directory, rest, Vote::None),
            met => self.follow(cache, directory, met),
        }
    }

    pub(super) fn load_head(&mut self, directory: DirectoryId, rest: Need, vote: Vote) -> Turn {
        self.waiting = Waiting::Head { directory: directory.clone(), rest, vote };
        Turn::Call(Call::LoadHead(directory))
    }

    pub(super) fn on_head(
        &mut self,
        cache: &PageCache,
        directory: DirectoryId,
        rest: Need,
        vote: Vote,
        reply: Reply,
    ) -> Turn {
        match reply {
            Reply::Head(None) if directory.as_str() == DirectoryId::ENVIRONMENT => self.elect(directory, rest, vote),
            Reply::Head(bytes) => match self.take_head(directory, bytes) {
                Ok(()) => self.load_rest(cache, rest),
                Err(damage) => self.broken(&damage),
            },
            other => self.unavailable("a head could not be loaded", &other),
        }
    }

    pub(super) fn on_heads(
        &mut self,
        cache: &PageCache,
        directories: Vec<DirectoryId>,
        mut rest: Need,
        reply: Reply,
    ) -> Turn {
        let found = match reply {
            Reply::Heads(found) if found.len() == directories.len() => found,
            other => return self.unavailable("heads could not be loaded", &other),
        };
        for (directory, bytes) in directories.into_iter().zip(found) {
            if bytes.is_none() && directory.as_str() == DirectoryId::ENVIRONMENT {
                // It is asked for once more, by itself, and then created.
                rest.heads.push(directory);
            } else if let Err(damage) = self.take_head(directory, bytes) {
                return self.broken(&damage);
            }
        }
        self.load_rest(cache, rest)
    }

    pub(super) fn take_head(&mut self, directory: DirectoryId, bytes: Option<Vec<u8>>) -> Result<(), String> {
        let head = bytes.map(|bytes| Head::decode(bytes.into())).transpose();
        let head = head.map_err(|damage| format!("head of directory `{}`: {damage}", directory.as_str()))?;
        self.heads.insert(directory, head.map(Arc::new));
        Ok(())
    }

    pub(super) fn on_pages(&mut self, cache: &PageCache, asked: &[(DirectoryId, PageId)], reply: Reply) -> Turn {
        let found = match reply {
            Reply::Pages(found) if found.len() == asked.len() => found,
            other => return self.unavailable("pages could not be loaded", &other),
        };
        let mut gone = None;
        for ((directory, id), bytes) in asked.iter().zip(found) {
            let Some(bytes) = bytes else {
                self.heads.remove(directory);
                self.absent.insert(*id);
                gone = Some((directory, id));
                continue;
            };
            match Page::decode(bytes.into()) {
                Ok(page) if page.id() == id => {
                    let page = Arc::new(page);
                    cache.insert(Arc::clone(&page));
                    self.pages.insert(*id, page);
                }
                Ok(_) => return self.broken(&page_incident(directory, id, "is another page")),
                Err(damage) => return self.broken(&page_incident(directory, id, &damage.to_string())),
            }
        }
        if let Some((directory, id)) = gone {
            self.restarts += 1;
            if self.restarts > RESTARTS {
                return self.broken(&page_incident(directory, id, "is missing"));
            }
        }
        match self.draft.take_if(|(directory, _)| !self.heads.contains_key(directory)) {
            // Somebody else has replaced the draft's head: its flight will lose, and is not to be joined again.
            Some((directory, seat)) => self.follow(cache, directory, Some(Boarded::Missed(seat))),
            None => self.step(cache),
        }
    }
}

fn page_incident(directory: &DirectoryId, id: &PageId, what: &str) -> String {
    format!("page `{}` of directory `{}`: {what}", id.text(), directory.as_str())
}

/// Pages this request has loaded, which no other request's needs can push out, and those of the cache.
pub(super) struct AtHand<'a> {
    pub(super) pages: &'a HashMap<PageId, Arc<Page>>,
    pub(super) absent: &'a HashSet<PageId>,
    pub(super) cache: &'a dyn PageSource,
}

impl PageSource for AtHand<'_> {
    fn page(&self, id: &PageId) -> Option<Arc<Page>> {
        self.pages.get(id).cloned().or_else(|| self.cache.page(id))
    }

    fn absent(&self, id: &PageId) -> bool {
        self.absent.contains(id)
    }
}
