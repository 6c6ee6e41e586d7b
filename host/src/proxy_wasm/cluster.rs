//! Clusters: named addresses with a connection pool per worker and one bound on requests in flight, as in Envoy.

use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::host::{CallReply, LocalReply};
use super::pairs::Pairs;
use super::shared::{Counts, Shared};

/// Envoy's default circuit breaker.
const MAX_IN_FLIGHT: usize = 1024;
/// Envoy's default for a cluster.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An idle connection is given up before the origin gives it up, so that no request meets the closing.
const IDLE: Duration = Duration::from_secs(20);
/// Beyond this the answer to a call fails.
const MAX_CALL_BODY: usize = 32 << 20;

/// A body on its way.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// A cluster as configured.
#[derive(Clone, Debug)]
pub struct Cluster {
    name: String,
    address: SocketAddr,
    in_flight: Arc<AtomicUsize>,
}

impl Cluster {
    /// A cluster of one host, speaking HTTP/1.1.
    pub fn new(name: &str, address: SocketAddr) -> Cluster {
        Cluster { name: name.to_owned(), address, in_flight: Arc::default() }
    }
}

/// One worker's connections to every cluster.
pub struct Clusters(Vec<Rc<Pool>>);

impl Clusters {
    /// No connections yet.
    pub fn new(clusters: &[Cluster], shared: &Arc<Shared>) -> Clusters {
        let pool = |cluster: &Cluster| {
            let mut connector = HttpConnector::new();
            connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
            connector.set_nodelay(true);
            let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build(connector);
            Rc::new(Pool { cluster: cluster.clone(), client, shared: Arc::clone(shared) })
        };
        Clusters(clusters.iter().map(pool).collect())
    }

    /// The cluster with this name.
    pub fn find(&self, name: &[u8]) -> Option<Rc<Pool>> {
        self.0.iter().find(|pool| pool.cluster.name.as_bytes() == name).cloned()
    }

    /// Where requests are forwarded.
    pub fn route(&self) -> Option<Rc<Pool>> {
        self.0.first().cloned()
    }
}

/// One worker's connections to one cluster.
pub struct Pool {
    cluster: Cluster,
    client: Client<HttpConnector, Body>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.cluster.fmt(formatter)
    }
}

/// A place among the requests in flight.
#[derive(Debug)]
pub struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call a guest dispatched.
#[derive(Debug)]
pub struct HttpCall {
    /// What the guest knows it by.
    pub token: u32,
    /// Where to.
    pub cluster: Rc<Pool>,
    /// With pseudo headers.
    pub headers: Pairs,
    /// The whole body.
    pub body: Bytes,
    /// For the whole exchange; none waits for ever.
    pub timeout: Option<Duration>,
    /// Its place among the requests in flight.
    #[expect(dead_code, reason = "held until the exchange is over")]
    pub slot: Slot,
}

/// Why no response came.
#[derive(Debug)]
pub enum Fault {
    /// No connection.
    Connect,
    /// The connection ended first.
    Reset,
    /// Too many requests in flight.
    Overflow,
}

impl Fault {
    /// What Envoy answers.
    pub fn reply(&self) -> LocalReply {
        let reason = match self {
            Fault::Connect => "remote connection failure",
            Fault::Reset => "connection termination",
            Fault::Overflow => "overflow",
        };
        let text = format!("upstream connect error or disconnect/reset before headers. reset reason: {reason}");
        LocalReply::text(503, text)
    }
}

impl Pool {
    /// Takes a place among the requests in flight, if one is free.
    pub fn reserve(&self) -> Option<Slot> {
        let in_flight = &self.cluster.in_flight;
        let slot = in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < MAX_IN_FLIGHT).then_some(count + 1));
        slot.is_ok().then(|| Slot(Arc::clone(in_flight)))
    }

    /// Sends a request with these headers, pseudo headers included.
    pub async fn send(&self, headers: &Pairs, body: Body) -> Result<Response<Incoming>, Fault> {
        let request = self.request(headers, body).ok_or(Fault::Reset)?;
        Counts::count(&self.shared.counts.upstream);
        self.client.request(request).await.map_err(|error| match error.is_connect() {
            true => Fault::Connect,
            false => Fault::Reset,
        })
    }

    fn request(&self, headers: &Pairs, body: Body) -> Option<Request<Body>> {
        let text = |name: &[u8]| std::str::from_utf8(headers.get(name)?).ok();
        let uri: Uri = format!("http://{}{}", self.cluster.address, text(b":path")?).parse().ok()?;
        let mut request = Request::builder().method(text(b":method")?).uri(uri).body(body).ok()?;
        let map = request.headers_mut();
        map.insert(http::header::HOST, HeaderValue::from_bytes(headers.get(b":authority")?).ok()?);
        for (name, value) in headers.iter().filter(|(name, _)| !name.starts_with(b":") && !ours(name)) {
            map.append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
        }
        Some(request)
    }
}

/// Headers that are instructions to the router, or belong to one connection.
fn ours(name: &[u8]) -> bool {
    matches!(name, b"host" | b"connection" | b"transfer-encoding" | b"x-envoy-retry-on" | b"x-envoy-max-retries")
}

/// A body known in full.
pub fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

impl HttpCall {
    /// Completes the call. No reply means the exchange broke after response headers, or the answer is too big: the
    /// guest then hears of zero headers.
    pub async fn exchange(mut self) -> Option<CallReply> {
        let limit = self.timeout.unwrap_or(Duration::MAX);
        let deadline = tokio::time::Instant::now().checked_add(limit);
        if !self.body.is_empty() {
            self.headers.replace(b"content-length", self.body.len().to_string().as_bytes());
        }
        self.headers.add(b"x-envoy-internal", b"true");
        if let Some(timeout) = self.timeout {
            self.headers.replace(b"x-envoy-expected-rq-timeout-ms", timeout.as_millis().to_string().as_bytes());
        }
        let expired = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(expired);
        let started = std::time::Instant::now();
        let response = tokio::select! {
            response = self.cluster.send(&self.headers, whole(self.body.clone())) => response,
            () = &mut expired => return Some(local(&LocalReply::text(504, "upstream request timeout"))),
        };
        match response {
            Err(fault) => Some(local(&fault.reply())),
            Ok(response) => {
                let mut headers = response_pairs(&response, started.elapsed());
                headers.retain(|name| name != b"transfer-encoding" && name != b"connection");
                let body = tokio::select! {
                    body = collect(response.into_body()) => body?,
                    () = &mut expired => return None,
                };
                Some(CallReply { headers, body })
            }
        }
    }
}

fn local(reply: &LocalReply) -> CallReply {
    CallReply { headers: reply.pairs(), body: reply.body.clone() }
}

/// A response's headers with `:status` and how long the origin took.
pub fn response_pairs(response: &Response<Incoming>, took: Duration) -> Pairs {
    let mut pairs = Pairs::default();
    pairs.add(b":status", response.status().as_str().as_bytes());
    for (name, value) in response.headers() {
        pairs.add(name.as_str().as_bytes(), value.as_bytes());
    }
    pairs.replace(b"x-envoy-upstream-service-time", took.as_millis().to_string().as_bytes());
    pairs
}

async fn collect(mut body: Incoming) -> Option<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > MAX_CALL_BODY {
            return None;
        }
    }
    Some(bytes.freeze())
}
