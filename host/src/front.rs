//! The embedded front: an HTTP server that runs the Envoy filter's module itself, for trying it out without Envoy.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Map, Value, json};

use crate::proxy_wasm::{Cluster, Options, Proxy, Settings};

/// What the filter's configuration calls the origin.
const CLUSTER: &str = "origin";

/// How to start a front.
#[derive(Clone, Debug)]
pub struct FrontOptions {
    /// Address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Who owns the directories.
    pub owner: Owner,
    /// The filter's module, `scim_plugin.wasm` or `scim_plugin_local.wasm`.
    pub plugin: PathBuf,
    /// The data directory, for compiled modules.
    pub data: PathBuf,
    /// More fields of the embedded filter's configuration, in front of an origin.
    pub filter: Map<String, Value>,
}

/// Who owns the directories a filter serves.
#[derive(Clone, Debug)]
pub enum Owner {
    /// An origin.
    Origin {
        /// Where it answers.
        address: SocketAddr,
        /// What the filter presents under `/edge/v1/`.
        edge_secret: String,
    },
    /// The filter itself, in local mode.
    Filter {
        /// Its configuration, a JSON document.
        configuration: String,
    },
}

/// A running front.
#[derive(Debug)]
pub struct Front {
    /// Base URL, without a trailing slash.
    pub url: String,
    /// Process that serves it.
    pub pid: u32,
    proxy: Proxy,
}

/// Starts the front and answers once it accepts connections.
///
/// # Errors
/// The address is taken, or the module is missing or refused.
pub async fn start(options: FrontOptions) -> anyhow::Result<Front> {
    let (configuration, clusters, closed) = match &options.owner {
        Owner::Origin { address, edge_secret } => {
            let origin = json!({ "cluster": CLUSTER, "credential": edge_secret });
            let mut fields = Map::from_iter([("mode".to_owned(), json!("origin")), ("origin".to_owned(), origin)]);
            merge(&mut fields, options.filter);
            // The edges' own interface is for edges: nobody reaches it through one.
            (Value::Object(fields).to_string(), vec![Cluster::new(CLUSTER, *address)], "/edge/")
        }
        Owner::Filter { configuration } => (configuration.clone(), Vec::new(), "/"),
    };
    let proxy = Options {
        listen: options.listen,
        module: options.plugin,
        // The cache wants a path that does not depend on the working directory.
        cache: Some(std::path::absolute(options.data.join("compiled"))?),
        clusters,
        settings: Settings {
            configuration: configuration.into_bytes(),
            closed: vec![closed.to_owned()],
            // Above the filter's own limit, whose refusal is SCIM JSON.
            buffer_limit: 2 << 20,
            ..Settings::default()
        },
    };
    let start = tokio::task::spawn_blocking(|| Proxy::start(proxy));
    let proxy = start.await.context("the front ended while it started")??;
    Ok(Front { url: format!("http://{}", proxy.address()), pid: std::process::id(), proxy })
}

/// Puts fields in; objects are merged, the rest is replaced.
fn merge(document: &mut Map<String, Value>, fields: Map<String, Value>) {
    for (name, field) in fields {
        match (document.get_mut(&name), field) {
            (Some(Value::Object(inner)), Value::Object(fields)) => merge(inner, fields),
            (_, field) => drop(document.insert(name, field)),
        }
    }
}

impl Front {
    /// Stops serving; requests in flight are finished first.
    pub async fn stop(self) {
        self.proxy.stop().await;
    }
}
