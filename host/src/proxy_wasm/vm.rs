//! One virtual machine: its life cycle, and every callback as a method.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use wasmtime::{Instance, Store, StoreLimitsBuilder, TypedFunc, WasmParams, WasmResults};

use super::abi::{BROKEN_CONNECTION, Side};
use super::cluster::{Clusters, HttpCall};
use super::host::{After, Host, Phase, ROOT, StreamState};
use super::shared::Counts;
use super::worker::Notice;
use super::{Level, Plugin, Settings, Shared};

/// Envoy's bound on a guest's memory.
const MAX_MEMORY: usize = 1 << 30;

/// What a stream callback decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Pass on.
    Continue,
    /// Wait, but keep calling back with the body.
    Pause,
    /// Wait, and do not call back.
    PauseAll,
    /// The virtual machine is gone.
    Failed,
}

/// One virtual machine, which belongs to one thread.
pub struct Vm {
    /// Tells this virtual machine from those before it.
    pub number: u64,
    store: RefCell<Store<Host>>,
    exports: Exports,
    settings: Arc<Settings>,
    shared: Arc<Shared>,
    failed: Cell<bool>,
    live: Cell<bool>,
    next_context: Cell<u32>,
    timer: Cell<u64>,
}

type Callback<P, R = ()> = Option<TypedFunc<P, R>>;

struct Exports {
    context_create: Callback<(u32, u32)>,
    vm_start: Callback<(u32, u32), u32>,
    configure: Callback<(u32, u32), u32>,
    tick: Callback<u32>,
    queue_ready: Callback<(u32, u32)>,
    request_headers: Callback<(u32, u32, u32), u32>,
    request_body: Callback<(u32, u32, u32), u32>,
    response_headers: Callback<(u32, u32, u32), u32>,
    response_body: Callback<(u32, u32, u32), u32>,
    call_response: Callback<(u32, u32, u32, u32, u32)>,
    log: Callback<u32>,
    done: Callback<u32, u32>,
    delete: Callback<u32>,
}

impl Vm {
    /// Instantiates, starts and configures a virtual machine. One that is not `live` has its effects dropped.
    pub fn new(
        plugin: &Plugin,
        clusters: &Rc<Clusters>,
        inbox: UnboundedSender<Notice>,
        live: bool,
    ) -> anyhow::Result<Rc<Vm>> {
        let number = plugin.virtual_machines.fetch_add(1, Ordering::Relaxed);
        let host = Host {
            shared: Arc::clone(&plugin.shared),
            settings: Arc::clone(&plugin.settings),
            clusters: Rc::clone(clusters),
            inbox: (inbox, number),
            memory: None,
            allocate: None,
            limits: StoreLimitsBuilder::new().memory_size(MAX_MEMORY).build(),
            streams: HashMap::new(),
            current: ROOT,
            effective: 0,
            phase: Phase::Other,
            stop_iteration: false,
            reply: None,
            status: (0, ""),
            token: 0,
            after: Vec::new(),
        };
        let mut store = Store::new(&plugin.engine, host);
        store.limiter(|host| &mut host.limits);
        let instance = plugin.ready.instantiate(&mut store)?;
        let memory = instance.get_memory(&mut store, "memory");
        let allocate = callback(&instance, &mut store, "proxy_on_memory_allocate");
        store.data_mut().memory = memory;
        store.data_mut().allocate = allocate.or_else(|| callback(&instance, &mut store, "malloc"));
        for name in ["_initialize", "_start"] {
            if let Some(start) = callback::<(), ()>(&instance, &mut store, name) {
                start.call(&mut store, ())?;
                break;
            }
        }
        let exports = Exports::find(&instance, &mut store);
        let vm = Rc::new(Vm {
            number,
            store: RefCell::new(store),
            exports,
            settings: Arc::clone(&plugin.settings),
            shared: Arc::clone(&plugin.shared),
            failed: Cell::new(false),
            live: Cell::new(live),
            next_context: Cell::new(ROOT + 1),
            timer: Cell::new(0),
        });
        vm.configure()?;
        Ok(vm)
    }

    fn configure(self: &Rc<Self>) -> anyhow::Result<()> {
        self.enter(ROOT, &self.exports.context_create, (ROOT, 0));
        let size = self.settings.vm_configuration.len() as u32;
        let started = self.enter(ROOT, &self.exports.vm_start, (ROOT, size)).is_none_or(|(yes, _)| yes != 0);
        anyhow::ensure!(started && !self.failed(), "the plugin did not start");
        let size = self.settings.configuration.len() as u32;
        let configured = self.during(Phase::Configure, || self.enter(ROOT, &self.exports.configure, (ROOT, size)));
        let configured = configured.is_none_or(|(yes, _)| yes != 0);
        anyhow::ensure!(configured && !self.failed(), "the plugin refused its configuration");
        Ok(())
    }

    /// Whether it trapped.
    pub fn failed(&self) -> bool {
        self.failed.get()
    }

    /// From now on effects are dropped: its thread is ending.
    pub fn retire(&self) {
        self.live.set(false);
    }

    /// Creates the context of a stream. None when the virtual machine is gone.
    pub fn open(self: &Rc<Self>, state: Rc<RefCell<StreamState>>) -> Option<u32> {
        let context = self.next_context.get();
        self.next_context.set(context.checked_add(1).unwrap_or(ROOT + 1));
        self.store.borrow_mut().data_mut().streams.insert(context, state);
        self.enter(context, &self.exports.context_create, (context, ROOT));
        (!self.failed()).then_some(context)
    }

    /// `on_request_headers` or `on_response_headers`.
    pub fn headers(self: &Rc<Self>, context: u32, state: &RefCell<StreamState>, side: Side, end: bool) -> Flow {
        let (callback, count) = {
            let mut state = state.borrow_mut();
            let direction = state.side(side);
            direction.headers_open = true;
            let callback = match side {
                Side::Request => &self.exports.request_headers,
                Side::Response => &self.exports.response_headers,
            };
            (callback, direction.headers.len() as u32)
        };
        let flow = match self.enter(context, callback, (context, count, end.into())) {
            _ if self.failed() => Flow::Failed,
            None | Some((0, false)) => Flow::Continue,
            Some((1, false)) if self.settings.allow_on_headers_stop_iteration => Flow::Pause,
            Some(_) => Flow::PauseAll,
        };
        if flow == Flow::Continue {
            state.borrow_mut().side(side).headers_open = false;
        }
        flow
    }

    /// `on_request_body` or `on_response_body`, with what the direction's body holds.
    pub fn body(self: &Rc<Self>, context: u32, state: &RefCell<StreamState>, side: Side, end: bool) -> Flow {
        let (callback, size) = {
            let mut state = state.borrow_mut();
            let direction = state.side(side);
            direction.body_open = true;
            let callback = match side {
                Side::Request => &self.exports.request_body,
                Side::Response => &self.exports.response_body,
            };
            (callback, direction.body.len() as u32)
        };
        let flow = match self.enter(context, callback, (context, size, end.into())) {
            _ if self.failed() => Flow::Failed,
            None | Some((0, false)) => Flow::Continue,
            Some((1, false)) => Flow::Pause,
            Some(_) => Flow::PauseAll,
        };
        let mut state = state.borrow_mut();
        let direction = state.side(side);
        direction.buffering = flow == Flow::Pause;
        direction.body_open = direction.buffering;
        flow
    }

    /// A stream's end: `on_log`, `on_done`, `on_delete`.
    pub fn close(self: &Rc<Self>, context: u32) {
        self.during(Phase::Log, || self.enter(context, &self.exports.log, context));
        self.enter(context, &self.exports.done, context);
        self.enter(context, &self.exports.delete, context);
        self.store.borrow_mut().data_mut().streams.remove(&context);
    }

    /// `on_queue_ready`.
    pub fn queue_ready(self: &Rc<Self>, queue: u32) {
        self.enter(ROOT, &self.exports.queue_ready, (ROOT, queue));
    }

    /// Sends a call and tells the root how it went.
    async fn call(self: Rc<Self>, call: HttpCall) {
        let token = call.token;
        let reply = call.exchange().await;
        let (headers, body) = reply.as_ref().map_or((0, 0), |reply| (reply.headers.len(), reply.body.len()));
        {
            let mut store = self.store.borrow_mut();
            let host = store.data_mut();
            host.status = if reply.is_none() { (BROKEN_CONNECTION, "reset") } else { (0, "") };
            host.reply = reply;
        }
        self.enter(ROOT, &self.exports.call_response, (ROOT, token, headers as u32, body as u32, 0));
        let mut store = self.store.borrow_mut();
        store.data_mut().reply = None;
        store.data_mut().status.1 = "";
    }

    /// Ticks until the timer is set anew.
    async fn tick(self: Rc<Self>, period: Duration, timer: u64) {
        loop {
            tokio::time::sleep(period).await;
            if self.timer.get() != timer || self.failed() || !self.live.get() {
                return;
            }
            self.enter(ROOT, &self.exports.tick, ROOT);
        }
    }

    fn during<T>(&self, phase: Phase, call: impl FnOnce() -> T) -> T {
        self.store.borrow_mut().data_mut().phase = phase;
        let result = call();
        self.store.borrow_mut().data_mut().phase = Phase::Other;
        result
    }

    /// Runs one callback and then its effects. None when there is no such callback or the virtual machine is gone;
    /// the flag says that the guest answered the stream.
    fn enter<P: WasmParams, R: WasmResults>(
        self: &Rc<Self>,
        context: u32,
        callback: &Callback<P, R>,
        parameters: P,
    ) -> Option<(R, bool)> {
        if self.failed() {
            return None;
        }
        let callback = callback.as_ref()?;
        let mut store = self.store.borrow_mut();
        let host = store.data_mut();
        (host.current, host.effective, host.stop_iteration) = (context, 0, false);
        let result = callback.call(&mut *store, parameters);
        let host = store.data_mut();
        let stopped = host.stop_iteration;
        let effects = std::mem::take(&mut host.after);
        drop(store);
        if let Err(error) = &result {
            self.failed.set(true);
            Counts::count(&self.shared.counts.traps);
            self.settings.log.write(Level::Critical, &format!("the plugin trapped: {error:#}"));
        }
        for effect in effects {
            self.apply(effect);
        }
        result.ok().map(|result| (result, stopped))
    }

    fn apply(self: &Rc<Self>, effect: After) {
        match effect {
            After::Resume(context, side) => self.with_stream(context, |state| {
                state.side(side).resumed = true;
                state.wake();
            }),
            After::Reply(context, reply) => self.with_stream(context, |state| state.answer(reply)),
            After::Reset(context) => self.with_stream(context, |state| {
                state.reset = true;
                state.wake();
            }),
            After::Call(call) if self.live.get() => {
                Counts::count(&self.shared.counts.calls);
                tokio::task::spawn_local(Rc::clone(self).call(call));
            }
            After::Tick(period) if self.live.get() => {
                self.timer.set(self.timer.get() + 1);
                if !period.is_zero() {
                    tokio::task::spawn_local(Rc::clone(self).tick(period, self.timer.get()));
                }
            }
            After::Call(_) | After::Tick(_) => {}
        }
    }

    fn with_stream(&self, context: u32, change: impl FnOnce(&mut StreamState)) {
        let stream = self.store.borrow().data().streams.get(&context).cloned();
        if let Some(stream) = stream {
            change(&mut stream.borrow_mut());
        }
    }
}

impl Exports {
    fn find(instance: &Instance, store: &mut Store<Host>) -> Exports {
        Exports {
            context_create: callback(instance, store, "proxy_on_context_create"),
            vm_start: callback(instance, store, "proxy_on_vm_start"),
            configure: callback(instance, store, "proxy_on_configure"),
            tick: callback(instance, store, "proxy_on_tick"),
            queue_ready: callback(instance, store, "proxy_on_queue_ready"),
            request_headers: callback(instance, store, "proxy_on_request_headers"),
            request_body: callback(instance, store, "proxy_on_request_body"),
            response_headers: callback(instance, store, "proxy_on_response_headers"),
            response_body: callback(instance, store, "proxy_on_response_body"),
            call_response: callback(instance, store, "proxy_on_http_call_response"),
            log: callback(instance, store, "proxy_on_log"),
            done: callback(instance, store, "proxy_on_done"),
            delete: callback(instance, store, "proxy_on_delete"),
        }
    }
}

fn callback<P: WasmParams, R: WasmResults>(instance: &Instance, store: &mut Store<Host>, name: &str) -> Callback<P, R> {
    instance.get_typed_func(store, name).ok()
}
