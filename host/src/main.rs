//! The command line of `scim-edge`.

use std::process::ExitCode;

use clap::Parser;
use scim_edge::offline::{self, check, transfer};
use scim_edge::serve;

/// A SCIM 2.0 directory at the edge.
#[derive(Parser)]
#[command(version)]
enum Command {
    /// Serve the directory, its management API and the self-service portal.
    Serve(serve::Options),
    /// Check that every page of the data is there and whole; may run beside a server
    Check(offline::Data),
    /// Remove pages that commits which were cut off left behind
    Sweep(check::SweepOptions),
    /// Write a connection's users and groups to standard output, as JSON lines; may run beside a server
    Export(transfer::Options),
    /// Read JSON lines from standard input into a connection without users and groups
    Import(transfer::Options),
}

/// What a mistake in settings or surroundings ends with.
const MISUSE: u8 = 2;

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Serve(options) => serve::run(options),
        Command::Check(data) => match check::check(&data) {
            Ok(true) => Ok(()),
            Ok(false) => return ExitCode::FAILURE,
            Err(error) => Err(error),
        },
        Command::Sweep(options) => check::sweep(&options),
        Command::Export(options) => transfer::export(&options, std::io::stdout().lock()),
        Command::Import(options) => {
            transfer::import(&options, std::io::stdin().lock()).map(|lines| println!("{lines} lines imported"))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scim-edge: {error:#}");
            ExitCode::from(MISUSE)
        }
    }
}
