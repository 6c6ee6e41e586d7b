//! `cargo xtask test`: set up, build once, then every suite.

use std::process::Command;

use anyhow::Result;

use crate::command::{cargo, has_subcommand, run as run_command};
use crate::stages::Stages;
use crate::workspace::{self, Package};
use crate::{build, tools};

/// The package of the suites that need everything built.
const HOST_TESTS: &str = "scim-host-tests";
/// Guests whose rules are tested without WebAssembly.
const PLUGINS: &[&str] = &["scim-plugin", "scim-plugin-local"];

/// Runs every test, or those whose name contains the filter.
///
/// # Errors
/// A tool is missing, something does not compile, or a test fails.
pub fn run(filter: Option<&str>) -> Result<()> {
    let mut stages = Stages::default();
    let (python, envoy) = stages.run("set-up", || {
        tools::wasm_targets()?;
        tools::redis()?;
        tools::browser()?;
        Ok((tools::python_clients()?, tools::envoy()?))
    })?;
    let program = stages.run("build", || build::everything(false))?;
    for package in workspace::packages()? {
        if (package.target.is_none() && package.name != HOST_TESTS) || PLUGINS.contains(&package.name.as_str()) {
            stages.attempt(package.name.clone(), || unit_tests(&package, filter));
        }
    }
    // A million steps take an optimised engine.
    stages.attempt("simulator", || {
        let mut simulator = cargo();
        simulator.args(["test", "--release", "--package", "scim-engine", "--test", "simulator"]);
        run_command(with(&mut simulator, filter))
    });
    stages.attempt("host tests", || {
        let mut tests = cargo();
        tests.args(["test", "--package", HOST_TESTS]);
        tests.env("SCIM_EDGE", program).env("SCIM_PYTHON", python).env("SCIM_ENVOY", envoy);
        run_command(with(&mut tests, filter))
    });
    stages.finish()
}

/// Tests one package by a command of its own: together, the features packages ask of shared dependencies would add up,
/// and wasmtime would be compiled a second time.
fn unit_tests(package: &Package, filter: Option<&str>) -> Result<()> {
    let mut tests = cargo();
    if has_subcommand("nextest") {
        tests.args(["nextest", "run", "--no-tests", "pass"]);
    } else {
        tests.args(["test", "--tests"]);
    }
    run_command(with(tests.args(["--package", &package.name]), filter))?;
    if package.documented {
        run_command(with(cargo().args(["test", "--doc", "--package", &package.name]), filter))?;
    }
    Ok(())
}

fn with<'c>(command: &'c mut Command, filter: Option<&str>) -> &'c mut Command {
    command.args(filter.map(|text| ["--", text]).into_iter().flatten())
}
