//! Benchmarks: handed on to what the repository holds.

use anyhow::{Result, bail};

use crate::command::{cargo, root, run};
use crate::{build, tools};

/// `cargo xtask bench`: the engine's operations; with `disk` first, writes onto a disk; with `hosts`, operations through
/// whole hosts; with `pages`, the dashboard's pages; with `envoy`, the filter in real Envoy.
///
/// # Errors
/// There is no benchmark yet, or it fails.
pub fn bench(arguments: &[String]) -> Result<()> {
    if let Some(("envoy", rest)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return envoy(rest);
    }
    if !root().join("bench/Cargo.toml").is_file() {
        bail!("there are no benchmarks yet: `bench/` does not exist");
    }
    let mut bench = cargo();
    match arguments.first().map(String::as_str) {
        Some("disk" | "pages") => bench.env("SCIM_EDGE", build::everything(true)?),
        Some("hosts") => bench.env("SCIM_ENVOY", tools::envoy()?).env("SCIM_EDGE", build::everything(true)?),
        _ => &mut bench,
    };
    run(bench.args(["run", "--release", "--manifest-path", "bench/Cargo.toml", "--"]).args(arguments))
}

/// The filter in real Envoy, in front of an optimised origin.
fn envoy(arguments: &[String]) -> Result<()> {
    let envoy = tools::envoy()?;
    tools::wrk()?;
    let program = build::everything(true)?;
    let mut bench = cargo();
    bench.env("SCIM_EDGE", program).env("SCIM_ENVOY", envoy);
    run(bench.args(["run", "--release", "--package", "scim-bench-envoy", "--"]).args(arguments))
}
