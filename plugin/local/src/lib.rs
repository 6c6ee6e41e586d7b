//! The Envoy filter in local mode, as it ships: whole SCIM directories in Envoy's shared data, without an origin.
//!
//! For development, tests and throw-away edges: what is written is lost when Envoy stops.
//!
//! | Module | Idea |
//! |---|---|
//! | [`config`] | one JSON document, with the connections in it |
//! | [`worker`] | what becomes of each request; knows nothing of Envoy |
//! | [`store`] | the key-value store of the engine's sessions: [`heads`] and [`pages`] |
//! | [`table`] | a fixed number of slots, found by hash |
//! | `root`, `request` | the adapters: Envoy's callbacks in, host calls out |

pub mod config;
pub mod heads;
pub mod pages;
mod request;
mod root;
pub mod store;
pub mod table;
#[cfg(test)]
mod tests;
pub mod worker;

mod entry {
    use proxy_wasm::types::LogLevel;

    use super::root::Root;

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Info);
        proxy_wasm::set_root_context(|_| Box::new(Root::default()));
    }}
}
