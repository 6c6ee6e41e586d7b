//! Frontegg's own clients from npm, driven by `clients/frontegg.cjs`: they have to work unchanged.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::place;
use scim_host_tests::server::{Front, Server};

use crate::shared::{fresh, node_modules, trial};

const MODULES: &[&str] = &["@frontegg/client@5.3.2", "@frontegg/rest-api@7.119.0"];
const USER_SECRET: &str = "a secret of the tests, longer than 32 bytes";
/// Lines of a run in which all went well.
const CHECKS: usize = 12;

/// One trial: both clients manage one deployment.
pub fn trials() -> Vec<Trial> {
    vec![trial("frontegg::its_own_clients_work_unchanged", check)]
}

fn check() -> Result<()> {
    let modules = node_modules("frontegg", MODULES)?;
    let data = fresh()?;
    let secret = format!("user_jwt_secret={USER_SECRET}");
    let server = Server::start_with(&data.path().join("data"), Front::None, &["--variable", &secret])?;
    let mut node = Command::new("node");
    node.arg(place::root().join("host-tests/clients/frontegg.cjs"));
    node.args([&server.ready.origin, &server.ready.client_id, &server.ready.secret, USER_SECRET]).arg(modules);
    let output = node.output().context("`node` cannot be started: install Node.js 20 or later")?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    let went_well = said.lines().filter(|line| line.starts_with("ok ")).count();
    ensure!(went_well == CHECKS, "{went_well} checks in place of {CHECKS}: {said}");
    Ok(())
}
