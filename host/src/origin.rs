//! The origin: an HTTP/1.1 server in front of the application.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::linger;
use crate::spin::app::App;

/// Connections served at once; more wait to be accepted.
const CONNECTIONS: usize = 1024;
/// How long requests in flight may take to finish at the end.
const GRACE: Duration = Duration::from_secs(5);

/// A file with one line for each request that arrived: method and path. The query, which may hold a name, is left out.
#[derive(Debug)]
pub struct AccessLog(File);

impl AccessLog {
    /// Appends to that file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::options().append(true).create(true).open(path);
        file.map(Self).with_context(|| format!("can not write `{}`: choose another `--access-log`", path.display()))
    }

    fn note<B>(&self, request: &Request<B>) {
        let line = format!("{} {}\n", request.method(), request.uri().path());
        // A log that can no longer be written must not stop the service.
        let _lost = (&self.0).write_all(line.as_bytes());
    }
}

/// A running origin.
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Serves `app` at an address; port 0 picks a free one.
///
/// # Errors
/// The address is taken, or a component does not answer.
pub async fn start(app: App, listen: SocketAddr, log: Option<AccessLog>) -> anyhow::Result<Origin> {
    let app = Arc::new(app);
    for path in ["/edge/v1/", "/"] {
        probe(&app, path).await?;
    }
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("can not listen on {listen}: choose another `--origin-listen`"))?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(accept(app, listener, Arc::new(log), stopped));
    Ok(Origin { address, stop, task })
}

impl Origin {
    /// Stops accepting and waits for requests in flight.
    pub async fn stop(self) {
        let Self { stop, task, .. } = self;
        drop(stop);
        // A panic of the server has been reported where it happened.
        let _ended = task.await;
    }
}

/// Runs a component once, so that a broken one shows at the start.
async fn probe(app: &App, path: &str) -> anyhow::Result<()> {
    let request = Request::builder().method(Method::GET).uri(path);
    let request = request.body(Full::<Bytes>::default())?;
    let status = app.handle(request, SocketAddr::from(([127, 0, 0, 1], 0))).await.status();
    ensure!(!status.is_server_error(), "the component that serves `{path}` does not work: it answers {status}");
    Ok(())
}

async fn accept(app: Arc<App>, listener: TcpListener, log: Arc<Option<AccessLog>>, mut stopped: oneshot::Receiver<()>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            accepted = accepted => accepted,
            _ = &mut stopped => break,
        };
        let Ok((stream, client)) = accepted else {
            // Out of file descriptors, most likely: give connections time to end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Small answers go out at once; where this fails they are only slower.
        let _slower = stream.set_nodelay(true);
        let (app, log) = (Arc::clone(&app), Arc::clone(&log));
        let service = service_fn(move |request: Request<Incoming>| {
            if let Some(log) = &*log {
                log.note(&request);
            }
            let app = Arc::clone(&app);
            async move { Ok::<_, Infallible>(app.handle(request, client).await) }
        });
        let (socket, rest) = linger::socket(stream);
        let server = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(socket), service);
        let connection = graceful.watch(server);
        tokio::spawn(async move {
            // What breaks a connection is the client's business.
            let _ended = connection.await;
            rest.linger().await;
            drop(permit);
        });
    }
    drop(listener);
    let _late = tokio::time::timeout(GRACE, graceful.shutdown()).await;
}
