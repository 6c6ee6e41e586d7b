//! `scim-edge serve`: data directory, origin and front, from start to stop.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::credentials::Credentials;
use crate::envoy::{self, Envoy};
use crate::front::{self, Front, FrontOptions, Owner};
use crate::origin::{self, AccessLog};
use crate::spin::app::App;
use crate::spin::runtime_config::RuntimeConfig;

/// Settings of `serve`.
#[derive(Args)]
pub struct Options {
    /// Directory of everything that has to last; made if it is not there
    #[arg(long, value_name = "DIR", default_value = ".scim-edge")]
    data: PathBuf,
    /// Where key-value stores are, as `spin up` takes it: SQLite (`type = "spin"`) or Redis; else SQLite in `--data`
    #[arg(long, value_name = "FILE")]
    runtime_config_file: Option<PathBuf>,
    /// Address of the front, which identity providers and people use; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Address of the origin, which the front uses; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    origin_listen: SocketAddr,
    /// Address at which the front finds the origin, when something stands between the two; else the one it listens on
    #[arg(long, value_name = "ADDR")]
    origin_address: Option<SocketAddr>,
    /// What stands in front of the origin
    #[arg(long, value_enum, default_value = "embedded")]
    front: Kind,
    /// Serve without an origin: directories are in the front's memory and lost when it stops. The file is the filter's
    /// configuration in local mode, see `envoy/README.md`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["public_url", "variables", "access_log"])]
    local: Option<PathBuf>,
    /// Base URL to put in answers, where it is not the one of the request
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// A variable of `spin.toml`; may be given more than once
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// Instances of each component at most; more of them answer more at once, fewer share more of their commits. As many as
    /// there are processors, if it is not given
    #[arg(long, value_name = "NUMBER")]
    instances: Option<NonZeroUsize>,
    /// Directory of `spin.toml`
    #[arg(long, value_name = "DIR", default_value = ".")]
    app: PathBuf,
    /// The Envoy filter's module, if not the one built below `--app`
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// Fields of the embedded filter's configuration, as a JSON object; Envoy's are in `envoy/origin.yaml`
    #[arg(long, value_name = "JSON", value_parser = fields, default_value = "{}")]
    filter: Fields,
    /// File to note every request in that reaches the origin: method and path
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
    /// Print one line of JSON once everything answers, and nothing else
    #[arg(long)]
    ready_json: bool,
}

/// What stands in front of the origin.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// The filter, run by this program
    Embedded,
    /// The filter, run by the Envoy on this machine
    Envoy,
    /// Nothing: clients use the origin
    None,
}

type Fields = Map<String, Value>;

enum Running {
    Embedded(Front),
    Envoy(Envoy),
    None,
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// A setting or the surroundings prevent it; the message says what to do.
pub fn run(options: Options) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(options))
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let _lock = lock(&options.data)?;
    if let Some(file) = &options.local {
        return serve_local(&options, file, &mut signals).await;
    }
    let credentials = Credentials::of(&options.data)?;
    let stores = RuntimeConfig::read(options.runtime_config_file.as_deref(), &options.data)?.open().await?;
    let instances = options.instances.map_or_else(available_parallelism, Ok).map_or(1, NonZeroUsize::get);
    let app = App::load(&options.app, &options.data, &stores, &variables(&credentials, &options), instances)?;
    let access_log = options.access_log.as_deref().map(AccessLog::open).transpose()?;
    let origin = origin::start(app, options.origin_listen, access_log).await?;
    let address = options.origin_address.unwrap_or(origin.address);
    let owner = Owner::Origin { address, edge_secret: credentials.edge_secret.clone() };
    let started = tokio::select! {
        started = start_front(&options, owner) => started.map(Some),
        () = signals.next() => Ok(None),
    };
    let Ok(Some(front)) = started else {
        origin.stop().await;
        return started.map(drop);
    };
    let origin_url = format!("http://{}", origin.address);
    if options.ready_json {
        println!("{}", ready(&front, &origin_url, &credentials));
    } else {
        println!("{}", welcome(front.url().unwrap_or(&origin_url), &origin_url, &credentials));
    }
    signals.next().await;
    front.stop().await;
    origin.stop().await;
    Ok(())
}

/// Serves what the filter keeps itself.
async fn serve_local(options: &Options, file: &Path, signals: &mut Signals) -> anyhow::Result<()> {
    let configuration = std::fs::read_to_string(file);
    let configuration = configuration.with_context(|| format!("can not read `{}`", file.display()))?;
    let front = start_front(options, Owner::Filter { configuration }).await?;
    let url = front.url().context("`--local` needs a front: it is the front that keeps the directories")?;
    if options.ready_json {
        println!("{}", json!({ "front": url, "pids": pids(&front) }));
    } else {
        println!("scim-edge answers at {url}, from memory: what is written is lost when it stops");
    }
    signals.next().await;
    front.stop().await;
    Ok(())
}

/// Takes the data directory for this process, until the file is closed.
pub(crate) fn lock(data: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(data)
        .with_context(|| format!("can not make `{}`: choose another `--data`", data.display()))?;
    let path = data.join("lock");
    let file = File::create(&path).with_context(|| format!("can not write `{}`", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("`{}` is in use by another scim-edge: stop it, or choose another `--data`", data.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("can not lock `{}`", path.display())),
    }
}

fn variables(credentials: &Credentials, options: &Options) -> BTreeMap<String, String> {
    let Credentials { client_id, client_secret, edge_secret } = credentials;
    let given = [("client_id", client_id), ("client_secret", client_secret), ("edge_secret", edge_secret)];
    let public_url = options.public_url.as_ref().map(|url| ("public_url", url));
    let given = given.into_iter().chain(public_url).map(|(name, value)| (name.to_owned(), value.clone()));
    given.chain(options.variables.iter().cloned()).collect()
}

fn variable(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("must be of the form `name=value`")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

fn fields(text: &str) -> Result<Fields, String> {
    serde_json::from_str(text).map_err(|error| format!("must be a JSON object: {error}"))
}

async fn start_front(options: &Options, owner: Owner) -> anyhow::Result<Running> {
    let module = match owner {
        Owner::Origin { .. } => "scim_plugin.wasm",
        Owner::Filter { .. } => "scim_plugin_local.wasm",
    };
    let built = || options.app.join("target/guests/wasm32-wasip1/guest").join(module);
    let settings = || FrontOptions {
        listen: options.listen,
        owner,
        plugin: options.plugin.clone().unwrap_or_else(built),
        data: options.data.clone(),
        filter: options.filter.clone(),
    };
    match options.front {
        Kind::Embedded => front::start(settings()).await.map(Running::Embedded),
        Kind::Envoy => envoy::start(settings()).await.map(Running::Envoy),
        Kind::None => Ok(Running::None),
    }
}

impl Running {
    fn url(&self) -> Option<&str> {
        match self {
            Self::Embedded(front) => Some(&front.url),
            Self::Envoy(envoy) => Some(&envoy.url),
            Self::None => None,
        }
    }

    async fn stop(self) {
        match self {
            Self::Embedded(front) => front.stop().await,
            Self::Envoy(envoy) => envoy.stop().await,
            Self::None => {}
        }
    }
}

/// What programs read.
fn ready(front: &Running, origin: &str, credentials: &Credentials) -> Value {
    json!({
        "front": front.url(),
        "origin": origin,
        "clientId": credentials.client_id,
        "secret": credentials.client_secret,
        "pids": pids(front),
    })
}

/// Processes, by role.
fn pids(front: &Running) -> Value {
    let mut pids = json!({ "host": std::process::id() });
    if let Running::Envoy(envoy) = front {
        pids["envoy"] = envoy.pid.into();
    }
    pids
}

/// What people read.
fn welcome(url: &str, origin: &str, credentials: &Credentials) -> String {
    let Credentials { client_id, client_secret, .. } = credentials;
    format!(
        r#"scim-edge answers at {url} (origin {origin})

  dashboard  {url}/dashboard
  client id  {client_id}
  secret     {client_secret}

Make a connection and send it a user:

  field() {{ sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }}
  vendor=$(curl -s {url}/auth/vendor/ -H 'content-type: application/json' \
    -d '{{"clientId":"{client_id}","secret":"{client_secret}"}}' | field token)
  made=$(curl -s {url}/directory/resources/v1/configurations/scim2 -H "authorization: Bearer $vendor" \
    -H 'frontegg-tenant-id: demo' -H 'content-type: application/json' \
    -d '{{"source":"other","connectionName":"demo '$(date +%s)'"}}')
  scim={url}/directory/resources/scim/v2.0/$(echo "$made" | field id)
  curl -s $scim/Users -H "authorization: Bearer $(echo "$made" | field token)" -H 'content-type: application/scim+json' \
    -d '{{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ada@example.com"}}'
"#
    )
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
