//! `scim-edge`: the guests and everything they need, in one program.

pub mod front;
pub mod proxy_wasm;
pub mod spin;
