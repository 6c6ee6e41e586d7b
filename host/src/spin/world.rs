//! What a component instance may import, and the state it does it with.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::{Access, Accessor, FutureReader, HasSelf, Linker, Resource, ResourceTable, StreamReader};
use wasmtime::{StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::outbound::Outbound;
use super::store::{Answer, Comparison, Stores};

wasmtime::component::bindgen!({
    path: "wit",
    world: "spin",
    imports: { default: async | trappable },
    with: {
        "spin:key-value/key-value.store": Store,
        "wasi:keyvalue/store.bucket": Store,
        "wasi:keyvalue/atomics.cas": Swap,
    },
});

use spin::key_value::key_value;
use spin::variables::variables;
use wasi::keyvalue::{atomics, batch, store};

/// Bytes of memory one instance may use.
const MEMORY: usize = 512 << 20;
/// Swaps an instance may begin. As with Spin, one that was tried keeps its place for as long as the instance lives.
const SWAPS: u32 = 256;

/// A store a component has opened.
pub type Store = Arc<dyn super::store::Store>;

/// What a component is granted.
#[derive(Clone)]
pub struct Grants {
    /// The stores it may open.
    pub stores: Stores,
    /// Its variables.
    pub variables: BTreeMap<String, String>,
    /// Makes its requests.
    pub outbound: Outbound,
}

/// A compare-and-swap a component has begun.
pub struct Swap {
    store: Store,
    key: String,
    comparison: Arc<dyn Comparison>,
}

/// State of one component instance.
pub struct World {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: Outbound,
    limits: StoreLimits,
    grants: Arc<Grants>,
    swaps: u32,
}

impl World {
    /// State for a fresh instance.
    pub fn new(grants: Arc<Grants>) -> Self {
        let wasi = WasiCtx::builder().inherit_stdout().inherit_stderr().build();
        let limits = StoreLimitsBuilder::new().memory_size(MEMORY).build();
        let (table, http, outbound) = (ResourceTable::new(), WasiHttpCtx::new(), grants.outbound.clone());
        Self { table, wasi, http, outbound, limits, grants, swaps: 0 }
    }

    /// The bounds of the instance.
    pub fn limits(&mut self) -> &mut StoreLimits {
        &mut self.limits
    }

    fn granted(&self, label: &str) -> Option<Store> {
        self.grants.stores.get(label).cloned()
    }

    async fn begin(&mut self, store: Store, key: String) -> wasmtime::Result<Answer<Resource<Swap>>> {
        if self.swaps >= SWAPS {
            return Ok(Err("too many compare_and_swaps opened".to_owned()));
        }
        let comparison = match store.compare(key.clone()).await {
            Ok(comparison) => comparison,
            Err(reason) => return Ok(Err(reason)),
        };
        self.swaps += 1;
        Ok(Ok(self.table.push(Swap { store, key, comparison })?))
    }

    /// What follows a swap that failed: as Spin does, another one is begun, with the value as it is now.
    async fn begin_again(&mut self, store: Store, key: String) -> wasmtime::Result<Answer<Resource<Swap>>> {
        let next = match self.begin(store, key).await? {
            Ok(next) => next,
            Err(reason) => return Ok(Err(reason)),
        };
        let comparison = Arc::clone(&self.table.get(&next)?.comparison);
        Ok(comparison.current().await.map(|_| next))
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

/// As Spin does, a batch of nothing is answered without asking the store.
impl batch::Host for World {
    async fn get_many(
        &mut self,
        handle: Resource<Store>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<(String, Option<Vec<u8>>)>, store::Error>> {
        let store = self.store(&handle)?;
        Ok(if keys.is_empty() { Ok(Vec::new()) } else { answer(store.get_many(keys).await) })
    }

    async fn set_many(
        &mut self,
        handle: Resource<Store>,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        let store = self.store(&handle)?;
        Ok(if pairs.is_empty() { Ok(()) } else { answer(store.set_many(pairs).await) })
    }

    async fn delete_many(
        &mut self,
        handle: Resource<Store>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<(), store::Error>> {
        let store = self.store(&handle)?;
        Ok(if keys.is_empty() { Ok(()) } else { answer(store.delete_many(keys).await) })
    }
}

impl atomics::HostCas for World {
    async fn new(
        &mut self,
        handle: Resource<Store>,
        key: String,
    ) -> wasmtime::Result<Result<Resource<Swap>, store::Error>> {
        let store = self.store(&handle)?;
        Ok(answer(self.begin(store, key).await?))
    }

    async fn current(&mut self, handle: Resource<Swap>) -> wasmtime::Result<Result<Option<Vec<u8>>, store::Error>> {
        let comparison = Arc::clone(&self.table.get(&handle)?.comparison);
        Ok(answer(comparison.current().await))
    }

    async fn drop(&mut self, handle: Resource<Swap>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        self.swaps = self.swaps.saturating_sub(1);
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
        handle: Resource<Swap>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), atomics::CasError>> {
        let Swap { store, key, comparison } = self.table.delete(handle)?;
        let failed = |reason| atomics::CasError::StoreError(store::Error::Other(reason));
        match comparison.swap(value).await {
            Ok(true) => Ok(Ok(())),
            Ok(false) => Ok(Err(match self.begin_again(store, key).await? {
                Ok(next) => atomics::CasError::CasFailed(next),
                Err(reason) => failed(reason),
            })),
            Err(reason) => Ok(Err(failed(reason))),
        }
    }
}
