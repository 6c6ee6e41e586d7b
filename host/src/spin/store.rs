//! Spin's key-value store as a component calls it, whatever is behind it.
//!
//! A store of ours does what Spin's store of the same name does with the same calls, kind or not: a component that works
//! here must not learn about another store's habits in production.

pub mod redis;
pub mod sqlite;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

/// What a store answers; the error is for the guest.
pub type Answer<T> = Result<T, String>;

/// Stores by the label under which components open them.
pub type Stores = BTreeMap<String, Arc<dyn Store>>;

/// An open store: the functions of `spin:key-value` and `wasi:keyvalue`. Every method fails with what the store says.
#[async_trait]
pub trait Store: Send + Sync {
    /// The value of a key.
    async fn get(&self, key: String) -> Answer<Option<Vec<u8>>>;

    /// Sets a key.
    async fn set(&self, key: String, value: Vec<u8>) -> Answer<()>;

    /// Removes a key, if it is there.
    async fn delete(&self, key: String) -> Answer<()>;

    /// Whether a key is there.
    async fn exists(&self, key: String) -> Answer<bool>;

    /// Every key.
    async fn keys(&self) -> Answer<Vec<String>>;

    /// Keys with their values. What stands for an absent key differs between stores.
    async fn get_many(&self, keys: Vec<String>) -> Answer<Vec<(String, Option<Vec<u8>>)>>;

    /// Sets keys. Whether all or none are set when it fails differs between stores.
    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Answer<()>;

    /// Removes keys, as [`Store::set_many`] sets them.
    async fn delete_many(&self, keys: Vec<String>) -> Answer<()>;

    /// Adds to a counter, where absent is 0, and answers its new value.
    async fn increment(&self, key: String, delta: i64) -> Answer<i64>;

    /// Begins a compare-and-swap of a key.
    async fn compare(&self, key: String) -> Answer<Arc<dyn Comparison>>;
}

/// A compare-and-swap under way. It compares with what [`Comparison::current`] gave; without it, with an absent key.
#[async_trait]
pub trait Comparison: Send + Sync {
    /// The value to compare with, read now.
    async fn current(&self) -> Answer<Option<Vec<u8>>>;

    /// Sets the key unless it has changed. False is what the guest is told of a lost race; it need not be true.
    async fn swap(&self, value: Vec<u8>) -> Answer<bool>;
}
