//! The same operations through whole hosts, one client that asks one thing after the other: the Spin world on SQLite, the
//! filter in real Envoy in front of it, and the filter in local mode in real Envoy.
//!
//! What the engine does for an operation is the same in each of them, call by call; what differs is what a call costs.

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
use crate::world::{BULK, operation};

/// Operations of one Bulk request while loading.
const LOAD: usize = 500;

/// Operations through whole hosts.
#[derive(Args)]
pub struct Hosts {
    /// Users of each directory, the first of which is the baseline
    #[arg(long, value_delimiter = ',', default_value = "1000,50000")]
    users: Vec<usize>,
    /// Requests of each operation
    #[arg(long, default_value_t = 200)]
    samples: usize,
    /// Only hosts whose name contains this text
    #[arg(long, default_value = "")]
    only: String,
    /// Directory on the disk to measure
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Host {
    Spin,
    Envoy,
    Local,
}

/// One operation in one host: medians, and means of CPU.
struct Measured {
    name: String,
    time: Duration,
    cpu: f64,
}

/// A directory in a running host.
struct Directory {
    idp: Idp<Deployment>,
    server: Server,
    samples: usize,
    measured: Vec<Measured>,
}

/// Measures and prints.
///
/// # Errors
/// A host does not start, or refuses a request.
pub fn measure(hosts: &Hosts) -> Result<()> {
    std::fs::create_dir_all(&hosts.directory)?;
    let known = [
        (Host::Spin, "the Spin world on SQLite"),
        (Host::Envoy, "the filter in Envoy, in front of it"),
        (Host::Local, "the filter in Envoy, in local mode"),
    ];
    for (host, name) in known.into_iter().filter(|(_, name)| name.contains(&hosts.only)) {
        let columns = hosts.users.iter().map(|users| Directory::start(host, hosts)?.measure(*users));
        print(name, &hosts.users, &columns.collect::<Result<Vec<_>>>()?);
    }
    Ok(())
}

fn print(name: &str, users: &[usize], columns: &[Vec<Measured>]) {
    println!("{name}: median time and mean CPU of all its processes, us");
    print!("{:28}", "operation");
    users.iter().for_each(|users| print!(" {:>26}", format!("{users} users")));
    println!();
    let Some(base) = columns.first() else { return };
    for (at, first) in base.iter().enumerate() {
        print!("{:28}", first.name);
        for one in columns.iter().filter_map(|column| column.get(at)) {
            let (time, grown) = (one.time.as_micros(), one.cpu / first.cpu.max(1.0));
            print!(" {time:>8} {:>9.0} {grown:>6.2}x", one.cpu);
        }
        println!();
    }
    println!();
}

impl Directory {
    fn start(host: Host, hosts: &Hosts) -> Result<Self> {
        let data = hosts.directory.join("data");
        let _old = std::fs::remove_dir_all(&data);
        let (server, target) = match host {
            Host::Spin => {
                let server = Server::start(&data, Front::None)?;
                let target = server.origin()?;
                (server, target)
            }
            Host::Envoy => {
                let server = Server::start(&data, Front::Envoy)?;
                let target = server.front()?;
                (server, target)
            }
            Host::Local => local(&data, &hosts.directory)?,
        };
        let idp = Idp::connected(target)?;
        Ok(Self { idp, server, samples: hosts.samples, measured: Vec::new() })
    }

    fn measure(mut self, users: usize) -> Result<Vec<Measured>> {
        let samples = self.samples;
        let ids = self.load("/Users", (0..users + samples).map(person))?;
        let (members, spare) = ids.split_at_checked(users).context("too few users")?;
        let any = |i: usize| format!("/Users/{}", members[i.wrapping_mul(7919) % users]);
        let groups = self.load("/Groups", ["None", "All"].iter().map(|name| json!({ "displayName": name })))?;
        let [none, all] = [0, 1].map(|at| format!("/Groups/{}?excludedAttributes=members", groups[at]));
        for some in members.chunks(LOAD) {
            let value: Vec<Value> = some.iter().map(|id| json!({ "value": id, "type": "User" })).collect();
            self.idp.accept("PATCH", &all, Some(&operation("add", "members", &Value::Array(value))))?;
        }
        let first = users + samples;
        self.sample("create a user", |i| ("POST", "/Users".into(), Some(person(first + i))))?;
        self.sample("get a user by id", |i| ("GET", any(i), None))?;
        self.sample("filter by userName", |i| {
            let name = person(i.wrapping_mul(7919) % users)["userName"].as_str().unwrap_or_default().to_owned();
            ("GET", format!("/Users?filter=userName%20eq%20%22{name}%22"), None)
        })?;
        self.sample("PATCH active", |i| ("PATCH", any(i), Some(operation("replace", "active", &json!(i % 2 == 1)))))?;
        for (place, index) in [("start", 1), ("middle", users / 2), ("end", users - 50)] {
            let path = format!("/Users?startIndex={index}&count=50");
            self.sample(&format!("list 50, {place}"), |_| ("GET", path.clone(), None))?;
        }
        for (name, group) in [("an empty group", &none), ("a group of all", &all)] {
            self.sample(&format!("add a member to {name}"), |i| {
                ("PATCH", group.clone(), Some(operation("add", "members", &json!([{ "value": spare[i] }]))))
            })?;
        }
        Ok(self.measured)
    }

    /// Makes resources in large steps; their ids.
    fn load(&self, endpoint: &str, resources: impl Iterator<Item = Value>) -> Result<Vec<String>> {
        let operation =
            |(at, data)| json!({ "method": "POST", "path": endpoint, "bulkId": format!("b{at}"), "data": data });
        let operations: Vec<Value> = resources.enumerate().map(operation).collect();
        let mut ids = Vec::new();
        for some in operations.chunks(LOAD) {
            let done = self.idp.accept("POST", "/Bulk", Some(&json!({ "schemas": [BULK], "Operations": some })))?;
            for one in done["Operations"].as_array().into_iter().flatten() {
                let id = one["location"].as_str().and_then(|location| location.rsplit('/').next());
                ids.push(id.with_context(|| format!("not created: {one}"))?.to_owned());
            }
        }
        ensure!(ids.len() == operations.len(), "only {} of {} were created", ids.len(), operations.len());
        Ok(ids)
    }

    fn sample(&mut self, name: &str, asked: impl Fn(usize) -> (&'static str, String, Option<Value>)) -> Result<()> {
        let mut times = Vec::new();
        let before = self.cpu()?;
        for i in 0..self.samples {
            let (method, path, body) = asked(i);
            let start = Instant::now();
            let answer = self.idp.send(method, &path, body.as_ref())?;
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
