//! Benchmarks: handed on to what the repository holds.

use anyhow::{Result, bail};

use crate::command::{cargo, root, run};

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
