//! One connection in a store that counts, and requests against it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::time::{ClockId, clock_gettime};
use scim_engine::env::{Config, Credential, Env, Limits, Timestamp};
use scim_engine::http::{Request, Response};
use scim_engine::store::memory::MemoryStore;
use scim_engine::store::{
    Call, DirectoryId, Entry, Fault, Handler, Head, Page, PageCache, Reply, Session, Turn, Txn, View, head_key,
    page_key,
};
use scim_engine::{connections, scim};
use serde_json::{Value, json};

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// Schema of a Bulk request.
pub const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
/// What an instance of the Spin component keeps.
const CACHE: usize = 32 << 20;
/// Operations of one Bulk request while loading.
const LOAD: usize = 5000;
/// Entries of one commit while a large directory is put together.
const INSTALLED: usize = 200_000;
/// How full pages are after random inserts: ln 2, in percent.
const FILL: usize = 69;

/// What requests have cost so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Calls to the key-value store; a batch of pages is one.
    pub calls: u64,
    /// Pages loaded.
    pub pages_read: u64,
    /// Pages stored.
    pub pages_written: u64,
    /// Bytes of pages and heads stored.
    pub bytes_written: u64,
    /// CPU time of the engine. The store in memory, which no host has, is left out: its calls are counted.
    pub time: Duration,
}

/// How a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// With what an instance has cached that has been running.
    Warm,
    /// With nothing cached.
    Cold,
    /// With nothing cached, and without effect: the store is told nothing.
    Trial,
}

/// A connection.
pub struct World {
    store: MemoryStore,
    warm: PageCache,
    config: Arc<Config>,
    serving: Arc<Config>,
    clock: u64,
    base: String,
    token: String,
    vendor: String,
}

impl World {
    /// A fresh connection; `tuned` are the limits its requests run under.
    ///
    /// # Errors
    /// The connection cannot be made.
    pub fn new(tuned: &Limits) -> Result<Self> {
        Self::at(tuned, 1_700_000_000_000)
    }

    fn at(tuned: &Limits, clock: u64) -> Result<Self> {
        let vendor = Credential { client_id: "vendor".into(), secret: "secret".into() };
        let serving = Config { vendor: Some(vendor), limits: tuned.clone(), ..Config::default() };
        // Loading is not what is measured: it goes in large steps, without a log.
        let limits = Limits { body: 1 << 26, bulk_operations: LOAD, log_entries: 0, ..tuned.clone() };
        let config = Arc::new(Config { limits, ..serving.clone() });
        let mut world = Self {
            store: MemoryStore::default(),
            warm: PageCache::new(CACHE),
            config,
            serving: Arc::new(serving),
            clock,
            base: String::new(),
            token: String::new(),
            vendor: String::new(),
        };
        let credential = json!({ "clientId": "vendor", "secret": "secret" });
        let vendor = body(&world.call(connections::handle, "POST", "/auth/vendor/", Some(&credential), Run::Warm).0);
        world.vendor = vendor["token"].as_str().context("no vendor token")?.to_owned();
        world.token.clone_from(&world.vendor);
        let wanted = json!({ "source": "okta", "connectionName": "bench" });
        let path = "/directory/resources/v1/configurations/scim2";
        let made = body(&world.call(connections::handle, "POST", path, Some(&wanted), Run::Warm).0);
        world.base = format!("/directory/resources/scim/v2.0/{}", made["id"].as_str().context("no connection")?);
        world.token = made["token"].as_str().context("no token")?.to_owned();
        Ok(world)
    }

    /// Sends a SCIM request; its answer, and what it cost.
    ///
    /// # Errors
    /// It is not answered 2xx.
    pub fn send(&mut self, method: &str, path: &str, request: Option<&Value>, run: Run) -> Result<(Value, Cost)> {
        let (response, cost) = self.ask(method, path, request, run);
        let answer = body(&response);
        ensure!((200..300).contains(&response.status), "{method} {path}: {} {answer}", response.status);
        Ok((answer, cost))
    }

    /// Sends a SCIM request, and takes any answer.
    pub fn ask(&mut self, method: &str, path: &str, request: Option<&Value>, run: Run) -> (Response, Cost) {
        let target = format!("{}{path}", self.base);
        let config = Arc::clone(&self.serving);
        let loading = std::mem::replace(&mut self.config, config);
        let asked = self.call(scim::handle, method, &target, request, run);
        self.config = loading;
        asked
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) {
        self.clock += u64::try_from(time.as_millis()).unwrap_or_default();
    }

    /// Fills the directory with resources; their ids.
    ///
    /// They are made by SCIM requests in directories of their own, a few thousand each. What these hold is then laid in key
    /// order into this one, in pages as full as they are after inserts in any order: each page is written once, where
    /// making them one after the other here would rewrite all pages again and again.
    ///
    /// # Errors
    /// One is refused.
    pub fn fill(&mut self, endpoint: &str, resources: impl Iterator<Item = Value>) -> Result<Vec<String>> {
        let limits = self.serving.limits.clone();
        let (mut ids, mut entries) = (Vec::new(), Vec::new());
        let mut resources = resources.peekable();
        while resources.peek().is_some() {
            let mut part = Self::at(&limits, self.clock)?;
            ids.extend(part.load(endpoint, resources.by_ref().take(LOAD))?);
            entries.extend(part.entries()?);
            self.clock = part.clock;
        }
        entries.sort_unstable();
        for some in entries.chunks(INSTALLED) {
            self.install(some)?;
        }
        Ok(ids)
    }

    /// Everything the directory holds.
    fn entries(&self) -> Result<Vec<Entry>> {
        self.within(|txn, _| txn.scan(&[0][..]..&[0xff][..], 0, usize::MAX, false))
    }

    fn install(&mut self, entries: &[Entry]) -> Result<()> {
        self.clock += 1;
        let commit = self.within(|mut txn, env| {
            entries.iter().for_each(|(key, value)| txn.put(key.clone(), value.clone()));
            txn.commit(env)
        })?;
        let commit = commit.context("nothing to install")?;
        self.store.call(&Call::StorePages(commit.directory.clone(), commit.pages));
        self.store.call(&Call::DeletePages(commit.directory.clone(), commit.obsolete));
        self.store.values().insert(head_key(&commit.directory), commit.head);
        Ok(())
    }

    /// Reads or writes the directory beneath SCIM.
    fn within<T>(&self, step: impl Fn(Txn<'_>, &Env<'_>) -> Result<T, Fault>) -> Result<T> {
        let name = self.base.rsplit('/').next().unwrap_or_default();
        let directory = DirectoryId::new(name).context("no directory")?;
        let limits = Limits { page_bytes: self.config.limits.page_bytes * FILL / 100, ..self.config.limits.clone() };
        let config = Config { limits, ..(*self.config).clone() };
        let env = Env::new(Timestamp(self.clock), seed(self.clock), 0, &config);
        let head = self.store.values().get(&head_key(&directory)).cloned().context("no head")?;
        let head = Arc::new(Head::decode(head.into())?);
        let pages = PageCache::new(usize::MAX);
        loop {
            let heads = [(directory.clone(), Some(Arc::clone(&head)))].into();
            let view = View { heads, pages: &pages };
            let Ok(Some(txn)) = Txn::open(&view, &directory) else { bail!("no directory") };
            let need = match step(txn, &env) {
                Ok(done) => return Ok(done),
                Err(Fault::Need(need)) => need,
                Err(fault) => bail!("{fault:?}"),
            };
            for (directory, id) in need.pages {
                let bytes = self.store.values().get(&page_key(&directory, &id)).cloned().context("no page")?;
                pages.insert(Arc::new(Page::decode(bytes.into())?));
            }
        }
    }

    /// Sends a request of the vendor to the management API; the answer's cursor, its body, and what it cost.
    ///
    /// # Errors
    /// It is not answered 2xx.
    pub fn manage(
        &mut self,
        method: &str,
        path: &str,
        request: Option<&Value>,
        run: Run,
    ) -> Result<(Option<String>, Value, Cost)> {
        let target = format!("/directory/resources/v1/configurations/scim2{path}");
        let token = std::mem::replace(&mut self.token, self.vendor.clone());
        let (response, cost) = self.call(connections::handle, method, &target, request, run);
        self.token = token;
        ensure!((200..300).contains(&response.status), "{method} {target}: {}", response.status);
        Ok((response.header("x-next-cursor").map(str::to_owned), body(&response), cost))
    }

    /// Makes resources in large steps; their ids.
    ///
    /// # Errors
    /// One is refused.
    pub fn load(&mut self, endpoint: &str, resources: impl Iterator<Item = Value>) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        let mut resources = resources.enumerate().peekable();
        while resources.peek().is_some() {
            let operation = |(number, data)| json!({ "method": "POST", "path": endpoint, "bulkId": format!("b{number}"), "data": data });
            let operations: Vec<Value> = resources.by_ref().take(LOAD).map(operation).collect();
            for done in self.bulk(&operations)? {
                let id = done["location"].as_str().and_then(|location| location.rsplit('/').next());
                ids.push(id.with_context(|| format!("no location: {done}"))?.to_owned());
            }
        }
        Ok(ids)
    }

    /// Puts members into a group in large steps.
    ///
    /// # Errors
    /// The group refuses them.
    pub fn join(&mut self, group: &str, members: &[String]) -> Result<()> {
        for some in members.chunks(LOAD) {
            let value: Vec<Value> = some.iter().map(|id| json!({ "value": id, "type": "User" })).collect();
            let data = operation("add", "members", &Value::Array(value));
            self.bulk(&[json!({ "method": "PATCH", "path": format!("/Groups/{group}"), "data": data })])?;
        }
        Ok(())
    }

    /// Pages and heads of the store: how many, and their bytes.
    pub fn stored(&self) -> (usize, usize) {
        let values = self.store.values();
        (values.len(), values.values().map(Vec::len).sum())
    }

    fn bulk(&mut self, operations: &[Value]) -> Result<Vec<Value>> {
        let request = json!({ "schemas": [BULK], "Operations": operations });
        let target = format!("{}/Bulk", self.base);
        let (response, _) = self.call(scim::handle, "POST", &target, Some(&request), Run::Warm);
        let answer = body(&response);
        let done = answer["Operations"].as_array().with_context(|| format!("{answer}"))?.clone();
        let refused = done.iter().find(|done| !done["status"].as_str().is_some_and(|status| status.starts_with('2')));
        ensure!(refused.is_none(), "{refused:?}");
        Ok(done)
    }

    fn call(
        &mut self,
        handler: Handler,
        method: &str,
        target: &str,
        body: Option<&Value>,
        run: Run,
    ) -> (Response, Cost) {
        self.clock += 7;
        let mut headers = vec![("host".to_owned(), b"scim.example".to_vec())];
        if !self.token.is_empty() {
            headers.push(("authorization".to_owned(), format!("Bearer {}", self.token).into_bytes()));
        }
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request { method: method.into(), target: target.into(), headers, body, source: None };
        let cold = PageCache::new(0);
        let cache = if run == Run::Warm { &self.warm } else { &cold };
        let mut cost = Cost::default();
        let mut session =
            Session::new(handler, request, seed(self.clock), Timestamp(self.clock), Arc::clone(&self.config))
                .trusting_swaps();
        let mut reply = None;
        let response = loop {
            let start = clock_gettime(ClockId::ThreadCPUTime);
            let turn = session.turn(cache, reply.take());
            let spent = clock_gettime(ClockId::ThreadCPUTime) - start;
            cost.time += Duration::try_from(spent).unwrap_or_default();
            match turn {
                Turn::Call(call) => {
                    let answer = match (run, &call) {
                        (Run::Trial, Call::SwapHead { .. }) => Reply::Swapped(true),
                        (Run::Trial, Call::StorePages(..) | Call::DeletePages(..) | Call::CreateHead { .. }) => {
                            Reply::Done
                        }
                        _ => self.store.call(&call),
                    };
                    cost.count(&call);
                    reply = Some(answer);
                }
                Turn::Wait => {}
                Turn::Done(response) => break response,
            }
        };
        (response, cost)
    }
}

impl Cost {
    /// Adds another's.
    pub fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.pages_read += other.pages_read;
        self.pages_written += other.pages_written;
        self.bytes_written += other.bytes_written;
        self.time += other.time;
    }

    fn count(&mut self, call: &Call) {
        self.calls += 1;
        match call {
            Call::LoadPages(pages) => self.pages_read += pages.len() as u64,
            Call::StorePages(_, pages) => {
                self.pages_written += pages.len() as u64;
                self.bytes_written += pages.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>();
            }
            Call::CreateHead { head, .. } | Call::SwapHead { head, .. } => self.bytes_written += head.len() as u64,
            Call::LoadHead(_) | Call::LoadHeads(_) | Call::Elect(_) | Call::DeletePages(..) => {}
        }
    }
}

fn seed(clock: u64) -> [u8; 32] {
    let mut seed = [0; 32];
    seed.iter_mut().zip(clock.to_be_bytes()).for_each(|(to, from)| *to = from);
    seed
}

/// The body of a PATCH with one operation.
pub fn operation(op: &str, path: &str, value: &Value) -> Value {
    let mut operation = json!({ "op": op, "path": path });
    if !value.is_null() {
        operation["value"] = value.clone();
    }
    json!({ "schemas": [PATCH], "Operations": [operation] })
}

fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_default()
}
