//! Where built things are: told by `cargo xtask test`, or else where that command puts them.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// The repository.
pub fn root() -> PathBuf {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_directory.parent().unwrap_or(crate_directory).to_owned()
}

/// The cases.
pub fn corpus() -> PathBuf {
    root().join("host-tests/corpus")
}

/// The `scim-edge` program.
///
/// # Errors
/// It was not built.
pub fn program() -> Result<PathBuf> {
    built("SCIM_EDGE", "debug/scim-edge")
}

/// The filter's module, as it ships.
pub fn plugin() -> PathBuf {
    root().join("target/guests/wasm32-wasip1/guest/scim_plugin.wasm")
}

/// The filter's module for local mode, as it ships.
pub fn local_plugin() -> PathBuf {
    root().join("target/guests/wasm32-wasip1/guest/scim_plugin_local.wasm")
}

/// A Spin component, as it ships.
pub fn component(name: &str) -> PathBuf {
    root().join("target/guests/wasm32-wasip2/guest").join(format!("{name}.wasm"))
}

/// A Python with the SCIM clients.
///
/// # Errors
/// It was not set up.
pub fn python() -> Result<PathBuf> {
    built("SCIM_PYTHON", "venv/bin/python")
}

/// The Envoy program.
///
/// # Errors
/// It was not set up.
pub fn envoy() -> Result<PathBuf> {
    built("SCIM_ENVOY", "envoy-venv/bin/envoy")
}

fn built(variable: &str, default: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let path = target.join(default);
    ensure!(path.exists(), "{} is missing: run `cargo xtask test`, which builds it", path.display());
    Ok(path)
}
