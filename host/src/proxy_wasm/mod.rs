//! A proxy-wasm host (ABI 0.2.1) that behaves as Envoy 1.40 does, so that the filter can be tried and tested with no
//! Envoy installed. Where Envoy is unkind, so is this host: shared data is never removed, a first write ignores its
//! compare-and-set number, late answers to finished streams are dropped, paused streams of a trapped virtual machine
//! hang until their idle timeout.
//!
//! [`Proxy::start`] compiles the module once, tries the configuration on a virtual machine that is then thrown away,
//! and starts one virtual machine on a main thread (timers and queues only) and one on each worker thread. Each
//! connection belongs to one worker, whose event loop every callback blocks.

pub mod abi;
mod cluster;
mod host;
mod hostcalls;
pub mod pairs;
mod path;
pub mod shared;
mod stream;
mod vm;
mod worker;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context;
use wasmtime::{Cache, CacheConfig, Config, Engine, InstancePre, Linker, Module};

pub use self::abi::Level;
pub use self::cluster::Cluster;
use self::host::Host;
use self::pairs::Pairs;
pub use self::shared::Shared;
use self::worker::Team;

/// Rust guests reserve 1 MiB of stack in their own memory; this is for the machine's own frames.
const NATIVE_STACK: usize = 1 << 20;

/// Where a proxy listens and what it runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The guest's module.
    pub module: PathBuf,
    /// Directory for compiled modules; none compiles anew at every start.
    pub cache: Option<PathBuf>,
    /// Where requests and calls can go, by name. Requests are forwarded to the first.
    pub clusters: Vec<Cluster>,
    /// Everything else.
    pub settings: Settings,
}

/// The plugin's configuration and the proxy's limits, named after Envoy's fields.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `name`.
    pub name: String,
    /// `root_id`.
    pub root_id: String,
    /// `vm_config.vm_id`.
    pub vm_id: String,
    /// The node's id, property `xds.node.id`.
    pub node_id: String,
    /// `vm_config.configuration`.
    pub vm_configuration: Vec<u8>,
    /// `configuration`: what the guest reads in `on_configure`.
    pub configuration: Vec<u8>,
    /// Worker threads, each with its own virtual machine.
    pub workers: usize,
    /// Whether a pause on headers still lets the body reach the guest. Off, such a request hangs.
    pub allow_on_headers_stop_iteration: bool,
    /// `reload_config.backoff`: the least time between two loads of a worker's virtual machine.
    pub reload_backoff: Duration,
    /// `per_connection_buffer_limit_bytes`: how much of a body a pause may hold.
    pub buffer_limit: usize,
    /// Path prefixes that are answered 404 where they would be forwarded, as by a route with a direct response.
    pub closed: Vec<String>,
    /// Longest silence of a stream before it is answered 504.
    pub stream_idle_timeout: Duration,
    /// Longest wait for the origin's response headers.
    pub route_timeout: Duration,
    /// Where log lines go.
    pub log: Log,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            name: "scim-edge".into(),
            root_id: String::new(),
            vm_id: "scim-edge".into(),
            node_id: "scim-edge".into(),
            vm_configuration: Vec::new(),
            configuration: Vec::new(),
            workers: 2,
            allow_on_headers_stop_iteration: true,
            reload_backoff: Duration::from_millis(10),
            buffer_limit: 1 << 20,
            closed: Vec::new(),
            stream_idle_timeout: Duration::from_secs(15),
            route_timeout: Duration::from_secs(15),
            log: Log::default(),
        }
    }
}

impl Settings {
    /// Whether a request with these headers has a route.
    fn open(&self, headers: &Pairs) -> bool {
        let path = headers.get(b":path").unwrap_or_default();
        path.starts_with(b"/") && !self.closed.iter().any(|prefix| path.starts_with(prefix.as_bytes()))
    }
}

/// Takes one log line.
pub type Sink = Arc<dyn Fn(Level, &str) + Send + Sync>;

/// Where log lines go, and from which level on.
#[derive(Clone)]
pub struct Log {
    /// Lines below are dropped; the guest can ask for it.
    pub level: Level,
    /// Takes one line.
    pub sink: Sink,
}

impl Log {
    /// Passes a line on, if it is severe enough.
    pub fn write(&self, level: Level, line: &str) {
        if level >= self.level {
            (self.sink)(level, line);
        }
    }
}

impl Default for Log {
    /// Warnings and worse, on standard error.
    fn default() -> Log {
        Log { level: Level::Warn, sink: Arc::new(|level, line| eprintln!("{level:?} {line}")) }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Log").field(&self.level).finish()
    }
}

/// The compiled plugin with everything a virtual machine needs.
struct Plugin {
    engine: Engine,
    ready: InstancePre<Host>,
    settings: Arc<Settings>,
    shared: Arc<Shared>,
    clusters: Vec<Cluster>,
    virtual_machines: AtomicU64,
}

/// A running proxy. Dropping it without [`Proxy::stop`] leaves its threads running.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    team: Team,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Starts listening once every virtual machine is configured. Blocks while it compiles.
    ///
    /// # Errors
    /// The address is taken, the module is no proxy-wasm plugin, or it refuses its configuration.
    pub fn start(options: Options) -> anyhow::Result<Proxy> {
        let listener = std::net::TcpListener::bind(options.listen)
            .with_context(|| format!("cannot listen on `{}`", options.listen))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let plugin = Arc::new(Plugin::load(options, Arc::clone(&shared))?);
        let team = Team::start(plugin, listener)?;
        Ok(Proxy { address, shared, team })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shared data, metrics and counts, to inspect.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Stops listening, waits a few seconds for requests in flight, and ends every thread.
    pub async fn stop(self) {
        // Joining threads blocks; a failure here means they are gone already.
        let _ = tokio::task::spawn_blocking(move || self.team.stop()).await;
    }
}

impl Plugin {
    fn load(options: Options, shared: Arc<Shared>) -> anyhow::Result<Plugin> {
        let mut config = Config::new();
        config.max_wasm_stack(NATIVE_STACK).async_stack_size(2 * NATIVE_STACK);
        if let Some(directory) = &options.cache {
            let mut cache = CacheConfig::new();
            cache.with_directory(directory);
            config.cache(Some(Cache::new(cache)?));
        }
        let engine = Engine::new(&config)?;
        let file = options.module.display();
        let bytes = std::fs::read(&options.module).with_context(|| format!("cannot read `{file}`"))?;
        let module = Module::from_binary(&engine, &bytes)
            .map_err(anyhow::Error::from)
            .with_context(|| format!("`{file}` is no module"))?;
        let known = ["proxy_abi_version_0_2_0", "proxy_abi_version_0_2_1"];
        anyhow::ensure!(
            module.exports().any(|export| known.contains(&export.name())),
            "`{file}` is no proxy-wasm plugin of ABI 0.2"
        );
        let mut linker = Linker::new(&engine);
        hostcalls::link_all(&mut linker)?;
        let ready = linker.instantiate_pre(&module).map_err(anyhow::Error::from);
        let ready = ready.with_context(|| format!("`{file}` imports too much"))?;
        Ok(Plugin {
            engine,
            ready,
            settings: Arc::new(options.settings),
            shared,
            clusters: options.clusters,
            virtual_machines: AtomicU64::new(0),
        })
    }
}
