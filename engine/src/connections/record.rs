//! What a directory's head says about its connection: state, tokens, settings.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::env::Timestamp;
use crate::log::tally::Hour;
use crate::store::Txn;

/// Bytes of a connection's settings: they are part of its head, which every write stores again.
pub const MAX_SETTINGS: usize = 64 << 10;
/// Most live tokens of one connection.
pub const MAX_TOKENS: usize = 8;

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
    /// Ids of deleted groups with memberships left, which later writes remove a few at a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dissolving: Vec<String>,
    /// What was written in the current hour.
    #[serde(default, skip_serializing_if = "Hour::is_empty")]
    pub hour: Hour,
}

impl Record {
    /// Reads the record of a head; `None` for bytes that hold none, such as the environment's.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// The record of the head a step has opened.
    pub fn of(txn: &Txn<'_>) -> Option<Arc<Self>> {
        txn.head()?.record_as(Self::from_bytes)
    }

    /// The form kept in a head.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether the connection still exists for its IdP and its account.
    pub fn is_live(&self) -> bool {
        match self.state {
            State::Active | State::Paused => true,
            State::Residue | State::Deleting => false,
        }
    }

    /// Ends the connection: no token is good any more.
    pub fn retire(&mut self, state: State) {
        self.state = state;
        self.tokens.clear();
    }

    /// Notes an accepted SCIM write in the commit that makes it: `lastSync`, and the last use of the token.
    pub fn note_write(&mut self, token_id: &str, now: Timestamp) {
        self.last_sync = Some(now);
        for token in self.tokens.iter_mut().filter(|token| token.id == token_id) {
            token.last_used = Some(Timestamp(now.0 - now.0 % 60_000));
        }
    }
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
    /// When it was last used for an accepted write, to the minute.
    #[serde(default)]
    pub last_used: Option<Timestamp>,
}

impl Token {
    /// A token of that text, without limits.
    pub fn new(id: String, text: &str, now: Timestamp) -> Self {
        Self {
            id,
            hash: super::token::hash(text.as_bytes()),
            name: None,
            created_at: now,
            expires_at: None,
            scopes: None,
            cidrs: Vec::new(),
            last_used: None,
        }
    }

    /// Whether the token may do that.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| scopes.contains(&scope))
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
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

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 4] = [Self::UsersRead, Self::UsersWrite, Self::GroupsRead, Self::GroupsWrite];

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::UsersRead => "users:read",
            Self::UsersWrite => "users:write",
            Self::GroupsRead => "groups:read",
            Self::GroupsWrite => "groups:write",
        }
    }

    /// The scope of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
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
