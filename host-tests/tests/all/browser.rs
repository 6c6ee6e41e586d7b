//! The dashboard and the portal in real Chromium, with the filter in front: `browser/journeys.mjs`.
//!
//! Pictures of every page, light, dark and at the width of a phone, are left in `target/screenshots`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::place;
use scim_host_tests::server::{Front, Server};

use crate::shared::trial;

const MODULES: &[&str] = &["playwright-core@1.65.1", "axe-core@4.14.1"];
const USER_SECRET: &str = "a secret of the tests, longer than 32 bytes";

/// One trial: its journeys build on each other.
pub fn trials() -> Vec<Trial> {
    vec![trial("browser::journeys", journeys)]
}

fn journeys() -> Result<()> {
    let modules = modules()?;
    let data = tempfile::tempdir()?;
    let secret = format!("user_jwt_secret={USER_SECRET}");
    let server = Server::start_with(&data.path().join("data"), Front::Embedded, &["--variable", &secret])?;
    let ready = &server.ready;
    let mut node = Command::new("node");
    node.arg(place::root().join("host-tests/browser/journeys.mjs"));
    node.arg(ready.front.as_deref().context("the server has no front")?);
    node.args([&ready.client_id, &ready.secret]).arg(USER_SECRET);
    node.arg(modules).arg(place::root().join("target/screenshots"));
    let output = node.output().context("`node` cannot be started: install Node.js 20 or later")?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let failures: Vec<_> = said.lines().filter(|line| !line.starts_with("ok ")).collect();
    ensure!(output.status.success(), "{}", failures.join("\n"));
    ensure!(said.lines().count() > 15, "too few journeys: {said}");
    Ok(())
}

/// The directory of the modules the journeys need, installed when they are not there.
fn modules() -> Result<PathBuf> {
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
