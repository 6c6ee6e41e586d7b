//! The command line for operators: connections, their log, and the state of a deployment, over the management API.
//!
//! | Module | Commands |
//! |---|---|
//! | [`connection`] | `scim-edge connection create`, `list`, `show`, `pause`, `resume`, `rotate`, `delete` |
//! | [`logs`] | `scim-edge logs` |
//! | [`doctor`] | `scim-edge doctor` |

mod client;
pub mod connection;
pub mod doctor;
pub mod logs;
mod table;

use std::path::PathBuf;

use anyhow::Context;
use serde_json::Value;
use url::Url;

use crate::credentials::Credentials;
use client::Client;

/// Where a deployment is, and who asks.
#[derive(clap::Args)]
pub struct Access {
    /// Base URL of the deployment: its edge, or its origin
    #[arg(long, value_name = "URL", env = "SCIM_EDGE_URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// Client id of the vendor; else that of a local server's `--data`
    #[arg(long, value_name = "ID", env = "SCIM_EDGE_CLIENT_ID")]
    client_id: Option<String>,
    /// Secret of the vendor; better in the environment, where other users of the machine do not see it
    #[arg(long, value_name = "SECRET", env = "SCIM_EDGE_CLIENT_SECRET", hide_env_values = true)]
    client_secret: Option<String>,
    /// Data directory of a local server, for its credentials
    #[arg(long, value_name = "DIR", default_value = ".scim-edge")]
    data: PathBuf,
    /// Print JSON, for scripts
    #[arg(long)]
    json: bool,
}

impl Access {
    /// The vendor's client id and secret.
    fn credential(&self) -> anyhow::Result<(String, String)> {
        if let (Some(id), Some(secret)) = (&self.client_id, &self.client_secret) {
            return Ok((id.clone(), secret.clone()));
        }
        let found = Credentials::present(&self.data)?.with_context(|| {
            format!(
                "no credential: set SCIM_EDGE_CLIENT_ID and SCIM_EDGE_CLIENT_SECRET, or name the data directory of a local \
                 server with `--data` (`{}` has none)",
                self.data.display()
            )
        })?;
        Ok((found.client_id, found.client_secret))
    }

    /// The deployment, with the vendor logged in.
    fn log_in(&self) -> anyhow::Result<Client> {
        let (id, secret) = self.credential()?;
        Client::new(&self.url)?.log_in(&id, &secret)
    }

    /// Prints a document for scripts, or else what people read.
    fn print(&self, document: &Value, people: impl FnOnce() -> String) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string_pretty(document)? } else { people() };
        println!("{}", text.trim_end());
        Ok(())
    }
}

/// A field as people read it: a text as it is, nothing for null.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}
