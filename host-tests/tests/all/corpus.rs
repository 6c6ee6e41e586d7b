//! The corpus, once for every target: a failure reads `corpus::envoy::groups_add_one_member`.

use std::sync::{Arc, Mutex};

use anyhow::{Result, anyhow};
use libtest_mimic::Trial;
use scim_host_tests::case::{self, Case};
use scim_host_tests::check::check;
use scim_host_tests::deployment::Deployment;
use scim_host_tests::native::{self, Native};
use scim_host_tests::place;
use scim_host_tests::server::Front;

use crate::local;
use crate::shared::{server, server_on_redis, trial};

/// Where cases run.
#[derive(Clone, Copy)]
enum Place {
    /// The engine in this process.
    Native,
    /// The Spin components in the embedded Spin world.
    Spin,
    /// The same over a Redis server, which misreports every swap.
    Redis,
    /// The filter in the embedded proxy-wasm host, in front of them.
    ProxyWasm,
    /// The filter in real Envoy, in front of them.
    Envoy,
    /// The filter in local mode, with nothing behind it.
    Local(Front),
}

impl Place {
    /// Whether a case can run there: local mode has no management API.
    fn takes(self, case: &Case) -> bool {
        !matches!(self, Self::Local(_)) || case.is_scim_only()
    }
}

/// One trial for each case and target.
pub fn trials() -> Vec<Trial> {
    let cases = match case::load(&place::corpus()) {
        Ok(cases) => cases.into_iter().map(Arc::new).collect::<Vec<_>>(),
        Err(error) => return vec![trial("corpus::loads", move || Err(error))],
    };
    let places = [
        ("native", Place::Native),
        ("spin", Place::Spin),
        ("redis", Place::Redis),
        ("proxy_wasm", Place::ProxyWasm),
        ("envoy", Place::Envoy),
        ("local_proxy_wasm", Place::Local(Front::Embedded)),
        ("local_envoy", Place::Local(Front::Envoy)),
    ];
    let mut trials = Vec::new();
    for (name, place) in places {
        let deployment = Arc::new(Lazy::new(place));
        trials.extend(cases.iter().filter(|case| place.takes(case)).map(|case| one(name, case, &deployment)));
    }
    trials
}

fn one(place: &str, case: &Arc<Case>, deployment: &Arc<Lazy>) -> Trial {
    let (name, case, deployment) =
        (format!("corpus::{place}::{}", case.name), Arc::clone(case), Arc::clone(deployment));
    trial(name, move || check(&case, &*deployment.get()?))
}

/// A deployment made when the first case needs it.
struct Lazy {
    place: Place,
    made: Mutex<Option<std::result::Result<Arc<Deployment>, String>>>,
}

impl Lazy {
    fn new(place: Place) -> Self {
        Self { place, made: Mutex::new(None) }
    }

    fn get(&self) -> Result<Arc<Deployment>> {
        let mut made = self.made.lock().map_err(|_| anyhow!("the target's start panicked"))?;
        let made = made.get_or_insert_with(|| self.make().map_err(|error| format!("{error:#}")));
        made.clone().map_err(|error| anyhow!(error))
    }

    fn make(&self) -> Result<Arc<Deployment>> {
        let made = match self.place {
            Place::Native => Deployment::new(Box::new(Native::default()), native::CLIENT_ID, native::SECRET),
            Place::Spin => server(Front::Embedded)?.server.origin(),
            Place::Redis => server_on_redis()?.server.origin(),
            Place::ProxyWasm => server(Front::Embedded)?.server.front(),
            Place::Envoy => server(Front::Envoy)?.server.front(),
            Place::Local(front) => return Ok(Arc::clone(&local::server(front)?.deployment)),
        };
        made.map(Arc::new)
    }
}
