//! One connection: its entry in the environment and its record in its own head.
//!
//! Creation writes the head before the entry, deletion too: a crash in between leaves a head that no request can name,
//! or an entry whose head says it is gone. Both count as absent, and the next request that meets them finishes the work.

use serde_json::{Value, json};

use crate::connections::caller::Caller;
use crate::connections::environment::{Entry, Environment};
use crate::connections::error::ApiError;
use crate::connections::record::{Record, State};
use crate::env::Env;
use crate::http::Request;
use crate::scim;
use crate::store::{Commit, DirectoryId, Fault, Need, Txn, View};

/// Directory providers of the user interface, and the source each is.
pub const PROVIDERS: [(&str, &str); 8] = [
    ("okta", "okta"),
    ("entra-id", "azure-ad"),
    ("onelogin", "other"),
    ("jumpcloud", "other"),
    ("google-workspace", "other"),
    ("pingone", "other"),
    ("rippling", "other"),
    ("generic", "other"),
];

/// What `source` may be.
pub const SOURCES: [&str; 4] = ["frontegg", "okta", "azure-ad", "other"];

/// A connection's directory, opened for one step.
pub struct Connection<'v> {
    /// Its id.
    pub id: DirectoryId,
    /// Its directory.
    pub txn: Txn<'v>,
    /// Its record, as read.
    pub record: Record,
}

/// How many resources a directory holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Users.
    pub users: u64,
    /// Groups.
    pub groups: u64,
}

impl<'v> Connection<'v> {
    /// Opens the directory of a connection; `None` when it has never existed.
    ///
    /// # Errors
    /// The head may have to be loaded first.
    pub fn open(view: &'v View<'v>, id: &DirectoryId) -> Result<Option<Self>, Fault> {
        let Some(txn) = Txn::open(view, id)? else { return Ok(None) };
        let record = Record::from_bytes(txn.record()).ok_or_else(|| Fault::Damaged("a connection's record".into()))?;
        Ok(Some(Self { id: id.clone(), txn, record }))
    }

    /// The commit of a changed record and of everything written to the directory.
    ///
    /// # Errors
    /// Pages may have to be loaded first.
    pub fn commit(mut self, env: &Env<'_>) -> Result<Option<Commit>, Fault> {
        let record = self.record.to_bytes();
        if record != self.txn.record() {
            self.txn.set_record(record);
        }
        self.txn.commit(env)
    }

    /// How many users and groups it holds.
    ///
    /// # Errors
    /// Pages may have to be loaded first.
    pub fn counts(&self) -> Result<Counts, Fault> {
        let mut need = Need::default();
        let users = need.gather(self.txn.count(&b"u"[..]..&b"v"[..]))?.unwrap_or_default();
        let groups = need.gather(self.txn.count(&b"g"[..]..&b"h"[..]))?.unwrap_or_default();
        need.settle()?;
        Ok(Counts { users, groups })
    }

    /// Whether it holds nothing at all.
    ///
    /// # Errors
    /// Pages may have to be loaded first.
    pub fn is_empty(&self) -> Result<bool, Fault> {
        Ok(self.txn.scan(&[0][..]..&[0xff][..], 0, 1, false)?.is_empty())
    }

    /// Takes up to `limit` entries out of the directory, and their pages out of the store; says whether that was all of
    /// them.
    ///
    /// # Errors
    /// Pages may have to be loaded first.
    pub fn drain(&mut self, limit: usize) -> Result<bool, Fault> {
        let entries = self.txn.scan(&[0][..]..&[0xff][..], 0, limit, false)?;
        let last = entries.len() < limit;
        self.txn.purge();
        for (key, _) in entries {
            self.txn.remove(key);
        }
        Ok(last)
    }
}

/// A live connection that the caller may reach.
///
/// # Errors
/// 404 for any other, whether it exists or not.
pub fn find<'v>(
    view: &'v View<'v>,
    environment: &Environment<'_>,
    caller: &Caller,
    id: &DirectoryId,
) -> Result<(Entry, Connection<'v>), Fault> {
    let unknown = || ApiError::not_found("connection");
    let entry = environment.entry(id.as_str())?.filter(|entry| caller.reaches(&entry.tenant_id)).ok_or_else(unknown)?;
    let connection = Connection::open(view, id)?.filter(|found| found.record.is_live()).ok_or_else(unknown)?;
    Ok((entry, connection))
}

/// The form in which the API shows a connection; never a token.
pub fn describe(id: &str, entry: &Entry, record: &Record, request: &Request, env: &Env<'_>) -> Value {
    json!({
        "id": id,
        "tenantId": entry.tenant_id,
        "connectionName": entry.connection_name,
        "source": entry.source,
        "syncToUserManagement": record.state != State::Paused,
        "lastSync": record.last_sync.map(|time| time.rfc3339()),
        "createdAt": entry.created_at.rfc3339(),
        "provider": record.provider,
        "status": status(record),
        "provisioningUrl": provisioning_url(id, request, env),
    })
}

/// The state a person sees.
fn status(record: &Record) -> &'static str {
    match (record.state, record.last_sync) {
        (State::Paused, _) => "paused",
        (State::Residue, _) => "residue",
        (State::Deleting, _) => "deleting",
        (State::Active, None) => "pending",
        (State::Active, Some(_)) => "linked",
    }
}

/// Where the IdP has to send SCIM requests.
pub fn provisioning_url(id: &str, request: &Request, env: &Env<'_>) -> String {
    format!("{}/directory/resources/scim/v2.0/{id}", scim::origin(request, env))
}

/// The canonical spelling of a source.
///
/// # Errors
/// 400
pub fn source(text: &str) -> Result<&'static str, ApiError> {
    let found = SOURCES.into_iter().find(|source| source.eq_ignore_ascii_case(text));
    found.ok_or_else(|| ApiError::invalid("source", "must be `frontegg`, `okta`, `azure-ad` or `other`"))
}

/// The canonical spelling of a provider.
///
/// # Errors
/// 400
pub fn provider(text: &str) -> Result<&'static str, ApiError> {
    let found = PROVIDERS.into_iter().find(|(provider, _)| provider.eq_ignore_ascii_case(text));
    found.map(|(provider, _)| provider).ok_or_else(|| {
        let known: Vec<_> = PROVIDERS.iter().map(|(provider, _)| format!("`{provider}`")).collect();
        ApiError::invalid("provider", &format!("must be one of {}", known.join(", ")))
    })
}
