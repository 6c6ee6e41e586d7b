//! `cargo xtask`: every task a contributor needs, in one command each.

mod build;
mod command;
mod fuzz;
mod licences;
mod lint;
mod measure;
mod stages;
mod test;
mod tidy;
mod tools;
mod up;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, runs and checks scim-edge.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build everything and serve: the Spin world, and the filter in front of it.
    Up(up::Options),
    /// Build the guests and the `scim-edge` program.
    Build {
        /// Build the program optimised, to install it; the guests always are.
        #[arg(long)]
        release: bool,
    },
    /// Run every test, or those whose name contains a text; sets up what they need.
    Test {
        /// Part of a test's name, such as `corpus::envoy` or `durability`.
        filter: Option<String>,
    },
    /// Check format, lints, documentation, licences and documents.
    Lint,
    /// Measure what `bench/` holds.
    Bench {
        /// Passed on to the benchmark.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Fuzz the engine with `cargo fuzz`: one target, or each in turn.
    Fuzz(fuzz::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Up(options) => up::run(&options),
        Task::Build { release } => build::run(release),
        Task::Test { filter } => test::run(filter.as_deref()),
        Task::Lint => lint::run(),
        Task::Bench { arguments } => measure::bench(&arguments),
        Task::Fuzz(options) => fuzz::fuzz(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
