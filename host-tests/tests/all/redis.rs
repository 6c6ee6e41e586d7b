//! Directories in a real Redis, through Spin's store of that name: every swap is reported as failed, and several nodes
//! write at once.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::Trial;
use scim_host_tests::deployment::Deployment;
use scim_host_tests::idp::{Idp, patch, user};
use scim_host_tests::message::Answer;
use scim_host_tests::place;
use scim_host_tests::redis::Redis;
use scim_host_tests::server::{Front, Server};
use serde_json::{Value, json};

use crate::shared::trial;

/// Clients of each node.
const CLIENTS: usize = 3;
/// Users each client makes.
const USERS: usize = 12;

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("redis::a_swap_is_always_reported_as_failed_and_the_write_is_there", untruthful_swap),
        trial("redis::of_many_writers_on_two_nodes_none_loses_a_write", many_writers),
        trial("redis::of_rivals_for_one_name_on_two_nodes_one_wins", rivals),
        trial("redis::a_node_goes_on_after_kill_9_of_its_store", store_killed),
    ]
}

/// An identity provider at one node.
struct Client(Idp<Deployment>);

impl Client {
    fn new(deployment: Deployment) -> Result<Self> {
        Idp::connected(deployment).map(Self)
    }

    /// The same identity provider, at that node.
    fn at(&self, deployment: Deployment) -> Self {
        Self(Idp { target: deployment, connection: self.0.connection.clone() })
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.0.send(method, path, body)
    }

    /// Sends until the store can be reached and the race is won: 503 asks for that.
    fn insist(&self, method: &str, path: &str, body: &Value) -> Result<Answer> {
        for _ in 0..20 {
            let answer = self.send(method, path, Some(body))?;
            if answer.status != 503 {
                return Ok(answer);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.send(method, path, Some(body))
    }

    fn group(&self) -> Result<String> {
        let made = self.insist("POST", "/Groups", &json!({ "displayName": "Everybody" }))?;
        made.json()["id"].as_str().map(str::to_owned).with_context(|| made.brief())
    }

    /// A user in the group. What a lost answer left behind is taken up where it was.
    fn join(&self, group: &str, name: &str) -> Result<String> {
        let made = self.insist("POST", "/Users", &user(name))?;
        let id = match made.status {
            201 => made.json()["id"].as_str().map(str::to_owned),
            409 => self.find(name)?,
            _ => None,
        };
        let id = id.with_context(|| made.brief())?;
        let change = patch("add", "members", &json!([{ "value": id }]));
        let path = format!("/Groups/{group}?excludedAttributes=members");
        let added = self.insist("PATCH", &path, &change)?;
        ensure!(added.status == 200, "{}", added.brief());
        Ok(id)
    }

    fn find(&self, name: &str) -> Result<Option<String>> {
        let found = self.send("GET", &format!("/Users?filter=userName%20eq%20%22{name}%22"), None)?.json();
        Ok(found["Resources"][0]["id"].as_str().map(str::to_owned))
    }

    /// Everybody is there by name and as a member, and nobody else.
    fn has_all(&self, group: &str, everybody: &[(String, String)]) -> Result<()> {
        let group = self.send("GET", &format!("/Groups/{group}"), None)?.json();
        let members = group["members"].as_array().into_iter().flatten().filter_map(|member| member["value"].as_str());
        let members: BTreeSet<&str> = members.collect();
        let expected: BTreeSet<&str> = everybody.iter().map(|(id, _)| id.as_str()).collect();
        ensure!(members == expected, "{} members, {} were acknowledged", members.len(), expected.len());
        for (id, name) in everybody {
            ensure!(self.find(name)?.as_deref() == Some(id), "{name} cannot be looked up");
        }
        let total = self.send("GET", "/Users?count=0", None)?.json()["totalResults"].clone();
        ensure!(total == everybody.len(), "{total} users, {} were acknowledged", everybody.len());
        Ok(())
    }
}

/// Two nodes of one deployment: the same store, the same credentials.
struct Nodes {
    servers: Vec<Server>,
    redis: Redis,
    _data: tempfile::TempDir,
}

impl Nodes {
    fn start() -> Result<Self> {
        let (redis, data) = (Redis::start()?, tempfile::tempdir()?);
        let first = Server::start_on(&data.path().join("first"), Front::None, Some(&redis))?;
        let second = data.path().join("second");
        std::fs::create_dir(&second)?;
        share_credentials(&data.path().join("first"), &second)?;
        let second = Server::start_on(&second, Front::None, Some(&redis))?;
        Ok(Self { servers: vec![first, second], redis, _data: data })
    }

    /// Clients of one connection, so many at each node.
    fn clients(&self, each: usize) -> Result<Vec<Client>> {
        let first = Client::new(self.servers[0].origin()?)?;
        let nodes = self.servers.iter().flat_map(|server| std::iter::repeat_n(server, each));
        nodes.map(|server| Ok(first.at(server.origin()?))).collect()
    }
}

fn share_credentials(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from.join("credentials.json"), to.join("credentials.json"))?;
    Ok(())
}

/// What the server counts: so many transactions ran, and after each a swap was reported as failed, for Redis refused the
/// `UNWATCH` that Spin sends with a key. Nothing asked for a batch of reads, which Redis would refuse too.
fn untruthful_swap() -> Result<()> {
    let (redis, data) = (Redis::start()?, tempfile::tempdir()?);
    let server = Server::start_on(&data.path().join("data"), Front::None, Some(&redis))?;
    let client = Client::new(server.origin()?)?;
    let before = redis.command_figure("exec", "calls")?;
    for n in 0..USERS {
        let made = client.send("POST", "/Users", Some(&user(&format!("user-{n}"))))?;
        ensure!(made.status == 201, "{}", made.brief());
        let read = client.send("GET", &format!("/Users/{}", made.json()["id"].as_str().unwrap_or_default()), None)?;
        ensure!(read.status == 200, "an acknowledged write is not there: {}", read.brief());
    }
    let swaps = redis.command_figure("exec", "calls")?;
    ensure!(swaps >= before + u64::try_from(USERS)?, "{USERS} writes were {} transactions", swaps - before);
    let refused = redis.command_figure("unwatch", "rejected_calls")?;
    ensure!(refused == swaps, "of {swaps} swaps {refused} were reported as failed");
    ensure!(redis.command_figure("unwatch", "calls")? == 0, "some swap was reported as done");
    ensure!(redis.command_figure("keys", "calls")? == 0, "a batch was read");
    Ok(())
}

fn many_writers() -> Result<()> {
    let nodes = Nodes::start()?;
    let clients = nodes.clients(CLIENTS)?;
    let group = clients[0].group()?;
    let everybody = Mutex::new(Vec::new());
    all_join(&clients, &group, &everybody)?;
    let everybody = everybody.into_inner()?;
    ensure!(everybody.len() == clients.len() * USERS, "only {} users were acknowledged", everybody.len());
    for (node, client) in clients.iter().step_by(CLIENTS).enumerate() {
        client.has_all(&group, &everybody).with_context(|| format!("at node {node}"))?;
    }
    is_sound(&nodes.redis)
}

/// `scim-edge check` on the store, beside whatever serves from it.
fn is_sound(redis: &Redis) -> Result<()> {
    let mut check = Command::new(place::program()?);
    check.args(["check", "--json", "--runtime-config-file"]).arg(redis.runtime_config()?);
    let output = check.output().context("`scim-edge` cannot be started")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    Ok(())
}

fn rivals() -> Result<()> {
    let nodes = Nodes::start()?;
    let clients = nodes.clients(CLIENTS)?;
    for round in 0..USERS {
        let (won, lost) = (AtomicUsize::new(0), AtomicUsize::new(0));
        at_once(&clients, |_, client| {
            let made = client.insist("POST", "/Users", &user(&format!("the-one-{round}")))?;
            match made.status {
                201 => won.fetch_add(1, Ordering::Relaxed),
                409 => lost.fetch_add(1, Ordering::Relaxed),
                _ => return Err(anyhow!("{}", made.brief())),
            };
            Ok(())
        })?;
        // One whose answer was 503 may have won and been refused by its own user when it asked again.
        let (won, lost) = (won.into_inner(), lost.into_inner());
        ensure!(won <= 1 && won + lost == clients.len(), "{won} made the same user, {lost} were refused");
        let path = format!("/Users?filter=userName%20eq%20%22the-one-{round}%22");
        let found = clients[0].send("GET", &path, None)?.json();
        ensure!(found["totalResults"] == 1, "{found}");
    }
    Ok(())
}

/// While the store is gone, requests fail; when it is back, the same node serves on, with everything acknowledged before.
fn store_killed() -> Result<()> {
    let (mut redis, data) = (Redis::start()?, tempfile::tempdir()?);
    let server = Server::start_on(&data.path().join("data"), Front::None, Some(&redis))?;
    let first = Client::new(server.origin()?)?;
    let group = first.group()?;
    let mut clients = vec![first];
    while clients.len() < CLIENTS {
        clients.push(clients[0].at(server.origin()?));
    }
    let everybody = Mutex::new(Vec::new());
    let count = || everybody.lock().map_or(usize::MAX, |everybody| everybody.len());
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| -> Result<()> {
            for enough in [CLIENTS * USERS / 3, CLIENTS * USERS * 2 / 3] {
                let start = Instant::now();
                while count() < enough && start.elapsed() < Duration::from_secs(60) {
                    std::thread::sleep(Duration::from_millis(2));
                }
                redis.kill()?;
                redis.restart()?;
            }
            Ok(())
        });
        all_join(&clients, &group, &everybody)?;
        killer.join().map_err(|_| anyhow!("the killer panicked"))?
    })?;
    clients[0].has_all(&group, &everybody.into_inner()?)?;
    is_sound(&redis)
}

/// Every client puts its users into the group; who was acknowledged, by id and name.
fn all_join(clients: &[Client], group: &str, everybody: &Mutex<Vec<(String, String)>>) -> Result<()> {
    at_once(clients, |number, client| {
        for round in 0..USERS {
            let name = format!("user-{number}-{round}");
            let id = client.join(group, &name)?;
            everybody.lock().map_err(|_| anyhow!("a client panicked"))?.push((id, name));
        }
        Ok(())
    })
}

/// Runs every client on a thread of its own.
fn at_once(clients: &[Client], work: impl Fn(usize, &Client) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> =
            clients.iter().enumerate().map(|(number, client)| scope.spawn(move || work(number, client))).collect();
        running.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a client panicked"))?)
    })
}
