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
mod formats;
mod groups;
mod races;
mod schedules;
mod sessions;
mod simulation;
mod support;
mod transactions;
