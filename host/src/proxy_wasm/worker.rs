//! Threads: one for the main virtual machine, which only ticks and reads queues and hands connections out, and one
//! for each worker, with its own virtual machine, connections and pools.

use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::Plugin;
use super::cluster::Clusters;
use super::shared::Counts;
use super::stream;
use super::vm::Vm;
use crate::linger::{self, Socket};

/// Longest wait for requests in flight when stopping.
const DRAIN: Duration = Duration::from_secs(5);
/// Envoy's defaults: headers beyond are answered 431.
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 60 * 1024;

/// What a thread is told.
#[derive(Debug)]
pub enum Notice {
    /// A client connected.
    Connection(TcpStream, SocketAddr),
    /// An entry for the queue of the virtual machine `vm`.
    QueueReady {
        /// The registrant's number.
        vm: u64,
        /// The queue's id.
        queue: u32,
    },
    /// Finish.
    Stop,
}

/// All threads of a proxy.
pub struct Team(Vec<(UnboundedSender<Notice>, JoinHandle<()>)>);

impl Team {
    /// Tries the configuration out, then starts every thread; answers once each has a configured virtual machine.
    pub fn start(plugin: Arc<Plugin>, listener: TcpListener) -> anyhow::Result<Team> {
        canary(&plugin)?;
        let mut team = Team(Vec::new());
        for _ in 0..plugin.settings.workers.max(1) {
            team.spawn(&plugin, None)?;
        }
        let inboxes = team.0.iter().map(|(inbox, _)| inbox.clone()).collect();
        team.spawn(&plugin, Some((listener, inboxes)))?;
        Ok(team)
    }

    fn spawn(&mut self, plugin: &Arc<Plugin>, main: Option<Doorman>) -> anyhow::Result<()> {
        let (inbox, notices) = unbounded_channel();
        let (ready, started) = std::sync::mpsc::channel();
        let (plugin, sender) = (Arc::clone(plugin), inbox.clone());
        let thread = thread::Builder::new().name("proxy-wasm".into()).stack_size(8 << 20);
        let handle = thread.spawn(move || run(plugin, sender, notices, main, &ready))?;
        self.0.push((inbox, handle));
        started.recv().context("a worker ended before it started")?
    }

    /// Ends every thread and waits for them, the main one (which accepts connections) first.
    pub fn stop(self) {
        for (inbox, handle) in self.0.into_iter().rev() {
            // A thread that is gone already needs no telling.
            let _ = inbox.send(Notice::Stop);
            let _ = handle.join();
        }
    }
}

type Doorman = (TcpListener, Vec<UnboundedSender<Notice>>);

/// Configures a virtual machine and throws it away, calls included, as Envoy does before it accepts a configuration.
fn canary(plugin: &Plugin) -> anyhow::Result<()> {
    let clusters = Rc::new(Clusters::new(&plugin.clusters, &plugin.shared));
    Vm::new(plugin, &clusters, unbounded_channel().0, false).map(drop)
}

fn run(
    plugin: Arc<Plugin>,
    inbox: UnboundedSender<Notice>,
    mut notices: UnboundedReceiver<Notice>,
    main: Option<Doorman>,
    ready: &std::sync::mpsc::Sender<anyhow::Result<()>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(ready.send(Err(error.into()))),
    };
    LocalSet::new().block_on(&runtime, async {
        let worker = match Worker::new(plugin, inbox) {
            Ok(worker) => Rc::new(worker),
            Err(error) => return drop(ready.send(Err(error))),
        };
        if let Some((listener, workers)) = main {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => drop(tokio::task::spawn_local(accept(listener, workers, worker.closing.subscribe()))),
                Err(error) => return drop(ready.send(Err(error.into()))),
            }
        }
        drop(ready.send(Ok(())));
        while let Some(notice) = notices.recv().await {
            match notice {
                Notice::Connection(socket, peer) => worker.connect(socket, peer),
                Notice::QueueReady { vm, queue } => worker.queue_ready(vm, queue),
                Notice::Stop => break,
            }
        }
        worker.drain().await;
    });
}

/// Hands connections out in turn.
async fn accept(
    listener: tokio::net::TcpListener,
    workers: Vec<UnboundedSender<Notice>>,
    mut closing: watch::Receiver<bool>,
) {
    for worker in workers.iter().cycle() {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closing.changed() => return,
        };
        match accepted.map(|(socket, peer)| (socket.into_std(), peer)) {
            Ok((Ok(socket), peer)) => drop(worker.send(Notice::Connection(socket, peer))),
            // Out of file descriptors: leave time to close some.
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// One thread's virtual machine and connections.
pub struct Worker {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// Connections to clusters.
    pub clusters: Rc<Clusters>,
    vm: RefCell<Rc<Vm>>,
    loaded: Cell<Instant>,
    inbox: UnboundedSender<Notice>,
    closing: watch::Sender<bool>,
}

impl Worker {
    fn new(plugin: Arc<Plugin>, inbox: UnboundedSender<Notice>) -> anyhow::Result<Worker> {
        let clusters = Rc::new(Clusters::new(&plugin.clusters, &plugin.shared));
        let vm = RefCell::new(Vm::new(&plugin, &clusters, inbox.clone(), true)?);
        Ok(Worker {
            plugin,
            clusters,
            vm,
            loaded: Cell::new(Instant::now()),
            inbox,
            closing: watch::Sender::new(false),
        })
    }

    /// The virtual machine for a new stream. A trapped one is replaced, though not before the backoff has passed
    /// since it was loaded; until then there is none.
    pub fn vm(&self) -> Option<Rc<Vm>> {
        let vm = Rc::clone(&self.vm.borrow());
        if !vm.failed() {
            return Some(vm);
        }
        if self.loaded.get().elapsed() < self.plugin.settings.reload_backoff {
            return None;
        }
        self.loaded.set(Instant::now());
        let vm = Vm::new(&self.plugin, &self.clusters, self.inbox.clone(), true).ok()?;
        Counts::count(&self.plugin.shared.counts.reloads);
        *self.vm.borrow_mut() = Rc::clone(&vm);
        Some(vm)
    }

    fn queue_ready(&self, number: u64, queue: u32) {
        let vm = Rc::clone(&self.vm.borrow());
        if vm.number == number {
            vm.queue_ready(queue);
        }
    }

    fn connect(self: &Rc<Self>, socket: TcpStream, peer: SocketAddr) {
        let worker = Rc::clone(self);
        tokio::task::spawn_local(async move {
            // A connection that breaks concerns nobody else.
            let _ = worker.serve(socket, peer).await;
        });
    }

    async fn serve(
        self: Rc<Self>,
        socket: TcpStream,
        peer: SocketAddr,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let local = socket.local_addr()?;
        let socket = tokio::net::TcpStream::from_std(socket)?;
        socket.set_nodelay(true)?;
        let (socket, rest) = linger::socket(socket);
        let closing = self.closing.subscribe();
        let result = self.exchange(socket, peer, local, closing).await;
        rest.linger().await;
        result
    }

    /// Serves a connection until its last answer.
    async fn exchange(
        self: Rc<Self>,
        socket: Socket,
        peer: SocketAddr,
        local: SocketAddr,
        mut closing: watch::Receiver<bool>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let service = service_fn(move |request| stream::serve(Rc::clone(&self), request, peer, local));
        let mut builder = auto::Builder::new(LocalExecutor);
        builder.http1().max_headers(MAX_HEADERS).max_buf_size(MAX_HEADER_BYTES).timer(TokioTimer::new());
        builder.http2().max_header_list_size(MAX_HEADER_BYTES as u32).timer(TokioTimer::new());
        let connection = builder.serve_connection(TokioIo::new(socket), service);
        tokio::pin!(connection);
        tokio::select! {
            result = connection.as_mut() => return result,
            _ = closing.changed() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }

    async fn drain(&self) {
        self.closing.send_replace(true);
        // Every connection and the accept loop hold a receiver until they end.
        let _ = tokio::time::timeout(DRAIN, self.closing.closed()).await;
        self.vm.borrow().retire();
    }
}

/// Runs futures on the thread's own event loop.
#[derive(Clone, Copy, Debug)]
struct LocalExecutor;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
