//! The dashboard and the portal in real Chromium, with the filter in front: `browser/journeys.mjs`.
//!
//! Pictures of every page, light, dark and at the width of a phone, are left in `target/screenshots`.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::place;
use scim_host_tests::server::{Front, Server};
use serde_json::json;

use crate::shared::trial;

const MODULES: &[&str] = &["playwright-core@1.65.1", "axe-core@4.14.1"];
const USER_SECRET: &str = "a secret of the tests, longer than 32 bytes";

/// The journeys build on each other, so those of one server are one trial. The main one runs with real Envoy too.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("browser::embedded::journeys", || journeys(Front::Embedded)),
        trial("browser::envoy::main_journey", || journeys(Front::Envoy)),
    ]
}

fn journeys(front: Front) -> Result<()> {
    let main = front == Front::Envoy;
    let (modules, embedder) = (modules()?, free_port()?);
    let data = tempfile::tempdir()?;
    let secret = format!("user_jwt_secret={USER_SECRET}");
    let origins = format!("portal_origins=http://localhost:{embedder}");
    let arguments = ["--variable", &secret, "--variable", &origins];
    let server = Server::start_with(&data.path().join("data"), front, &arguments)?;
    let ready = &server.ready;
    let settings = json!({
        "front": ready.front.as_deref().context("the server has no front")?,
        "clientId": ready.client_id,
        "secret": ready.secret,
        "jwtSecret": USER_SECRET,
        "embedder": embedder,
        "main": main,
        "chromium": chromium()?,
        "modules": modules,
        "pictures": place::root().join("target/screenshots").join(if main { "envoy" } else { "" }),
    });
    let mut node = Command::new("node");
    node.arg(place::root().join("host-tests/browser/journeys.mjs")).arg(settings.to_string());
    let output = node.output().context("`node` cannot be started: install Node.js 20 or later")?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let failures: Vec<_> = said.lines().filter(|line| !line.starts_with("ok ")).collect();
    ensure!(output.status.success() && failures.is_empty(), "{}", failures.join("\n"));
    let (made, least) = (said.lines().count(), if main { 6 } else { 20 });
    ensure!(made >= least, "only {made} journeys: {said}");
    Ok(())
}

/// A port nobody listens on.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The browser, by its path.
fn chromium() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join("chromium")).find(|file| file.is_file());
    found.context("`chromium` is not on PATH: run `cargo xtask test`, which installs it, or your package manager")
}

/// The directory of the modules the journeys need, installed when they are not there.
fn modules() -> Result<PathBuf> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _installing = INSTALLING.lock();
    let directory = place::root().join("target/browser");
    let marker = directory.join("modules.txt");
    let wanted = MODULES.join("\n");
    if std::fs::read_to_string(&marker).is_ok_and(|present| present == wanted) {
        return Ok(directory);
    }
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("package.json"), r#"{"private":true}"#)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"]).arg(&directory).args(MODULES);
    let status = npm.status().context("`npm` cannot be started: install Node.js 20 or later")?;
    ensure!(status.success(), "{} cannot be installed", MODULES.join(" and "));
    std::fs::write(marker, wanted)?;
    Ok(directory)
}
