//! Real Envoy as a process of a test, with a configuration of the test's own.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::place;

/// How long Envoy may take until it listens; it compiles the filter first.
const START: Duration = Duration::from_secs(120);

/// A running Envoy; killed at the end of its scope.
#[derive(Debug)]
pub struct Envoy {
    process: Child,
    log: PathBuf,
}

impl Envoy {
    /// Starts Envoy in a directory of its own and waits until it listens on these ports.
    ///
    /// # Errors
    /// Envoy is not set up, ends (the error carries its last words) or does not listen in time.
    pub fn start(directory: &Path, configuration: &str, workers: u32, ports: &[u16]) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let (file, log) = (directory.join("envoy.yaml"), directory.join("envoy.log"));
        std::fs::write(&file, configuration)?;
        let output = File::create(&log)?;
        let mut command = Command::new(place::envoy()?);
        command.arg("-c").arg(&file).args(["--concurrency", &workers.to_string()]);
        command.args(["--use-dynamic-base-id", "--log-level", "warning"]);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut envoy = Self { process: command.spawn().context("Envoy cannot be started")?, log };
        let start = Instant::now();
        while !ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()) {
            if envoy.process.try_wait()?.is_some() || start.elapsed() > START {
                bail!("Envoy does not listen; it said: {}", envoy.log().trim());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(envoy)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Ports of 127.0.0.1 that nobody listens on.
///
/// # Errors
/// There are none left.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held until the last one is known, so that no two are the same.
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0"));
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(held) {
        *port = listener?.local_addr()?.port();
    }
    Ok(ports)
}
