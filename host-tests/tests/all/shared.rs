//! Servers that several suites use: started when the first of them asks, stopped at the end.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::{Failed, Trial};
use scim_host_tests::place;
use scim_host_tests::redis::Redis;
use scim_host_tests::server::{Front, Server};
use tempfile::TempDir;

type Slot = Mutex<Option<std::result::Result<Arc<Running>, String>>>;

static EMBEDDED: Slot = Mutex::new(None);
static ENVOY: Slot = Mutex::new(None);
static REDIS: Slot = Mutex::new(None);

/// A server, its data and its store.
pub struct Running {
    pub server: Server,
    _data: TempDir,
    _redis: Option<Redis>,
}

/// The shared server with that front.
pub fn server(front: Front) -> Result<Arc<Running>> {
    shared(if front == Front::Envoy { &ENVOY } else { &EMBEDDED }, || start(front, None))
}

/// The shared server without a front whose store is a Redis server.
pub fn server_on_redis() -> Result<Arc<Running>> {
    shared(&REDIS, || start(Front::None, Some(Redis::start()?)))
}

fn shared(slot: &Slot, start: impl FnOnce() -> Result<Running>) -> Result<Arc<Running>> {
    let mut slot = slot.lock().map_err(|_| anyhow!("the server's start panicked"))?;
    slot.get_or_insert_with(|| start().map(Arc::new).map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}

fn start(front: Front, redis: Option<Redis>) -> Result<Running> {
    let data = tempfile::tempdir().context("no directory for data")?;
    let server = Server::start_on(&data.path().join("data"), front, redis.as_ref())?;
    Ok(Running { server, _data: data, _redis: redis })
}

/// Stops every shared server.
pub fn stop() {
    for slot in [&EMBEDDED, &ENVOY, &REDIS] {
        if let Ok(mut slot) = slot.lock() {
            slot.take();
        }
    }
}

/// What has a filter in front, by the name it has in those of trials.
pub const FRONTS: [(&str, Front); 2] = [("proxy_wasm", Front::Embedded), ("envoy", Front::Envoy)];

/// Those, and the Spin world alone.
pub const PLACES: [(&str, Front); 3] = [("spin", Front::None), FRONTS[0], FRONTS[1]];

/// The name of a test and the test, of any front.
pub type OnFront = (&'static str, fn(Front) -> Result<()>);

/// Each of those tests in each of those places, as `part::place::test`.
pub fn in_each(part: &str, places: &[(&str, Front)], tests: &[OnFront]) -> Vec<Trial> {
    let pairs = places.iter().flat_map(|place| tests.iter().map(move |test| (place, *test)));
    pairs
        .map(|(&(place, front), (name, test))| trial(format!("{part}::{place}::{name}"), move || test(front)))
        .collect()
}

/// A test from a function that may fail.
pub fn trial(name: impl Into<String>, test: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || test().map_err(|error| Failed::from(format!("{error:#}"))))
}

/// A directory for the data of one trial, which shares compiled components with those of others; the data is to go into
/// `data` in it.
pub fn fresh() -> Result<TempDir> {
    let directory = tempfile::tempdir().context("no directory for data")?;
    let compiled = place::root().join("target/compiled");
    std::fs::create_dir_all(&compiled)?;
    std::fs::create_dir(directory.path().join("data"))?;
    std::os::unix::fs::symlink(compiled, directory.path().join("data/compiled"))?;
    Ok(directory)
}

/// The directory `target/{name}` with these modules of npm, installed when they are not there.
pub fn node_modules(name: &str, modules: &[&str]) -> Result<PathBuf> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _installing = INSTALLING.lock();
    let directory = place::root().join("target").join(name);
    let marker = directory.join("modules.txt");
    let wanted = modules.join("\n");
    if std::fs::read_to_string(&marker).is_ok_and(|present| present == wanted) {
        return Ok(directory);
    }
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("package.json"), r#"{"private":true}"#)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"]).arg(&directory).args(modules);
    let status = npm.status().context("`npm` cannot be started: install Node.js 20 or later")?;
    ensure!(status.success(), "{} cannot be installed", modules.join(" and "));
    std::fs::write(marker, wanted)?;
    Ok(directory)
}
