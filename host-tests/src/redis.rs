//! A Redis server of a test's own, as a store of directories has to be set up: every write is on disk before its answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// How long a server may take until it answers.
const START: Duration = Duration::from_secs(30);

/// A running server; killed at the end of its scope, and its data with it.
#[derive(Debug)]
pub struct Redis {
    process: Child,
    port: u16,
    directory: TempDir,
}

impl Redis {
    /// Starts a server on a free port and waits until it answers.
    ///
    /// # Errors
    /// `redis-server` is not installed, or does not answer in time.
    pub fn start() -> Result<Self> {
        let directory = tempfile::tempdir().context("no directory for Redis")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let redis = Self { process: spawn(port, &directory)?, port, directory };
        redis.wait()?;
        Ok(redis)
    }

    /// The URL clients connect to.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A runtime configuration of Spin's that names this server.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn runtime_config(&self) -> Result<PathBuf> {
        let path = self.directory.path().join("runtime-config.toml");
        std::fs::write(&path, format!("[key_value_store.default]\ntype = \"redis\"\nurl = \"{}\"\n", self.url()))?;
        Ok(path)
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// It has ended already.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Starts it again after [`Redis::kill`], on the same port and data.
    ///
    /// # Errors
    /// It does not answer in time.
    pub fn restart(&mut self) -> Result<()> {
        self.process = spawn(self.port, &self.directory)?;
        self.wait()
    }

    /// The answer to a command; a text, or nothing for a null.
    ///
    /// # Errors
    /// The server does not answer, or refuses the command.
    pub fn ask(&self, command: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(START))?;
        write!(stream, "{command}\r\n")?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if let Some(error) = line.strip_prefix('-') {
            bail!("Redis refuses `{command}`: {error}");
        }
        let Some(length) = line.strip_prefix('$') else { return Ok(line.get(1..).unwrap_or_default().to_owned()) };
        let Ok(length) = length.parse::<usize>() else { return Ok(String::new()) };
        let mut text = vec![0; length];
        reader.read_exact(&mut text)?;
        Ok(String::from_utf8(text)?)
    }

    /// A figure of `INFO commandstats`, 0 for a command nobody has sent.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn command_figure(&self, command: &str, figure: &str) -> Result<u64> {
        let stats = self.ask("INFO commandstats")?;
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:")));
        let figures = line.into_iter().flat_map(|line| line.split(',')).filter_map(|pair| pair.split_once('='));
        let found = figures.into_iter().find(|(name, _)| *name == figure);
        found.map_or(Ok(0), |(_, value)| value.parse().context("a figure is a number"))
    }

    /// While the data of a killed server is loaded, it answers `LOADING`.
    fn wait(&self) -> Result<()> {
        let start = Instant::now();
        while self.ask("PING").ok().as_deref() != Some("PONG") {
            ensure!(start.elapsed() < START, "`redis-server` does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(port: u16, directory: &TempDir) -> Result<Child> {
    let mut server = Command::new("redis-server");
    server.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(directory.path());
    server.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
    server.args(["--maxmemory-policy", "noeviction"]);
    server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    server.spawn().context("`redis-server` is missing: run `apt-get install redis-server`")
}
