//! The Spin world: what `spin up` would do with the same `spin.toml`, in this process.

pub mod app;
mod instances;
pub mod manifest;
pub mod outbound;
pub mod runtime_config;
pub mod store;
mod world;
