//! What one virtual machine's host calls see and leave behind.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use wasmtime::{Memory, StoreLimits, TypedFunc};

use super::abi::{Side, Status};
use super::cluster::{Clusters, HttpCall};
use super::pairs::Pairs;
use super::worker::Notice;
use super::{Settings, Shared};

/// The root context's id; streams count up from it.
pub const ROOT: u32 = 1;

/// The state behind one virtual machine's host calls.
pub struct Host {
    /// Common to all virtual machines.
    pub shared: Arc<Shared>,
    /// The plugin's configuration.
    pub settings: Arc<Settings>,
    /// Where calls can go.
    pub clusters: Rc<Clusters>,
    /// Hears of queue entries, on behalf of the virtual machine with this number.
    pub inbox: (UnboundedSender<Notice>, u64),
    /// The guest's memory, once instantiated.
    pub memory: Option<Memory>,
    /// The guest's allocator.
    pub allocate: Option<TypedFunc<u32, u32>>,
    /// Bounds the guest's memory.
    pub limits: StoreLimits,
    /// Streams by context id.
    pub streams: HashMap<u32, Rc<RefCell<StreamState>>>,
    /// The context whose callback runs.
    pub current: u32,
    /// The context the guest chose instead; 0 for none.
    pub effective: u32,
    /// What the running callback is for.
    pub phase: Phase,
    /// Set by a local response: the rest of the stream's filters do not run.
    pub stop_iteration: bool,
    /// The answer being delivered.
    pub reply: Option<CallReply>,
    /// What `get_status` says.
    pub status: (u32, &'static str),
    /// The last call's token.
    pub token: u32,
    /// What to do once the guest has returned.
    pub after: Vec<After>,
}

/// What a callback is for, where it decides what the guest may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// `on_configure`: the plugin's configuration is readable.
    Configure,
    /// `on_log`: headers are readable again, and read-only.
    Log,
    /// Anything else.
    Other,
}

/// Effects that wait until the guest has returned.
#[derive(Debug)]
pub enum After {
    /// Resume a paused direction.
    Resume(u32, Side),
    /// Answer the client.
    Reply(u32, LocalReply),
    /// Drop the stream.
    Reset(u32),
    /// Send a call.
    Call(HttpCall),
    /// Start, change or (with zero) stop the timer.
    Tick(Duration),
}

/// The answer to a call.
#[derive(Clone, Debug)]
pub struct CallReply {
    /// With `:status`.
    pub headers: Pairs,
    /// The whole body.
    pub body: Bytes,
}

/// A response made here.
#[derive(Clone, Debug)]
pub struct LocalReply {
    /// Status code.
    pub status: u32,
    /// Headers, without `:status`.
    pub headers: Pairs,
    /// Body.
    pub body: Bytes,
    /// Whether it skips the filter, because the filter failed or has seen a response already.
    pub direct: bool,
}

impl LocalReply {
    /// A plain-text reply.
    pub fn text(status: u32, text: impl Into<Bytes>) -> LocalReply {
        LocalReply { status, headers: Pairs::default(), body: text.into(), direct: false }
    }

    /// What a failed virtual machine's requests get.
    pub fn failed() -> LocalReply {
        LocalReply { direct: true, ..LocalReply::text(503, Bytes::new()) }
    }

    /// The headers as Envoy completes them: content-length and type belong to a body and to nothing else.
    pub fn pairs(&self) -> Pairs {
        let mut pairs = Pairs::default();
        pairs.add(b":status", self.status.to_string().as_bytes());
        for (name, value) in self.headers.iter() {
            pairs.add(name, value);
        }
        if self.body.is_empty() {
            pairs.remove(b"content-length");
            pairs.remove(b"content-type");
        } else {
            pairs.replace(b"content-length", self.body.len().to_string().as_bytes());
            if pairs.get(b"content-type").is_none() {
                pairs.add(b"content-type", b"text/plain");
            }
        }
        pairs
    }
}

/// One stream, as host calls see it.
#[derive(Debug)]
pub struct StreamState {
    /// From the client.
    pub request: Direction,
    /// To the client.
    pub response: Direction,
    /// A local response not yet taken up. Only the first counts.
    pub reply: Option<LocalReply>,
    /// Whether there has been one.
    pub replied: bool,
    /// Whether the guest closed the stream.
    pub reset: bool,
    /// Filter state under `wasm.`, by property path.
    pub filter_state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Facts about the connection and the request.
    pub info: StreamInfo,
}

/// Facts about the connection and the request.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// The client.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// `x-request-id`.
    pub request_id: String,
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'static str,
    /// When the request arrived.
    pub started: SystemTime,
}

/// One direction of a stream.
#[derive(Debug, Default)]
pub struct Direction {
    /// Headers, pseudo headers included.
    pub headers: Pairs,
    /// Whether the guest may reach the headers: from their callback until the direction continues.
    pub headers_open: bool,
    /// The current chunk, or everything since a pause.
    pub body: BytesMut,
    /// Whether the guest may reach the body.
    pub body_open: bool,
    /// Whether the last body callback paused, so that chunks add up.
    pub buffering: bool,
    /// The guest asked to resume.
    pub resumed: bool,
    /// Wakes the task that drives this direction.
    pub wake: Rc<Notify>,
}

impl StreamState {
    /// A stream about to begin.
    pub fn new(headers: Pairs, info: StreamInfo) -> StreamState {
        StreamState {
            request: Direction { headers, ..Direction::default() },
            response: Direction::default(),
            reply: None,
            replied: false,
            reset: false,
            filter_state: BTreeMap::new(),
            info,
        }
    }

    /// One direction.
    pub fn side(&mut self, side: Side) -> &mut Direction {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    /// One direction, to read.
    pub fn read_side(&self, side: Side) -> &Direction {
        match side {
            Side::Request => &self.request,
            Side::Response => &self.response,
        }
    }

    /// Answers the client, unless something already has.
    pub fn answer(&mut self, reply: LocalReply) {
        if !self.replied {
            self.replied = true;
            self.reply = Some(reply);
            self.wake();
        }
    }

    /// Lets both directions look at the state again.
    pub fn wake(&self) {
        self.request.wake.notify_one();
        self.response.wake.notify_one();
    }
}

impl Host {
    /// The context a host call is about.
    pub fn context(&self) -> u32 {
        let chosen = self.effective;
        if chosen == ROOT || self.streams.contains_key(&chosen) { chosen } else { self.current }
    }

    /// The stream a host call is about, unless it is about the root.
    pub fn stream(&self) -> Option<Rc<RefCell<StreamState>>> {
        self.streams.get(&self.context()).cloned()
    }

    /// The same, or `missing` for the root.
    pub fn stream_or(&self, missing: Status) -> Result<Rc<RefCell<StreamState>>, Status> {
        self.stream().ok_or(missing)
    }
}
