//! Servers that several suites use: started when the first of them asks, stopped at the end.

use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, anyhow};
use libtest_mimic::{Failed, Trial};
use scim_host_tests::server::{Front, Server};
use tempfile::TempDir;

type Slot = Mutex<Option<std::result::Result<Arc<Running>, String>>>;

static EMBEDDED: Slot = Mutex::new(None);
static ENVOY: Slot = Mutex::new(None);

/// A server and its data.
pub struct Running {
    pub server: Server,
    _data: TempDir,
}

/// The shared server with that front.
pub fn server(front: Front) -> Result<Arc<Running>> {
    let slot = if front == Front::Envoy { &ENVOY } else { &EMBEDDED };
    let mut slot = slot.lock().map_err(|_| anyhow!("the server's start panicked"))?;
    slot.get_or_insert_with(|| start(front).map(Arc::new).map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}

fn start(front: Front) -> Result<Running> {
    let data = tempfile::tempdir().context("no directory for data")?;
    Ok(Running { server: Server::start(&data.path().join("data"), front)?, _data: data })
}

/// Stops every shared server.
pub fn stop() {
    for slot in [&EMBEDDED, &ENVOY] {
        if let Ok(mut slot) = slot.lock() {
            slot.take();
        }
    }
}

/// A test from a function that may fail.
pub fn trial(name: impl Into<String>, test: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || test().map_err(|error| Failed::from(format!("{error:#}"))))
}
