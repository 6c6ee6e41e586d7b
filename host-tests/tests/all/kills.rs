//! The origin is killed under load, again and again over the same data, and nothing it acknowledged is ever lost.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::deployment::Deployment;
use scim_host_tests::idp::{Idp, patch, user};
use scim_host_tests::server::{Front, Server};
use serde_json::{Value, json};

use crate::shared::trial;

/// How often it is killed, unless `KILLS` says otherwise.
const KILLS: usize = 100;
/// Clients that write at once.
const CLIENTS: usize = 4;
/// Writes of one life after which the killing may begin; some more are under way by then.
const ENOUGH: usize = 8;

/// The trial.
pub fn trials() -> Vec<Trial> {
    vec![trial("kills::nothing_acknowledged_is_lost_in_a_hundred_kills", check)]
}

/// An acknowledged user: id and name, in the group.
type Kept = (String, String);

type Client = Idp<Deployment>;

fn check() -> Result<()> {
    let kills = std::env::var("KILLS").ok().map_or(Ok(KILLS), |text| text.parse())?;
    let data = tempfile::tempdir()?;
    let data = data.path().join("data");
    let server = Server::start(&data, Front::None)?;
    let mut client = Client::connected(server.origin()?)?;
    let group = id(&client.accept("POST", "/Groups", Some(&json!({ "displayName": "Everybody" })))?)?;
    drop(server);
    let serial = AtomicUsize::new(0);
    let mut kept: Vec<Kept> = Vec::new();
    for life in 0..kills {
        let (again, fresh) = live(&data, client, &group, &serial).with_context(|| format!("life {life}"))?;
        client = again;
        let server = (life % 10 == 9).then(|| Server::start(&data, Front::None)).transpose()?;
        kept.extend(fresh);
        if let Some(server) = server {
            client = client.through(server.origin()?);
            all_there(&client, &group, &kept).with_context(|| format!("after {} kills", life + 1))?;
        }
    }
    Ok(())
}

/// One life: clients write until the origin is killed under them. What it acknowledged.
fn live(data: &Path, client: Client, group: &str, serial: &AtomicUsize) -> Result<(Client, Vec<Kept>)> {
    let server = Server::start(data, Front::None)?;
    let client = client.through(server.origin()?);
    let (kept, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = serial.fetch_add(1, Ordering::Relaxed);
                    let Ok(user) = join(&client, group, number) else { break };
                    if let Ok(mut kept) = kept.lock() {
                        kept.push(user);
                    }
                }
            });
        }
        let start = Instant::now();
        while kept.lock().map_or(0, |kept| kept.len()) < ENOUGH && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(2));
        }
        let killed = server.kill_everything();
        stop.store(true, Ordering::Relaxed);
        killed
    })?;
    let kept = kept.into_inner().map_err(|_| anyhow::anyhow!("a client panicked"))?;
    ensure!(kept.len() >= ENOUGH, "only {} writes were acknowledged", kept.len());
    Ok((client, kept))
}

fn join(client: &Client, group: &str, number: usize) -> Result<Kept> {
    let name = format!("user-{number}");
    let id = id(&client.accept("POST", "/Users", Some(&user(&name)))?)?;
    let change = patch("add", "members", &json!([{ "value": id }]));
    let path = format!("/Groups/{group}?excludedAttributes=members");
    client.accept("PATCH", &path, Some(&change))?;
    Ok((id, name))
}

/// Every acknowledged user, by id and by name, and as a member.
fn all_there(client: &Client, group: &str, kept: &[Kept]) -> Result<()> {
    let group = client.accept("GET", &format!("/Groups/{group}"), None)?;
    let members: std::collections::HashSet<&str> =
        group["members"].as_array().into_iter().flatten().filter_map(|member| member["value"].as_str()).collect();
    for (id, name) in kept {
        ensure!(members.contains(id.as_str()), "{name} is no member any more");
        let found = client.accept("GET", &format!("/Users/{id}"), None)?;
        ensure!(found["userName"] == name.as_str(), "{name} is lost");
        let found = client.accept("GET", &format!("/Users?filter=userName%20eq%20%22{name}%22"), None)?;
        ensure!(found["Resources"][0]["id"] == id.as_str(), "{name} cannot be looked up");
    }
    Ok(())
}

fn id(resource: &Value) -> Result<String> {
    resource["id"].as_str().map(str::to_owned).with_context(|| format!("no id: {resource}"))
}
