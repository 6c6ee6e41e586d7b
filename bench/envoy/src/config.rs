//! One Envoy with a listener for each way to answer, alike but for that.

use anyhow::{Context, Result};
use scim_host_tests::envoy::free_ports;
use scim_host_tests::place;
use serde_json::{Value, json};

/// Where each way listens.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// `direct_response`, and a plain proxy to the origin for every other path.
    pub plain: u16,
    /// The filter in mode `origin`.
    pub scim: u16,
    /// The filter in mode `decision`, with the same cache.
    pub decision: u16,
    /// The filter in mode `origin`, which makes every answer anew.
    pub anew: u16,
}

impl Ports {
    /// Ports that are free.
    ///
    /// # Errors
    /// There are none left.
    pub fn free() -> Result<Self> {
        let [plain, scim, decision, anew] = free_ports()?;
        Ok(Self { plain, scim, decision, anew })
    }
}

/// What the configuration names.
pub struct Surroundings<'a> {
    /// `host:port` of the origin.
    pub origin: &'a str,
    /// What edges present to it.
    pub edge_secret: &'a str,
    /// Body of the direct response.
    pub body: &'a str,
    /// The connection that decisions are about.
    pub connection: &'a str,
}

/// Header that names the subject of a decision.
pub const SUBJECT: &str = "x-user";

/// Path that Envoy answers by itself.
pub const DIRECT: &str = "/direct";

/// The whole configuration.
///
/// # Errors
/// The origin's address is none.
pub fn envoy(ports: Ports, around: &Surroundings<'_>) -> Result<String> {
    let direct = json!({
        "match": { "path": DIRECT },
        "direct_response": { "status": 200, "body": { "inline_string": around.body } },
    });
    let proxied = json!({ "match": { "prefix": "/" }, "route": { "cluster": "origin", "timeout": "15s" } });
    let routes = json!([direct, proxied]);
    let origin = json!({ "cluster": "origin", "credential": around.edge_secret });
    let decision = json!({ "connection": around.connection, "subject": { "header": SUBJECT }, "match": "userName" });
    // One client of one connection asks as fast as it can, and is counted like any other.
    let limits = json!({ "requests_per_second": 1_000_000, "burst": 1_000_000 });
    let scim = filter("scim", &json!({ "mode": "origin", "origin": origin, "limits": limits }));
    let slots = json!({ "answer_bytes": 0 });
    let anew = filter("anew", &json!({ "mode": "origin", "origin": origin, "limits": limits, "slots": slots }));
    let decision = filter("decision", &json!({ "mode": "decision", "origin": origin, "decision": decision }));
    let listeners = [
        listener("plain", ports.plain, None, &routes),
        listener("scim", ports.scim, Some(scim), &routes),
        listener("decision", ports.decision, Some(decision), &routes),
        listener("anew", ports.anew, Some(anew), &routes),
    ];
    let (host, port) = around.origin.rsplit_once(':').context("the origin has no port")?;
    let address = json!({ "socket_address": { "address": host, "port_value": port.parse::<u16>()? } });
    let configuration = json!({
        "node": { "id": "bench", "cluster": "bench" },
        "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } },
        "static_resources": {
            "listeners": listeners,
            "clusters": [{
                "name": "origin",
                "type": "STATIC",
                "connect_timeout": "1s",
                "load_assignment": {
                    "cluster_name": "origin",
                    "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
                },
            }],
        },
    });
    Ok(configuration.to_string())
}

fn listener(name: &str, port: u16, filter: Option<Value>, routes: &Value) -> Value {
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
    });
    let filters: Vec<Value> = filter.into_iter().chain([router]).collect();
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "use_remote_address": true,
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes }] },
        "http_filters": filters,
    });
    json!({
        "name": name,
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": port } },
        "filter_chains": [{ "filters": [{ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }] }],
    })
}

/// The filter as the examples configure it.
fn filter(name: &str, configuration: &Value) -> Value {
    let text =
        json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration.to_string() });
    let code = json!({ "local": { "filename": place::plugin() } });
    json!({
        "name": name,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": name,
                "failure_policy": "FAIL_RELOAD",
                "allow_on_headers_stop_iteration": true,
                "vm_config": { "vm_id": "scim", "runtime": "envoy.wasm.runtime.v8", "code": code },
                "configuration": text,
            },
        },
    })
}
