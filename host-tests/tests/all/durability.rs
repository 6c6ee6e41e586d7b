//! What was acknowledged is there after `kill -9` of everything, at any moment.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::deployment::Deployment;
use scim_host_tests::idp::{Idp, patch, user};
use scim_host_tests::redis::Redis;
use scim_host_tests::server::{Front, Server};
use serde_json::{Value, json};

use crate::shared::trial;

/// Clients that write at once.
const CLIENTS: usize = 4;
/// Acknowledged users after which everything is killed, with writes under way.
const ENOUGH: usize = 60;

/// One trial for each way in.
pub fn trials() -> Vec<Trial> {
    let grounds = [
        ("spin", Front::None, false),
        ("redis", Front::None, true),
        ("proxy_wasm", Front::Embedded, false),
        ("envoy", Front::Envoy, false),
    ];
    let name = |ground| format!("durability::{ground}::acknowledged_writes_survive_kill_9_of_everything");
    grounds.into_iter().map(|(ground, front, redis)| trial(name(ground), move || check(front, redis))).collect()
}

fn check(front: Front, on_redis: bool) -> Result<()> {
    let data = tempfile::tempdir()?;
    let data = data.path().join("data");
    let mut redis = on_redis.then(Redis::start).transpose()?;
    let server = Server::start_on(&data, front, redis.as_ref())?;
    let client = Client::connected(open(&server, front)?)?;
    let group = client.accept("POST", "/Groups", Some(&json!({ "schemas": [GROUP], "displayName": "Everybody" })))?;
    let before = write_until_killed(&client, &id(&group)?, || {
        redis.iter_mut().try_for_each(Redis::kill)?;
        server.kill_everything()
    })?;

    redis.iter_mut().try_for_each(Redis::restart)?;
    let server = Server::start_on(&data, front, redis.as_ref())?;
    let client = client.through(open(&server, front)?);
    before.is_all_there(&client, &id(&group)?)?;
    drop(server);

    let server = Server::start_on(&data, front, redis.as_ref())?;
    let client = client.through(open(&server, front)?);
    before.is_all_there(&client, &id(&group)?).context("after a second, orderly stop")
}

fn open(server: &Server, front: Front) -> Result<Deployment> {
    if front == Front::None { server.origin() } else { server.front() }
}

const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

type Client = Idp<Deployment>;

/// What the server acknowledged.
#[derive(Default)]
struct Acknowledged {
    created: Vec<(String, String)>,
    retitled: Vec<String>,
    members: Vec<String>,
    deleted: Vec<String>,
}

/// Several clients write until the server is killed under them.
fn write_until_killed(client: &Client, group: &str, kill: impl FnOnce() -> Result<()>) -> Result<Acknowledged> {
    let acknowledged = Mutex::new(Acknowledged::default());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (acknowledged, stop) = (&acknowledged, &stop);
            scope.spawn(move || {
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) && one_life(client, group, number, round, acknowledged).is_ok() {
                    round += 1;
                }
            });
        }
        let start = Instant::now();
        while count(&acknowledged) < ENOUGH && start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let killed = kill();
        stop.store(true, Ordering::Relaxed);
        killed
    })?;
    let acknowledged = acknowledged.into_inner().map_err(|_| anyhow::anyhow!("a client panicked"))?;
    ensure!(acknowledged.created.len() >= ENOUGH, "only {} users were acknowledged", acknowledged.created.len());
    Ok(acknowledged)
}

fn count(acknowledged: &Mutex<Acknowledged>) -> usize {
    acknowledged.lock().map_or(usize::MAX, |acknowledged| acknowledged.created.len())
}

/// A user is created, changed, put into the group; every fourth is deleted again. Ends with the first request that fails.
fn one_life(client: &Client, group: &str, number: usize, round: usize, to: &Mutex<Acknowledged>) -> Result<()> {
    let note = |change: &dyn Fn(&mut Acknowledged)| to.lock().map(|mut to| change(&mut to)).unwrap_or_default();
    let name = format!("user-{number}-{round}");
    let user = client.accept("POST", "/Users", Some(&user(&name)))?;
    let user = id(&user)?;
    if round % 4 == 3 {
        let answer = client.send("DELETE", &format!("/Users/{user}"), None)?;
        ensure!(answer.status == 204, "{}", answer.brief());
        note(&|to| to.deleted.push(user.clone()));
        return Ok(());
    }
    note(&|to| to.created.push((user.clone(), name.clone())));
    client.accept("PATCH", &format!("/Users/{user}"), Some(&patch("replace", "title", &json!("Kept"))))?;
    note(&|to| to.retitled.push(user.clone()));
    let member = json!([{ "value": user }]);
    let path = format!("/Groups/{group}?excludedAttributes=members");
    client.accept("PATCH", &path, Some(&patch("add", "members", &member)))?;
    note(&|to| to.members.push(user.clone()));
    Ok(())
}

impl Acknowledged {
    fn is_all_there(&self, client: &Client, group: &str) -> Result<()> {
        for (id, name) in &self.created {
            let found = client.get(&format!("/Users/{id}"))?;
            ensure!(found.json()["userName"] == name.as_str(), "user {name} is lost: {}", found.brief());
            let found = client.get(&format!("/Users?filter=userName%20eq%20%22{name}%22"))?.json();
            ensure!(found["Resources"][0]["id"] == id.as_str(), "user {name} cannot be looked up: {found}");
        }
        for id in &self.retitled {
            let found = client.get(&format!("/Users/{id}"))?.json();
            ensure!(found["title"] == "Kept", "a change is lost: {found}");
        }
        for id in &self.deleted {
            let found = client.get(&format!("/Users/{id}"))?;
            ensure!(found.status == 404, "a deleted user is back: {}", found.brief());
        }
        let found = client.get(&format!("/Groups/{group}"))?.json();
        let members: Vec<_> = found["members"].as_array().into_iter().flatten().map(|m| &m["value"]).collect();
        let lost: Vec<_> = self.members.iter().filter(|id| !members.contains(&&json!(id))).collect();
        ensure!(lost.is_empty(), "members are lost: {lost:?}");
        self.lists_agree(client)
    }

    /// The list holds what was acknowledged, and beyond that at most what each client had under way.
    fn lists_agree(&self, client: &Client) -> Result<()> {
        let total = client.get("/Users?count=0")?.json()["totalResults"].as_u64().context("no total")?;
        let mut listed = 0;
        while listed < total {
            let page = client.get(&format!("/Users?startIndex={}&count=100", listed + 1))?.json();
            let size = page["Resources"].as_array().map_or(0, Vec::len);
            ensure!(size > 0, "the list ends after {listed} of {total}");
            listed += u64::try_from(size)?;
        }
        let known = u64::try_from(self.created.len())?;
        let under_way = u64::try_from(CLIENTS)?;
        ensure!((known..=known + under_way).contains(&total), "{total} users are listed, {known} were acknowledged");
        Ok(())
    }
}

fn id(resource: &Value) -> Result<String> {
    resource["id"].as_str().map(str::to_owned).with_context(|| format!("no id: {resource}"))
}
