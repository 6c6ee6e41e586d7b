//! `cargo xtask up`: from a fresh clone to a running edge.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::build;
use crate::command::root;

/// What to run.
#[derive(clap::Args)]
pub struct Options {
    /// Put real Envoy in front, in place of the embedded proxy-wasm host.
    #[arg(long)]
    envoy: bool,
    /// Where users, groups and connections are kept.
    #[arg(long, default_value = ".scim-edge", value_name = "DIR")]
    data: PathBuf,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: SocketAddr,
    /// A variable of `spin.toml`; may be given more than once.
    #[arg(long = "variable", value_name = "NAME=VALUE")]
    variables: Vec<String>,
}

/// Builds what is not built yet and becomes `scim-edge serve`.
///
/// # Errors
/// A tool is missing, something does not compile, or the server cannot start.
pub fn run(options: &Options) -> Result<()> {
    let mut serve = Command::new(build::everything(false)?);
    serve.current_dir(root()).arg("serve").arg("--data").arg(&options.data);
    serve.args(["--listen", &options.listen.to_string()]);
    serve.args(["--front", if options.envoy { "envoy" } else { "embedded" }]);
    serve.args(options.variables.iter().flat_map(|variable| ["--variable", variable]));
    replace_with(serve)
}

/// Becomes that program, so that Ctrl-C and `kill` reach it and nothing is left behind.
#[cfg(unix)]
fn replace_with(mut program: Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    Err(program.exec()).context("`scim-edge` cannot be started")
}

/// Runs that program to its end.
#[cfg(not(unix))]
fn replace_with(mut program: Command) -> Result<()> {
    crate::command::run(&mut program)
}
