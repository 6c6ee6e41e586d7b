//! The dashboard and the portal in real Chromium, with the filter in front: `browser/journeys.mjs` and `browser/keys.mjs`.
//!
//! Pictures of every page, light, dark and at the width of a phone, are left in `target/screenshots`.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::place;
use scim_host_tests::server::{Front, Server};
use serde_json::{Value, json};

use crate::shared::{fresh, node_modules, trial};

const MODULES: &[&str] = &["playwright-core@1.65.1", "axe-core@4.14.1"];
const USER_SECRET: &str = "a secret of the tests, longer than 32 bytes";

/// The journeys build on each other, so those of one server are one trial. The main one runs with real Envoy too.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("browser::embedded::journeys", || journeys(Front::Embedded)),
        trial("browser::embedded::journeys_with_published_keys", published_keys),
        trial("browser::envoy::main_journey", || journeys(Front::Envoy)),
    ]
}

fn journeys(front: Front) -> Result<()> {
    let (main, embedder) = (front == Front::Envoy, free_port()?);
    let variables = [format!("user_jwt_secret={USER_SECRET}"), format!("portal_origins=http://localhost:{embedder}")];
    let settings = json!({ "jwtSecret": USER_SECRET, "embedder": embedder, "main": main });
    play("journeys.mjs", if main { 6 } else { 20 }, front, &variables, settings)
}

fn published_keys() -> Result<()> {
    let issuer = format!("http://127.0.0.1:{}", free_port()?);
    let variables = [format!("user_jwks_url={issuer}/keys"), format!("user_jwks_host={issuer}")];
    play("keys.mjs", 5, Front::Embedded, &variables, json!({ "issuer": issuer }))
}

/// Runs a script of journeys, at least so many, against a server with these variables.
fn play(script: &str, least: usize, front: Front, variables: &[String], mut settings: Value) -> Result<()> {
    let modules = node_modules("browser", MODULES)?;
    let data = fresh()?;
    let arguments: Vec<&str> = variables.iter().flat_map(|variable| ["--variable", variable]).collect();
    let server = Server::start_with(&data.path().join("data"), front, &arguments)?;
    let pictures = place::root().join("target/screenshots").join(if front == Front::Envoy { "envoy" } else { "" });
    settings["front"] = server.ready.front.as_deref().context("the server has no front")?.into();
    settings["clientId"] = server.ready.client_id.as_str().into();
    settings["secret"] = server.ready.secret.as_str().into();
    for (name, path) in [("chromium", chromium()?), ("modules", modules), ("pictures", pictures)] {
        settings[name] = path.to_str().context("a path is not UTF-8")?.into();
    }
    let mut node = Command::new("node");
    node.arg(place::root().join("host-tests/browser").join(script)).arg(settings.to_string());
    let output = node.output().context("`node` cannot be started: install Node.js 20 or later")?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let failures: Vec<_> = said.lines().filter(|line| !line.starts_with("ok ")).collect();
    ensure!(output.status.success() && failures.is_empty(), "{}", failures.join("\n"));
    let made = said.lines().count();
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
