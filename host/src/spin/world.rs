//! What a component instance may import, and the state it does it with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::{Request, Response};
use wasmtime::component::{Access, Accessor, FutureReader, HasSelf, Linker, Resource, ResourceTable, StreamReader};
use wasmtime::{StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

pub use super::store::Store;
use super::store::{Answer, Database};

wasmtime::component::bindgen!({
    path: "wit",
    world: "spin",
    imports: { default: async | trappable },
    with: {
        "spin:key-value/key-value.store": Store,
        "wasi:keyvalue/store.bucket": Store,
        "wasi:keyvalue/atomics.cas": Comparison,
    },
});

use spin::key_value::key_value;
use spin::variables::variables;
use wasi::keyvalue::{atomics, batch, store};

/// Bytes of memory one instance may use.
const MEMORY: usize = 512 << 20;

/// What a component is granted.
#[derive(Clone)]
pub struct Grants {
    /// Where its stores live.
    pub database: Database,
    /// Labels of the stores it may open.
    pub stores: BTreeSet<String>,
    /// Its variables.
    pub variables: BTreeMap<String, String>,
}

/// A compare-and-swap under way.
pub struct Comparison {
    store: Store,
    key: String,
    seen: Option<Vec<u8>>,
}

/// State of one component instance.
pub struct World {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: NoOutbound,
    limits: StoreLimits,
    grants: Arc<Grants>,
}

impl World {
    /// State for a fresh instance.
    pub fn new(grants: Arc<Grants>) -> Self {
        let wasi = WasiCtx::builder().inherit_stdout().inherit_stderr().build();
        let limits = StoreLimitsBuilder::new().memory_size(MEMORY).build();
        let (table, http) = (ResourceTable::new(), WasiHttpCtx::new());
        Self { table, wasi, http, outbound: NoOutbound, limits, grants }
    }

    /// The bounds of the instance.
    pub fn limits(&mut self) -> &mut StoreLimits {
        &mut self.limits
    }

    fn granted(&self, label: &str) -> Option<Store> {
        self.grants.stores.contains(label).then(|| self.grants.database.store(label))
    }

    fn store(&self, handle: &Resource<Store>) -> wasmtime::Result<Store> {
        Ok(self.table.get(handle)?.clone())
    }
}

/// Everything a Spin component of ours may import.
///
/// # Errors
/// Two interfaces of one name.
pub fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<World>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    Spin::add_to_linker::<_, HasSelf<World>>(&mut linker, |world| world)?;
    Ok(linker)
}

impl WasiView for World {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for World {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Our components make no requests, as their manifest grants them none.
struct NoOutbound;

type Transmission = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for NoOutbound {
    fn send_request(
        &mut self,
        _request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _transmission: Transmission,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Transmission), Error>> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

impl variables::Host for World {}

impl<T> variables::HostWithStore<T> for HasSelf<World> {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> wasmtime::Result<Result<String, variables::Error>> {
        let value = accessor.with(|mut world| world.get().grants.variables.get(&name).cloned());
        Ok(value.ok_or_else(|| variables::Error::Undefined(format!("no variable `{name}`"))))
    }
}

impl key_value::Host for World {}

impl key_value::HostStore for World {
    async fn drop(&mut self, handle: Resource<Store>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

fn opened<T>(accessor: &Accessor<T, HasSelf<World>>, handle: &Resource<Store>) -> wasmtime::Result<Store> {
    accessor.with(|mut world| world.get().store(handle))
}

impl<T: Send> key_value::HostStoreWithStore<T> for HasSelf<World> {
    async fn open(
        accessor: &Accessor<T, Self>,
        label: String,
    ) -> wasmtime::Result<Result<Resource<Store>, key_value::Error>> {
        accessor.with(|mut world| match world.get().granted(&label) {
            None => Ok(Err(key_value::Error::AccessDenied)),
            Some(store) => Ok(Ok(world.get().table.push(store)?)),
        })
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        handle: Resource<Store>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, key_value::Error>> {
        Ok(opened(accessor, &handle)?.get(key).await.map_err(key_value::Error::Other))
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        handle: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), key_value::Error>> {
        Ok(opened(accessor, &handle)?.set(key, value).await.map_err(key_value::Error::Other))
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        handle: Resource<Store>,
        key: String,
    ) -> wasmtime::Result<Result<(), key_value::Error>> {
        Ok(opened(accessor, &handle)?.delete(key).await.map_err(key_value::Error::Other))
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        handle: Resource<Store>,
        key: String,
    ) -> wasmtime::Result<Result<bool, key_value::Error>> {
        Ok(opened(accessor, &handle)?.exists(key).await.map_err(key_value::Error::Other))
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        handle: Resource<Store>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), key_value::Error>>)> {
        let (keys, end) = match opened(accessor, &handle)?.keys().await {
            Ok(keys) => (keys, Ok(())),
            Err(reason) => (Vec::new(), Err(key_value::Error::Other(reason))),
        };
        accessor.with(|mut world: Access<'_, T, Self>| {
            let keys = StreamReader::new(&mut world, keys)?;
            let end = FutureReader::new(&mut world, async move { wasmtime::error::Ok(end) })?;
            Ok((keys, end))
        })
    }
}

fn answer<T>(answer: Answer<T>) -> Result<T, store::Error> {
    answer.map_err(store::Error::Other)
}

impl store::Host for World {
    async fn open(&mut self, label: String) -> wasmtime::Result<Result<Resource<Store>, store::Error>> {
        match self.granted(&label) {
            None => Ok(Err(store::Error::AccessDenied)),
            Some(store) => Ok(Ok(self.table.push(store)?)),
        }
    }
}

impl store::HostBucket for World {
    async fn get(
        &mut self,
        handle: Resource<Store>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, store::Error>> {
        Ok(answer(self.store(&handle)?.get(key).await))
    }

    async fn set(
        &mut self,
        handle: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        Ok(answer(self.store(&handle)?.set(key, value).await))
    }

    async fn delete(&mut self, handle: Resource<Store>, key: String) -> wasmtime::Result<Result<(), store::Error>> {
        Ok(answer(self.store(&handle)?.delete(key).await))
    }

    async fn exists(&mut self, handle: Resource<Store>, key: String) -> wasmtime::Result<Result<bool, store::Error>> {
        Ok(answer(self.store(&handle)?.exists(key).await))
    }

    async fn list_keys(
        &mut self,
        handle: Resource<Store>,
        cursor: Option<String>,
    ) -> wasmtime::Result<Result<store::KeyResponse, store::Error>> {
        if cursor.is_some() {
            return Ok(Err(store::Error::Other("a cursor is not supported".to_owned())));
        }
        let keys = self.store(&handle)?.keys().await;
        Ok(answer(keys).map(|keys| store::KeyResponse { keys, cursor: None }))
    }

    async fn drop(&mut self, handle: Resource<Store>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl batch::Host for World {
    async fn get_many(
        &mut self,
        handle: Resource<Store>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<(String, Option<Vec<u8>>)>, store::Error>> {
        Ok(answer(self.store(&handle)?.get_many(keys).await))
    }

    async fn set_many(
        &mut self,
        handle: Resource<Store>,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        Ok(answer(self.store(&handle)?.set_many(pairs).await))
    }

    async fn delete_many(
        &mut self,
        handle: Resource<Store>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        Ok(answer(self.store(&handle)?.delete_many(keys).await))
    }
}

impl atomics::HostCas for World {
    async fn new(
        &mut self,
        handle: Resource<Store>,
        key: String,
    ) -> wasmtime::Result<Result<Resource<Comparison>, store::Error>> {
        let store = self.store(&handle)?;
        Ok(Ok(self.table.push(Comparison { store, key, seen: None })?))
    }

    async fn current(
        &mut self,
        handle: Resource<Comparison>,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, store::Error>> {
        let Comparison { store, key, .. } = self.table.get(&handle)?;
        let (store, key) = (store.clone(), key.clone());
        let seen = match store.get(key).await {
            Ok(seen) => seen,
            Err(reason) => return Ok(Err(store::Error::Other(reason))),
        };
        self.table.get_mut(&handle)?.seen.clone_from(&seen);
        Ok(Ok(seen))
    }

    async fn drop(&mut self, handle: Resource<Comparison>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl atomics::Host for World {
    async fn increment(
        &mut self,
        handle: Resource<Store>,
        key: String,
        delta: i64,
    ) -> wasmtime::Result<Result<i64, store::Error>> {
        Ok(answer(self.store(&handle)?.increment(key, delta).await))
    }

    async fn swap(
        &mut self,
        handle: Resource<Comparison>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), atomics::CasError>> {
        let Comparison { store, key, seen } = self.table.delete(handle)?;
        match store.swap(key.clone(), seen, value).await {
            Ok(true) => Ok(Ok(())),
            Ok(false) => {
                let seen = match store.get(key.clone()).await {
                    Ok(seen) => seen,
                    Err(reason) => return Ok(Err(atomics::CasError::StoreError(store::Error::Other(reason)))),
                };
                let next = self.table.push(Comparison { store, key, seen })?;
                Ok(Err(atomics::CasError::CasFailed(next)))
            }
            Err(reason) => Ok(Err(atomics::CasError::StoreError(store::Error::Other(reason)))),
        }
    }
}
