//! The Envoy front: writes a configuration, starts the Envoy found on this machine and watches over it.

use crate::front::FrontOptions;

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    /// Base URL, without a trailing slash.
    pub url: String,
    /// Its process.
    pub pid: u32,
}

/// Starts Envoy and answers once it accepts connections.
///
/// # Errors
/// Envoy is not installed, refuses its configuration, or the address is taken.
pub async fn start(options: FrontOptions) -> anyhow::Result<Envoy> {
    anyhow::bail!("the Envoy front is not there yet: use `--front none` and `{}`", options.origin)
}

impl Envoy {
    /// Stops Envoy and waits for its end.
    pub async fn stop(self) {}
}
