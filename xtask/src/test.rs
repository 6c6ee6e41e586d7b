//! `cargo xtask test`: set up, build once, then every suite.

use std::process::Command;

use anyhow::Result;

use crate::command::{cargo, has_subcommand, run as run_command};
use crate::stages::Stages;
use crate::{build, tools};

/// Packages with tests of their own. Each is tested by a command of its own: together, the features they ask of shared
/// dependencies would add up, and wasmtime would be compiled a second time.
const UNIT_TESTED: &[&str] = &["scim-engine", "scim-jwks", "scim-plugin", "scim-edge", "xtask"];

/// Runs every test, or those whose name contains the filter.
///
/// # Errors
/// A tool is missing, something does not compile, or a test fails.
pub fn run(filter: Option<&str>) -> Result<()> {
    let mut stages = Stages::default();
    let (python, envoy) = stages.run("set-up", || {
        tools::wasm_targets()?;
        Ok((tools::python_clients()?, tools::envoy()?))
    })?;
    let program = stages.run("build", || build::everything(false))?;
    for package in UNIT_TESTED {
        stages.attempt(package, || unit_tests(package, filter));
    }
    stages.attempt("doc tests", || {
        run_command(with(cargo().args(["test", "--doc", "--package", "scim-engine"]), filter))
    });
    stages.attempt("host tests", || {
        let mut tests = cargo();
        tests.args(["test", "--package", "scim-host-tests"]);
        tests.env("SCIM_EDGE", program);
        tests.env("SCIM_PYTHON", python).env("SCIM_ENVOY", envoy);
        run_command(with(&mut tests, filter))
    });
    stages.finish()
}

fn unit_tests(package: &str, filter: Option<&str>) -> Result<()> {
    let mut tests = cargo();
    if has_subcommand("nextest") {
        tests.args(["nextest", "run", "--no-tests", "pass"]);
    } else {
        tests.args(["test", "--lib", "--bins", "--tests"]);
    }
    run_command(with(tests.args(["--package", package]), filter))
}

fn with<'c>(command: &'c mut Command, filter: Option<&str>) -> &'c mut Command {
    command.args(filter.map(|text| ["--", text]).into_iter().flatten())
}
