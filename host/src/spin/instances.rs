//! Instances of one component, used as Spin uses them: up to 16 requests at once and 128 in all, then dropped.
//!
//! Spin makes another instance whenever a request finds none that waits, even if one is busy for half a millisecond only, and
//! spreads requests evenly over those it has. Writers of one directory then hardly ever meet in an instance, where they would
//! share a commit, and lose races to each other instead. Here the number of instances is bounded, and a request that finds
//! none waits for one.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Response};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, timeout};
use wasmtime::component::{GuestTaskId, InstancePre};
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, InstantiationError, ProxyHandler, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState,
    WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

use super::world::{Grants, World};

const CONCURRENT: usize = 16;
const TOTAL: usize = 128;
/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(30);
/// How long an instance without requests is kept.
const IDLE: Duration = Duration::from_secs(60);
/// How long a request waits to be told that an instance may have become free, before it looks for itself.
const LOOK: Duration = Duration::from_millis(1);

/// Makes instances of one component.
pub struct Instances {
    name: String,
    pre: ProxyPre<World>,
    grants: Arc<Grants>,
    closing: Arc<AtomicBool>,
    room: Arc<Semaphore>,
    freed: Arc<Notify>,
}

/// There are as many instances as there may be.
#[derive(Debug)]
struct Crowded;

impl fmt::Display for Crowded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all instances are busy")
    }
}

impl std::error::Error for Crowded {}

impl Instances {
    /// Instances of the component `name`, at most so many at once.
    ///
    /// # Errors
    /// The component does not export `wasi:http/handler`.
    pub fn new(name: &str, pre: InstancePre<World>, grants: Grants, most: usize) -> wasmtime::Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            pre: ProxyPre::P3(ServicePre::new(pre)?),
            grants: Arc::new(grants),
            closing: Arc::default(),
            room: Arc::new(Semaphore::new(most)),
            freed: Arc::default(),
        })
    }

    /// Says that instances which end from now on do so with the program.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

/// Has an instance answer a request, once there is one.
///
/// # Errors
/// The component traps or hangs.
pub async fn answer(
    instances: &ProxyHandler<Instances>,
    mut request: Request<WasiBody>,
) -> wasmtime::Result<Response<WasiBody>> {
    loop {
        let refused = match instances.handle((), request).await {
            Ok(response) => return Ok(response),
            Err(error) => error.downcast::<InstantiationError<()>>()?,
        };
        if !refused.error.is::<Crowded>() {
            return Err(refused.into());
        }
        request = refused.request.into_inner().unwrap_or_else(PoisonError::into_inner);
        let _told = timeout(LOOK, instances.state().freed.notified()).await;
    }
}

impl HandlerState for Instances {
    type StoreData = World;
    type WorkerExpiration = Expiration;
    type WorkerState = Life;

    async fn instantiate(&self) -> wasmtime::Result<Instance<World, Expiration, Life>> {
        let place = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Crowded)?;
        let ProxyPre::P3(service) = &self.pre;
        let mut store = Store::new(service.engine(), World::new(Arc::clone(&self.grants)));
        store.limiter(|world| world.limits());
        let proxy = self.pre.instantiate_async(&mut store).await?;
        let expiration = Expiration { sleep: None };
        let state = Life {
            name: self.name.clone(),
            closing: Arc::clone(&self.closing),
            freed: Arc::clone(&self.freed),
            _place: place,
        };
        Ok(Instance { store, proxy, view: World::http, expiration, state })
    }
}

/// Ends an instance that hangs, or has nothing to do.
pub struct Expiration {
    sleep: Option<(WorkerStatus, Instant, Pin<Box<Sleep>>)>,
}

impl WorkerExpiration for Expiration {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, start: Instant) -> Poll<()> {
        let sleep = match &mut self.sleep {
            Some((known, since, sleep)) if (*known, *since) == (status, start) => sleep,
            other => {
                let allowed = match status {
                    WorkerStatus::Idle => IDLE,
                    WorkerStatus::Requests | WorkerStatus::PostReturn => REQUEST,
                };
                let sleep = Box::pin(tokio::time::sleep_until((start + allowed).into()));
                &mut other.insert((status, start, sleep)).2
            }
        };
        sleep.as_mut().poll(cx)
    }
}

/// The life of one instance.
pub struct Life {
    name: String,
    closing: Arc<AtomicBool>,
    freed: Arc<Notify>,
    _place: OwnedSemaphorePermit,
}

impl WorkerState for Life {
    type StoreData = World;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        // Whoever asks has just done some work.
        self.freed.notify_one();
        match (concurrent, total) {
            (_, TOTAL..) => ShouldAccept::Never,
            (CONCURRENT.., _) => ShouldAccept::No,
            _ => ShouldAccept::Yes,
        }
    }

    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, World>,
        _data: (),
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(tokio::time::sleep(REQUEST))
    }

    fn drop(&self, _store: Store<World>, result: wasmtime::Result<()>) {
        if let Err(error) = result
            && !self.closing.load(Ordering::Relaxed)
        {
            eprintln!("component `{}`: {}", self.name, error.root_cause());
        }
    }
}
