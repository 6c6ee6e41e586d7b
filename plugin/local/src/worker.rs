//! What one worker does with a request, with no call to Envoy but for shared data.
//!
//! Shared data answers at once, so a request runs from its last byte to its answer without a pause. What it may cost
//! is bounded by `limits` alone; meanwhile its worker does nothing else.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use scim_engine::connections::record::Record;
use scim_engine::env::{Env, Timestamp};
use scim_engine::error::{Kind, ScimError};
use scim_engine::http::{Request, Response};
use scim_engine::scim;
use scim_engine::store::{
    DirectoryId, Fault, Handler, Head, Outcome, Page, PageCache, PageId, Place, Session, Turn, Txn, View,
};
use scim_filter::bucket::Bucket;
use scim_filter::rates::Rates;
use scim_filter::shared::Shared;
use scim_filter::worker::{VERSION_HEADER, declared_length, has_one_bearer, too_large, too_many};

use crate::config::Config;
use crate::store::Store;
use crate::table::{Full, Room};

/// How often a worker may look for slots to free, per second: each time it looks at every slot.
const SWEEPS: u32 = 1;

/// How often a worker may say that there is no room, per second.
const COMPLAINTS: u32 = 1;

/// One worker.
pub struct Worker<S> {
    config: Rc<Config>,
    pub(crate) store: Store<S>,
    cache: PageCache,
    rates: Rates<S>,
    sweeps: Bucket,
    complaints: Bucket,
}

/// Fresh entropy, for each run of a request.
pub type Entropy = fn() -> [u8; 32];

impl<S: Shared> Worker<S> {
    /// A worker over what all workers of this Envoy share.
    pub fn new(config: Rc<Config>, shared: Rc<S>) -> Self {
        Self {
            rates: Rates::new(Rc::clone(&shared), config.slots.connections, config.rate),
            store: Store::new(shared, Rc::clone(&config)),
            cache: PageCache::new(config.slots.worker_bytes),
            sweeps: Bucket::new(SWEEPS),
            complaints: Bucket::new(COMPLAINTS),
            config,
        }
    }

    /// Makes the directories that are not there yet; gives their number.
    ///
    /// # Errors
    /// One sentence that names the field of the configuration that does not go with what is there.
    pub fn establish(&mut self, entropy: Entropy, now: u64) -> Result<usize, String> {
        let (config, mut made) = (Rc::clone(&self.config), 0);
        self.store.agree_on_sizes()?;
        let most = config.slots.connections;
        let full =
            |_: Full| format!("`slots.connections`: other connections took all {most} of them since Envoy's start");
        for (directory, record) in &config.connections {
            let now = Timestamp(now / 1000);
            let record = Record { created_at: now, ..record.clone() };
            let view = View { heads: HashMap::new(), pages: &self.cache };
            let mut txn = Txn::create(&view, directory);
            txn.set_record(record.to_bytes());
            // A directory without entries needs no page, so there is a commit.
            let commit = txn.commit(&Env::new(now, entropy(), 0, &config.engine)).ok().flatten();
            let head = commit.map(|commit| commit.head).unwrap_or_default();
            made += usize::from(self.store.heads.create(directory, &head).map_err(full)?);
        }
        Ok(made)
    }

    /// Bytes a request body may have.
    pub fn body_limit(&self) -> usize {
        self.config.engine.limits.body
    }

    /// The refusal of a request whose body is still to come, if its head is reason enough.
    pub fn refusal(&mut self, request: &Request, now: u64) -> Option<Response> {
        let directory = scim::connection_of(&request.target)?;
        let known = self.config.connections.contains_key(&directory) && has_one_bearer(request);
        // What a directory that does not exist answers is what all these must answer.
        let head = if known { self.store.heads.load(&directory) } else { None };
        let head = head.and_then(|bytes| Head::decode(bytes.into()).ok()).map(Arc::new);
        let view = View { heads: HashMap::from([(directory.clone(), head)]), pages: &self.cache };
        // Nothing is made up from this seed: admission changes nothing.
        let env = Env::new(Timestamp(now / 1000), [0; 32], 0, &self.config.engine);
        match scim::admit(request, &view, &env) {
            // Who is not let in uses up nobody's share.
            Err(Fault::Refused(response)) if response.status == 401 => Some(response),
            _ if !self.rates.take(&directory, now) => Some(too_many()),
            Err(Fault::Refused(response)) => Some(response),
            _ if declared_length(request) > self.body_limit() as u64 => Some(too_large().response()),
            _ => None,
        }
    }

    /// Answers a whole request that was not refused.
    pub fn serve(&mut self, request: &Request, entropy: Entropy, now: u64) -> Response {
        let room = if request.method == "DELETE" { Room::Reserve } else { Room::Common };
        let mut response = self.run(scim::handle, request, entropy(), now, room);
        if self.store.is_full() && room == Room::Reserve {
            self.reclaim(request);
            response = self.run(scim::handle, request, entropy(), now, room);
        }
        if self.store.is_full() && self.sweeps.take(now) {
            self.sweep(entropy, now);
            response = self.run(scim::handle, request, entropy(), now, room);
        }
        if self.store.is_full() {
            if self.complaints.take(now) {
                log::error!("writes are refused for want of room: `slots.pages` is {}", self.config.slots.pages);
            }
            return ScimError::new(Kind::InsufficientStorage, "there is no room left: nothing was changed").response();
        }
        response.headers.retain(|(name, _)| *name != VERSION_HEADER);
        response
    }

    pub(crate) fn run(
        &mut self,
        handler: Handler,
        request: &Request,
        seed: [u8; 32],
        now: u64,
        room: Room,
    ) -> Response {
        self.store.begin(room);
        let config = Arc::clone(&self.config.engine);
        let session = Session::new(handler, request.clone(), seed, Timestamp(now / 1000), config);
        let mut session = session.trusting_swaps();
        let mut reply = None;
        loop {
            match session.turn(&self.cache, reply.take()) {
                Turn::Call(call) => reply = Some(self.store.call(call)),
                // Who commits alone never waits.
                Turn::Wait => {}
                Turn::Done(response) => {
                    if let Some(incident) = session.incident().filter(|_| !self.store.is_full()) {
                        log::error!("{incident}");
                    }
                    return response;
                }
            }
        }
    }

    /// Frees the slots of what the latest merge replaced, which otherwise keeps them until the next one. A reader that
    /// still needs one of these pages starts again from the head that replaced them.
    fn reclaim(&mut self, request: &Request) {
        let head = scim::connection_of(&request.target).and_then(|directory| self.store.heads.load(&directory));
        let head = head.and_then(|bytes| Head::decode(bytes.into()).ok());
        head.iter().flat_map(|head| head.garbage()).for_each(|id| self.store.pages.remove(id));
    }

    /// Frees the slots of pages that no head refers to, which workers left behind that ended in the midst of a commit.
    ///
    /// A commit under way on another worker must keep its pages. So each directory's head is replaced by one that says
    /// the same, after the pages were listed: a commit that began before loses that race and is made anew, with new
    /// pages, and the pages of one that began later are not on the list.
    pub(crate) fn sweep(&mut self, entropy: Entropy, now: u64) {
        let listed = self.store.pages.parts();
        let mut known = HashSet::new();
        for directory in self.store.heads.directories() {
            let request = Request { target: directory.as_str().to_owned(), ..Request::default() };
            if self.run(fence, &request, entropy(), now, Room::Common).status != 200 {
                return;
            }
            match self.reachable(&directory) {
                Some(pages) => known.extend(pages),
                None => return,
            }
        }
        let orphans = listed.iter().filter(|part| part.page().is_some_and(|page| !known.contains(&page)));
        let orphans: Vec<_> = orphans.collect();
        orphans.iter().for_each(|part| self.store.pages.remove_part(part));
        log::info!("{} orphan pages removed", orphans.len());
    }

    /// Every page a directory's head refers to; `None` if one of them has been replaced meanwhile.
    pub(crate) fn reachable(&mut self, directory: &DirectoryId) -> Option<Vec<PageId>> {
        let head = Head::decode(self.store.heads.load(directory)?.into()).ok()?;
        let mut found = head.garbage().to_vec();
        let mut open: Vec<Place> = head.root().map(Place::from).into_iter().collect();
        while let Some(place) = open.pop() {
            found.push(place.id);
            if place.level > 0 {
                let page = Page::decode(self.store.pages.get(&place.id)?.into()).ok();
                open.extend(page.filter(|page| *page.id() == place.id)?.children(&place));
            }
        }
        Some(found)
    }
}

/// Replaces the head of the directory the target names by one that says the same.
fn fence(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let directory = DirectoryId::new(&request.target).unwrap_or_else(DirectoryId::environment);
    let mut commits = Vec::new();
    if let Some(mut txn) = Txn::open(view, &directory)? {
        txn.set_record(txn.record().to_vec());
        commits.extend(txn.commit(env)?);
    }
    Ok(Outcome { response: Response::empty(200), commits, ..Outcome::default() })
}
