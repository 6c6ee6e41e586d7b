//! A front whose way to its origin leads over a relay, where a test says what goes wrong.

use std::sync::Arc;

use anyhow::{Context, Result};
use scim_host_tests::deployment::{Connection, Deployment, Http};
use scim_host_tests::envoy::{Changes, Envoy, free_ports};
use scim_host_tests::faulty::Faulty;
use scim_host_tests::idp::Idp;
use scim_host_tests::server::{Front, Server};
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::shared::{Running, fresh, server};

/// The front, and what it stands on.
pub struct Relayed {
    pub relay: Faulty,
    /// Base URL of the front.
    pub url: String,
    /// Base URL of the origin, past the relay.
    pub origin: String,
    /// The way of the vendor to the origin, past the relay.
    pub vendor: Deployment,
    running: Runs,
    _directory: TempDir,
}

/// What runs until the end of the scope.
enum Runs {
    Embedded { _server: Server },
    Envoy { envoy: Envoy, _origin: Arc<Running> },
}

impl Relayed {
    /// The embedded host with fields of the filter's configuration.
    pub fn embedded(filter: &Value) -> Result<Self> {
        let directory = fresh()?;
        let [port] = free_ports()?;
        let listen = format!("127.0.0.1:{port}");
        let relay = Faulty::start(&listen)?;
        let (filter, data) = (filter.to_string(), directory.path().join("data"));
        let arguments = ["--filter", &filter, "--origin-listen", &listen, "--origin-address", &relay.address];
        let server = Server::start_with(&data, Front::Embedded, &arguments)?;
        let url = server.ready.front.clone().context("no front")?;
        let (origin, vendor) = (server.ready.origin.clone(), server.origin()?);
        Ok(Self { relay, url, origin, vendor, running: Runs::Embedded { _server: server }, _directory: directory })
    }

    /// Real Envoy with changes, in front of an origin that others use too.
    pub fn envoy(changes: &Changes<'_>) -> Result<Self> {
        let directory = fresh()?;
        let running = server(Front::Embedded)?;
        let relay = Faulty::start(running.server.origin_address())?;
        let envoy = Envoy::start(directory.path(), "envoy", &running.server, &relay.address, changes)?;
        let (origin, vendor) = (running.server.ready.origin.clone(), running.server.origin()?);
        let url = envoy.url.clone();
        Ok(Self { relay, url, origin, vendor, running: Runs::Envoy { envoy, _origin: running }, _directory: directory })
    }

    /// Either of the two, with fields of the filter's configuration; `text` changes Envoy's.
    pub fn start(front: Front, filter: &Value, text: &[(&str, &str)]) -> Result<Self> {
        match front {
            Front::Envoy => Self::envoy(&Changes { filter: filter.clone(), text, ..Changes::default() }),
            Front::Embedded | Front::None => Self::embedded(filter),
        }
    }

    /// The Envoy.
    pub fn as_envoy(&self) -> Result<&Envoy> {
        match &self.running {
            Runs::Envoy { envoy, .. } => Ok(envoy),
            Runs::Embedded { .. } => anyhow::bail!("the front is not Envoy"),
        }
    }

    pub fn connection(&self) -> Result<Connection> {
        self.vendor.connect(&Map::new())
    }

    /// A way through the front on a TCP connection of its own.
    pub fn idp(&self, connection: &Connection) -> Idp<Http> {
        Idp { target: Http::new(&self.url), connection: connection.clone() }
    }

    /// The way to the origin itself.
    pub fn at_origin(&self, connection: &Connection) -> Idp<Http> {
        Idp { target: Http::new(&self.origin), connection: connection.clone() }
    }
}
