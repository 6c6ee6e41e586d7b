//! Benchmarks and fuzzing: handed on to what the repository holds.

use anyhow::{Result, bail, ensure};

use crate::command::{cargo, has_subcommand, root, run};

/// Where the engine's fuzz targets are.
const FUZZ: &str = "engine/fuzz";

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
    if !root().join(FUZZ).is_dir() {
        bail!("there are no fuzz targets yet: `{FUZZ}` does not exist");
    }
    ensure!(has_subcommand("fuzz"), "`cargo fuzz` is not installed: run `cargo install cargo-fuzz`");
    ensure!(!arguments.is_empty(), "name a target: `cargo fuzz list --fuzz-dir {FUZZ}` shows them");
    run(cargo().args(["fuzz", "run", "--fuzz-dir", FUZZ]).args(arguments))
}
