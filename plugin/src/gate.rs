//! One stream of an application: it passes once the directory has said who it is.

use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};

use crate::config::Config;
use crate::decision::{GROUPS_HEADER, Question, Rules, Ruling, Source, USER_HEADER};
use crate::host;
use crate::origin;
use crate::root::SharedWorker;
use crate::worker::Verdict;

/// The context of one stream.
pub struct Gate {
    context: origin::Context,
    config: Rc<Config>,
    worker: SharedWorker,
    wake: Option<u32>,
}

impl Gate {
    /// A stream that has not begun.
    pub fn new(context: origin::Context, config: Rc<Config>, worker: SharedWorker, wake: Option<u32>) -> Self {
        Self { context, config, worker, wake }
    }

    fn ask(&self, question: Question) -> Action {
        let verdict = self.worker.borrow_mut().decide(self.context, question, host::now());
        host::measure_all(self.worker.borrow_mut().measured());
        if self.worker.borrow().has_calls() {
            host::wake(self.wake);
        }
        match verdict {
            Verdict::Rule(ruling) if host::rule(&ruling) => Action::Continue,
            Verdict::Hold | Verdict::Rule(_) => Action::Pause,
            Verdict::Forward | Verdict::Answer(_) => refuse_all(),
        }
    }
}

impl Context for Gate {
    fn on_done(&mut self) -> bool {
        if self.worker.borrow().knows(self.context) {
            self.worker.borrow_mut().gone(self.context, host::now());
        }
        true
    }
}

impl HttpContext for Gate {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let Some(rules) = &self.config.decision else { return refuse_all() };
        if !strip() {
            return refuse_all();
        }
        match question(rules) {
            Ok(question) => self.ask(question),
            Err(ruling) if host::rule(&ruling) => Action::Continue,
            Err(_) => Action::Pause,
        }
    }

    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        if self.worker.borrow().is_held(self.context) { Action::Pause } else { Action::Continue }
    }
}

/// What can not be, lets nobody through.
fn refuse_all() -> Action {
    host::answer(&scim_engine::http::Response::empty(500));
    Action::Pause
}

/// Takes away what a client says of itself; whether it is gone.
fn strip() -> bool {
    let remove = |name| hostcalls::remove_map_value(MapType::HttpRequestHeaders, name);
    [USER_HEADER, GROUPS_HEADER].into_iter().all(|name| remove(name).is_ok())
}

fn question(rules: &Rules) -> Result<Question, Box<Ruling>> {
    let headers = if rules.reads_headers() {
        hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default()
    } else {
        Vec::new()
    };
    rules.question(|source: &Source| match source.property() {
        Some(path) => hostcalls::get_property(path).ok().flatten(),
        None => source.in_headers(&headers),
    })
}
