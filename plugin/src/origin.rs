//! Calls to the origin: coalesced, bounded, and answered to everybody who waits.
//!
//! All calls are made by the worker's root, so that one whose first requester has gone still serves the others.

use std::collections::VecDeque;
use std::sync::Arc;

use scim_engine::edge;
use scim_engine::log::Entry;
use scim_engine::store::{DirectoryId, Head, PageId};

use crate::config::Origin;

/// Identifies a stream of this worker.
pub type Context = u32;

/// Identifies a call from before it is sent.
pub type Flight = u64;

/// What the origin is asked for.
#[derive(Clone, Debug)]
pub enum Ask {
    /// The head of a directory, unless it is still the one known.
    Head(DirectoryId, Option<Arc<Head>>),
    /// Pages of a directory, on behalf of the GET of that target.
    Pages(DirectoryId, Vec<PageId>, Option<String>),
    /// To note what was refused.
    Note(DirectoryId, Vec<Entry>),
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Nothing that can be trusted: refused, reset, timed out, cut off.
    Failed,
    /// A whole answer.
    Answer {
        /// HTTP status.
        status: u16,
        /// Body.
        body: Vec<u8>,
    },
}

/// A call that is queued or under way.
#[derive(Debug)]
pub struct Open {
    /// Which call this is.
    flight: Flight,
    /// By what Envoy knows it, once it is sent.
    token: Option<u32>,
    /// What is asked.
    pub ask: Ask,
    /// When it was asked, in microseconds: what it tells is no older.
    pub started: u64,
    /// Who waits for it.
    pub waiters: Vec<Context>,
    /// The `x-request-id` of the request it was first made for.
    pub request_id: Option<String>,
}

/// A call as Envoy sends it.
#[derive(Debug)]
pub struct Call {
    /// Which call this is.
    pub flight: Flight,
    /// Header fields, pseudo-headers first.
    pub headers: Vec<(&'static str, String)>,
    /// Body; empty for none.
    pub body: Vec<u8>,
}

/// Every call of one worker.
#[derive(Debug, Default)]
pub struct Calls {
    next: Flight,
    /// Few: no more than may be under way.
    open: Vec<Open>,
    queue: VecDeque<Flight>,
}

impl Calls {
    /// Number of calls queued or under way.
    pub fn in_flight(&self) -> usize {
        self.open.len()
    }

    /// Whether calls wait to be sent.
    pub fn queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Waits for a check of that head that began after `after`; `false` if there is none.
    pub fn join_head(&mut self, directory: &DirectoryId, after: u64, waiter: Option<Context>) -> bool {
        let found = self
            .open
            .iter_mut()
            .find(|open| open.started > after && matches!(&open.ask, Ask::Head(id, _) if id == directory));
        found.map(|open| open.waiters.extend(waiter)).is_some()
    }

    /// Waits for those of the pages that are under way already; leaves the others in `ids`. Answers how many calls
    /// are waited for.
    pub fn join_pages(&mut self, ids: &mut Vec<PageId>, waiter: Option<Context>) -> usize {
        let mut joined = 0;
        for open in self.open.iter_mut() {
            let Ask::Pages(_, asked, _) = &open.ask else { continue };
            let before = ids.len();
            ids.retain(|id| !asked.contains(id));
            if ids.len() < before {
                open.waiters.extend(waiter);
                joined += 1;
            }
        }
        joined
    }

    /// Queues a call on behalf of the request of that id.
    pub fn ask(&mut self, ask: Ask, now: u64, waiter: Option<Context>, request_id: Option<&str>) {
        let flight = self.next;
        self.next += 1;
        self.open.push(Open {
            flight,
            token: None,
            ask,
            started: now,
            waiters: waiter.into_iter().collect(),
            request_id: request_id.map(str::to_owned),
        });
        self.queue.push_back(flight);
    }

    /// The next call to send.
    pub fn next(&mut self, origin: &Origin) -> Option<Call> {
        let flight = self.queue.pop_front()?;
        let open = self.open.iter().find(|open| open.flight == flight)?;
        Some(Call { flight, headers: headers(open, origin), body: body(&open.ask) })
    }

    /// A call was sent under that token.
    pub fn sent(&mut self, flight: Flight, token: u32) {
        if let Some(open) = self.open.iter_mut().find(|open| open.flight == flight) {
            open.token = Some(token);
        }
    }

    /// The call of that token.
    pub fn by_token(&self, token: u32) -> Option<Flight> {
        self.open.iter().find(|open| open.token == Some(token)).map(|open| open.flight)
    }

    /// Closes a call that was answered or could not be sent.
    pub fn close(&mut self, flight: Flight) -> Option<Open> {
        let at = self.open.iter().position(|open| open.flight == flight)?;
        Some(self.open.remove(at))
    }

    /// Nobody of that name waits any more.
    pub fn leave(&mut self, waiter: Context) {
        for open in self.open.iter_mut() {
            open.waiters.retain(|other| *other != waiter);
        }
    }
}

fn headers(open: &Open, origin: &Origin) -> Vec<(&'static str, String)> {
    let (method, kind, directory) = match &open.ask {
        Ask::Head(directory, _) => ("GET", "heads", directory),
        Ask::Pages(directory, ..) => ("POST", "pages", directory),
        Ask::Note(directory, _) => ("POST", "refusals", directory),
    };
    let mut headers = vec![
        (":method", method.to_owned()),
        (":path", format!("{}{kind}/{}", edge::PREFIX, directory.as_str())),
        (":authority", origin.authority.clone()),
        ("authorization", format!("Bearer {}", origin.credential)),
    ];
    if let Some(id) = &open.request_id {
        headers.push(("x-request-id", id.clone()));
    }
    match &open.ask {
        Ask::Head(_, Some(head)) => headers.push(("if-none-match", edge::etag(head.version()))),
        Ask::Head(_, None) => {}
        Ask::Pages(_, _, target) => {
            headers.push(("content-type", edge::MEDIA_TYPE.to_owned()));
            headers.extend(target.as_ref().map(|target| (edge::READS_HEADER, target.clone())));
        }
        Ask::Note(..) => headers.push(("content-type", "application/json".to_owned())),
    }
    headers
}

fn body(ask: &Ask) -> Vec<u8> {
    match ask {
        Ask::Head(..) => Vec::new(),
        Ask::Pages(_, ids, _) => edge::encode_ids(ids),
        Ask::Note(_, entries) => edge::encode_refusals(entries),
    }
}
