//! One request's way through the filter: each direction's headers, then its body, each held back for as long as the
//! guest says; in between the origin, or a local reply.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use futures::stream;
use http::{HeaderName, HeaderValue, Request, Response, Version, request};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::sleep;

use super::abi::Side;
use super::cluster::{Body, response_pairs, whole};
use super::host::{LocalReply, StreamInfo, StreamState};
use super::pairs::Pairs;
use super::path;
use super::shared::Counts;
use super::vm::{Flow, Vm};
use super::worker::Worker;

/// Serves one request. An error closes the connection, as a reset stream does.
pub async fn serve(
    worker: Rc<Worker>,
    request: Request<Incoming>,
    peer: SocketAddr,
    local: SocketAddr,
) -> io::Result<Response<Body>> {
    Counts::count(&worker.plugin.shared.counts.requests);
    let multiplexed = request.version() == Version::HTTP_2;
    let protocol = if multiplexed { "HTTP/2" } else { "HTTP/1.1" };
    let info = StreamInfo { peer, local, request_id: request_id(), protocol, started: SystemTime::now() };
    let (parts, body) = request.into_parts();
    let arrived = Rc::new(Cell::new(body.is_end_stream()));
    let mut response = answer(worker, &parts, Source::Incoming(body, Rc::clone(&arrived)), info).await?;
    // As in Envoy, a request that is answered before it has arrived is the last of its connection, and the client is told.
    if !multiplexed && !arrived.get() {
        response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

async fn answer(
    worker: Rc<Worker>,
    parts: &request::Parts,
    body: Source,
    info: StreamInfo,
) -> io::Result<Response<Body>> {
    let Some(headers) = request_pairs(parts, info.peer, &info.request_id) else {
        return response(&LocalReply::text(400, Bytes::new()).pairs(), whole(Bytes::new()));
    };
    let state = Rc::new(RefCell::new(StreamState::new(headers, info)));
    let Some(stream) = Stream::open(worker, state) else {
        return response(&LocalReply::failed().pairs(), whole(Bytes::new()));
    };
    let stream = Rc::new(stream);
    match stream.exchange(body).await {
        Ok(response) => Ok(response),
        Err(Ending::Reset) => Err(io::ErrorKind::ConnectionReset.into()),
        Err(Ending::Reply(reply)) => stream.reply(reply, parts.method == http::Method::HEAD).await,
    }
}

/// A request's headers as the filter sees them, or none when Envoy, hardened as for the open internet, refuses them.
fn request_pairs(parts: &request::Parts, peer: SocketAddr, id: &str) -> Option<Pairs> {
    let mut pairs = Pairs::default();
    let host = parts.headers.get(http::header::HOST).map(HeaderValue::as_bytes);
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    pairs.add(b":authority", authority.or(host)?);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    pairs.add(b":path", path::normalize(path)?.as_bytes());
    pairs.add(b":method", parts.method.as_str().as_bytes());
    pairs.add(b":scheme", b"http");
    for (name, value) in &parts.headers {
        if name.as_str().contains('_') {
            return None;
        }
        pairs.add(name.as_str().as_bytes(), value.as_bytes());
    }
    pairs.retain(|name| !hop_by_hop(name) && name != b"host" && name != b"expect" && !name.starts_with(b"x-envoy-"));
    pairs.replace(b"x-forwarded-proto", b"http");
    pairs.replace(b"x-request-id", id.as_bytes());
    let address = peer.ip().to_string();
    let chain = match pairs.get(b"x-forwarded-for") {
        Some(before) => [before, b",", address.as_bytes()].concat(),
        None => address.into_bytes(),
    };
    pairs.replace(b"x-forwarded-for", &chain);
    pairs.add(b"x-envoy-external-address", peer.ip().to_string().as_bytes());
    Some(pairs)
}

fn hop_by_hop(name: &[u8]) -> bool {
    matches!(name, b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" | b"te")
}

fn request_id() -> String {
    let mut bytes = [0; 16];
    // Without entropy the id is a constant: it only correlates log lines.
    let _ = getrandom::fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

fn response(pairs: &Pairs, body: Body) -> io::Result<Response<Body>> {
    let refused = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut response = Response::new(body);
    let status = pairs.get(b":status").unwrap_or(b"");
    *response.status_mut() = http::StatusCode::from_bytes(status).map_err(|_| refused("no such status"))?;
    for (name, value) in pairs.iter().filter(|(name, _)| !name.starts_with(b":") && !hop_by_hop(name)) {
        let name = HeaderName::from_bytes(name).map_err(|_| refused("no such header name"))?;
        // Envoy would send a line break and split the response; here the stream is lost.
        let value = HeaderValue::from_bytes(value).map_err(|_| refused("no such header value"))?;
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

/// Why a direction did not reach its end.
enum Ending {
    /// Answered here.
    Reply(LocalReply),
    /// Nothing more can be said to the client.
    Reset,
}

/// Where a body comes from.
enum Source {
    /// Known in full.
    Whole(Bytes),
    /// Arriving; set once all of it has.
    Incoming(Incoming, Rc<Cell<bool>>),
}

impl Source {
    fn is_end(&self) -> bool {
        match self {
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Incoming(body, _) => body.is_end_stream(),
        }
    }

    /// The next chunk, and whether it is the last; none of a body that breaks. Trailers are dropped, as Envoy does on HTTP/1.
    async fn next(&mut self) -> Option<(Bytes, bool)> {
        let (body, arrived) = match self {
            Source::Whole(bytes) => return Some((std::mem::take(bytes), true)),
            Source::Incoming(body, arrived) => (body, arrived),
        };
        let (data, last) = match body.frame().await {
            None => (Bytes::new(), true),
            Some(Err(_)) => return None,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => (data, body.is_end_stream()),
                Err(_) => (Bytes::new(), true),
            },
        };
        arrived.set(last);
        Some((data, last))
    }
}

/// What came of a direction's headers: what may be sent on already, and whether that is all.
struct Released {
    body: Bytes,
    end: bool,
}

/// One request's state, shared by the tasks that move its two bodies. The stream ends with the last of them.
struct Stream {
    worker: Rc<Worker>,
    vm: Rc<Vm>,
    context: u32,
    state: Rc<RefCell<StreamState>>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.vm.close(self.context);
    }
}

impl Stream {
    fn open(worker: Rc<Worker>, state: Rc<RefCell<StreamState>>) -> Option<Stream> {
        let vm = worker.vm()?;
        let context = vm.open(Rc::clone(&state))?;
        Some(Stream { worker, vm, context, state })
    }

    /// The request through the filter, to the origin, and the response back.
    async fn exchange(self: &Rc<Self>, mut source: Source) -> Result<Response<Body>, Ending> {
        let released = self.hold(Side::Request, &mut source).await?;
        let mut headers = self.state.borrow().request.headers.clone();
        let settings = &self.worker.plugin.settings;
        let route = self.worker.clusters.route().filter(|_| settings.open(&headers));
        let route = route.ok_or_else(|| Ending::Reply(LocalReply::text(404, Bytes::new())))?;
        headers.replace(b"x-envoy-expected-rq-timeout-ms", settings.route_timeout.as_millis().to_string().as_bytes());
        let overflow = || Ending::Reply(super::cluster::Fault::Overflow.reply());
        let _slot = route.reserve().ok_or_else(overflow)?;
        let body = self.body(Side::Request, released, source);
        let started = Instant::now();
        let sent = route.send(&headers, body);
        tokio::pin!(sent);
        let expired = sleep(settings.route_timeout.min(settings.stream_idle_timeout));
        tokio::pin!(expired);
        let wake = Rc::clone(&self.state.borrow().response.wake);
        let answer = loop {
            tokio::select! {
                answer = &mut sent => break answer,
                () = &mut expired => return Err(Ending::Reply(LocalReply::text(504, "upstream request timeout"))),
                () = wake.notified() => self.check()?,
            }
        };
        // A reply made here wins over what it caused upstream.
        self.check()?;
        let answer = answer.map_err(|fault| Ending::Reply(fault.reply()))?;
        let pairs = response_pairs(&answer, started.elapsed());
        self.respond(pairs, Source::Incoming(answer.into_body(), Rc::default())).await.map_err(direct)
    }

    /// A local reply, which passes the filter's response callbacks like any other response.
    async fn reply(self: &Rc<Self>, reply: LocalReply, head: bool) -> io::Result<Response<Body>> {
        let pairs = reply.pairs();
        let body = if head { Bytes::new() } else { reply.body };
        if reply.direct {
            return response(&pairs, whole(body));
        }
        match self.respond(pairs, Source::Whole(body)).await {
            Ok(response) => Ok(response),
            Err(Ending::Reply(second)) => response(&second.pairs(), whole(second.body)),
            Err(Ending::Reset) => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }

    async fn respond(self: &Rc<Self>, pairs: Pairs, mut source: Source) -> Result<Response<Body>, Ending> {
        {
            let mut state = self.state.borrow_mut();
            state.response.headers = pairs;
            state.replied = matches!(source, Source::Whole(_));
        }
        let released = self.hold(Side::Response, &mut source).await?;
        let pairs = self.state.borrow().response.headers.clone();
        response(&pairs, self.body(Side::Response, released, source)).map_err(|_| Ending::Reset)
    }

    /// Runs a direction's headers, and its body for as long as the headers are held, until the guest lets go.
    async fn hold(self: &Rc<Self>, side: Side, source: &mut Source) -> Result<Released, Ending> {
        let mut end = source.is_end();
        let flow = self.vm.headers(self.context, &self.state, side, end);
        let wake = Rc::clone(&self.state.borrow_mut().side(side).wake);
        let deaf = match flow {
            Flow::Failed => return Err(Ending::Reply(LocalReply::failed())),
            Flow::Continue => {
                self.check()?;
                return Ok(Released { body: Bytes::new(), end });
            }
            Flow::Pause => false,
            Flow::PauseAll => true,
        };
        // Resuming from within the very callback that pauses has no effect.
        self.state.borrow_mut().side(side).resumed = false;
        loop {
            self.check()?;
            if let Some(body) = self.resumed(side) {
                return Ok(Released { body, end });
            }
            tokio::select! {
                () = wake.notified() => {}
                () = sleep(self.worker.plugin.settings.stream_idle_timeout) => {
                    return Err(Ending::Reply(LocalReply::text(504, "stream timeout")));
                }
                chunk = source.next(), if !end && !deaf => {
                    let (bytes, last) = chunk.ok_or_else(|| broken(side))?;
                    end = last;
                    if let Some(body) = self.chunk(side, &bytes, end)? {
                        return Ok(Released { body, end });
                    }
                }
            }
        }
    }

    /// Runs one chunk through the filter; what it lets go is to be sent on.
    fn chunk(&self, side: Side, bytes: &[u8], end: bool) -> Result<Option<Bytes>, Ending> {
        {
            let mut state = self.state.borrow_mut();
            let direction = state.side(side);
            direction.body.extend_from_slice(bytes);
            if direction.buffering && direction.body.len() > self.worker.plugin.settings.buffer_limit {
                return Err(Ending::Reply(match side {
                    Side::Request => LocalReply::text(413, "Payload Too Large"),
                    Side::Response => LocalReply::text(500, "Internal Server Error"),
                }));
            }
        }
        let flow = self.vm.body(self.context, &self.state, side, end);
        self.check()?;
        match flow {
            Flow::Failed => Err(Ending::Reply(LocalReply::failed())),
            Flow::Continue => Ok(Some(self.take(side))),
            Flow::Pause | Flow::PauseAll => {
                self.state.borrow_mut().side(side).resumed = false;
                Ok(None)
            }
        }
    }

    fn take(&self, side: Side) -> Bytes {
        let mut state = self.state.borrow_mut();
        let direction = state.side(side);
        direction.buffering = false;
        direction.body_open = false;
        BytesMut::split(&mut direction.body).freeze()
    }

    fn resumed(&self, side: Side) -> Option<Bytes> {
        let resumed = std::mem::take(&mut self.state.borrow_mut().side(side).resumed);
        resumed.then(|| self.take(side))
    }

    /// Whether the guest has answered or closed the stream.
    fn check(&self) -> Result<(), Ending> {
        let mut state = self.state.borrow_mut();
        match state.reply.take() {
            _ if state.reset => Err(Ending::Reset),
            Some(reply) => Err(Ending::Reply(reply)),
            None => Ok(()),
        }
    }

    /// The rest of a body, which a task of its own moves through the filter.
    fn body(self: &Rc<Self>, side: Side, released: Released, source: Source) -> Body {
        if released.end {
            return whole(released.body);
        }
        let (sender, receiver) = channel(1);
        let stream = Rc::clone(self);
        tokio::task::spawn_local(async move {
            if let Err(ending) = stream.pump(side, released.body, source, &sender).await {
                stream.abort(side, ending);
                // If the receiver is gone it needs no error.
                let _ = sender.send(Err(io::ErrorKind::ConnectionReset.into())).await;
            }
        });
        StreamBody::new(stream::unfold(receiver, receive)).map_err(Into::into).boxed_unsync()
    }

    async fn pump(&self, side: Side, first: Bytes, mut source: Source, sender: &Chunks) -> Result<(), Ending> {
        if !send(sender, first).await {
            return Ok(());
        }
        let wake = Rc::clone(&self.state.borrow_mut().side(side).wake);
        let (mut end, mut paused) = (false, false);
        while !end || paused {
            tokio::select! {
                // Whoever reads has seen enough.
                () = sender.closed() => return Ok(()),
                () = sleep(self.worker.plugin.settings.stream_idle_timeout) => {
                    return Err(Ending::Reply(LocalReply::text(504, "stream timeout")));
                }
                () = wake.notified() => {
                    if self.cut(side) {
                        return Err(Ending::Reset);
                    }
                    if let Some(body) = self.resumed(side) {
                        paused = false;
                        if !send(sender, body).await {
                            return Ok(());
                        }
                    }
                }
                chunk = source.next(), if !end => {
                    let (bytes, last) = chunk.ok_or_else(|| broken(side))?;
                    end = last;
                    let body = self.chunk(side, &bytes, end)?;
                    paused = body.is_none();
                    if !send(sender, body.unwrap_or_default()).await {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a body under way must end here. The task that waits for the origin takes a reply up; a response that
    /// has begun is cut off by it.
    fn cut(&self, side: Side) -> bool {
        let state = self.state.borrow();
        state.reset || (side == Side::Response && state.reply.is_some())
    }

    /// A request body that ends early may still be answered; a response under way can only be cut off.
    fn abort(&self, side: Side, ending: Ending) {
        let mut state = self.state.borrow_mut();
        match (side, ending) {
            (Side::Request, Ending::Reply(reply)) => {
                (state.replied, state.reply) = (true, Some(reply));
                state.wake();
            }
            (Side::Request, Ending::Reset) if state.response.headers.is_empty() => {
                state.reset = true;
                state.wake();
            }
            _ => {}
        }
    }
}

type Chunks = Sender<io::Result<Bytes>>;

/// Passes bytes on. False when nobody wants them any more.
async fn send(sender: &Chunks, bytes: Bytes) -> bool {
    bytes.is_empty() || sender.send(Ok(bytes)).await.is_ok()
}

async fn receive(
    mut receiver: Receiver<io::Result<Bytes>>,
) -> Option<(io::Result<Frame<Bytes>>, Receiver<io::Result<Bytes>>)> {
    let chunk = receiver.recv().await?;
    Some((chunk.map(Frame::data), receiver))
}

/// How a body that breaks ends its stream: who sent a request that can not be read is told so.
fn broken(side: Side) -> Ending {
    match side {
        Side::Request => Ending::Reply(LocalReply::text(400, "Bad Request")),
        Side::Response => Ending::Reset,
    }
}

/// Once the origin has answered, a reply made here no longer passes the filter.
fn direct(ending: Ending) -> Ending {
    match ending {
        Ending::Reply(reply) => Ending::Reply(LocalReply { direct: true, ..reply }),
        Ending::Reset => Ending::Reset,
    }
}
