//! A connection as pages show it.

use serde_json::Value;

use crate::api::escape;
use crate::guide::{self, Guide};

/// A connection, from the API's JSON.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    pub id: String,
    pub account: String,
    pub account_path: String,
    pub name: String,
    pub provider: &'static str,
    pub guide: &'static Guide,
    pub status: String,
    pub status_name: &'static str,
    pub url: String,
    pub last_sync: String,
    pub created: String,
    pub users: u64,
    pub groups: u64,
}

impl Shown {
    /// Reads what the API says.
    pub fn of(value: &Value) -> Self {
        let status = text(value, "status");
        let known = match text(value, "provider") {
            known if !known.is_empty() => known,
            _ if text(value, "source") == "okta" => "okta".to_owned(),
            _ if text(value, "source") == "azure-ad" => "entra-id".to_owned(),
            _ => "generic".to_owned(),
        };
        let guide = guide::of(&known);
        Self {
            id: text(value, "id"),
            account: text(value, "tenantId"),
            account_path: escape(&text(value, "tenantId")),
            name: text(value, "connectionName"),
            provider: guide.name,
            guide,
            status_name: status_name(&status),
            status,
            url: text(value, "provisioningUrl"),
            last_sync: text(value, "lastSync"),
            created: text(value, "createdAt"),
            ..Self::default()
        }
    }

    /// Whether changes of the identity provider are refused.
    pub fn is_paused(&self) -> bool {
        self.status == "paused"
    }

    /// Whether nothing has arrived yet.
    pub fn is_pending(&self) -> bool {
        self.status == "pending"
    }
}

fn status_name(status: &str) -> &'static str {
    match status {
        "pending" => "Pending",
        "linked" => "Linked",
        "paused" => "Paused",
        "deleting" => "Deleting",
        _ => "Deleted",
    }
}

/// A text of a JSON object; empty when there is none.
pub fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A list of a JSON object; empty when there is none.
pub fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
