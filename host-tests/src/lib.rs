//! One corpus of SCIM cases, and what runs it on every host.
//!
//! A [`Case`](case::Case) is a data file. [`check`](check::check) runs it against a
//! [`Deployment`](deployment::Deployment): anything that takes a request and gives an answer, be it the engine in this
//! process or a server behind real Envoy.

pub mod case;
pub mod check;
pub mod curl;
pub mod deployment;
pub mod envoy;
pub mod faulty;
pub mod idp;
pub mod matching;
pub mod message;
pub mod native;
pub mod place;
pub mod prepared;
pub mod raw;
pub mod redis;
pub mod server;
pub mod variables;
