//! Fuzzing: the targets of `engine/fuzz`, on the stable compiler.
//!
//! `cargo fuzz` counts coverage by flags that only nightly compilers take; `RUSTC_BOOTSTRAP` lets the stable one have
//! them. The engine forbids unsafe code, so no sanitizer is asked for.

use anyhow::{Result, ensure};

use crate::command::{cargo, has_subcommand, root, run, target};

/// Where the targets are.
const CRATE: &str = "engine/fuzz";
const TARGETS: [&str; 6] = ["request", "bulk", "patch", "filter", "path", "page"];

/// What to fuzz.
#[derive(clap::Args)]
pub struct Options {
    /// Target of `engine/fuzz`; each in turn when there is none.
    #[arg(value_parser = TARGETS)]
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// `cargo xtask fuzz`.
///
/// # Errors
/// The tool is missing, or an input was found that fails; it is left in `engine/fuzz/artifacts`.
pub fn fuzz(options: &Options) -> Result<()> {
    ensure!(has_subcommand("fuzz"), "`cargo fuzz` is not installed: run `cargo install cargo-fuzz`");
    TARGETS
        .iter()
        .filter(|name| options.target.as_deref().is_none_or(|wanted| wanted == **name))
        .try_for_each(|name| one(name, options.seconds))
}

fn one(name: &str, seconds: u32) -> Result<()> {
    // What is found interesting goes to the first directory and is used again by the next run.
    let corpus = target().join("fuzz").join(name);
    std::fs::create_dir_all(&corpus)?;
    let mut fuzz = cargo();
    fuzz.env("RUSTC_BOOTSTRAP", "1").args(["fuzz", "run", "--fuzz-dir", CRATE, "--sanitizer", "none", name]);
    fuzz.arg(&corpus).arg(root().join(CRATE).join("seeds").join(name));
    fuzz.args(["--", "-max_len=600", "-timeout=10", "-print_final_stats=1"]).arg(format!("-max_total_time={seconds}"));
    run(&mut fuzz)
}
