//! The embedded front: an HTTP server that runs the Envoy filter's module itself, for trying it out without Envoy.

use std::net::SocketAddr;
use std::path::PathBuf;

/// How to start a front.
#[derive(Clone, Debug)]
pub struct FrontOptions {
    /// Address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where the origin answers.
    pub origin: SocketAddr,
    /// What the filter presents under `/edge/v1/`.
    pub edge_secret: String,
    /// The filter's module, `scim_plugin.wasm`.
    pub plugin: PathBuf,
    /// The data directory, for compiled modules.
    pub data: PathBuf,
}

/// A running front.
#[derive(Debug)]
pub struct Front {
    /// Base URL, without a trailing slash.
    pub url: String,
    /// Process that serves it.
    pub pid: u32,
}

/// Starts the front and answers once it accepts connections.
///
/// # Errors
/// The address is taken, or the module is missing or refused.
pub async fn start(options: FrontOptions) -> anyhow::Result<Front> {
    anyhow::bail!("the embedded front is not there yet: use `--front none` and `{}`", options.origin)
}

impl Front {
    /// Stops serving; requests in flight are finished first.
    pub async fn stop(self) {}
}
