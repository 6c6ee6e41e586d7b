//! A connection's users, groups and memberships as JSON lines.
//!
//! Each line is an object with one member: `user` or `group`, the resource as it is stored, or `member`, a membership with
//! `group`, the group's id, beside what is stored of the member. Users come first, then groups, then memberships.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use scim_engine::env::{Config, Env, Timestamp};
use scim_engine::scim::layout::{self, Kind};
use scim_engine::store::{DirectoryId, Fault, Txn, head_key, page_key};
use serde_json::{Map, Value, json};

use super::{Data, Offline};
use crate::serve;

/// Entries read at once.
const STEP: usize = 1000;
/// Lines of one commit.
const BATCH: usize = 1000;

/// Settings of `export` and `import`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    data: Data,
    /// Id of the connection
    #[arg(long, value_name = "ID")]
    connection: String,
}

impl Options {
    fn directory(&self) -> anyhow::Result<DirectoryId> {
        DirectoryId::new(&self.connection).with_context(|| format!("`{}` is no connection id", self.connection))
    }
}

/// `scim-edge export`: writes the lines.
///
/// # Errors
/// There is no such connection, it is damaged, or the output is closed.
pub fn export(options: &Options, mut to: impl Write) -> anyhow::Result<()> {
    let (offline, directory) = (Offline::open(&options.data.data, false)?, options.directory()?);
    for kind in Kind::ALL {
        let name = kind.name().to_lowercase();
        each(&offline, &directory, &layout::resources(kind), |_, value| {
            let resource: Value = serde_json::from_slice(value)?;
            Ok(writeln!(to, "{}", json!({ &name: resource }))?)
        })?;
    }
    let mut groups = Vec::new();
    let prefix = layout::resources(Kind::Group);
    each(&offline, &directory, &prefix, |key, _| {
        groups.push(layout::tail(key, &prefix));
        Ok(())
    })?;
    for group in groups {
        each(&offline, &directory, &layout::members(&group), |_, value| {
            let mut member: Map<String, Value> = serde_json::from_slice(value)?;
            member.insert("group".to_owned(), group.as_str().into());
            Ok(writeln!(to, "{}", json!({ "member": member }))?)
        })?;
    }
    Ok(to.flush()?)
}

/// `scim-edge import`: reads the lines into a connection that has no users and groups yet; all or nothing.
///
/// # Errors
/// A server uses the data, the connection is not there or not empty, or a line is not understood.
pub fn import(options: &Options, from: impl BufRead) -> anyhow::Result<usize> {
    let _lock = serve::lock(&options.data.data)?;
    let (offline, directory) = (Offline::open(&options.data.data, true)?, options.directory()?);
    for kind in Kind::ALL {
        let range = layout::under(&layout::resources(kind));
        let present = offline.with_view(&directory, |view| open(view, &directory)?.count(&range.start..&range.end))?;
        ensure!(present == 0, "the connection has {present} {} already", kind.segment());
    }
    let mut imported = 0;
    let mut batch = Vec::new();
    for line in from.lines() {
        batch.push(serde_json::from_str::<Value>(&line?).with_context(|| format!("line {}", imported + 1))?);
        imported += 1;
        if batch.len() == BATCH {
            put(&offline, &directory, &std::mem::take(&mut batch))?;
        }
    }
    put(&offline, &directory, &batch)?;
    offline.commit()?;
    Ok(imported)
}

fn each(
    offline: &Offline,
    directory: &DirectoryId,
    prefix: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut range = layout::under(prefix);
    loop {
        let found = offline
            .with_view(directory, |view| open(view, directory)?.scan(&range.start..&range.end, 0, STEP, false))?;
        found.iter().try_for_each(|(key, value)| visit(key, value))?;
        let Some((last, _)) = found.last().filter(|_| found.len() == STEP) else { return Ok(()) };
        range.start = [last, &[0][..]].concat();
    }
}

fn open<'v>(view: &'v scim_engine::store::View<'v>, directory: &DirectoryId) -> Result<Txn<'v>, Fault> {
    Txn::open(view, directory)?.ok_or_else(|| Fault::Damaged("the head is gone".to_owned()))
}

fn put(offline: &Offline, directory: &DirectoryId, lines: &[Value]) -> anyhow::Result<()> {
    let version = offline.head(directory)?.version() + 1;
    let entries = lines.iter().map(|line| entries(line, version)).collect::<anyhow::Result<Vec<_>>>()?.concat();
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no entropy: {error}"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let config = Arc::new(Config::default());
    let env = Env::new(Timestamp(u64::try_from(now.as_millis())?), seed, 0, &config);
    let commit = offline.with_view(directory, |view| {
        let mut txn = open(view, directory)?;
        entries.iter().for_each(|(key, value)| txn.put(key.clone(), value.clone()));
        txn.commit(&env)
    })?;
    let Some(commit) = commit else { return Ok(()) };
    for (id, bytes) in &commit.pages {
        offline.set(&page_key(directory, id), bytes)?;
    }
    offline.set(&head_key(directory), &commit.head)?;
    commit.obsolete.iter().try_for_each(|id| offline.delete(&page_key(directory, id)))?;
    Ok(())
}

/// The entries a line stands for. A resource takes the version of the commit: versions elsewhere mean nothing here.
fn entries(line: &Value, version: u64) -> anyhow::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let text = |object: &Map<String, Value>, name: &str| {
        object.get(name).and_then(Value::as_str).map(str::to_owned).with_context(|| format!("a line has no `{name}`"))
    };
    for kind in Kind::ALL {
        let Some(Value::Object(resource)) = line.get(kind.name().to_lowercase()) else { continue };
        let id = text(resource, "id")?;
        let mut stored = resource.clone();
        stored
            .get_mut("meta")
            .and_then(Value::as_object_mut)
            .context("a line has no `meta`")?
            .insert("version".to_owned(), version.into());
        let mut entries = vec![(layout::resource(kind, &id), serde_json::to_vec(&stored)?)];
        entries.extend(layout::index_keys(kind, resource, &id).into_iter().map(|key| (key, Vec::new())));
        return Ok(entries);
    }
    let Some(Value::Object(member)) = line.get("member") else { bail!("a line is no user, group or member") };
    let (group, id) = (text(member, "group")?, text(member, "value")?);
    let stored: Map<String, Value> = member.clone().into_iter().filter(|(name, _)| name != "group").collect();
    Ok(vec![(layout::member(&group, &id), serde_json::to_vec(&stored)?), (layout::belongs(&id, &group), Vec::new())])
}
