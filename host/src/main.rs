//! The command line of `scim-edge`.

use std::process::ExitCode;

use clap::Parser;
use scim_edge::serve;

/// A SCIM 2.0 directory at the edge.
#[derive(Parser)]
#[command(version)]
enum Command {
    /// Serve the directory, its management API and the self-service portal.
    Serve(serve::Options),
}

/// What a mistake in settings or surroundings ends with.
const MISUSE: u8 = 2;

fn main() -> ExitCode {
    let Command::Serve(options) = Command::parse();
    match serve::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scim-edge: {error:#}");
            ExitCode::from(MISUSE)
        }
    }
}
