//! One stream: Envoy's callbacks turned into the worker's questions.

use std::str::FromStr;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType};
use scim_engine::edge::CLIENT_HEADER;
use scim_engine::error::SCIM_JSON;
use scim_engine::http::{Request, Response};
use scim_engine::scim::Route;

use crate::exchange::Exchange;
use crate::host;
use crate::origin;
use crate::root::SharedWorker;
use crate::worker::{self, Answered, VERSION_HEADER, Verdict};

/// Bytes of an error's body that are looked at.
const ERROR_BYTES: usize = 1024;

/// The context of one stream.
pub struct RequestContext {
    context: origin::Context,
    worker: Option<SharedWorker>,
    wake: Option<u32>,
    /// The SCIM request; `None` for any other, which the worker does not know.
    exchange: Option<Exchange>,
    /// Bytes of the request body so far.
    received: usize,
    /// What is still to be sent in the place of an answer that goes by; empty once it is.
    replacement: Option<Vec<u8>>,
}

impl RequestContext {
    /// A stream that has not begun.
    pub fn new(context: origin::Context, worker: Option<SharedWorker>, wake: Option<u32>) -> Self {
        Self { context, worker, wake, exchange: None, received: 0, replacement: None }
    }

    /// Answers in the place of the origin.
    fn answer(&mut self, response: &Response) -> Action {
        if let Some(exchange) = &mut self.exchange {
            exchange.answer(response, host::now());
        }
        host::answer(response);
        Action::Pause
    }

    /// Puts another answer in the place of the one that goes by.
    fn replace_answer(&mut self, response: Response) {
        let set = |name: &str, value: Option<&str>| hostcalls::set_map_value(MapType::HttpResponseHeaders, name, value);
        let mut done = set(":status", Some(&response.status.to_string())).and(set("content-length", None));
        for (name, value) in &response.headers {
            done = done.and(set(name, Some(value)));
        }
        match done {
            Ok(()) => self.replacement = Some(response.body),
            Err(_) => log::warn!("an answer could not be replaced"),
        }
    }
}

impl Context for RequestContext {
    fn on_done(&mut self) -> bool {
        if let Some(worker) = self.worker.as_ref().filter(|worker| worker.borrow().knows(self.context)) {
            worker.borrow_mut().gone(self.context, host::now());
        }
        if let Some(exchange) = &self.exchange {
            exchange.ended();
        }
        true
    }
}

impl HttpContext for RequestContext {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let Some(worker) = &self.worker else {
            host::answer(&worker::no_origin());
            return Action::Pause;
        };
        let request = request();
        let Some(route) = Route::parse(request.path()) else {
            if request.header_values(CLIENT_HEADER).next().is_some() {
                host::introduce(None);
            }
            return Action::Continue;
        };
        let now = host::now();
        let directory = route.connection.clone();
        self.exchange = Some(Exchange::begin(route, &request.method, now));
        let verdict = worker.borrow_mut().arrive(self.context, directory, request, now, host::source);
        host::measure_all(worker.borrow_mut().measured());
        if worker.borrow().has_calls() {
            host::wake(self.wake);
        }
        if let Verdict::Answer(response) = verdict {
            return self.answer(&response);
        }
        if let Some(exchange) = &mut self.exchange {
            exchange.tell();
        }
        if verdict == Verdict::Hold {
            return Action::Pause;
        }
        host::introduce(worker.borrow().introduction(self.context, now).as_deref());
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, _: bool) -> Action {
        let Some(worker) = self.worker.as_ref().filter(|_| self.exchange.is_some()) else { return Action::Continue };
        let held = worker.borrow().is_held(self.context);
        // While a request is held Envoy collects its body, and tells the size of all of it.
        self.received = if held { size } else { self.received.saturating_add(size) };
        let refusal = worker.borrow_mut().received(self.context, self.received, host::now());
        if let Some(refusal) = refusal {
            return self.answer(&refusal);
        }
        if held { Action::Pause } else { Action::Continue }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        // What was answered here has been told of.
        let open = self.exchange.as_ref().is_some_and(|exchange| !exchange.is_answered());
        let Some(worker) = self.worker.as_ref().filter(|_| open) else { return Action::Continue };
        let is_forwarded = worker.borrow().is_forwarded(self.context);
        if is_forwarded {
            let answered = answered();
            if answered.version.is_some()
                && hostcalls::remove_map_value(MapType::HttpResponseHeaders, VERSION_HEADER).is_err()
            {
                log::warn!("a header could not be removed");
            }
            let replacement = worker.borrow_mut().answered(self.context, answered, host::now());
            if let Some(response) = replacement {
                self.replace_answer(response);
            }
        }
        let by_origin = is_forwarded && self.replacement.is_none();
        if let Some(exchange) = &mut self.exchange {
            exchange.answered(status(), if by_origin { "origin" } else { "edge" }, host::now());
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, _: bool) -> Action {
        if let Some(body) = &mut self.replacement {
            let body = std::mem::take(body);
            self.set_http_response_body(0, size, &body);
        } else if let Some(exchange) = self.exchange.as_mut().filter(|exchange| exchange.is_unexplained()) {
            let body = hostcalls::get_buffer(BufferType::HttpResponseBody, 0, size.min(ERROR_BYTES)).ok().flatten();
            exchange.explained(&body.unwrap_or_default());
        }
        Action::Continue
    }
}

/// The request's head, but for where it comes from. Only getters of bytes are used: a value that is not UTF-8 would trap in the others.
pub fn request() -> Request {
    let mut request = Request::default();
    for (name, value) in hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default() {
        match name.as_str() {
            ":method" => request.method = String::from_utf8(value).unwrap_or_default(),
            ":path" => request.target = String::from_utf8(value).unwrap_or_default(),
            // The origin knows it by this name, and must make the same locations of it.
            ":authority" => request.headers.push(("host".to_owned(), value)),
            name if name.starts_with(':') => {}
            _ => request.headers.push((name, value)),
        }
    }
    request
}

/// A field of the answer's head.
fn header(name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, name).ok().flatten()
}

fn status() -> u16 {
    number(":status").unwrap_or(0)
}

fn number<N: FromStr>(name: &str) -> Option<N> {
    std::str::from_utf8(&header(name)?).ok()?.parse().ok()
}

/// The head of the answer that goes by.
fn answered() -> Answered {
    let is_scim = header("content-type").is_some_and(|kind| kind.starts_with(SCIM_JSON.as_bytes()));
    Answered { status: status(), version: number(VERSION_HEADER), is_scim }
}
