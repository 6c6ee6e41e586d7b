//! An application: its components, compiled and ready, and the way from a request to one of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use wasmtime::component::Component;
use wasmtime::{Cache, CacheConfig, Config, Engine};
use wasmtime_wasi_http::handler::ProxyHandler;
use wasmtime_wasi_http::{Error, WasiBody};

use super::instances::{self, Instances};
use super::manifest::Manifest;
use super::outbound::Outbound;
use super::store::Stores;
use super::world::{self, Grants};

/// The header by which Spin tells a component the client's address.
const CLIENT_ADDRESS: &str = "spin-client-addr";

/// A loaded application.
pub struct App {
    manifest: Manifest,
    components: BTreeMap<String, ProxyHandler<Instances>>,
}

impl App {
    /// Compiles what `directory/spin.toml` names. Compiled code is kept in `data`. Each component has at most so many
    /// `instances` at once.
    ///
    /// # Errors
    /// A component is missing, does not compile or imports more than Spin offers; a variable has no value, a store is not
    /// among `stores`.
    pub fn load(
        directory: &Path,
        data: &Path,
        stores: &Stores,
        values: &BTreeMap<String, String>,
        instances: usize,
    ) -> anyhow::Result<Self> {
        let manifest = Manifest::read(directory)?;
        let engine = engine(data)?;
        let linker = world::linker(&engine)?;
        let mut components = BTreeMap::new();
        for (name, component) in &manifest.component {
            let source = manifest.source(component);
            ensure!(
                source.is_file(),
                "component `{name}` is not built: `{}` is missing; run `cargo xtask build`",
                source.display()
            );
            let compiled = Component::from_file(&engine, &source)
                .map_err(anyhow::Error::from)
                .with_context(|| format!("component `{name}` does not compile"))?;
            let granted = component.key_value_stores.iter().map(|label| {
                let store = stores.get(label).with_context(|| format!("no key-value store `{label}` is configured"))?;
                Ok((label.clone(), Arc::clone(store)))
            });
            let stores = granted.collect::<anyhow::Result<Stores>>()?;
            let variables = manifest.resolve(component, values)?;
            let outbound = Outbound::new(manifest.allowed_hosts(component, values)?)?;
            let grants = Grants { stores, variables, outbound };
            let pre = linker.instantiate_pre(&compiled);
            let instances = pre.and_then(|pre| Instances::new(name, pre, grants, instances));
            let instances =
                instances.map_err(anyhow::Error::from).with_context(|| format!("component `{name}` does not fit"))?;
            components.insert(name.clone(), ProxyHandler::new(instances));
        }
        Ok(Self { manifest, components })
    }

    /// Answers a request; a component that traps or hangs is a 500.
    pub async fn handle<B>(&self, request: Request<B>, client: SocketAddr) -> Response<WasiBody>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Error>,
    {
        let component = self.manifest.route(request.uri().path()).and_then(|name| self.components.get(name));
        let Some(component) = component else { return empty(StatusCode::NOT_FOUND) };
        let Some(request) = addressed(request, client) else { return empty(StatusCode::BAD_REQUEST) };
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        instances::answer(component, request).await.unwrap_or_else(|error| {
            eprintln!("a request failed: {}", error.root_cause());
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        })
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.components.values().for_each(|component| component.state().close());
    }
}

/// An engine for Spin components, which keeps compiled code in `data/compiled`.
fn engine(data: &Path) -> anyhow::Result<Engine> {
    let mut cache = CacheConfig::new();
    cache.with_directory(std::path::absolute(data)?.join("compiled"));
    let mut config = Config::new();
    config.wasm_component_model_async(true).cache(Some(Cache::new(cache)?));
    Ok(Engine::new(&config)?)
}

/// The request as Spin hands it on: with an absolute URI, and with the client's address in a header of Spin's own.
fn addressed<B>(mut request: Request<B>, client: SocketAddr) -> Option<Request<B>> {
    let host = request.headers().get(HOST).map_or(Some("localhost"), |host| host.to_str().ok())?;
    let mut parts = request.uri().clone().into_parts();
    parts.authority = Some(parts.authority.map_or_else(|| host.parse::<Authority>(), Ok).ok()?);
    parts.scheme = Some(parts.scheme.unwrap_or(Scheme::HTTP));
    parts.path_and_query.as_ref()?;
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    request.headers_mut().insert(CLIENT_ADDRESS, HeaderValue::from_str(&client.to_string()).ok()?);
    Some(request)
}

fn empty(status: StatusCode) -> Response<WasiBody> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}
