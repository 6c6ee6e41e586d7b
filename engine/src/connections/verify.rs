//! Whether the environment and the connections it lists belong together: what no sequence of requests may ever break.
//!
//! The rules are checked from the stored entries alone, apart from the code that writes them. What a crash between two
//! commits leaves is no problem: it counts as absent, and the next request that meets it finishes the work.

use std::collections::BTreeMap;

use crate::connections::environment::{Entry, Environment, Leftover, decode, fold, key, tail};
use crate::connections::record::Record;
use crate::connections::role::Role;
use crate::log;
use crate::store::{DirectoryId, Fault, Head, View};

/// What is wrong, and what a crash left unfinished; one line each, naming ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What must not be.
    pub problems: Vec<String>,
    /// What a request was about to do when it was cut off.
    pub unfinished: Vec<String>,
}

/// Checks the environment against the heads of all directories, which `view` has to hold.
///
/// Every index entry has its connection or role and the other way round; every listed connection has a head of the same
/// account, and a log; what is listed as left by a deletion is deleted; the queue of removals is what the list says.
///
/// # Errors
/// [`Fault::Need`] for pages not at hand, [`Fault::Damaged`] for entries that cannot be read.
pub fn verify(view: &View<'_>) -> Result<Findings, Fault> {
    let environment = Environment::open(view)?;
    let entries = environment.txn.scan(&[]..&[0xff, 0xff], 0, usize::MAX, false)?;
    let mut check = Check { entries: entries.into_iter().collect(), view, findings: Findings::default() };
    check.kinds();
    check.connections()?;
    check.leftovers(&environment.settings().removing)?;
    check.roles()?;
    check.strangers();
    Ok(check.findings)
}

struct Check<'v> {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    view: &'v View<'v>,
    findings: Findings,
}

impl Check<'_> {
    fn expect(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.findings.problems.push(problem());
        }
    }

    /// Entries of a kind: their keys without it, and their values.
    fn of(&self, kind: u8) -> Vec<(String, Vec<u8>)> {
        let range = vec![kind]..vec![kind + 1];
        self.entries.range(range).map(|(key, value)| (tail(key, 1), value.clone())).collect()
    }

    fn kinds(&mut self) {
        let known = |key: &Vec<u8>| matches!(key.first(), Some(b'c' | b't' | b'n' | b'x' | b'r' | b'k'));
        let foreign = self.entries.keys().filter(|key| !known(key)).count();
        self.expect(foreign == 0, || format!("{foreign} entries are of no known kind"));
    }

    /// An index holds exactly these entries.
    fn index(&mut self, kind: u8, name: &str, expected: &BTreeMap<Vec<u8>, String>) {
        for (key, id) in expected {
            let found = self.entries.contains_key(key);
            self.expect(found, || format!("`{id}` is missing from the list by {name}"));
        }
        let range = vec![kind]..vec![kind + 1];
        let foreign = self.entries.range(range).filter(|(key, _)| !expected.contains_key(*key)).count();
        self.expect(foreign == 0, || format!("{foreign} entries of the list by {name} lead nowhere"));
    }

    fn head(&self, id: &str) -> Option<&Head> {
        self.view.heads.get(&DirectoryId::new(id)?)?.as_deref()
    }

    fn record(&self, id: &str) -> Option<Record> {
        Record::from_bytes(self.head(id)?.record())
    }

    fn connections(&mut self) -> Result<(), Fault> {
        let (mut accounts, mut names) = (BTreeMap::new(), BTreeMap::new());
        for (id, value) in self.of(b'c') {
            let entry: Entry = decode(&value)?;
            self.connection(&id, &entry);
            accounts.insert(key(b't', &[&entry.tenant_id, &id]), id.clone());
            let name = key(b'n', &[&fold(&entry.connection_name), &entry.tenant_id]);
            let holder = self.entries.get(&name).map(|value| decode::<String>(value)).transpose()?;
            let other = holder.is_some_and(|holder| holder != id);
            self.expect(!other, || format!("the name of `{id}` is held by another"));
            names.insert(name, id);
        }
        self.index(b't', "account", &accounts);
        self.index(b'n', "name", &names);
        Ok(())
    }

    /// The directory of a listed connection.
    fn connection(&mut self, id: &str, entry: &Entry) {
        let Some(record) = self.record(id) else {
            return self.findings.problems.push(format!("`{id}` is listed and has no directory"));
        };
        self.expect(record.tenant_id == entry.tenant_id, || format!("`{id}` is listed for another account"));
        if !record.is_live() {
            self.findings.unfinished.push(format!("the deletion of `{id}` was cut off"));
        } else if record.connection_name != entry.connection_name {
            self.findings.unfinished.push(format!("the renaming of `{id}` was cut off"));
        }
        let log = DirectoryId::new(id).and_then(|id| log::directory(&id));
        let logged = log.is_none_or(|log| self.head(log.as_str()).is_some());
        self.expect(logged, || format!("`{id}` has no log"));
    }

    fn leftovers(&mut self, removing: &[String]) -> Result<(), Fault> {
        let mut queued = Vec::new();
        for (id, value) in self.of(b'x') {
            let leftover: Leftover = decode(&value)?;
            let deleted = self.record(&id).is_some_and(|record| !record.is_live());
            self.expect(deleted, || format!("`{id}` is listed as deleted and is not"));
            let listed = self.entries.contains_key(&key(b'c', &[&id]));
            self.expect(!listed, || format!("`{id}` is listed both as a connection and as deleted"));
            queued.extend(leftover.removing.then_some(id));
        }
        let mut expected = removing.to_vec();
        expected.sort_unstable();
        self.expect(queued == expected, || "the queue of removals is not what the list says".to_owned());
        Ok(())
    }

    fn roles(&mut self) -> Result<(), Fault> {
        let mut keys = BTreeMap::new();
        for (id, value) in self.of(b'r') {
            let role: Role = decode(&value)?;
            self.expect(role.id == id, || format!("role `{id}` has another `id`"));
            keys.insert(key(b'k', &[&role.key]), id);
        }
        self.index(b'k', "role key", &keys);
        Ok(())
    }

    /// Directories that are no connection's and no log's. A deleted connection of which nothing is left keeps its head.
    fn strangers(&mut self) {
        let unlisted =
            |id: &str| !self.entries.contains_key(&key(b'c', &[id])) && !self.entries.contains_key(&key(b'x', &[id]));
        let live = |id: &str| self.record(id).is_some_and(|record| record.is_live());
        let ids = self.view.heads.keys().map(DirectoryId::as_str);
        let mut lost: Vec<_> = ids.filter(|id| unlisted(id) && live(id)).map(str::to_owned).collect();
        lost.sort_unstable();
        self.findings.unfinished.extend(lost.iter().map(|id| format!("the creation of `{id}` was cut off")));
    }
}
