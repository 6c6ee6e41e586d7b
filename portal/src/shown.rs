//! A connection as pages show it.

use serde_json::Value;

use crate::api::escape;
use crate::guide::{self, Guide};
use crate::moment::Moment;

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
    pub url: String,
    pub last_sync: Moment,
    pub created: Moment,
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
            status,
            url: text(value, "provisioningUrl"),
            last_sync: Moment::of(value, "lastSync"),
            created: Moment::of(value, "createdAt"),
            ..Self::default()
        }
    }

    /// Its state, as HTML.
    pub fn pill(&self) -> String {
        let (class, name) = match self.status.as_str() {
            "pending" => ("pending", "Pending"),
            "linked" => ("linked", "Linked"),
            "paused" => ("paused", "Paused"),
            "deleting" => ("pending", "Deleting"),
            _ => ("paused", "Deleted"),
        };
        format!("<span class=\"status {class}\">{name}</span>")
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

/// A text of a JSON object; empty when there is none.
pub fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A list of a JSON object; empty when there is none.
pub fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
