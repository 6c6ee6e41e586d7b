//! Load by `wrk`, in a process of its own, and what it costs the others.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// Requests that are sent in turn, to one port, and all answered in one way.
pub struct Case {
    /// What is asked.
    pub name: &'static str,
    /// Who answers.
    pub port: u16,
    /// Paths and header fields.
    pub requests: Vec<(String, Vec<(&'static str, String)>)>,
    /// Whether each is answered with an error, as it should be.
    pub refused: bool,
    /// The case that proxies the same requests to the origin.
    pub proxied: Option<&'static str>,
}

/// What one run of a case cost.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Requests per second.
    pub rate: f64,
    /// CPU time of Envoy per request, in microseconds.
    pub envoy: f64,
    /// CPU time of the origin per request, in microseconds.
    pub origin: f64,
}

/// How hard and how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Connections that each have one request under way.
    pub connections: u32,
    /// Length of a run.
    pub seconds: u32,
}

/// Processes whose CPU time is counted.
#[derive(Clone, Copy, Debug)]
pub struct Processes {
    /// Envoy.
    pub envoy: u32,
    /// The origin.
    pub origin: u32,
}

#[derive(Deserialize)]
struct Summary {
    requests: u64,
    micros: u64,
    /// Answers of status 400 and above.
    refused: u64,
    /// Connections refused or cut, and answers that never came.
    failed: u64,
}

impl Case {
    /// Runs the case once.
    ///
    /// # Errors
    /// `wrk` fails, or an answer is not what it should be.
    pub fn run(&self, load: Load, processes: Processes, directory: &Path) -> Result<Sample> {
        let script = directory.join("requests.lua");
        std::fs::write(&script, self.script())?;
        let before = (cpu(processes.envoy)?, cpu(processes.origin)?);
        let summary = self.wrk(load, &script)?;
        let after = (cpu(processes.envoy)?, cpu(processes.origin)?);
        let expected = if self.refused { summary.requests } else { 0 };
        ensure!(summary.failed == 0, "{}: {} requests were not answered", self.name, summary.failed);
        ensure!(summary.refused == expected, "{}: {} answers are errors", self.name, summary.refused);
        let each = |micros: f64| micros / summary.requests as f64;
        Ok(Sample {
            rate: summary.requests as f64 * 1e6 / summary.micros as f64,
            envoy: each(after.0 - before.0),
            origin: each(after.1 - before.1),
        })
    }

    fn wrk(&self, load: Load, script: &Path) -> Result<Summary> {
        let mut wrk = Command::new("wrk");
        wrk.args(["-t1", &format!("-c{}", load.connections), &format!("-d{}s", load.seconds), "-s"]);
        let output = wrk.arg(script).arg(format!("http://127.0.0.1:{}", self.port)).output();
        let output = output.context("`wrk` cannot be started: run `cargo xtask bench envoy`, which installs it")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.starts_with('{'));
        let line = line.with_context(|| format!("`wrk` gave no summary: {text}"))?;
        serde_json::from_str(line).context("the summary of `wrk` cannot be read")
    }

    /// The requests, for wrk to send one after the other: a JSON text of ASCII is a Lua text as well.
    fn script(&self) -> String {
        let requests: String = self
            .requests
            .iter()
            .map(|(path, headers)| {
                let headers: String = headers.iter().map(|(name, value)| format!("[{name:?}]={value:?},")).collect();
                format!("  {{{path:?}, {{{headers}}}}},\n")
            })
            .collect();
        format!("local wanted = {{\n{requests}}}\n{SCRIPT}")
    }
}

const SCRIPT: &str = r#"
local made, turn = {}, 0
function init()
  for _, one in ipairs(wanted) do made[#made + 1] = wrk.format("GET", one[1], one[2]) end
end
function request()
  turn = turn % #made + 1
  return made[turn]
end
function done(summary)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('{"requests":%d,"micros":%d,"refused":%d,"failed":%d}\n',
    summary.requests, summary.duration, errors.status, failed))
end
"#;

/// CPU time of a process so far, user and system, in microseconds (`proc(5)`, `/proc/PID/stat`).
fn cpu(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the process has ended")?;
    let fields = stat.rsplit_once(") ").context("no process name")?.1;
    let ticks: Vec<f64> = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    ensure!(ticks.len() == 2, "the times of process {pid} cannot be read");
    Ok(ticks.iter().sum::<f64>() * 1e6 / rustix::param::clock_ticks_per_second() as f64)
}
