//! The same operations through whole hosts, one client that asks one thing after the other: the Spin world on SQLite, the
//! filter in real Envoy in front of it, and the filter in local mode in real Envoy.
//!
//! What the engine does for an operation is the same in each of them, call by call; what differs is what a call costs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use scim_host_tests::deployment::{Deployment, Http};
use scim_host_tests::idp::Idp;
use scim_host_tests::prepared::Prepared;
use scim_host_tests::server::{Front, Server};
use serde_json::{Map, Value, json};

use crate::process;
use crate::suite::person;
use crate::verb;
use crate::world::{BULK, operation};

/// Operations of one Bulk request while loading.
const LOAD: usize = 500;

/// Sizes of the groups that members come to and leave.
const GROUPS: [usize; 4] = [0, 1000, 50_000, 500_000];

/// Groups of a busy user.
const CROWDS: usize = 100;

/// Users that have room in the table of local mode.
const LOCAL_USERS: usize = 100_000;

const SPIN: &str = "the Spin world on SQLite";
const ENVOY: &str = "the filter in Envoy, in front of it";
const LOCAL: &str = "the filter in Envoy, in local mode";

/// Operations through whole hosts.
#[derive(Args)]
pub struct Hosts {
    /// Users of each directory, the first of which is the baseline
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000,1000000")]
    users: Vec<usize>,
    /// Requests of each operation
    #[arg(long, default_value_t = 200)]
    samples: usize,
    /// Directory on the disk to measure
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
}

/// One operation in one host: medians, and means of CPU.
struct Measured {
    name: String,
    time: Duration,
    cpu: f64,
}

/// What one host took for each operation, by the size of the directory.
type Columns = Vec<(usize, Vec<Measured>)>;

/// One way to a directory in running processes.
struct Way {
    name: &'static str,
    idp: Idp<Deployment>,
}

/// What a directory holds.
struct Filled {
    users: Vec<String>,
    /// Users in no group, so many for each way.
    spare: Vec<String>,
    /// Users in 100 groups, so many for each way.
    busy: Vec<String>,
    /// Sizes and paths.
    groups: Vec<(usize, String)>,
}

/// Measures and prints.
///
/// # Errors
/// A host does not start, or refuses a request.
pub fn measure(hosts: &Hosts) -> Result<()> {
    std::fs::create_dir_all(&hosts.directory)?;
    let mut columns: BTreeMap<&'static str, Columns> = BTreeMap::new();
    for users in &hosts.users {
        let data = hosts.directory.join("data");
        let _old = std::fs::remove_dir_all(&data);
        let server = Server::start(&data, Front::Envoy)?;
        let spin = Idp::connected(server.origin()?)?;
        let envoy = Idp { connection: spin.connection.clone(), target: server.front()? };
        let ways = [Way { name: SPIN, idp: spin }, Way { name: ENVOY, idp: envoy }];
        hosts.run(*users, &server, &ways, &mut columns)?;
    }
    for users in hosts.users.iter().filter(|users| **users <= LOCAL_USERS) {
        let data = hosts.directory.join("data");
        let _old = std::fs::remove_dir_all(&data);
        let (server, target) = local(&data, &hosts.directory)?;
        hosts.run(*users, &server, &[Way { name: LOCAL, idp: Idp::connected(target)? }], &mut columns)?;
    }
    for (name, columns) in &columns {
        print(name, columns);
    }
    Ok(())
}

fn print(name: &str, columns: &Columns) {
    println!("{name}: median time and mean CPU of all its processes, us");
    print!("{:28}", "operation");
    columns.iter().for_each(|(users, _)| print!(" {:>26}", format!("{users} users")));
    println!();
    let (Some((_, base)), Some((_, rows))) = (columns.first(), columns.last()) else { return };
    for Measured { name, .. } in rows {
        print!("{name:28}");
        // A group that the first directory is too small for is compared with its largest.
        let kin = base.iter().rfind(|other| verb(&other.name) == verb(name));
        let first = base.iter().find(|other| other.name == *name).or(kin).map_or(1.0, |first| first.cpu.max(1.0));
        for (_, measured) in columns {
            match measured.iter().find(|one| one.name == *name) {
                Some(one) => print!(" {:>8} {:>9.0} {:>6.2}x", one.time.as_micros(), one.cpu, one.cpu / first),
                None => print!(" {:>26}", "-"),
            }
        }
        println!();
    }
    println!();
}

impl Hosts {
    /// Fills a directory, and measures every way to it.
    fn run(
        &self,
        users: usize,
        server: &Server,
        ways: &[Way],
        columns: &mut BTreeMap<&'static str, Columns>,
    ) -> Result<()> {
        let Some(first) = ways.first() else { return Ok(()) };
        let start = Instant::now();
        let filled = fill(&first.idp, users, self.samples * ways.len())?;
        eprintln!("{users} users made in {} s: {}", start.elapsed().as_secs(), first.name);
        for (turn, way) in ways.iter().enumerate() {
            let mut run = Run { way, server, samples: self.samples, measured: Vec::new() };
            run.measure(&filled, turn)?;
            columns.entry(way.name).or_default().push((users, run.measured));
        }
        Ok(())
    }
}

fn fill(idp: &Idp<Deployment>, users: usize, spare: usize) -> Result<Filled> {
    let mut ids = load(idp, "/Users", (0..users + 2 * spare).map(person))?;
    let busy = ids.split_off(users + spare);
    let spare = ids.split_off(users);
    let crowd: Vec<Value> = busy.iter().map(|id| json!({ "value": id })).collect();
    for number in 0..CROWDS {
        idp.accept("POST", "/Groups", Some(&json!({ "displayName": format!("Crowd {number}"), "members": crowd })))?;
    }
    let sizes = GROUPS.into_iter().filter(|size| *size <= users);
    let made = load(idp, "/Groups", sizes.clone().map(|size| json!({ "displayName": format!("Group of {size}") })))?;
    let groups = sizes.zip(made).map(|(size, id)| (size, format!("/Groups/{id}?excludedAttributes=members")));
    let groups: Vec<_> = groups.collect();
    for (size, path) in &groups {
        for some in ids.get(..*size).context("too few users")?.chunks(LOAD) {
            let value: Vec<Value> = some.iter().map(|id| json!({ "value": id, "type": "User" })).collect();
            idp.accept("PATCH", path, Some(&operation("add", "members", &Value::Array(value))))?;
        }
    }
    Ok(Filled { users: ids, spare, busy, groups })
}

/// Makes resources in large steps; their ids.
fn load(idp: &Idp<Deployment>, endpoint: &str, resources: impl Iterator<Item = Value>) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut resources = resources.enumerate().peekable();
    while resources.peek().is_some() {
        let operation = |(at, data): (usize, Value)| json!({ "method": "POST", "path": endpoint, "bulkId": format!("b{at}"), "data": data });
        let operations: Vec<Value> = resources.by_ref().take(LOAD).map(operation).collect();
        let done = idp.accept("POST", "/Bulk", Some(&json!({ "schemas": [BULK], "Operations": operations })))?;
        let made = done["Operations"].as_array().context("no operations")?;
        ensure!(made.len() == operations.len(), "only {} of {} were made", made.len(), operations.len());
        for one in made {
            let id = one["location"].as_str().and_then(|location| location.rsplit('/').next());
            ids.push(id.with_context(|| format!("not created: {one}"))?.to_owned());
        }
    }
    Ok(ids)
}

/// The operations by one way.
struct Run<'a> {
    way: &'a Way,
    server: &'a Server,
    samples: usize,
    measured: Vec<Measured>,
}

impl Run<'_> {
    /// Reads first, so that an edge finds out what it costs to have nothing yet. Whichever turn it is, every write changes
    /// something.
    fn measure(&mut self, filled: &Filled, turn: usize) -> Result<()> {
        let Filled { users, spare, busy, groups } = filled;
        let any = |i: usize| i.wrapping_mul(7919) % users.len();
        let user = |i: usize| format!("/Users/{}", users[any(i)]);
        let offset = self.samples * turn;
        for time in ["", ", again"] {
            self.sample(&format!("get a user by id{time}"), |i| ("GET", user(i), None))?;
            self.sample(&format!("filter by userName{time}"), |i| {
                let name = person(any(i))["userName"].as_str().unwrap_or_default().to_owned();
                ("GET", format!("/Users?filter=userName%20eq%20%22{name}%22"), None)
            })?;
        }
        for (place, index) in [("start", 1), ("middle", users.len() / 2), ("end", users.len() - 50)] {
            let path = format!("/Users?startIndex={index}&count=50");
            self.sample(&format!("list 50, {place}"), |_| ("GET", path.clone(), None))?;
        }
        let page = self.way.idp.accept("GET", "/Users?cursor&count=100", None)?;
        let cursor = page["nextCursor"].as_str().context("no cursor")?;
        self.sample("list 50 by cursor", |_| ("GET", format!("/Users?cursor={cursor}&count=50"), None))?;
        let first = users.len() + spare.len() + busy.len() + offset;
        self.sample("create a user", |i| ("POST", "/Users".into(), Some(person(first + i))))?;
        let active = json!(turn % 2 == 1);
        self.sample("PATCH active", |i| ("PATCH", user(i), Some(operation("replace", "active", &active))))?;
        for (size, group) in groups {
            self.sample(&format!("add a member to {size}"), |i| {
                let member = json!([{ "value": spare[offset + i] }]);
                ("PATCH", group.clone(), Some(operation("add", "members", &member)))
            })?;
            self.sample(&format!("remove a member of {size}"), |i| {
                let member = format!("members[value eq \"{}\"]", spare[offset + i]);
                ("PATCH", group.clone(), Some(operation("remove", &member, &Value::Null)))
            })?;
        }
        self.sample("delete a user in 100 groups", |i| ("DELETE", format!("/Users/{}", busy[offset + i]), None))
    }

    fn sample(&mut self, name: &str, asked: impl Fn(usize) -> (&'static str, String, Option<Value>)) -> Result<()> {
        let mut times = Vec::new();
        let before = self.cpu()?;
        for i in 0..self.samples {
            let (method, path, body) = asked(i);
            let start = Instant::now();
            let answer = self.way.idp.send(method, &path, body.as_ref())?;
            times.push(start.elapsed());
            ensure!((200..300).contains(&answer.status), "{method} {path}: {}", answer.brief());
        }
        let cpu = (self.cpu()? - before) * 1e6 / u32::try_from(self.samples).map(f64::from)?;
        times.sort_unstable();
        let time = times.get(times.len() / 2).copied().unwrap_or_default();
        self.measured.push(Measured { name: name.to_owned(), time, cpu });
        Ok(())
    }

    /// Seconds of CPU that all processes of the host have used.
    fn cpu(&self) -> Result<f64> {
        self.server.ready.pids.values().map(|pid| process::cpu(*pid)).sum()
    }
}

/// Envoy with nothing behind it.
fn local(data: &Path, directory: &Path) -> Result<(Server, Deployment)> {
    let prepared = Prepared::new(std::iter::once(Map::new()));
    let file = directory.join("local.json");
    std::fs::write(&file, prepared.document()?.to_string())?;
    let server = Server::start_with(data, Front::Envoy, &["--local", &file.to_string_lossy()])?;
    let front = server.ready.front.as_deref().context("no front")?;
    let target = Deployment::local(Box::new(Http::new(front)), prepared);
    Ok((server, target))
}
