//! `scim-edge check`: whether every directory holds together.

use std::collections::HashMap;
use std::sync::Arc;

use scim_engine::connections::record::Record;
use scim_engine::connections::verify::Findings;
use scim_engine::scim::layout::{self, Kind};
use scim_engine::store::{DirectoryId, Head, Txn, View};
use scim_engine::{connections, scim};
use serde::Serialize;

use super::{Data, Keys, Offline, Snapshot};

/// Settings of `check`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    data: Data,
    /// Print one JSON document instead of lines
    #[arg(long)]
    json: bool,
}

/// What all directories are like.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether there is no problem anywhere. Orphans and unfinished work are none.
    pub sound: bool,
    /// Each directory, by name.
    pub directories: Vec<Examined>,
}

/// What a directory is like.
#[derive(Debug, Default, Serialize)]
pub struct Examined {
    /// Its name: a connection's id, `environment`, or `log-` and a connection's id.
    pub directory: String,
    /// The connection's name and account, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Number of commits so far.
    pub version: u64,
    /// Pages the head leads to.
    pub pages: usize,
    /// Entries in them.
    pub entries: u64,
    /// Users.
    pub users: u64,
    /// Groups.
    pub groups: u64,
    /// Pages nobody refers to: of commits that were cut off, or are under way. `scim-edge sweep` removes the former.
    pub orphans: usize,
    /// What a request was about to do when it was cut off, or is doing; the next one that meets it goes on.
    pub unfinished: Vec<String>,
    /// What is wrong.
    pub problems: Vec<String>,
}

/// `scim-edge check`: prints a report. Whether all is well.
///
/// # Errors
/// The data cannot be read.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    let report = examine_all(&options.data.open()?)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.directories.iter().for_each(Examined::print);
        let (count, bad) = (report.directories.len(), report.directories.iter().filter(|one| !one.is_sound()).count());
        println!("{count} directories, {bad} with problems");
    }
    Ok(report.sound)
}

/// Examines every directory.
///
/// # Errors
/// The store fails.
pub fn examine_all(offline: &Offline) -> anyhow::Result<Report> {
    let environment = DirectoryId::environment();
    // First of all: what it lists has been made by now, whatever servers do meanwhile.
    let listing = Snapshot::take(offline, &environment);
    let keys = offline.keys()?;
    let mut heads = HashMap::new();
    let mut directories = Vec::new();
    for directory in keys.directories().iter().filter(|directory| **directory != environment) {
        match Snapshot::take(offline, directory) {
            Err(error) => directories.push(Examined::unreadable(directory, &error)),
            Ok(snapshot) => {
                heads.insert(directory.clone(), Some(Arc::clone(snapshot.head())));
                directories.push(Examined::of(&snapshot, directory, &keys));
            }
        }
    }
    match listing {
        Ok(snapshot) => {
            let mut examined = Examined::of(&snapshot, &environment, &keys);
            if examined.is_sound() {
                examined.take(environment_findings(&snapshot, heads));
            }
            directories.insert(0, examined);
        }
        Err(_) if directories.is_empty() => {}
        Err(error) => directories.insert(0, Examined::unreadable(&environment, &error)),
    }
    Ok(Report { sound: directories.iter().all(Examined::is_sound), directories })
}

/// What the environment says of the other directories.
fn environment_findings(snapshot: &Snapshot, heads: HashMap<DirectoryId, Option<Arc<Head>>>) -> Findings {
    let read = snapshot.read(|own, _| {
        let heads = heads.into_iter().chain(own.heads.clone()).collect();
        connections::verify::verify(&View { heads, pages: snapshot })
    });
    read.unwrap_or_else(|error| Findings { problems: vec![format!("{error:#}")], unfinished: Vec::new() })
}

impl Examined {
    fn unreadable(directory: &DirectoryId, error: &anyhow::Error) -> Self {
        Self { directory: directory.as_str().to_owned(), problems: vec![format!("{error:#}")], ..Self::default() }
    }

    fn of(snapshot: &Snapshot, directory: &DirectoryId, keys: &Keys) -> Self {
        let head = snapshot.head();
        let record = Record::from_bytes(head.record());
        let mut examined = Self {
            directory: directory.as_str().to_owned(),
            connection: record.map(|record| format!("`{}` of `{}`", record.connection_name, record.tenant_id)),
            version: head.version(),
            pages: snapshot.size(),
            entries: snapshot.entries,
            orphans: snapshot.orphans(keys.pages(directory)).len(),
            problems: snapshot.problems.clone(),
            ..Self::default()
        };
        // What lies below a page that is missing would only be found missing again, in other words.
        if examined.is_sound() && directory.as_str() != DirectoryId::ENVIRONMENT {
            let verified = snapshot.read(|view, directory| {
                let Some(txn) = Txn::open(view, directory)? else { return Ok((0, 0, Vec::new())) };
                let count = |kind| {
                    let range = layout::under(&layout::resources(kind));
                    txn.count(&range.start..&range.end)
                };
                Ok((count(Kind::User)?, count(Kind::Group)?, scim::verify(&txn)?))
            });
            match verified {
                Ok((users, groups, problems)) => {
                    (examined.users, examined.groups, examined.problems) = (users, groups, problems);
                }
                Err(error) => examined.problems.push(format!("{error:#}")),
            }
        }
        examined
    }

    fn take(&mut self, findings: Findings) {
        self.problems.extend(findings.problems);
        self.unfinished.extend(findings.unfinished);
    }

    fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn print(&self) {
        let Self { directory, connection, pages, entries, users, groups, orphans, .. } = self;
        let what = connection
            .as_ref()
            .map_or_else(String::new, |connection| format!(" ({connection}: {users} users, {groups} groups)"));
        let state = if self.is_sound() { "sound" } else { "NOT SOUND" };
        println!("{directory}{what}: {pages} pages, {entries} entries, {orphans} orphan pages: {state}");
        self.unfinished.iter().for_each(|line| println!("  unfinished: {line}"));
        self.problems.iter().for_each(|line| println!("  problem: {line}"));
    }
}
