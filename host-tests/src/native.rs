//! The engine in this process, over a key-value store in memory: a target with nothing between it and the rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use scim_engine::env::{Config, Credential, Timestamp};
use scim_engine::store::memory::{self, MemoryStore};
use scim_engine::store::{Handler, PageCache, Session};
use scim_engine::{connections, http, scim};

use crate::deployment::Target;
use crate::message::{Answer, Request};

/// The vendor's client id.
pub const CLIENT_ID: &str = "native";
/// The vendor's secret.
pub const SECRET: &str = "native-secret-of-this-process-only";

/// An engine with its store.
pub struct Native {
    store: MemoryStore,
    cache: PageCache,
    config: Arc<Config>,
    requests: AtomicU64,
}

impl Default for Native {
    fn default() -> Self {
        let vendor = Credential { client_id: CLIENT_ID.to_owned(), secret: SECRET.to_owned() };
        let config = Config { vendor: Some(vendor), ..Config::default() };
        Self {
            store: MemoryStore::default(),
            cache: PageCache::new(16 << 20),
            config: Arc::new(config),
            requests: AtomicU64::new(1),
        }
    }
}

impl Target for Native {
    fn send(&self, request: &Request) -> Result<Answer> {
        let request = as_received(request)?;
        let (handler, form): (Handler, fn(http::Response) -> http::Response) =
            match scim::connection_of(&request.target) {
                Some(_) => (scim::handle, std::convert::identity),
                None => (connections::handle, connections::error::in_form),
            };
        let session = Session::new(handler, request, self.seed(), now()?, Arc::clone(&self.config));
        let response = form(memory::run(session, &self.store, &self.cache));
        Ok(Answer {
            status: response.status,
            headers: response.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            body: response.body,
        })
    }
}

impl Native {
    /// A seed that is never used twice; nothing here has to be secret.
    fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        let count = self.requests.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        seed.iter_mut().zip(count).for_each(|(to, from)| *to = from);
        seed
    }
}

/// A request as a host would hand it in.
fn as_received(request: &Request) -> Result<http::Request> {
    let target = match request.target.strip_prefix("http://").and_then(|rest| rest.split_once('/')) {
        Some((_, path)) => format!("/{path}"),
        None => request.target.clone(),
    };
    ensure!(target.starts_with('/'), "`{target}` is no path");
    let mut headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone().into_bytes())).collect();
    headers.push(("host".to_owned(), b"native.test".to_vec()));
    let body = request.body.clone();
    Ok(http::Request { method: request.method.clone(), target, headers, body, ..http::Request::default() })
}

fn now() -> Result<Timestamp> {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(Timestamp(u64::try_from(elapsed.as_millis())?))
}
