//! The Envoy filter: SCIM routing, authentication and reads inside the proxy; writes go on to the origin.
//!
//! This is the library. What ships are two modules that link it: `plugin/origin`, which is all of this, and
//! `plugin/local`, whose directories have no origin and which uses the adapters only. One module for both would carry
//! the code for writes into every edge.
//!
//! | Module | Idea |
//! |---|---|
//! | [`config`] | one JSON document, compiled once |
//! | [`fields`] | takes the document apart, and names the field that is wrong |
//! | [`worker`] | what becomes of each request; knows nothing of Envoy |
//! | [`replica`] | what this Envoy knows of directories |
//! | [`origin`] | calls for heads and pages, coalesced |
//! | [`shared`] | heads and pages in a fixed number of slots that all workers share |
//! | [`rates`] | how many requests a connection may make |
//! | [`refusals`] | what was refused, until the origin knows |
//! | [`memo`] | answers that were made once |
//! | [`bucket`] | a token bucket |
//! | [`quick`] | maps on the way of every request |
//! | [`metrics`] | what is measured, and its labels |
//! | [`exchange`] | one request and its answer, as operators see them |
//! | [`decision`] | what an application learns of its users |
//! | `root`, `request`, `gate`, `host` | the adapters: Envoy's callbacks in, host calls out |

pub mod bucket;
pub mod config;
pub mod decision;
pub mod exchange;
pub mod fields;
mod gate;
pub mod host;
pub mod memo;
pub mod metrics;
pub mod origin;
pub mod quick;
pub mod rates;
pub mod refusals;
pub mod replica;
pub mod request;
pub mod root;
pub mod shared;
#[cfg(test)]
mod tests;
pub mod worker;

use proxy_wasm::types::LogLevel;

/// What a module does when Envoy loads it.
pub fn start() {
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|context| Box::new(root::Root::new(context)));
}
