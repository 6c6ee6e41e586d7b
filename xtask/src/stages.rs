//! The stages of a long task, and one line for each at its end.

use std::time::{Duration, Instant};

use anyhow::Result;

/// What ran so far.
#[derive(Default)]
pub struct Stages(Vec<(String, Duration, bool)>);

impl Stages {
    /// Runs one stage; a failure ends the task, after the summary was printed.
    ///
    /// # Errors
    /// Those of the stage.
    pub fn run<T>(&mut self, name: &str, stage: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("\n=== {name}");
        let start = Instant::now();
        let result = stage();
        self.0.push((name.to_owned(), start.elapsed(), result.is_ok()));
        if result.is_err() {
            self.summary();
        }
        result
    }

    /// Runs one stage of a task that goes on after a failure, so that one run shows everything that is wrong.
    pub fn attempt(&mut self, name: impl Into<String>, stage: impl FnOnce() -> Result<()>) {
        let name = name.into();
        eprintln!("\n=== {name}");
        let start = Instant::now();
        let result = stage();
        if let Err(error) = &result {
            eprintln!("error: {error:#}");
        }
        self.0.push((name, start.elapsed(), result.is_ok()));
    }

    /// Prints one line for each stage.
    ///
    /// # Errors
    /// A stage failed.
    pub fn finish(self) -> Result<()> {
        self.summary();
        let failed: Vec<_> = self.0.iter().filter(|(_, _, passed)| !passed).map(|(name, ..)| name.as_str()).collect();
        anyhow::ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
        Ok(())
    }

    fn summary(&self) {
        eprintln!();
        for (name, time, passed) in &self.0 {
            let verdict = if *passed { "ok" } else { "FAILED" };
            eprintln!("{name:<28} {verdict:<6} {:>7.1} s", time.as_secs_f64());
        }
    }
}
