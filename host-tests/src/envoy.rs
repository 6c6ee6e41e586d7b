//! Real Envoys of a test's own: `envoy/origin.yaml` in front of any origin, with changes.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::deployment::{Deployment, Http, Target};
use crate::message::Request;
use crate::place;
use crate::server::Server;

/// How long Envoy may take to compile the filter and listen.
const START: Duration = Duration::from_secs(60);

/// What differs from `envoy/origin.yaml`.
#[derive(Clone, Debug)]
pub struct Changes<'a> {
    /// Fields of the filter's configuration; objects are merged, the rest is replaced.
    pub filter: Value,
    /// Texts of the file and what stands in their place; each must be there.
    pub text: &'a [(&'a str, &'a str)],
    /// Workers.
    pub concurrency: u32,
    /// More arguments of the program.
    pub arguments: &'a [&'a str],
}

impl Default for Changes<'_> {
    fn default() -> Self {
        Self { filter: Value::Object(serde_json::Map::new()), text: &[], concurrency: 2, arguments: &[] }
    }
}

/// A running Envoy; stopped at the end of its scope.
#[derive(Debug)]
pub struct Envoy {
    /// Base URL of its listener.
    pub url: String,
    admin: Http,
    process: Child,
    log: PathBuf,
}

impl Envoy {
    /// Starts an Envoy in front of the origin at `address`, which knows edges by the server's secret. Its files are in
    /// `directory` and begin with `name`.
    ///
    /// # Errors
    /// Envoy is not set up, refuses the configuration, or does not answer in time.
    pub fn start(directory: &Path, name: &str, server: &Server, address: &str, changes: &Changes<'_>) -> Result<Self> {
        ensure!(place::plugin().exists(), "{} is missing: run `cargo xtask build`", place::plugin().display());
        let configuration = render(&server.edge_secret()?, address, changes)?;
        let concurrency = changes.concurrency.to_string();
        let arguments = [&["--concurrency", &concurrency], changes.arguments].concat();
        Self::launch(directory, name, &configuration, &arguments)
    }

    /// Starts an Envoy with any configuration and waits until it listens; `url` is its first listener's.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn launch(directory: &Path, name: &str, configuration: &str, arguments: &[&str]) -> Result<Self> {
        let file = |kind: &str| directory.join(format!("{name}.{kind}"));
        let (path, admin, log) = (file("yaml"), file("admin"), file("log"));
        std::fs::write(&path, configuration)?;
        let output = std::fs::File::create(&log)?;
        let mut command = Command::new(place::envoy()?);
        command.arg("-c").arg(&path).arg("--admin-address-path").arg(&admin);
        command.args(["--use-dynamic-base-id", "--log-level", "warning", "--file-flush-interval-msec", "50"]);
        let process =
            command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
        let mut envoy = Self { url: String::new(), admin: Http::new(""), process, log };
        envoy.url = envoy.wait_until_ready(&admin)?;
        Ok(envoy)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The vendor's and everybody's way through this Envoy.
    ///
    /// # Errors
    /// The origin behind it refuses the vendor's credential.
    pub fn deployment(&self, server: &Server) -> Result<Deployment> {
        Deployment::new(Box::new(Http::new(&self.url)), &server.ready.client_id, &server.ready.secret)
    }

    /// A page of the administration interface, such as `/stats`.
    ///
    /// # Errors
    /// It does not answer.
    pub fn admin(&self, path: &str) -> Result<String> {
        let answer = self.admin.send(&Request::new("GET", path))?;
        ensure!(answer.status == 200, "{path}: {}", answer.brief());
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// The sum of the statistics whose name ends like that.
    ///
    /// # Errors
    /// It does not answer, or has none of that name.
    pub fn stat(&self, name: &str) -> Result<u64> {
        let stats = self.admin("/stats")?;
        let values = stats.lines().filter_map(|line| line.split_once(": ")).filter(|(found, _)| found.ends_with(name));
        let values: Vec<u64> = values.filter_map(|(_, value)| value.parse().ok()).collect();
        ensure!(!values.is_empty(), "there is no statistic `{name}`");
        Ok(values.iter().sum())
    }

    /// Bytes of memory the process has in use.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes << 10)
    }

    /// What it wrote to its log.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }

    /// No virtual machine of the filter has trapped: none was loaded again, and the log tells of none.
    ///
    /// # Errors
    /// One has, or no filter runs, so that this would prove nothing.
    pub fn has_not_trapped(&self) -> Result<()> {
        ensure!(self.stat("wasm.envoy.wasm.runtime.v8.active")? > 0, "no filter runs");
        let reloads = self.admin("/stats?filter=vm_reload&usedonly")?;
        ensure!(reloads.is_empty(), "a virtual machine was loaded again: {reloads}");
        let log = self.log()?;
        let marks = ["Function: proxy_", "Proxy-Wasm VM", "panicked at", "Uncaught RuntimeError"];
        let trap = log.lines().find(|line| marks.iter().any(|mark| line.contains(mark)));
        ensure!(trap.is_none(), "a virtual machine trapped: {}", trap.unwrap_or_default());
        Ok(())
    }

    /// The first listener's URL, once Envoy is live.
    fn wait_until_ready(&mut self, admin: &Path) -> Result<String> {
        let start = Instant::now();
        loop {
            if let Some(url) = self.ready(admin) {
                return Ok(url);
            }
            let ended = self.process.try_wait()?;
            ensure!(ended.is_none() && start.elapsed() < START, "envoy does not answer: {}", self.log()?);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn ready(&mut self, admin: &Path) -> Option<String> {
        let address = std::fs::read_to_string(admin).ok().filter(|address| !address.is_empty())?;
        self.admin = Http::new(&format!("http://{address}"));
        let listeners = self.admin("/listeners").ok()?;
        let url = format!("http://{}", listeners.lines().find_map(|line| line.split_once("::"))?.1);
        // Live means that every listener is there and every worker has its filter.
        self.admin("/ready").is_ok().then_some(url)
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

/// A file of `envoy/` with words between @ signs filled in; ports are left to the kernel.
///
/// # Errors
/// There is no such file.
pub fn example(file: &str, words: &[(&str, &str)]) -> Result<String> {
    let path = place::root().join("envoy").join(file);
    let template = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let common = [("@ADMIN_PORT@", "0"), ("@LISTEN_ADDRESS@", "127.0.0.1"), ("@LISTEN_PORT@", "0")];
    Ok(words.iter().chain(&common).fold(template, |text, (word, value)| text.replace(word, value)))
}

/// Asks Envoy whether a configuration is valid, the filter's document included.
///
/// # Errors
/// It is not, with Envoy's words.
pub fn validate(directory: &Path, configuration: &str) -> Result<()> {
    let path = directory.join("validated.yaml");
    std::fs::write(&path, configuration)?;
    let output = Command::new(place::envoy()?).args(["--mode", "validate", "-c"]).arg(&path).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

fn render(secret: &str, address: &str, changes: &Changes<'_>) -> Result<String> {
    let (ip, port) = address.rsplit_once(':').context("the origin's address has no port")?;
    let plugin = place::plugin();
    let words = [
        ("@ORIGIN_ADDRESS@", ip),
        ("@ORIGIN_PORT@", port),
        ("@PLUGIN@", &*plugin.to_string_lossy()),
        ("@EDGE_SECRET@", secret),
    ];
    let mut text = example("origin.yaml", &words)?;
    for (old, new) in changes.text {
        ensure!(text.contains(old), "the configuration has no `{old}`");
        text = text.replace(old, new);
    }
    with_filter(&text, &changes.filter)
}

/// The file with fields of the filter's configuration changed: the JSON document is the block of text under `value: |`.
fn with_filter(text: &str, changes: &Value) -> Result<String> {
    let (before, block) = text.split_once("value: |\n").context("the configuration has no block of text")?;
    let depth = |line: &str| line.len() - line.trim_start().len();
    let indent = depth(block);
    let inside = block.lines().take_while(|line| depth(line) >= indent).map(|line| line.len() + 1).sum();
    let (document, after) = block.split_at_checked(inside).context("the block has no end")?;
    let mut document: Value = serde_json::from_str(document).context("the block is not JSON")?;
    merge(&mut document, changes);
    Ok(format!("{before}value: |\n{}{document}\n{after}", " ".repeat(indent)))
}

fn merge(document: &mut Value, changes: &Value) {
    match (document, changes) {
        (Value::Object(document), Value::Object(changes)) => {
            for (name, change) in changes {
                merge(document.entry(name).or_insert(Value::Null), change);
            }
        }
        (document, change) => *document = change.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_filters_document_is_found_and_changed() {
        let changes = Changes { filter: json!({ "slots": { "pages": 7 }, "grace_ms": 1 }), ..Changes::default() };
        let text = render("secret", "127.0.0.1:7001", &changes).unwrap();
        assert!(text.contains(r#""pages":7"#) && text.contains(r#""grace_ms":1"#) && text.contains("port_value: 7001"));
        assert!(text.contains("envoy.filters.http.router"), "the rest is gone");
        let changes = Changes { text: &[("no such text", "")], ..Changes::default() };
        assert!(render("secret", "127.0.0.1:7001", &changes).is_err());
    }
}
