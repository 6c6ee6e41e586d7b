//! Spin's store `redis`: the same commands in the same order, with what comes of them.
//!
//! - **A swap always reports failure,** also when it happened: after the transaction Spin sends `UNWATCH` with the key,
//!   which no server accepts, and takes that for a lost race. (The transaction's own answer would not help: a transaction
//!   that a `WATCH` called off is answered with nothing, which reads as success.)
//! - **A batch of reads fails:** Spin sends `KEYS` with the keys.
//! - **Every label is the same store:** keys carry no name of a store.
//! - **Each comparison has a connection of its own,** for a `WATCH` belongs to a connection.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue, RedisError, RedisResult, cmd, pipe};

use super::{Answer, Comparison, Store};

/// How long a command may take. A write that waits for a disk may take long; one that has been given up may still happen.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a connection is tried, with growing pauses of a tenth of a second at first.
const TRIES: usize = 3;

/// A Redis server.
pub struct Redis {
    client: Client,
    connection: ConnectionManager,
}

impl Redis {
    /// Connects to the server at `url`, such as `redis://127.0.0.1:6379`, or `rediss:` for TLS.
    ///
    /// # Errors
    /// The URL is none of Redis, or the server does not answer. The error never shows the URL, which may hold a password.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        // A process has one provider; whoever comes first installs it.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = Client::open(url).context("`url` is no Redis URL, such as `redis://127.0.0.1:6379`")?;
        let connection = manager(&client).await.with_context(|| {
            let address = client.get_connection_info().addr();
            format!("no Redis answers at {address}: start it, or correct `url`")
        })?;
        Ok(Self { client, connection })
    }

    /// What the server's settings risk, one line each. A server that does not tell its settings is trusted.
    pub async fn risks(&self) -> Vec<String> {
        let mut risks = Vec::new();
        for (setting, safe, risk) in [
            ("appendonly", "yes", "a crash of Redis loses acknowledged writes"),
            ("appendfsync", "always", "a crash of Redis loses the latest acknowledged writes"),
            ("maxmemory-policy", "noeviction", "Redis removes parts of directories when its memory is full"),
        ] {
            let told: Answer<Vec<String>> = self.ask(cmd("CONFIG").arg("GET").arg(setting)).await;
            if let Ok([_, value]) = told.as_deref()
                && value != safe
            {
                risks.push(format!("`{setting}` of Redis is `{value}`: {risk}; set it to `{safe}`"));
            }
        }
        risks
    }

    async fn ask<T: FromRedisValue>(&self, command: &mut Cmd) -> Answer<T> {
        command.query_async(&mut self.connection.clone()).await.map_err(text)
    }
}

#[async_trait]
impl Store for Redis {
    async fn get(&self, key: String) -> Answer<Option<Vec<u8>>> {
        self.ask(cmd("GET").arg(key)).await
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Answer<()> {
        self.ask(cmd("SET").arg(key).arg(value)).await
    }

    async fn delete(&self, key: String) -> Answer<()> {
        self.ask(cmd("DEL").arg(key)).await
    }

    async fn exists(&self, key: String) -> Answer<bool> {
        self.ask(cmd("EXISTS").arg(key)).await
    }

    async fn keys(&self) -> Answer<Vec<String>> {
        self.ask(cmd("KEYS").arg("*")).await
    }

    async fn get_many(&self, keys: Vec<String>) -> Answer<Vec<(String, Option<Vec<u8>>)>> {
        self.ask(cmd("KEYS").arg(keys)).await
    }

    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Answer<()> {
        self.ask(cmd("MSET").arg(pairs)).await
    }

    async fn delete_many(&self, keys: Vec<String>) -> Answer<()> {
        self.ask(cmd("DEL").arg(keys)).await
    }

    /// A counter is decimal text.
    async fn increment(&self, key: String, delta: i64) -> Answer<i64> {
        self.ask(cmd("INCRBY").arg(key).arg(delta)).await
    }

    async fn compare(&self, key: String) -> Answer<Arc<dyn Comparison>> {
        let connection = manager(&self.client).await.map_err(text)?;
        Ok(Arc::new(Watch { key, connection }))
    }
}

/// A swap that is called off when the watched key changes.
struct Watch {
    key: String,
    connection: ConnectionManager,
}

#[async_trait]
impl Comparison for Watch {
    async fn current(&self) -> Answer<Option<Vec<u8>>> {
        let connection = &mut self.connection.clone();
        cmd("WATCH").arg(&self.key).exec_async(connection).await.map_err(text)?;
        cmd("GET").arg(&self.key).query_async(connection).await.map_err(text)
    }

    async fn swap(&self, value: Vec<u8>) -> Answer<bool> {
        let connection = &mut self.connection.clone();
        let set: RedisResult<()> = pipe().atomic().set(&self.key, value).query_async(connection).await;
        let unwatched = cmd("UNWATCH").arg(&self.key).exec_async(connection).await;
        Ok(set.is_ok() && unwatched.is_ok())
    }
}

async fn manager(client: &Client) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new().set_response_timeout(Some(PATIENCE)).set_number_of_retries(TRIES);
    client.get_connection_manager_with_config(config).await
}

fn text(error: RedisError) -> String {
    error.to_string()
}
