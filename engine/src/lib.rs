//! The scim-edge engine: every SCIM, directory and connection rule, as a function of values.
//!
//! Nothing in this crate performs I/O, reads a clock or draws a random number. A *step* takes a
//! [`Request`](http::Request), a [`View`](store::View) of the store and an [`Env`](env::Env), and
//! returns either the finished [`Outcome`](store::Outcome) or a [`Fault`](store::Fault) naming the
//! heads and pages it still needs. Hosts load those and call again; a step has no side effect, so
//! running it again is always safe. [`Session`](store::Session) is that loop, written once for every host.

pub mod connections;
pub mod edge;
pub mod env;
pub mod error;
pub mod filter;
pub mod http;
pub mod json;
pub mod log;
pub mod patch;
pub mod path;
pub mod project;
pub mod resource;
pub mod schema;
pub mod scim;
pub mod store;
