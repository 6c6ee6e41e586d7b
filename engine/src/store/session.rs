//! A step driven over a key-value store, without doing any I/O itself.
//!
//! The host repeats: [`Session::turn`] says which [`Call`] to make, the host makes it and hands in the [`Reply`],
//! until the turn is a response. The store may fail, lose replies and misreport swaps; what a session answers is true
//! nevertheless:
//!
//! - **2xx means committed.** The answer of a swap is a hint. The head is loaded again and the commit's nonce looked for:
//!   found, it has landed; another head of the same or a later version without it, it is lost, for versions form one
//!   chain; the head it was computed from, the swap did not happen and is repeated as it is, which is harmless, for it
//!   can land once only. Whatever stays unknown is answered 503, never 2xx.
//! - **A lost race is run again** on the fresh head, with new page names. A request with several commits must do the
//!   rest when it is run again after the first of them have landed.
//! - **Work aside never shows.** Once a step that changes nothing has decided its answer, its [`Aside`] is tried a few
//!   times; whatever happens then, that answer is given.
//! - **A page that is gone** was replaced by a later commit: the head is loaded again and the step starts over.
//!
//! # Creating a directory
//!
//! A swap on an *absent* key is an unconditional write in the stores we know, so two creators of one head could both
//! succeed, and the first would lose what it wrote. A connection's head has one creator, the request that drew its random
//! id, so a plain write will do. The environment's head has many candidates: those who find it absent increment a
//! counter, which every store does atomically, and only the first may create it, after looking once more; the others
//! answer 503 until it is there. Should that one crash in between, the 21st takes its turn, then the 41st, and so on; a
//! creator would have to sleep through twenty requests between two calls to do harm.

mod landing;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Aside, DirectoryId, Fault, Head, Need, Outcome, Page, PageCache, PageId, PageSource, Txn, View};
use crate::env::{Config, Env, Timestamp};
use crate::error::{Kind, ScimError};
use crate::http::{Request, Response};
use landing::Landing;

/// A step: what a request does, given what it can see.
pub type Handler = fn(&Request, &View<'_>, &Env<'_>) -> Result<Outcome, Fault>;

/// How often a request may lose a race before it is answered 503.
const ATTEMPTS: u32 = 64;
/// How often a step may start over because pages were gone.
const RESTARTS: u32 = 8;
/// How often a step may be run for its work aside.
const ASIDE_RUNS: u32 = 6;
/// Of how many candidates one may create the environment.
const CANDIDATES: u64 = 20;

/// What the host is to do next.
#[derive(Debug)]
pub enum Turn {
    /// Make this call and hand in the reply.
    Call(Call),
    /// Answer the request.
    Done(Response),
}

/// A call to the key-value store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Read the head; answered by [`Reply::Head`]. It must be the latest value.
    LoadHead(DirectoryId),
    /// Read pages; answered by [`Reply::Pages`], in the order asked.
    LoadPages(Vec<(DirectoryId, PageId)>),
    /// Write pages, durably; answered by [`Reply::Done`].
    StorePages(DirectoryId, Vec<(PageId, Vec<u8>)>),
    /// Increment the directory's election counter atomically; answered by [`Reply::Elected`].
    Elect(DirectoryId),
    /// Write a head that has no rival, durably; answered by [`Reply::Done`].
    CreateHead {
        /// The directory.
        directory: DirectoryId,
        /// The head.
        head: Vec<u8>,
    },
    /// Write the head if it is still `expected`, which is what this session's last [`Call::LoadHead`] of that directory
    /// gave; answered by [`Reply::Swapped`].
    SwapHead {
        /// The directory.
        directory: DirectoryId,
        /// The head it has to replace.
        expected: Arc<[u8]>,
        /// The new head.
        head: Vec<u8>,
    },
    /// Delete pages nobody refers to; answered by [`Reply::Done`]. Failing does no harm.
    DeletePages(DirectoryId, Vec<PageId>),
}

/// What came of a [`Call`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The head, if there is one.
    Head(Option<Vec<u8>>),
    /// The pages, `None` for those that are gone.
    Pages(Vec<Option<Vec<u8>>>),
    /// It is done.
    Done,
    /// Whether the store says the swap happened; it need not be true.
    Swapped(bool),
    /// The counter after the increment.
    Elected(u64),
    /// The call failed, or its reply was lost: it may have happened or not. The text is for the log.
    Failed(String),
}

/// Key of a directory's head.
pub fn head_key(directory: &DirectoryId) -> String {
    format!("head:{}", directory.as_str())
}

/// Key of a page; at most 96 bytes.
pub fn page_key(directory: &DirectoryId, page: &PageId) -> String {
    format!("page:{}:{}", directory.as_str(), page.text())
}

/// Key of a directory's election counter.
pub fn elect_key(directory: &DirectoryId) -> String {
    format!("elect:{}", directory.as_str())
}

/// One request on its way from arrival to answer.
pub struct Session {
    handler: Handler,
    request: Request,
    seed: [u8; 32],
    now: Timestamp,
    config: Arc<Config>,
    truthful: bool,
    attempt: u32,
    restarts: u32,
    heads: HashMap<DirectoryId, Option<Arc<Head>>>,
    pages: HashMap<PageId, Arc<Page>>,
    absent: HashSet<PageId>,
    waiting: Waiting,
    /// The answer, once it only waits for work aside.
    decided: Option<Response>,
    aside_runs: u32,
    incident: Option<String>,
}

/// What the session has asked for.
#[derive(Default)]
enum Waiting {
    /// Nothing: the step is to be run.
    #[default]
    Step,
    Head {
        directory: DirectoryId,
        rest: Need,
        vote: Vote,
    },
    Pages(Vec<(DirectoryId, PageId)>),
    Election {
        directory: DirectoryId,
        rest: Need,
    },
    Creation {
        directory: DirectoryId,
        rest: Need,
    },
    Landing(Box<Landing>),
    /// The pages of a lost attempt are being deleted.
    Discard,
    Answered,
}

/// Where a session stands in the creation of the environment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Vote {
    None,
    Won,
    Lost,
}

impl Session {
    /// A request at its start. `seed` must come from the host's secure generator, fresh for every request.
    pub fn new(handler: Handler, request: Request, seed: [u8; 32], now: Timestamp, config: Arc<Config>) -> Self {
        Self {
            handler,
            request,
            seed,
            now,
            config,
            truthful: false,
            attempt: 0,
            restarts: 0,
            heads: HashMap::new(),
            pages: HashMap::new(),
            absent: HashSet::new(),
            waiting: Waiting::Step,
            decided: None,
            aside_runs: 0,
            incident: None,
        }
    }

    /// Takes the store's word for a swap that succeeded, which saves loading the head again. Only for stores that are
    /// known to report success if and only if the swap happened, such as SQLite.
    #[must_use]
    pub fn trusting_swaps(mut self) -> Self {
        self.truthful = true;
        self
    }

    /// What went wrong, for the log; without secrets or personal data.
    pub fn incident(&self) -> Option<&str> {
        self.incident.as_deref()
    }

    /// Goes on with the reply to the last call, `None` at the start.
    pub fn turn(&mut self, cache: &PageCache, reply: Option<Reply>) -> Turn {
        let waiting = std::mem::replace(&mut self.waiting, Waiting::Answered);
        let reply = reply.unwrap_or_else(|| Reply::Failed("no reply was handed in".to_owned()));
        match waiting {
            Waiting::Step | Waiting::Discard => self.step(cache),
            Waiting::Head { directory, rest, vote } => self.on_head(cache, directory, rest, vote, reply),
            Waiting::Pages(asked) => self.on_pages(cache, &asked, reply),
            Waiting::Election { directory, rest } => self.on_election(directory, rest, reply),
            Waiting::Creation { directory, rest } => self.on_creation(directory, rest, reply),
            Waiting::Landing(landing) => self.on_landing(cache, *landing, reply),
            Waiting::Answered => self.broken("the request is answered already"),
        }
    }

    fn step(&mut self, cache: &PageCache) -> Turn {
        let at_hand = AtHand { pages: &self.pages, absent: &self.absent, cache };
        let view = View { heads: self.heads.clone(), pages: &at_hand };
        let env = Env::new(self.now, self.seed, self.attempt, &self.config);
        match (self.handler)(&self.request, &view, &env) {
            Ok(outcome) if self.decided.is_some() || outcome.commits.is_empty() => self.aside(cache, outcome),
            Ok(outcome) => self.land(cache, outcome),
            Err(Fault::Need(need)) => self.load(cache, need),
            Err(Fault::Refused(response)) => self.answer(response),
            Err(Fault::Damaged(reason)) => self.broken(&reason),
        }
    }

    /// Tries the work aside of a step that changes nothing. A step that is run again for it may by now find the
    /// directory changed and want a commit: the answer is given already, so nothing of that is done.
    fn aside(&mut self, cache: &PageCache, outcome: Outcome) -> Turn {
        let Outcome { response, commits, aside } = outcome;
        let response = self.decided.take().unwrap_or(response);
        self.aside_runs += 1;
        if !commits.is_empty() || self.aside_runs > ASIDE_RUNS {
            return Turn::Done(response);
        }
        match aside {
            Aside::Nothing => Turn::Done(response),
            Aside::Need(need) => {
                self.decided = Some(response);
                self.load(cache, need)
            }
            Aside::Commit(commit) => {
                self.decided = Some(response);
                self.land(cache, Outcome { commits: vec![commit], ..Outcome::default() })
            }
        }
    }

    /// The end: the answer that was decided before the work aside, else this one.
    fn answer(&mut self, response: Response) -> Turn {
        Turn::Done(self.decided.take().unwrap_or(response))
    }

    /// Loads what a step needs: heads first, for a page belongs to a head.
    fn load(&mut self, cache: &PageCache, mut need: Need) -> Turn {
        need.heads.retain(|directory| !self.heads.contains_key(directory));
        need.pages.retain(|(_, page)| !self.pages.contains_key(page));
        if need.is_empty() {
            return self.broken("a step asks for what it was given");
        }
        self.load_rest(cache, need)
    }

    fn load_rest(&mut self, cache: &PageCache, mut need: Need) -> Turn {
        if let Some(directory) = need.heads.pop() {
            return self.load_head(directory, need, Vote::None);
        }
        if need.pages.is_empty() {
            return self.step(cache);
        }
        self.waiting = Waiting::Pages(need.pages.clone());
        Turn::Call(Call::LoadPages(need.pages))
    }

    fn load_head(&mut self, directory: DirectoryId, rest: Need, vote: Vote) -> Turn {
        self.waiting = Waiting::Head { directory: directory.clone(), rest, vote };
        Turn::Call(Call::LoadHead(directory))
    }

    fn on_head(&mut self, cache: &PageCache, directory: DirectoryId, rest: Need, vote: Vote, reply: Reply) -> Turn {
        let head = match reply {
            Reply::Head(Some(bytes)) => match Head::decode(bytes.into()) {
                Ok(head) => Some(Arc::new(head)),
                Err(damage) => return self.broken(&format!("head of directory `{}`: {damage}", directory.as_str())),
            },
            Reply::Head(None) if directory.as_str() == DirectoryId::ENVIRONMENT => {
                return self.elect(directory, rest, vote);
            }
            Reply::Head(None) => None,
            other => return self.unavailable("a head could not be loaded", &other),
        };
        self.heads.insert(directory, head);
        self.load_rest(cache, rest)
    }

    fn elect(&mut self, directory: DirectoryId, rest: Need, vote: Vote) -> Turn {
        match vote {
            Vote::None => {
                self.waiting = Waiting::Election { directory: directory.clone(), rest };
                Turn::Call(Call::Elect(directory))
            }
            Vote::Won => self.create(directory, rest),
            Vote::Lost => self.unavailable("the environment is being created", &Reply::Head(None)),
        }
    }

    fn on_election(&mut self, directory: DirectoryId, rest: Need, reply: Reply) -> Turn {
        let Reply::Elected(count) = reply else {
            return self.unavailable("the environment could not be created", &reply);
        };
        let vote = if count % CANDIDATES == 1 { Vote::Won } else { Vote::Lost };
        self.load_head(directory, rest, vote)
    }

    fn create(&mut self, directory: DirectoryId, rest: Need) -> Turn {
        let view = View { heads: HashMap::new(), pages: &AtHand::NOTHING };
        let env = Env::new(self.now, self.seed, self.attempt, &self.config);
        let commit = Txn::create(&view, &directory).commit(&env);
        // The nonce is used up: the step's own commit must be told from this one.
        self.attempt += 1;
        let Ok(Some(commit)) = commit else { return self.broken("an empty directory could not be made") };
        self.waiting = Waiting::Creation { directory: directory.clone(), rest };
        Turn::Call(Call::CreateHead { directory, head: commit.head })
    }

    fn on_creation(&mut self, directory: DirectoryId, rest: Need, reply: Reply) -> Turn {
        match reply {
            Reply::Done => self.load_head(directory, rest, Vote::Lost),
            other => self.unavailable("the environment could not be created", &other),
        }
    }

    fn on_pages(&mut self, cache: &PageCache, asked: &[(DirectoryId, PageId)], reply: Reply) -> Turn {
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
        self.step(cache)
    }

    /// 503: the store did not do its part.
    fn unavailable(&mut self, what: &str, reply: &Reply) -> Turn {
        let detail = match reply {
            Reply::Failed(reason) => reason.as_str(),
            Reply::Head(_) | Reply::Pages(_) | Reply::Done | Reply::Swapped(_) | Reply::Elected(_) => {
                "unexpected reply"
            }
        };
        self.incident = Some(format!("{what}: {detail}"));
        self.answer(ScimError::new(Kind::Unavailable, "the directory can not be reached, try again").response())
    }

    /// 500: what is stored, or this program, is wrong; trying again would not help.
    fn broken(&mut self, reason: &str) -> Turn {
        self.incident = Some(reason.to_owned());
        self.answer(ScimError::new(Kind::Internal, "the directory could not be read").response())
    }
}

fn page_incident(directory: &DirectoryId, id: &PageId, what: &str) -> String {
    format!("page `{}` of directory `{}`: {what}", id.text(), directory.as_str())
}

/// Pages this request has loaded, which no other request's needs can push out, and those of the cache.
struct AtHand<'a> {
    pages: &'a HashMap<PageId, Arc<Page>>,
    absent: &'a HashSet<PageId>,
    cache: &'a dyn PageSource,
}

struct Nothing;

impl AtHand<'_> {
    const NOTHING: Nothing = Nothing;
}

impl PageSource for Nothing {
    fn page(&self, _id: &PageId) -> Option<Arc<Page>> {
        None
    }
}

impl PageSource for AtHand<'_> {
    fn page(&self, id: &PageId) -> Option<Arc<Page>> {
        self.pages.get(id).cloned().or_else(|| self.cache.page(id))
    }

    fn absent(&self, id: &PageId) -> bool {
        self.absent.contains(id)
    }
}
