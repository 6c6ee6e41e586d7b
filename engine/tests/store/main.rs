//! The directory store: the tree against a plain map, crashes, races, lying stores, damage.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

mod crashes;
mod damage;
mod races;
mod sessions;
mod simulation;
mod support;
mod transactions;
