//! Instances of one component, used as Spin uses them: up to 16 requests at once and 128 in all, then dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use wasmtime::component::{GuestTaskId, InstancePre};
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;

use super::world::{Grants, World};

const CONCURRENT: usize = 16;
const TOTAL: usize = 128;
/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(30);
/// How long an instance without requests is kept.
const IDLE: Duration = Duration::from_secs(60);

/// Makes instances of one component.
pub struct Instances {
    name: String,
    pre: ProxyPre<World>,
    grants: Arc<Grants>,
    closing: Arc<AtomicBool>,
}

impl Instances {
    /// Instances of the component `name`.
    ///
    /// # Errors
    /// The component does not export `wasi:http/handler`.
    pub fn new(name: &str, pre: InstancePre<World>, grants: Grants) -> wasmtime::Result<Self> {
        let pre = ProxyPre::P3(ServicePre::new(pre)?);
        Ok(Self { name: name.to_owned(), pre, grants: Arc::new(grants), closing: Arc::default() })
    }

    /// Says that instances which end from now on do so with the program.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

impl HandlerState for Instances {
    type StoreData = World;
    type WorkerExpiration = Expiration;
    type WorkerState = Life;

    async fn instantiate(&self) -> wasmtime::Result<Instance<World, Expiration, Life>> {
        let ProxyPre::P3(service) = &self.pre;
        let mut store = Store::new(service.engine(), World::new(Arc::clone(&self.grants)));
        store.limiter(|world| world.limits());
        let proxy = self.pre.instantiate_async(&mut store).await?;
        let expiration = Expiration { sleep: None };
        let state = Life { name: self.name.clone(), closing: Arc::clone(&self.closing) };
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
}

impl WorkerState for Life {
    type StoreData = World;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
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
