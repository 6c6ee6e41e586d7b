//! An origin and a real Envoy in front of it, of one test's own.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use scim_host_tests::deployment::{Deployment, Http};
use scim_host_tests::envoy::{Changes, Envoy};
use scim_host_tests::idp::Idp;
use scim_host_tests::server::{Front, Server};
use serde_json::Map;
use tempfile::TempDir;

/// What a test works on; everything ends with it.
pub struct Scene {
    pub envoy: Envoy,
    pub deployment: Deployment,
    pub server: Server,
    directory: TempDir,
}

impl Scene {
    /// `envoy/origin.yaml` with changes in front of a fresh origin.
    pub fn new(changes: &Changes<'_>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let server = Server::start(&directory.path().join("data"), Front::None)?;
        let envoy = Envoy::start(directory.path(), "edge", &server, server.origin_address(), changes)?;
        Ok(Self { deployment: envoy.deployment(&server)?, envoy, server, directory })
    }

    /// An identity provider with a connection of its own, which reaches it through Envoy.
    pub fn idp(&self) -> Result<Idp<Http>> {
        Ok(Idp { target: Http::new(&self.envoy.url), connection: self.deployment.connect(&Map::new())? })
    }

    /// Everything this test may write to.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// Asks again until the answer is there: what Envoy writes and counts follows its answers a little later.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = ask()? {
            return Ok(found);
        }
        ensure!(start.elapsed() < Duration::from_secs(20), "never came: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
