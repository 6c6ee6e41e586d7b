//! `scim-edge serve` as a process of a test.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;

use crate::deployment::{Deployment, Http};
use crate::place;
use crate::redis::Redis;

/// How long a server may take until it answers; the first start compiles the guests.
const START: Duration = Duration::from_secs(180);

/// What stands in front of the Spin world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// The filter in the embedded proxy-wasm host.
    Embedded,
    /// The filter in real Envoy.
    Envoy,
    /// Nothing.
    None,
}

/// What a server says once it answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// Base URL of the front; absent without one.
    #[serde(default)]
    pub front: Option<String>,
    /// Base URL of the Spin world; empty in local mode, as what follows.
    #[serde(default)]
    pub origin: String,
    /// The vendor's client id.
    #[serde(default)]
    pub client_id: String,
    /// The vendor's secret.
    #[serde(default)]
    pub secret: String,
    /// Processes, by role.
    pub pids: std::collections::BTreeMap<String, u32>,
}

/// A running server; stopped at the end of its scope.
#[derive(Debug)]
pub struct Server {
    /// What it said.
    pub ready: Ready,
    /// Its data directory.
    pub data: PathBuf,
    process: Child,
}

impl Server {
    /// Starts a server on free ports and waits until it answers.
    ///
    /// # Errors
    /// Something was not built, or the server ends or does not answer in time.
    pub fn start(data: &Path, front: Front) -> Result<Self> {
        Self::start_with(data, front, &[])
    }

    /// The same over a Redis server, where there is one.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_on(data: &Path, front: Front, redis: Option<&Redis>) -> Result<Self> {
        let Some(redis) = redis else { return Self::start(data, front) };
        let config = redis.runtime_config()?;
        Self::start_with(data, front, &["--runtime-config-file", &config.to_string_lossy()])
    }

    /// The same with more arguments.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_with(data: &Path, front: Front, arguments: &[&str]) -> Result<Self> {
        Self::start_in(data, front, arguments, &[])
    }

    /// The same with more of an environment.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_in(data: &Path, front: Front, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        let mut command = Command::new(place::program()?);
        command.envs(environment.iter().copied());
        command.current_dir(place::root()).arg("serve").arg("--data").arg(data);
        command.args(["--listen", "127.0.0.1:0", "--ready-json"]).args(arguments);
        if !arguments.contains(&"--origin-listen") {
            command.args(["--origin-listen", "127.0.0.1:0"]);
        }
        match front {
            Front::Embedded => command.args(["--front", "embedded"]),
            Front::Envoy => command.args(["--front", "envoy"]).env("PATH", path_with_envoy()?),
            Front::None => command.args(["--front", "none"]),
        };
        if !arguments.contains(&"--local") {
            command.arg("--access-log").arg(access_log(data));
        }
        let log = std::fs::File::create(data.with_extension("log")).context("no log can be written")?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut process = command.spawn().context("`scim-edge` cannot be started")?;
        let result = wait(&mut process, START).map_err(|error| {
            let log = std::fs::read_to_string(data.with_extension("log")).unwrap_or_default();
            anyhow!("{error:#}; it said: {}", log.trim())
        });
        if result.is_err() {
            let _ = process.kill();
            let _ = process.wait();
        }
        Ok(Self { ready: result?, process, data: data.to_owned() })
    }

    /// The Spin world.
    ///
    /// # Errors
    /// It refuses the vendor's credential.
    pub fn origin(&self) -> Result<Deployment> {
        self.deployment(&self.ready.origin)
    }

    /// The front.
    ///
    /// # Errors
    /// There is none, or it refuses the vendor's credential.
    pub fn front(&self) -> Result<Deployment> {
        self.deployment(self.ready.front.as_deref().context("the server has no front")?)
    }

    /// How many requests reached the origin whose path begins like that.
    ///
    /// # Errors
    /// The origin's access log cannot be read.
    pub fn origin_requests(&self, path: &str) -> Result<usize> {
        let log = std::fs::read_to_string(access_log(&self.data)).context("the origin keeps no access log")?;
        Ok(log.lines().filter(|line| line.split(' ').nth(1).is_some_and(|target| target.starts_with(path))).count())
    }

    /// What edges present to this origin.
    ///
    /// # Errors
    /// The credentials cannot be read.
    pub fn edge_secret(&self) -> Result<String> {
        let credentials: serde_json::Value =
            serde_json::from_slice(&std::fs::read(self.data.join("credentials.json"))?)?;
        credentials["edgeSecret"].as_str().map(str::to_owned).context("no edge secret")
    }

    /// Address of the origin.
    pub fn origin_address(&self) -> &str {
        self.ready.origin.trim_start_matches("http://")
    }

    /// What the front has logged.
    pub fn log(&self) -> String {
        let envoy = std::fs::read_to_string(self.data.join("envoy.log"));
        envoy.or_else(|_| std::fs::read_to_string(self.data.with_extension("log"))).unwrap_or_default()
    }

    fn deployment(&self, url: &str) -> Result<Deployment> {
        Deployment::new(Box::new(Http::new(url)), &self.ready.client_id, &self.ready.secret)
    }

    /// Ends every process of the server at once, with nothing written on the way out.
    ///
    /// # Errors
    /// `kill` cannot be run.
    pub fn kill_everything(mut self) -> Result<()> {
        let pids = self.ready.pids.values().map(u32::to_string);
        Command::new("kill").arg("-KILL").args(pids).stderr(Stdio::null()).status()?;
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    /// Asks the server to stop, and insists when it does not.
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-TERM").arg(self.process.id().to_string()).stderr(Stdio::null()).status();
        for _ in 0..100 {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let pids = self.ready.pids.values().map(u32::to_string);
        let _ = Command::new("kill").arg("-KILL").args(pids).stderr(Stdio::null()).status();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn access_log(data: &Path) -> PathBuf {
    data.with_extension("access.log")
}

/// The search path with the tests' Envoy first.
fn path_with_envoy() -> Result<OsString> {
    let envoy = place::envoy()?;
    let present = std::env::var_os("PATH").unwrap_or_default();
    let directories = envoy.parent().map(Path::to_owned).into_iter().chain(std::env::split_paths(&present));
    Ok(std::env::join_paths(directories)?)
}

/// The first line of standard output that is JSON; the rest is read and dropped, so that the server never blocks.
fn wait(process: &mut Child, patience: Duration) -> Result<Ready> {
    let output = process.stdout.take().context("no output to read")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
            if line.starts_with('{') {
                let _ = sender.send(line);
            }
        }
    });
    let line = receiver.recv_timeout(patience).context("`scim-edge serve` did not become ready")?;
    serde_json::from_str(&line).with_context(|| format!("`{line}` is no ready line"))
}
