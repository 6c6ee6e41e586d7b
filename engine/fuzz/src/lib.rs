//! What must hold for any input: one module a fuzz target, each with a `check` that panics when it does not.
//!
//! The engine's own tests include this code too: they replay `seeds/`, where findings are kept, and feed it with
//! random bytes for a moment.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]
#![allow(missing_docs)]

mod answer;
pub mod bulk;
mod choices;
pub mod directory;
pub mod filter;
pub mod message;
pub mod naive;
pub mod page;
pub mod patch;
pub mod path;
pub mod request;
mod sequence;

pub use choices::Choices;
