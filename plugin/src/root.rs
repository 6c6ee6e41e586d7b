//! One root per worker: takes the configuration and makes every call to the origin.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType, MapType};

use crate::config::Config;
use crate::gate::Gate;
use crate::host::{self, SharedData};
use crate::origin::{self, Call, Reply};
use crate::request::RequestContext;
use crate::shared;
use crate::worker::{Verdict, Worker};

/// How often the origin is told what was refused, and Envoy what was counted.
const REPORTS: Duration = Duration::from_secs(1);

/// A worker as its root and its requests share it.
pub type SharedWorker = Rc<RefCell<Worker<SharedData>>>;

/// The root context.
pub struct Root {
    context: origin::Context,
    config: Option<Rc<Config>>,
    worker: Option<SharedWorker>,
    /// The queue by which requests wake the root, because only calls of the root outlive a request.
    wake: Option<u32>,
}

impl Root {
    /// A root that is not configured yet.
    pub fn new(context: origin::Context) -> Self {
        Self { context, config: None, worker: None, wake: None }
    }

    fn configure(&mut self, config: Config) {
        shared::reserve(&SharedData, config.slots);
        let config = Rc::new(config);
        self.config = Some(Rc::clone(&config));
        match &self.worker {
            Some(worker) => worker.borrow_mut().configure(config, Rc::new(SharedData)),
            None => self.worker = Some(Rc::new(RefCell::new(Worker::new(config, Rc::new(SharedData))))),
        }
        self.set_tick_period(REPORTS);
        if self.wake.is_none() {
            let name: String = host::entropy().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            self.wake = hostcalls::register_shared_queue(&format!("wake-{name}")).ok();
        }
    }

    /// Sends what is queued, and carries out what comes of calls that can not be sent.
    fn launch(&self) {
        let (Some(worker), Some(config)) = (&self.worker, &self.config) else { return };
        loop {
            let call = worker.borrow_mut().next_call();
            let Some(call) = call else { return };
            match dispatch(&call, config) {
                Some(token) => worker.borrow_mut().sent(call.flight, token),
                None => {
                    let verdicts = worker.borrow_mut().land(call.flight, Reply::Failed, host::now());
                    self.carry_out(worker, &verdicts);
                }
            }
        }
    }

    /// Reports what the worker measured, and carries out what became of requests.
    fn carry_out(&self, worker: &SharedWorker, verdicts: &[(origin::Context, Verdict)]) {
        host::measure_all(worker.borrow_mut().measured());
        for (context, verdict) in verdicts {
            let client = worker.borrow().introduction(*context, host::now());
            host::carry_out(*context, verdict, client.as_deref());
        }
        if hostcalls::set_effective_context(self.context).is_err() {
            log::warn!("the root is not there any more");
        }
    }
}

fn dispatch(call: &Call, config: &Config) -> Option<u32> {
    let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let body = Some(call.body.as_slice()).filter(|body| !body.is_empty());
    let timeout = Duration::from_millis(config.origin.timeout_ms);
    hostcalls::dispatch_http_call(&config.origin.cluster, headers, body, Vec::new(), timeout)
        .inspect_err(|_| log::error!("the cluster `{}` takes no call", config.origin.cluster))
        .ok()
}

/// The answer to the call whose callback runs. No headers: the call was reset, and asking for one would trap.
fn reply(num_headers: usize, body_size: usize) -> Reply {
    if num_headers == 0 {
        return Reply::Failed;
    }
    let status = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status").ok().flatten();
    let status = status.and_then(|status| std::str::from_utf8(&status).ok()?.parse().ok());
    let Some(status) = status else { return Reply::Failed };
    let body = hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, body_size).ok().flatten();
    Reply::Answer { status, body: body.unwrap_or_default() }
}

impl Context for Root {
    fn on_done(&mut self) -> bool {
        host::report();
        true
    }

    fn on_http_call_response(&mut self, token: u32, num_headers: usize, body_size: usize, _: usize) {
        let Some(worker) = &self.worker else { return };
        let reply = reply(num_headers, body_size);
        let flight = worker.borrow().flight(token);
        let Some(flight) = flight else { return };
        let verdicts = worker.borrow_mut().land(flight, reply, host::now());
        self.carry_out(worker, &verdicts);
        self.launch();
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let document = self.get_plugin_configuration().unwrap_or_default();
        if let Ok(level) = hostcalls::get_log_level() {
            proxy_wasm::set_log_level(level);
        }
        match Config::parse(&document) {
            Ok(config) => {
                log::info!("configuration accepted");
                self.configure(config);
                true
            }
            Err(refused) => {
                log::error!("configuration refused: {refused}");
                false
            }
        }
    }

    fn on_tick(&mut self) {
        host::report();
        if let Some(worker) = &self.worker {
            worker.borrow_mut().report(host::now());
            self.launch();
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        while let Ok(Some(_)) = hostcalls::dequeue_shared_queue(queue) {}
        self.launch();
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        match (&self.config, &self.worker) {
            (Some(config), Some(worker)) if config.decision.is_some() => {
                Some(Box::new(Gate::new(context, Rc::clone(config), Rc::clone(worker), self.wake)))
            }
            _ => Some(Box::new(RequestContext::new(context, self.worker.clone(), self.wake))),
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
