//! What a directory's head says about its connection: state, tokens, settings.

use serde::{Deserialize, Serialize};

use crate::env::Timestamp;

/// The record of one connection, kept in its directory's head so that one read authenticates, authorises and
/// shows the directory's state at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Account the connection belongs to.
    pub tenant_id: String,
    /// Name a person gave it.
    pub connection_name: String,
    /// `frontegg`, `okta`, `azure-ad` or `other`.
    pub source: String,
    /// Exact directory provider, such as `onelogin`.
    #[serde(default)]
    pub provider: Option<String>,
    /// Whether SCIM is served.
    pub state: State,
    /// When it was created.
    pub created_at: Timestamp,
    /// Time of the last accepted SCIM write.
    #[serde(default)]
    pub last_sync: Option<Timestamp>,
    /// Live tokens.
    pub tokens: Vec<Token>,
    /// How this connection reads its IdP.
    #[serde(default)]
    pub settings: Settings,
}

/// Whether a connection serves SCIM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Reads and writes.
    Active,
    /// Reads; writes are refused with 403.
    Paused,
    /// Nothing; users and groups are kept as residue.
    Residue,
    /// Nothing; content is being removed.
    Deleting,
}

/// One bearer token of a connection; never the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Names the token in the management API.
    pub id: String,
    /// Unpadded URL-safe base64 of the SHA-256 of the whole token text.
    pub hash: String,
    /// For people.
    #[serde(default)]
    pub name: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ends.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// `users:read users:write groups:read groups:write`; `None` is all of them.
    #[serde(default)]
    pub scopes: Option<Vec<Scope>>,
    /// Networks it may be used from; empty is any.
    #[serde(default)]
    pub cidrs: Vec<String>,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Read users.
    #[serde(rename = "users:read")]
    UsersRead,
    /// Write users.
    #[serde(rename = "users:write")]
    UsersWrite,
    /// Read groups.
    #[serde(rename = "groups:read")]
    GroupsRead,
    /// Write groups.
    #[serde(rename = "groups:write")]
    GroupsWrite,
}

/// How a connection reads its IdP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// POST of an inactive user's `userName` re-activates that user instead of answering 409.
    pub revive: bool,
    /// An attribute no schema knows is refused with 400 instead of being left out.
    pub strict: bool,
    /// Custom extension schemas for users, in the form of RFC 7643 section 7.
    pub user_extensions: Vec<serde_json::Value>,
    /// Custom extension schemas for groups.
    pub group_extensions: Vec<serde_json::Value>,
}
