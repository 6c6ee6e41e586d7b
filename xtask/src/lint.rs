//! `cargo xtask lint`: everything a reviewer should not have to say.

use anyhow::Result;

use crate::command::{cargo, run as run_command};
use crate::stages::Stages;
use crate::tools::{self, PLUGIN_TARGET, SPIN_TARGET};
use crate::workspace::{self, Package};
use crate::{build, licences, tidy};

/// Runs every check and reports all that fail.
///
/// # Errors
/// A check fails.
pub fn run() -> Result<()> {
    let mut stages = Stages::default();
    stages.attempt("documents", tidy::check);
    stages.attempt("licences", licences::check);
    stages.attempt("format", || run_command(cargo().args(["fmt", "--all", "--check"])));
    stages.run("wasm targets", tools::wasm_targets)?;
    let packages = workspace::packages()?;
    for (place, target) in [("here", None), ("in Envoy", Some(PLUGIN_TARGET)), ("in Spin", Some(SPIN_TARGET))] {
        let packages: Vec<_> = packages.iter().filter(|package| package.target == target).collect();
        stages.attempt(format!("clippy, what runs {place}"), || clippy(&packages, target));
        stages.attempt(format!("rustdoc, what runs {place}"), || document(&packages, target));
    }
    stages.attempt("boundaries and sizes", || {
        build::guests()?;
        let test = |suite| run_command(cargo().args(["test", "--package", "scim-host-tests", "--", suite]));
        test("boundary")?;
        test("sizes")
    });
    stages.finish()
}

fn clippy(packages: &[&Package], target: Option<&str>) -> Result<()> {
    let mut clippy = cargo();
    clippy.arg("clippy");
    select(&mut clippy, packages, target);
    if target.is_none() {
        clippy.arg("--all-targets");
    }
    run_command(clippy.args(["--", "--deny", "warnings"]))
}

fn document(packages: &[&Package], target: Option<&str>) -> Result<()> {
    let mut doc = cargo();
    doc.args(["doc", "--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "--deny warnings");
    select(&mut doc, packages, target);
    run_command(&mut doc)
}

fn select(command: &mut std::process::Command, packages: &[&Package], target: Option<&str>) {
    packages.iter().for_each(|package| {
        command.args(["--package", &package.name]);
    });
    if let Some(target) = target {
        command.args(["--target", target, "--target-dir"]).arg(build::guest_directory());
    }
}
