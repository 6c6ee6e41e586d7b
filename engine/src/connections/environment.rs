//! The environment's directory: which connections exist, by id, account and name; what deletions left; settings.
//!
//! Keys begin with the kind of their entry, values are JSON. Settings are the record of the head, so looking at them
//! costs no page.
//!
//! | Key | Value |
//! |---|---|
//! | `c` id | [`Entry`] |
//! | `t` account, NUL, id | `true` |
//! | `n` folded name, NUL, account | id |
//! | `x` id | [`Leftover`] |
//! | `r` id | [`Role`](super::role::Role) |
//! | `k` folded key of a role | id |

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::env::{Env, Timestamp};
use crate::store::{Commit, DirectoryId, Fault, Txn, View};

/// What the environment knows of a connection. Names are decided here; everything that changes with SCIM traffic is
/// in the connection's own head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Account it belongs to.
    pub tenant_id: String,
    /// Its name, unique in the account whatever its case.
    pub connection_name: String,
    /// `frontegg`, `okta`, `azure-ad` or `other`.
    pub source: String,
    /// When it was created.
    pub created_at: Timestamp,
}

/// What the environment knows of a deleted connection that left something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leftover {
    /// The connection as it was.
    pub entry: Entry,
    /// When it was deleted.
    pub deleted_at: Timestamp,
    /// Whether its content is being removed.
    pub removing: bool,
}

/// Settings of the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settings {
    /// Whether customers' users may manage connections; off until the vendor says so.
    pub self_service: bool,
    /// Deleted connections whose content is still to be removed, oldest first.
    pub removing: Vec<String>,
}

/// Which connections a list asks for; `None` is any.
#[derive(Clone, Debug, Default)]
pub struct Filter<'a> {
    /// Account.
    pub tenant_id: Option<&'a str>,
    /// Name, in any case.
    pub connection_name: Option<&'a str>,
    /// Source.
    pub source: Option<&'a str>,
    /// Id.
    pub id: Option<&'a str>,
}

/// The environment's directory, opened for one step.
pub struct Environment<'v> {
    pub(super) txn: Txn<'v>,
    settings: Settings,
    changed: bool,
}

impl<'v> Environment<'v> {
    /// Opens it; before the first commit of all it is empty.
    ///
    /// # Errors
    /// The head may have to be loaded first.
    pub fn open(view: &'v View<'v>) -> Result<Self, Fault> {
        let directory = DirectoryId::environment();
        let txn = Txn::open(view, &directory)?.unwrap_or_else(|| Txn::create(view, &directory));
        let settings = match txn.record() {
            [] => Settings::default(),
            record => serde_json::from_slice(record).map_err(|_| Fault::Damaged("the environment's record".into()))?,
        };
        Ok(Self { txn, settings, changed: false })
    }

    /// The commit of all changes; `None` when there were none.
    ///
    /// # Errors
    /// Pages may have to be loaded first.
    pub fn commit(self, env: &Env<'_>) -> Result<Option<Commit>, Fault> {
        if self.changed { self.txn.commit(env) } else { Ok(None) }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Replaces the settings.
    pub fn set_settings(&mut self, settings: Settings) {
        if settings != self.settings {
            self.txn.set_record(serde_json::to_vec(&settings).unwrap_or_default());
            self.settings = settings;
            self.changed = true;
        }
    }

    /// The connection of that id.
    ///
    /// # Errors
    /// Pages may have to be loaded first.
    pub fn entry(&self, id: &str) -> Result<Option<Entry>, Fault> {
        self.read(&key(b'c', &[id]))
    }

    /// The id of the connection that holds a name in an account.
    ///
    /// # Errors
    /// Pages may have to be loaded first.
    pub fn holder(&self, tenant_id: &str, name: &str) -> Result<Option<String>, Fault> {
        self.read(&key(b'n', &[&fold(name), tenant_id]))
    }

    /// Lists a new connection.
    pub fn insert(&mut self, id: &str, entry: &Entry) {
        self.write(key(b'c', &[id]), entry);
        self.write(key(b't', &[&entry.tenant_id, id]), &true);
        self.write(key(b'n', &[&fold(&entry.connection_name), &entry.tenant_id]), &id);
    }

    /// Takes a connection off the list; its name is free again.
    pub fn remove(&mut self, id: &str, entry: &Entry) {
        self.erase(key(b'c', &[id]));
        self.erase(key(b't', &[&entry.tenant_id, id]));
        self.erase(key(b'n', &[&fold(&entry.connection_name), &entry.tenant_id]));
    }

    /// What the deletion of a connection left.
    ///
    /// # Errors
    /// Pages may have to be loaded first.
    pub fn leftover(&self, id: &str) -> Result<Option<Leftover>, Fault> {
        self.read(&key(b'x', &[id]))
    }

    /// Notes what a deletion left, and queues its removal.
    pub fn set_leftover(&mut self, id: &str, leftover: &Leftover) {
        self.write(key(b'x', &[id]), leftover);
        let mut settings = self.settings.clone();
        settings.removing.retain(|queued| queued != id);
        if leftover.removing {
            settings.removing.push(id.to_owned());
        }
        self.set_settings(settings);
    }

    /// Forgets a deleted connection of which nothing is left.
    pub fn forget(&mut self, id: &str) {
        self.erase(key(b'x', &[id]));
        let mut settings = self.settings.clone();
        settings.removing.retain(|queued| queued != id);
        self.set_settings(settings);
    }

    /// Deleted connections with something left, after that id, at most `limit`, in order of creation.
    ///
    /// # Errors
    /// Pages may have to be loaded first.
    pub fn leftovers(&self, after: Option<&str>, limit: usize) -> Result<Vec<(String, Leftover)>, Fault> {
        let entries = self.txn.scan(&start(b'x', &[], after)[..]..&end(b'x', &[])[..], 0, limit, false)?;
        entries.iter().map(|(key, value)| Ok((tail(key, 1), decode(value)?))).collect()
    }

    /// Connections a filter lets pass, after that id, at most `limit`, in order of creation.
    ///
    /// # Errors
    /// Pages may have to be loaded first.
    pub fn list(&self, filter: &Filter<'_>, after: Option<&str>, limit: usize) -> Result<Vec<(String, Entry)>, Fault> {
        if let Some(ids) = self.candidates(filter)? {
            let ids = ids.into_iter().filter(|id| after.is_none_or(|after| id.as_str() > after)).collect();
            let mut found = self.entries(ids)?;
            found.retain(|(id, entry)| filter.passes(id, entry));
            found.truncate(limit);
            return Ok(found);
        }
        let mut found = Vec::new();
        let mut last = after.map(str::to_owned);
        while found.len() < limit {
            let chunk = self.chunk(filter.tenant_id, last.as_deref(), limit)?;
            let Some((id, _)) = chunk.last() else { break };
            last = Some(id.clone());
            found.extend(chunk.into_iter().filter(|(id, entry)| filter.passes(id, entry)));
        }
        found.truncate(limit);
        Ok(found)
    }

    /// How many connections there are.
    ///
    /// # Errors
    /// Pages may have to be loaded first.
    pub fn count(&self) -> Result<u64, Fault> {
        self.txn.count(&start(b'c', &[], None)[..]..&end(b'c', &[])[..])
    }

    /// Accounts with connections, after that one, at most `limit`, in order, each with how many it has.
    ///
    /// # Errors
    /// Pages may have to be loaded first.
    pub fn accounts(&self, after: Option<&str>, limit: usize) -> Result<Vec<(String, u64)>, Fault> {
        let mut found = Vec::new();
        let mut from = after.map_or_else(|| start(b't', &[], None), |after| end(b't', &[after]));
        while found.len() < limit {
            let first = self.txn.scan(&from[..]..&end(b't', &[])[..], 0, 1, false)?;
            let Some((key, _)) = first.first() else { break };
            let account = tail(key, 1).split('\0').next().unwrap_or_default().to_owned();
            from = end(b't', &[&account]);
            let count = self.txn.count(&start(b't', &[&account], None)[..]..&from[..])?;
            found.push((account, count));
        }
        Ok(found)
    }

    /// Ids that an index gives for a filter on id or name; `None` when the list must be walked.
    fn candidates(&self, filter: &Filter<'_>) -> Result<Option<Vec<String>>, Fault> {
        if let Some(id) = filter.id {
            return Ok(Some(vec![id.to_owned()]));
        }
        let Some(name) = filter.connection_name else { return Ok(None) };
        if let Some(tenant) = filter.tenant_id {
            return Ok(Some(self.holder(tenant, name)?.into_iter().collect()));
        }
        let prefix = fold(name);
        let range = (start(b'n', &[&prefix], None), end(b'n', &[&prefix]));
        let named = self.txn.scan(&range.0[..]..&range.1[..], 0, usize::MAX, false)?;
        let mut ids = named.iter().map(|(_, id)| decode(id)).collect::<Result<Vec<String>, _>>()?;
        ids.sort_unstable();
        Ok(Some(ids))
    }

    /// The next entries of the list of all connections, or of one account's.
    fn chunk(&self, tenant_id: Option<&str>, after: Option<&str>, limit: usize) -> Result<Vec<(String, Entry)>, Fault> {
        match tenant_id {
            None => {
                let range = (start(b'c', &[], after), end(b'c', &[]));
                let entries = self.txn.scan(&range.0[..]..&range.1[..], 0, limit, false)?;
                entries.iter().map(|(key, value)| Ok((tail(key, 1), decode(value)?))).collect()
            }
            Some(tenant) => {
                let range = (start(b't', &[tenant], after), end(b't', &[tenant]));
                let entries = self.txn.scan(&range.0[..]..&range.1[..], 0, limit, false)?;
                self.entries(entries.iter().map(|(key, _)| tail(key, tenant.len() + 2)).collect())
            }
        }
    }

    fn entries(&self, ids: Vec<String>) -> Result<Vec<(String, Entry)>, Fault> {
        let keys: Vec<_> = ids.iter().map(|id| key(b'c', &[id])).collect();
        let values = self.txn.get_many(&keys)?;
        let found = ids.into_iter().zip(values).filter_map(|(id, value)| Some((id, value?)));
        found.map(|(id, value)| Ok((id, decode(&value)?))).collect()
    }

    pub(super) fn read<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, Fault> {
        self.txn.get(key)?.map(|value| decode(&value)).transpose()
    }

    pub(super) fn write<T: Serialize>(&mut self, key: Vec<u8>, value: &T) {
        self.txn.put(key, serde_json::to_vec(value).unwrap_or_default());
        self.changed = true;
    }

    pub(super) fn erase(&mut self, key: Vec<u8>) {
        self.txn.remove(key);
        self.changed = true;
    }
}

impl Filter<'_> {
    fn passes(&self, id: &str, entry: &Entry) -> bool {
        self.tenant_id.is_none_or(|tenant| tenant == entry.tenant_id)
            && self.connection_name.is_none_or(|name| fold(name) == fold(&entry.connection_name))
            && self.source.is_none_or(|source| source == entry.source)
            && self.id.is_none_or(|wanted| wanted == id)
    }
}

/// A name as it is compared: blanks around it and case do not count.
pub fn fold(name: &str) -> String {
    name.trim().to_lowercase()
}

/// A key of the environment's tree: its kind and its parts with NUL between them, for no part holds one.
pub(super) fn key(kind: u8, parts: &[&str]) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(parts.join("\0").as_bytes());
    key
}

/// Where entries of a kind that share these parts begin, after the one whose last part is `after`.
pub(super) fn start(kind: u8, parts: &[&str], after: Option<&str>) -> Vec<u8> {
    let mut start = key(kind, parts);
    if !parts.is_empty() {
        start.push(0);
    }
    if let Some(after) = after {
        start.extend_from_slice(after.as_bytes());
        start.push(0);
    }
    start
}

/// Where they end.
pub(super) fn end(kind: u8, parts: &[&str]) -> Vec<u8> {
    if parts.is_empty() {
        return vec![kind + 1];
    }
    let mut end = key(kind, parts);
    end.push(1);
    end
}

/// The text after the first `skip` bytes of a key.
pub(super) fn tail(key: &[u8], skip: usize) -> String {
    String::from_utf8_lossy(key.get(skip..).unwrap_or_default()).into_owned()
}

pub(super) fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(value).map_err(|_| Fault::Damaged("an entry of the environment".into()))
}
