//! `scim-edge`: the guests and everything they need, in one program.

mod credentials;
pub mod envoy;
pub mod front;
mod linger;
pub mod offline;
pub mod operator;
mod origin;
pub mod proxy_wasm;
pub mod serve;
pub mod spin;
