//! Real clients nobody here wrote, driven by the scripts of `clients/`.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::deployment::{Connection, Deployment};
use scim_host_tests::place;
use scim_host_tests::server::Front;
use serde_json::Map;

use crate::shared::{PLACES, server, trial};

pub const CLIENTS: &[&str] = &["scim2_cli", "scim2_tester", "scim_sanity", "scim_sim"];

/// One trial for each client and way in.
pub fn trials() -> Vec<Trial> {
    let pairs = PLACES.into_iter().flat_map(|front| CLIENTS.iter().map(move |client| (front, *client)));
    pairs
        .map(|((name, front), client)| trial(format!("clients::{name}::{client}"), move || check(front, client)))
        .collect()
}

fn check(front: Front, client: &str) -> Result<()> {
    let running = server(if front == Front::None { Front::Embedded } else { front })?;
    let ready = &running.server.ready;
    let (deployment, url): (Deployment, &str) = match front {
        Front::None => (running.server.origin()?, &ready.origin),
        Front::Embedded | Front::Envoy => (running.server.front()?, ready.front.as_deref().unwrap_or_default()),
    };
    drive(client, url, &deployment.connect(&Map::new())?)
}

/// Runs a client against a connection.
pub fn drive(client: &str, url: &str, connection: &Connection) -> Result<()> {
    let script = place::root().join("host-tests/clients").join(format!("{client}_driver.py"));
    let mut driver = Command::new(place::python()?);
    driver.arg(script).arg(format!("{url}{}", connection.base())).arg(&connection.token);
    let output = driver.env("PYTHONDONTWRITEBYTECODE", "1").output().context("python cannot be started")?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let failures: Vec<_> = said.lines().filter(|line| !line.starts_with("ok ")).collect();
    ensure!(output.status.success(), "{}", failures.join("\n"));
    Ok(())
}
