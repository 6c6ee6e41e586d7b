//! Benchmarks and fuzzing: handed on to what the repository holds.

use anyhow::{Result, bail, ensure};

use crate::command::{cargo, has_subcommand, root, run};

/// `cargo xtask bench`.
///
/// # Errors
/// There is no benchmark yet, or it fails.
pub fn bench(arguments: &[String]) -> Result<()> {
    if !root().join("bench/Cargo.toml").is_file() {
        bail!("there are no benchmarks yet: `bench/` does not exist");
    }
    run(cargo().args(["run", "--release", "--manifest-path", "bench/Cargo.toml", "--"]).args(arguments))
}

/// `cargo xtask fuzz TARGET`.
///
/// # Errors
/// There is no fuzz target yet, the tool is missing, or an input was found that fails.
pub fn fuzz(arguments: &[String]) -> Result<()> {
    if !root().join("fuzz/Cargo.toml").is_file() {
        bail!("there are no fuzz targets yet: `fuzz/` does not exist");
    }
    ensure!(has_subcommand("fuzz"), "`cargo fuzz` is not installed: run `cargo install cargo-fuzz`");
    ensure!(!arguments.is_empty(), "name a target: `cargo fuzz list` shows them");
    run(cargo().args(["fuzz", "run"]).args(arguments))
}
