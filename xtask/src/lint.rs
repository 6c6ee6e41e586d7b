//! `cargo xtask lint`: everything a reviewer should not have to say.

use anyhow::Result;

use crate::command::{cargo, run as run_command};
use crate::stages::Stages;
use crate::tools::{self, PLUGIN_TARGET, SPIN_TARGET};
use crate::{build, licences, tidy};

const HOST: &[&str] = &["scim-engine", "scim-jwks", "scim-edge", "scim-host-tests", "xtask"];
const PLUGIN: &[&str] = &["scim-plugin"];
const SPIN: &[&str] = &["scim-spin-kv", "scim-spin-directory", "scim-spin-connections"];

/// Runs every check and reports all that fail.
///
/// # Errors
/// A check fails.
pub fn run() -> Result<()> {
    let mut stages = Stages::default();
    stages.attempt("documents", tidy::check);
    stages.attempt("licences", licences::check);
    stages.attempt("format", || run_command(cargo().args(["fmt", "--all", "--check"])));
    stages.attempt("clippy, host", || clippy(HOST, None));
    stages.run("wasm targets", tools::wasm_targets)?;
    stages.attempt("clippy, filter", || clippy(PLUGIN, Some(PLUGIN_TARGET)));
    stages.attempt("clippy, components", || clippy(SPIN, Some(SPIN_TARGET)));
    stages.attempt("documentation", || {
        document(HOST, None)?;
        document(PLUGIN, Some(PLUGIN_TARGET))?;
        document(SPIN, Some(SPIN_TARGET))
    });
    stages.attempt("boundaries and sizes", || {
        build::guests()?;
        let test = |suite| run_command(cargo().args(["test", "--package", "scim-host-tests", "--", suite]));
        test("boundary")?;
        test("sizes")
    });
    stages.finish()
}

fn clippy(packages: &[&str], target: Option<&str>) -> Result<()> {
    let mut clippy = cargo();
    clippy.arg("clippy");
    select(&mut clippy, packages, target);
    if target.is_none() {
        clippy.arg("--all-targets");
    }
    run_command(clippy.args(["--", "--deny", "warnings"]))
}

fn document(packages: &[&str], target: Option<&str>) -> Result<()> {
    let mut doc = cargo();
    doc.args(["doc", "--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "--deny warnings");
    select(&mut doc, packages, target);
    run_command(&mut doc)
}

fn select(command: &mut std::process::Command, packages: &[&str], target: Option<&str>) {
    packages.iter().for_each(|package| {
        command.args(["--package", package]);
    });
    if let Some(target) = target {
        command.args(["--target", target, "--target-dir"]).arg(build::guest_directory());
    }
}
