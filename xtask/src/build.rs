//! Builds: the guests for WebAssembly, then the program that runs them.
//!
//! The program is built with the `dev` profile, which compiles dependencies optimised and our own code quickly: `up`
//! and `test` share that one build. What is hot runs inside the guests, and those are always built to ship.

use std::path::PathBuf;

use anyhow::Result;

use crate::command::{self, cargo, root, target};
use crate::tools::{self, PLUGIN_TARGET, SPIN_TARGET};

/// `cargo xtask build`.
///
/// # Errors
/// A tool is missing or something does not compile.
pub fn run(release: bool) -> Result<()> {
    let program = everything(release)?;
    for guest in guest_files() {
        println!("{:>9} bytes  {}", std::fs::metadata(&guest)?.len(), guest.display());
    }
    println!("{:>15}  {}", "", program.display());
    Ok(())
}

/// Builds the guests and the program; gives the program's path.
///
/// # Errors
/// As [`run`].
pub fn everything(release: bool) -> Result<PathBuf> {
    tools::wasm_targets()?;
    guests()?;
    host(release)
}

/// Where the guests' builds go: apart from the host's, so that neither throws the other's away, and where `spin.toml`
/// looks for them.
pub fn guest_directory() -> PathBuf {
    root().join("target/guests")
}

/// The guests, in the form that ships.
pub fn guest_files() -> [PathBuf; 5] {
    let module = |target: &str, file: &str| guest_directory().join(target).join("guest").join(file);
    [
        module(PLUGIN_TARGET, "scim_plugin.wasm"),
        module(PLUGIN_TARGET, "scim_plugin_local.wasm"),
        module(SPIN_TARGET, "scim_spin_directory.wasm"),
        module(SPIN_TARGET, "scim_spin_connections.wasm"),
        module(SPIN_TARGET, "scim_spin_pages.wasm"),
    ]
}

/// Builds the guests.
///
/// # Errors
/// A guest does not compile.
pub fn guests() -> Result<()> {
    let build = |target: &str, packages: &[&str]| {
        let mut build = cargo();
        build.args(["build", "--profile", "guest", "--target", target, "--target-dir"]).arg(guest_directory());
        packages.iter().for_each(|package| {
            build.args(["--package", package]);
        });
        command::run(&mut build)
    };
    build(PLUGIN_TARGET, &["scim-plugin-origin", "scim-plugin-local"])?;
    build(SPIN_TARGET, &["scim-spin-directory", "scim-spin-connections", "scim-spin-pages"])
}

fn host(release: bool) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--package", "scim-edge"]);
    if release {
        build.arg("--release");
    }
    command::run(&mut build)?;
    Ok(target().join(if release { "release" } else { "debug" }).join("scim-edge"))
}
