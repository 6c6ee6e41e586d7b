//! Connections of a filter in local mode. Its configuration names them, so they are thought of before it starts.

use std::sync::Mutex;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value, json};

use crate::deployment::Connection;

/// Connections nobody uses yet.
#[derive(Debug, Default)]
pub struct Prepared {
    waiting: Mutex<Vec<(Map<String, Value>, Connection)>>,
}

impl Prepared {
    /// One connection for each of these changes, which are what a PATCH of a connection would say.
    pub fn new(wanted: impl Iterator<Item = Map<String, Value>>) -> Self {
        let connection = |number: usize| Connection {
            id: format!("prepared-{number}"),
            token: format!("token-of-the-test-{}-{number}", std::process::id()),
        };
        let waiting = wanted.zip(0..).map(|(changes, number)| (changes, connection(number))).collect();
        Self { waiting: Mutex::new(waiting) }
    }

    /// The filter's configuration, with every connection that waits.
    ///
    /// # Errors
    /// Local mode has nothing that does what a change says.
    pub fn document(&self) -> Result<Value> {
        let waiting = self.waiting.lock().map_err(|_| anyhow!("a test panicked"))?;
        let connections = waiting.iter().map(|(changes, connection)| {
            let Connection { id, token } = connection;
            Ok(json!({ "id": id, "tokens": [{ "token": token }], "settings": settings(changes)? }))
        });
        let connections = connections.collect::<Result<Vec<_>>>()?;
        let slots = json!({ "connections": connections.len(), "pages": 32_768 });
        Ok(json!({ "mode": "local", "connections": connections, "slots": slots }))
    }

    /// A connection of those changes that nobody has had.
    ///
    /// # Errors
    /// There is none left.
    pub fn take(&self, changes: &Map<String, Value>) -> Result<Connection> {
        let mut waiting = self.waiting.lock().map_err(|_| anyhow!("a test panicked"))?;
        let found = waiting.iter().position(|(other, _)| other == changes);
        found.map(|found| waiting.swap_remove(found).1).context("no such connection was prepared")
    }
}

/// The settings of the management API by their names in the configuration.
fn settings(changes: &Map<String, Value>) -> Result<Value> {
    let mut settings = Map::new();
    for (field, value) in changes {
        let value = value.as_object().filter(|_| field == "settings");
        for (name, value) in value.with_context(|| format!("local mode has no `{field}`"))? {
            let name = match name.as_str() {
                "revive" | "strict" => name.as_str(),
                "userExtensions" => "user_extensions",
                "groupExtensions" => "group_extensions",
                _ => bail!("local mode has no `{name}`"),
            };
            settings.insert(name.to_owned(), value.clone());
        }
    }
    Ok(settings.into())
}
