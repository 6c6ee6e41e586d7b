//! `scim-edge export` and `import`: a connection's directory as JSON lines.
//!
//! Each line is an object with one member, in this order:
//!
//! | Member | Value |
//! |---|---|
//! | `settings` | the connection's settings, with its extension schemas; one line, the first |
//! | `user` | a user as it is stored |
//! | `group` | a group as it is stored, without members |
//! | `member` | a membership: `group`, the group's id, beside what is stored of the member |
//!
//! Ids and `meta` are kept, but for `meta.version`: an import is one commit, and its version is every resource's.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, Write};

use anyhow::{Context, bail, ensure};
use scim_engine::connections::record::{MAX_SETTINGS, Record, Settings};
use scim_engine::schema::{Registry, ResourceType};
use scim_engine::scim::layout::{self, Index, Kind};
use scim_engine::store::{DirectoryId, Fault, PageId, Txn};
use scim_engine::{resource, scim};
use serde_json::{Map, Value, json};

use super::{Data, Offline, Snapshot};

/// Entries read at once.
const STEP: usize = 1000;
/// Entries of one commit: enough of them share pages.
const CHUNK: usize = 20_000;
/// Problems shown of an import that does not hold together.
const SHOWN: usize = 5;

/// Settings of `export` and `import`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    data: Data,
    /// Id of the connection
    #[arg(long, value_name = "ID")]
    connection: String,
}

type Object = Map<String, Value>;
type Entry = (Vec<u8>, Vec<u8>);

/// `scim-edge export`: writes the lines.
///
/// # Errors
/// There is no such connection, it is damaged, or the output is closed.
pub fn export(options: &Options, to: impl Write) -> anyhow::Result<()> {
    let directory = directory(&options.connection)?;
    write_lines(&Snapshot::take(&options.data.open()?, &directory)?, to)
}

/// `scim-edge import`: reads the lines into a connection without users and groups; how many.
///
/// # Errors
/// As [`read_lines`].
pub fn import(options: &Options, from: impl BufRead) -> anyhow::Result<usize> {
    read_lines(&options.data.open()?, &directory(&options.connection)?, from)
}

fn directory(id: &str) -> anyhow::Result<DirectoryId> {
    DirectoryId::new(id).with_context(|| format!("`{id}` is no connection id"))
}

/// Writes a directory as lines.
///
/// # Errors
/// It is damaged or no connection's, or the output is closed.
pub fn write_lines(snapshot: &Snapshot, mut to: impl Write) -> anyhow::Result<()> {
    ensure!(snapshot.problems.is_empty(), "{}; run `scim-edge check`", snapshot.problems.join("; "));
    let record = record(snapshot)?;
    writeln!(to, "{}", json!({ "settings": record.settings }))?;
    for kind in Kind::ALL {
        let name = kind.name().to_lowercase();
        each(snapshot, &layout::resources(kind), |_, value| {
            let resource: Value = serde_json::from_slice(value)?;
            Ok(writeln!(to, "{}", json!({ &name: resource }))?)
        })?;
    }
    each(snapshot, b"m", |key, value| {
        let (group, _) = layout::membership(key).context("a membership names no group: run `scim-edge check`")?;
        // Of a deleted group only memberships are left, for later writes to remove.
        if record.dissolving.contains(&group) {
            return Ok(());
        }
        let mut member: Object = serde_json::from_slice(value)?;
        member.insert("group".to_owned(), group.into());
        Ok(writeln!(to, "{}", json!({ "member": member }))?)
    })?;
    Ok(to.flush()?)
}

fn record(snapshot: &Snapshot) -> anyhow::Result<Record> {
    Record::from_bytes(snapshot.head().record()).filter(Record::is_live).context("there is no such connection")
}

fn each(
    snapshot: &Snapshot,
    prefix: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut range = layout::under(prefix);
    loop {
        let found = snapshot.read(|view, directory| scan(view, directory, &range.start, &range.end))?;
        found.iter().try_for_each(|(key, value)| visit(key, value))?;
        let Some((last, _)) = found.last().filter(|_| found.len() == STEP) else { return Ok(()) };
        range.start = [last, &[0][..]].concat();
    }
}

fn scan(
    view: &scim_engine::store::View<'_>,
    directory: &DirectoryId,
    start: &[u8],
    end: &[u8],
) -> Result<Vec<Entry>, Fault> {
    Txn::open(view, directory)?.map_or(Ok(Vec::new()), |txn| txn.scan(start..end, 0, STEP, false))
}

/// Reads lines into a connection that has no users and groups; how many. All or nothing: the pages are written first,
/// and one swap of the head installs them.
///
/// # Errors
/// The connection is not there or not empty, or has changed meanwhile; a line is not understood or does not fit.
pub fn read_lines(offline: &Offline, directory: &DirectoryId, from: impl BufRead) -> anyhow::Result<usize> {
    let mut snapshot = Snapshot::take(offline, directory)?;
    let record = record(&snapshot)?;
    for kind in [&b"u"[..], b"g", b"m"] {
        let range = layout::under(kind);
        let present = snapshot.read(|view, directory| scan(view, directory, &range.start, &range.end))?;
        ensure!(present.is_empty(), "the connection has users or groups already");
    }
    let (head, before) = (snapshot.head().clone(), snapshot.reached());
    let mut lines = Lines::of(record, head.version() + 1)?;
    let mut count = 0;
    for line in from.lines() {
        count += 1;
        lines.take(&line?, count).with_context(|| format!("line {count}"))?;
        if lines.entries.len() >= CHUNK {
            lines.put(offline, &mut snapshot)?;
        }
    }
    lines.put(offline, &mut snapshot)?;
    let problems = snapshot.read(|view, directory| match Txn::open(view, directory)? {
        Some(txn) => scim::verify(&txn),
        None => Ok(Vec::new()),
    })?;
    ensure!(problems.is_empty(), "{}", problems.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; "));
    install(offline, directory, &head, &before, &snapshot)?;
    Ok(count)
}

/// Stores what is new, swaps the head, and deletes what is left over of either.
fn install(
    offline: &Offline,
    directory: &DirectoryId,
    head: &scim_engine::store::Head,
    before: &HashSet<PageId>,
    after: &Snapshot,
) -> anyhow::Result<()> {
    let Some(nonce) = after.head().recent().first().filter(|_| after.head().version() > head.version()) else {
        return Ok(());
    };
    let new = after.new_pages(before);
    offline.store_pages(directory, &new)?;
    if !offline.install(directory, head.bytes(), after.head().bytes(), *nonce)? {
        offline.delete_pages(directory, &new.iter().map(|(id, _)| *id).collect::<Vec<_>>())?;
        bail!("the connection has changed meanwhile: nothing is imported; pause it and try again");
    }
    let reached = after.reached();
    let old: Vec<_> = before.difference(&reached).copied().collect();
    offline.delete_pages(directory, &old)
}

/// Lines on their way into a directory.
struct Lines {
    record: Record,
    registry: Registry,
    version: u64,
    entries: Vec<Entry>,
    changes_settings: bool,
    groups: HashSet<String>,
    /// What may be there once: the keys of resources and memberships, and unique values; with the line that has it.
    taken: HashMap<Vec<u8>, usize>,
    limit: usize,
}

impl Lines {
    fn of(record: Record, version: u64) -> anyhow::Result<Self> {
        let registry = registry(&record.settings)?;
        Ok(Self {
            record,
            registry,
            version,
            entries: Vec::new(),
            changes_settings: false,
            groups: HashSet::new(),
            taken: HashMap::new(),
            limit: scim_engine::env::Limits::default().resource,
        })
    }

    fn take(&mut self, line: &str, number: usize) -> anyhow::Result<()> {
        let Value::Object(line) = serde_json::from_str(line)? else { bail!("is no object") };
        let mut members = line.into_iter();
        match (members.next(), members.next()) {
            (Some((name, Value::Object(value))), None) => match name.as_str() {
                "settings" => self.settings(value, number),
                "user" => self.resource(Kind::User, value, number),
                "group" => self.resource(Kind::Group, value, number),
                "member" => self.member(value, number),
                _ => bail!("is no `settings`, `user`, `group` or `member`"),
            },
            _ => bail!("is no object with one member, an object"),
        }
    }

    fn settings(&mut self, value: Object, number: usize) -> anyhow::Result<()> {
        ensure!(number == 1, "settings have to come first");
        let settings: Settings = serde_json::from_value(value.into())?;
        ensure!(serde_json::to_vec(&settings)?.len() <= MAX_SETTINGS, "are larger than {MAX_SETTINGS} bytes");
        self.registry = registry(&settings)?;
        self.changes_settings = settings != self.record.settings;
        self.record.settings = settings;
        Ok(())
    }

    /// A resource must be what a client's request could have made of it. It takes the version of the commit: versions
    /// elsewhere mean nothing here.
    fn resource(&mut self, kind: Kind, mut stored: Object, number: usize) -> anyhow::Result<()> {
        let id = text(&stored, "id")?;
        ensure!(DirectoryId::new(&id).is_some(), "`{id}` is no id");
        ensure!(serde_json::to_vec(&stored)?.len() <= self.limit, "is larger than {} bytes", self.limit);
        fits(self.resource_type(kind), &stored)?;
        let meta = stored.get_mut("meta").and_then(Value::as_object_mut).context("has no `meta`")?;
        meta.insert("version".to_owned(), self.version.into());
        self.claim(layout::resource(kind, &id), number)?;
        for index in Index::of(kind).iter().filter(|index| index.unique()) {
            index.values(&stored).iter().try_for_each(|value| self.claim(index.exactly(value), number))?;
        }
        let keys = layout::index_keys(kind, &stored, &id);
        self.entries.push((layout::resource(kind, &id), serde_json::to_vec(&stored)?));
        self.entries.extend(keys.into_iter().map(|key| (key, Vec::new())));
        if kind == Kind::Group {
            self.groups.insert(id);
        }
        Ok(())
    }

    fn member(&mut self, mut stored: Object, number: usize) -> anyhow::Result<()> {
        let (group, id) = (text(&stored, "group")?, text(&stored, "value")?);
        ensure!(self.groups.contains(&group), "no line before has the group `{group}`");
        stored.shift_remove("group");
        // As the one member of a group, it is read as a client's would be.
        let alone = json!({ "displayName": "group", "members": [stored] });
        let accepted = resource::accept(&self.registry.group, &alone, true).map_err(refusal)?.resource;
        ensure!(accepted.get("members") == alone.get("members"), "is not as a member is stored");
        let key = layout::member(&group, &id);
        self.claim(key.clone(), number)?;
        self.entries.push((key, serde_json::to_vec(&stored)?));
        self.entries.push((layout::belongs(&id, &group), Vec::new()));
        Ok(())
    }

    fn resource_type(&self, kind: Kind) -> &ResourceType {
        match kind {
            Kind::User => &self.registry.user,
            Kind::Group => &self.registry.group,
        }
    }

    fn claim(&mut self, key: Vec<u8>, number: usize) -> anyhow::Result<()> {
        match self.taken.insert(key, number) {
            None => Ok(()),
            Some(other) => bail!("has an id or a unique value of line {other}"),
        }
    }

    /// Puts the entries so far into the snapshot; nothing of it is stored yet.
    fn put(&mut self, offline: &Offline, snapshot: &mut Snapshot) -> anyhow::Result<()> {
        let entries = std::mem::take(&mut self.entries);
        let record = std::mem::take(&mut self.changes_settings).then(|| self.record.to_bytes());
        if entries.is_empty() && record.is_none() {
            return Ok(());
        }
        let commit = offline.commit(snapshot, |txn| {
            entries.into_iter().for_each(|(key, value)| txn.put(key, value));
            record.into_iter().for_each(|record| txn.set_record(record));
            Ok(())
        })?;
        commit.map_or(Ok(()), |commit| snapshot.apply(commit))
    }
}

fn registry(settings: &Settings) -> anyhow::Result<Registry> {
    Registry::with_extensions(&settings.user_extensions, &settings.group_extensions).map_err(refusal)
}

/// A stored resource is what remains of it when it is read as a client's: every attribute known, of its type, and spelt as
/// its schema spells it.
fn fits(of: &ResourceType, stored: &Object) -> anyhow::Result<()> {
    let given: Object = stored
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "id" | "meta"))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    let accepted = resource::accept(of, &Value::Object(given.clone()), true).map_err(refusal)?.resource;
    let differing = given.iter().find(|(name, value)| accepted.get(*name) != Some(*value));
    match differing {
        Some((name, _)) => bail!("`{name}` is not as it is stored"),
        None => resource::check(of, stored).map_err(refusal),
    }
}

fn text(object: &Object, name: &str) -> anyhow::Result<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned).with_context(|| format!("has no `{name}`"))
}

fn refusal(error: scim_engine::error::ScimError) -> anyhow::Error {
    anyhow::anyhow!(error.detail)
}
