//! One stream: its head and its body are collected, then it is answered.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType};
use scim_engine::http::{Request, Response};
use scim_engine::scim::Route;
use scim_filter::exchange::Exchange;
use scim_filter::host::{self, SharedData};
use scim_filter::request;
use scim_filter::worker::{no_origin, too_large};

use crate::worker::Worker;

/// A worker as its root and its requests share it.
pub type SharedWorker = Rc<RefCell<Worker<SharedData>>>;

/// The context of one stream.
pub struct RequestContext {
    worker: Option<SharedWorker>,
    stream: Stream,
    /// What operators see of it, once it is one of ours.
    exchange: Option<Exchange>,
    /// Bytes of the body so far.
    received: usize,
}

/// What has become of a stream.
enum Stream {
    /// It is none of ours.
    Foreign,
    /// Its body is still arriving.
    Arriving(Request),
    /// It has its answer.
    Answered,
}

impl RequestContext {
    /// A stream that has not begun.
    pub fn new(worker: Option<SharedWorker>) -> Self {
        Self { worker, stream: Stream::Foreign, exchange: None, received: 0 }
    }

    /// Answers a request whose last byte is there.
    fn finish(&mut self) -> Action {
        let stream = std::mem::replace(&mut self.stream, Stream::Answered);
        let (Stream::Arriving(mut request), Some(worker)) = (stream, &self.worker) else { return Action::Pause };
        if self.received > 0 {
            let body = hostcalls::get_buffer(BufferType::HttpRequestBody, 0, self.received);
            request.body = body.ok().flatten().unwrap_or_default();
        }
        let response = worker.borrow_mut().serve(&request, host::entropy, host::now());
        self.answer(&response)
    }

    fn answer(&mut self, response: &Response) -> Action {
        self.stream = Stream::Answered;
        if let Some(exchange) = &mut self.exchange {
            exchange.answer(response, host::now());
        }
        host::answer(response);
        Action::Pause
    }
}

impl Context for RequestContext {
    fn on_done(&mut self) -> bool {
        if let Some(exchange) = &self.exchange {
            exchange.ended();
        }
        true
    }
}

impl HttpContext for RequestContext {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let mut request = request::request();
        let Some(route) = Route::parse(request.path()) else { return Action::Continue };
        request.source = host::source();
        let now = host::now();
        let exchange = self.exchange.insert(Exchange::begin(route, &request.method, now));
        exchange.tell();
        let Some(worker) = &self.worker else { return self.answer(&no_origin()) };
        let refusal = worker.borrow_mut().refusal(&request, now);
        if let Some(refusal) = refusal {
            return self.answer(&refusal);
        }
        self.stream = Stream::Arriving(request);
        if end_of_stream { self.finish() } else { Action::Pause }
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if let Stream::Foreign = self.stream {
            return Action::Continue;
        }
        // While a request is held Envoy collects its body, and tells the size of all of it.
        self.received = size;
        let limit = self.worker.as_ref().map_or(0, |worker| worker.borrow().body_limit());
        if size > limit {
            return self.answer(&too_large().response());
        }
        if end_of_stream { self.finish() } else { Action::Pause }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        if let Stream::Foreign = self.stream { Action::Continue } else { self.finish() }
    }
}
