//! The command line of `scim-edge`.

use std::process::ExitCode;

use clap::Parser;
use scim_edge::offline::{check, sweep, transfer};
use scim_edge::operator::{connection, doctor, logs};
use scim_edge::serve;

/// A SCIM 2.0 directory at the edge.
#[derive(Parser)]
#[command(version)]
enum Command {
    /// Serve the directory, its management API and the self-service portal.
    Serve(serve::Options),
    /// Manage connections of a running deployment
    #[command(subcommand)]
    Connection(connection::Command),
    /// Show what an identity provider asked of a connection, and what came of it
    Logs(logs::Options),
    /// Check a running deployment: edge, origin, credentials, clocks, versions; and say what to do
    Doctor(doctor::Options),
    /// Check that every directory is whole and agrees with itself; may run beside servers
    Check(check::Options),
    /// Remove pages that commits which were cut off left behind; may run beside servers
    Sweep(sweep::Options),
    /// Write a connection's users and groups to standard output, as JSON lines; may run beside servers
    Export(transfer::Options),
    /// Read JSON lines from standard input into a connection without users and groups
    Import(transfer::Options),
}

/// What a mistake in settings or surroundings ends with.
const MISUSE: u8 = 2;

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Serve(options) => serve::run(options),
        Command::Connection(command) => connection::run(command),
        Command::Logs(options) => logs::run(&options),
        Command::Doctor(options) => match doctor::run(&options) {
            Ok(false) => return ExitCode::FAILURE,
            done => done.map(drop),
        },
        Command::Check(options) => match check::run(&options) {
            Ok(false) => return ExitCode::FAILURE,
            done => done.map(drop),
        },
        Command::Sweep(options) => sweep::run(&options),
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
