//! `scim-edge logs`: a connection's provisioning log, newest first.

use anyhow::Context;
use serde_json::Value;

use super::{Access, table};

/// Settings of `logs`.
#[derive(clap::Args)]
pub struct Options {
    /// Id of the connection
    id: String,
    #[command(flatten)]
    access: Access,
    /// Entries to show at most
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
    /// Accepted requests only, or refused ones only
    #[arg(long, value_parser = ["success", "failure"])]
    outcome: Option<String>,
    /// Those of one resource
    #[arg(long, value_name = "ID")]
    resource: Option<String>,
    /// Those of one operation, such as `PATCH User`
    #[arg(long)]
    operation: Option<String>,
}

/// Prints the log.
///
/// # Errors
/// The deployment does not answer, or refuses.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let Options { id, access, limit, outcome, resource, operation } = options;
    let client = access.log_in()?;
    let path = format!("/directory/resources/v1/configurations/scim2/{id}/logs");
    let given = [("outcome", outcome), ("resource", resource), ("operation", operation)];
    let filters: Vec<_> = given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
    let mut entries: Vec<Value> = Vec::new();
    let mut cursor: Option<String> = None;
    while entries.len() < *limit {
        let count = (limit - entries.len()).min(1000).to_string();
        let more = [("limit", count.as_str())].into_iter().chain(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let query: Vec<_> = filters.iter().copied().chain(more).collect();
        let page = client.ask("GET", &path, &query, None)?.accepted()?;
        entries.extend(page["items"].as_array().context("the answer is no log: is `--url` right?")?.iter().cloned());
        cursor = page["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    let columns = [
        ("TIME", "time"),
        ("OUTCOME", "outcome"),
        ("STATUS", "status"),
        ("OPERATION", "operation"),
        ("RESOURCE", "resource"),
        ("REASON", "reason"),
        ("CLIENT", "client"),
        ("SOURCE", "source"),
    ];
    access.print(&Value::from(entries.clone()), || table::of(&columns, &entries))
}
