//! Envoy as this filter uses it: clock, entropy, shared data, and verdicts carried out.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::time::UNIX_EPOCH;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{MapType, MetricType};
use scim_engine::edge::CLIENT_HEADER;
use scim_engine::http::Response;

use crate::decision::{GROUPS_HEADER, Ruling, USER_HEADER};
use crate::metrics::Metric;
use crate::origin::Context;
use crate::quick::QuickMap;
use crate::shared::Shared;
use crate::worker::Verdict;

/// Envoy's shared data under this filter's `vm_id`.
pub struct SharedData;

/// Generation that stands for "only if absent": Envoy compares it with an existing value's only.
const ABSENT: u32 = u32::MAX;

impl Shared for SharedData {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        let (value, generation) = hostcalls::get_shared_data(key).ok()?;
        generation.map(|generation| (value.unwrap_or_default(), generation))
    }

    fn set(&self, key: &str, value: &[u8], expected: Option<u32>) -> bool {
        hostcalls::set_shared_data(key, Some(value), Some(expected.unwrap_or(ABSENT))).is_ok()
    }
}

/// Microseconds since the Unix epoch.
pub fn now() -> u64 {
    let since = hostcalls::get_current_time().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| u64::try_from(since.as_micros()).ok()).unwrap_or(0)
}

/// Address of the client of the stream in effect, as Envoy determined it.
pub fn source() -> Option<IpAddr> {
    let address = hostcalls::get_property(vec!["source", "address"]).ok().flatten()?;
    let address: SocketAddr = std::str::from_utf8(&address).ok()?.parse().ok()?;
    Some(address.ip())
}

/// Fresh bytes of the host's secure generator.
pub fn entropy() -> [u8; 32] {
    let mut bytes = [0; 32];
    if getrandom::fill(&mut bytes).is_err() {
        log::error!("the host has no entropy");
    }
    bytes
}

/// Tells an answer of this edge from one of its origin, for whoever looks into a deployment: the edge's version.
const EDGE_HEADER: &str = "x-scim-edge";

/// A metric in Envoy: its number, looked up by name once, and the values Envoy has not been told yet.
struct Defined {
    id: u32,
    waiting: Vec<u64>,
}

/// Samples that wait, at most.
const SAMPLES: usize = 1024;

thread_local! {
    /// Metrics this worker has used.
    static METRICS: RefCell<QuickMap<Metric, Defined>> = RefCell::default();
}

/// Adds to a counter, or a sample to a histogram. Envoy learns of it when it is [`report`]ed: many calls in a row take it
/// little longer than one in the midst of a request.
pub fn measure(metric: Metric, value: u64) {
    METRICS.with_borrow_mut(|metrics| {
        let defined = match metrics.entry(metric) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => match define(metric) {
                Some(defined) => entry.insert(defined),
                None => return log::debug!("`{}` can not be defined", metric.name()),
            },
        };
        match (metric.gather(), defined.waiting.last_mut()) {
            (Some(gather), Some(waiting)) => *waiting = gather(*waiting, value),
            _ => defined.waiting.push(value),
        }
        if defined.waiting.len() >= SAMPLES {
            defined.report();
        }
    });
}

/// The same for several.
pub fn measure_all(measured: impl Iterator<Item = (Metric, u64)>) {
    measured.for_each(|(metric, value)| measure(metric, value));
}

/// Tells Envoy what waits; to be called every second or so, and at the end.
pub fn report() {
    METRICS.with_borrow_mut(|metrics| {
        metrics.values_mut().for_each(Defined::report);
    });
}

impl Defined {
    fn report(&mut self) {
        for value in self.waiting.drain(..) {
            if hostcalls::record_metric(self.id, value).is_err() {
                log::debug!("metric {} takes no value", self.id);
            }
        }
    }
}

fn define(metric: Metric) -> Option<Defined> {
    let kind = if metric.is_histogram() { MetricType::Histogram } else { MetricType::Counter };
    hostcalls::define_metric(kind, &metric.name()).ok().map(|id| Defined { id, waiting: Vec::new() })
}

/// Makes a fact about the stream in effect readable as `%FILTER_STATE(wasm.name:PLAIN)%`.
pub fn tell(name: &str, value: &str) {
    if hostcalls::set_property(vec![name], Some(value.as_bytes())).is_err() {
        log::debug!("filter state `{name}` takes no value");
    }
}

/// Lets the root of this worker send what is queued: only its calls outlive a request.
pub fn wake(queue: Option<u32>) {
    if let Some(queue) = queue
        && hostcalls::enqueue_shared_queue(queue, Some(b"!")).is_err()
    {
        log::error!("the root can not be woken");
    }
}

/// Sends an answer on the stream in effect.
pub fn answer(response: &Response) {
    let headers = response.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let headers = headers.chain([(EDGE_HEADER, env!("CARGO_PKG_VERSION"))]).collect();
    // An empty body would take the content type away, and on 204 add a length that does not belong there.
    let body = Some(response.body.as_slice()).filter(|body| !body.is_empty());
    if hostcalls::send_http_response(response.status.into(), headers, body).is_err() {
        log::warn!("an answer could not be sent");
    }
}

/// Tells the origin where the client is, in the place of whatever the client itself says of that.
pub fn introduce(client: Option<&str>) {
    let removed = hostcalls::remove_map_value(MapType::HttpRequestHeaders, CLIENT_HEADER);
    let added = client.map(|client| hostcalls::add_map_value(MapType::HttpRequestHeaders, CLIENT_HEADER, client));
    if removed.and(added.unwrap_or(Ok(()))).is_err() {
        log::warn!("the client could not be introduced to the origin");
    }
}

/// Carries out a verdict on another stream than the one whose callback runs; `client` is what the origin is told of the
/// client. A stream that has ended is left alone.
pub fn carry_out(context: Context, verdict: &Verdict, client: Option<&str>) {
    if hostcalls::set_effective_context(context).is_err() {
        return;
    }
    match verdict {
        Verdict::Answer(response) => answer(response),
        Verdict::Forward => {
            introduce(client);
            resume();
        }
        Verdict::Rule(ruling) => {
            if rule(ruling) {
                resume();
            }
        }
        Verdict::Hold => {}
    }
}

/// Carries out a ruling on the stream in effect; whether it goes on.
pub fn rule(ruling: &Ruling) -> bool {
    measure(Metric::Decisions { outcome: ruling.outcome.name() }, 1);
    let state = |name: &str, value: &str| hostcalls::set_property(vec![name], Some(value.as_bytes()));
    let header = |name: &str, value: &str| hostcalls::set_map_value(MapType::HttpRequestHeaders, name, Some(value));
    let mut done = state("scim_decision", ruling.outcome.name());
    if let Some(user) = &ruling.user {
        // With a comma at either end, `,NAME,` is in the list exactly when the group is.
        done = done.and(state("scim_user_id", &user.id)).and(state("scim_groups", &format!(",{},", user.groups)));
        done = done.and(header(USER_HEADER, &user.id));
        if !user.groups.is_empty() {
            done = done.and(header(GROUPS_HEADER, &user.groups));
        }
    }
    match (&ruling.refusal, done) {
        (None, Ok(())) => return true,
        (Some(refusal), _) => answer(refusal),
        (None, Err(_)) => {
            log::error!("a decision could not be passed on");
            answer(&Response::empty(500));
        }
    }
    false
}

fn resume() {
    if hostcalls::resume_http_request().is_err() {
        log::warn!("a request could not be resumed");
    }
}
