//! What an edge takes: requests of a connection, bytes of a body, calls to the origin.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::Trial;
use scim_host_tests::curl::Curl;
use scim_host_tests::deployment::{Connection, Deployment, Http};
use scim_host_tests::envoy::{Changes, Envoy};
use scim_host_tests::faulty::Fault;
use scim_host_tests::idp::{Idp, user};
use scim_host_tests::message::Answer;
use scim_host_tests::prepared::Prepared;
use scim_host_tests::server::{Front, Server};
use serde_json::{Map, Value, json};

use crate::local::LOCAL_FRONTS;
use crate::relayed::Relayed;
use crate::shared::{FRONTS, OnFront, Running, in_each, server};

const RATE: u64 = 4;
const BURST: u64 = 20;
const BODY: usize = 10_000;
/// Calls to the origin at once, of one worker.
const IN_FLIGHT: usize = 2;

const RATES: &str = "a_connection_over_its_rate_is_429_until_it_waits_and_no_other_is";
const BODIES: &str = "a_body_over_the_limit_is_413_however_it_is_sent";

/// The trials: most on the embedded host and on real Envoy.
pub fn trials() -> Vec<Trial> {
    let tests: [OnFront; 3] = [
        (RATES, |front| keeps_rates(&scene(front)?)),
        (BODIES, |front| keeps_bodies(&scene(front)?)),
        ("so_many_calls_to_the_origin_are_under_way_and_no_more", keeps_calls),
    ];
    let local: [OnFront; 2] =
        [(RATES, |front| keeps_rates(&local_scene(front)?)), (BODIES, |front| keeps_bodies(&local_scene(front)?))];
    let mut trials = in_each("limits", &FRONTS, &tests);
    trials.extend(in_each("limits", &LOCAL_FRONTS, &local));
    trials
}

/// A front with small limits, and what it stands on.
struct Scene {
    front: Front,
    deployment: Deployment,
    url: String,
    _running: Box<dyn Send>,
    _directory: tempfile::TempDir,
}

fn limits() -> Value {
    json!({ "requests_per_second": RATE, "burst": BURST, "body_bytes": BODY })
}

fn scene(front: Front) -> Result<Scene> {
    let filter = json!({ "limits": limits() });
    let directory = tempfile::tempdir()?;
    if front == Front::Embedded {
        let server = Server::start_with(&directory.path().join("data"), front, &["--filter", &filter.to_string()])?;
        let url = server.ready.front.clone().context("no front")?;
        return Ok(Scene {
            front,
            deployment: server.origin()?,
            url,
            _running: Box::new(server),
            _directory: directory,
        });
    }
    let running: Arc<Running> = server(Front::Embedded)?;
    let changes = Changes { filter, ..Changes::default() };
    let address = running.server.origin_address();
    let envoy = Envoy::start(directory.path(), "envoy", &running.server, address, &changes)?;
    let (deployment, url) = (running.server.origin()?, envoy.url.clone());
    Ok(Scene { front, deployment, url, _running: Box::new((envoy, running)), _directory: directory })
}

fn local_scene(front: Front) -> Result<Scene> {
    let prepared = Prepared::new(std::iter::repeat_n(Map::new(), 2));
    let mut document = prepared.document()?;
    document["limits"] = limits();
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("local.json");
    std::fs::write(&file, document.to_string())?;
    let arguments = ["--local", file.to_str().context("the path is no text")?];
    let server = Server::start_with(&directory.path().join("data"), front, &arguments)?;
    let url = server.ready.front.clone().context("no front")?;
    let deployment = Deployment::local(Box::new(Http::new(&url)), prepared);
    Ok(Scene { front, deployment, url, _running: Box::new(server), _directory: directory })
}

impl Scene {
    fn connection(&self) -> Result<Connection> {
        self.deployment.connect(&Map::new())
    }

    /// A way to the front on a TCP connection of its own.
    fn idp(&self, connection: &Connection) -> Idp<Http> {
        Idp { target: Http::new(&self.url), connection: connection.clone() }
    }
}

fn is_error(answer: &Answer, status: u16) -> Result<()> {
    ensure!(answer.status == status, "{}", answer.brief());
    let media_type = answer.header("content-type").unwrap_or_default();
    ensure!(media_type.starts_with("application/scim+json"), "content-type is `{media_type}`");
    ensure!(answer.json()["status"].as_str() == Some(&status.to_string()), "no SCIM error: {}", answer.brief());
    Ok(())
}

fn keeps_rates(scene: &Scene) -> Result<()> {
    let (busy, quiet) = (scene.connection()?, scene.connection()?);
    let begun = Instant::now();
    let mut admitted = 0;
    for number in 0..3 * BURST {
        let idp = scene.idp(&busy);
        let answer =
            if number % 3 == 0 { idp.send("DELETE", "/Users/nobody", None)? } else { idp.get("/Users?count=0")? };
        if answer.status == 429 {
            is_error(&answer, 429)?;
            ensure!(answer.header("retry-after") == Some("1"), "429 without Retry-After");
        } else {
            ensure!(answer.status == 200 || answer.status == 404, "{}", answer.brief());
            admitted += 1;
        }
    }
    let most = BURST + RATE * (begun.elapsed().as_secs() + 1);
    println!("{admitted} of {} requests admitted, {BURST} to {most} are", 3 * BURST);
    ensure!((BURST..=most).contains(&admitted), "{admitted} requests were admitted, {BURST} to {most} should be");
    let other = scene.idp(&quiet).get("/Users")?;
    ensure!(other.status == 200, "another connection: {}", other.brief());
    let stranger = Connection { token: "guess".to_owned(), ..busy.clone() };
    ensure!(scene.idp(&stranger).get("/Users")?.status == 401, "a stranger is told of the rate");
    // What `Retry-After` says.
    std::thread::sleep(Duration::from_secs(1));
    let again = scene.idp(&busy).get("/Users")?;
    ensure!(again.status == 200, "after a second: {}", again.brief());
    Ok(())
}

fn keeps_bodies(scene: &Scene) -> Result<()> {
    let connection = scene.connection()?;
    let curl = || Curl::new(&scene.url);
    let mut ways = vec![("HTTP/1.1", curl()), ("HTTP/1.1 in chunks", curl().streamed())];
    if scene.front == Front::Envoy {
        ways.extend([("HTTP/2", curl().http2()), ("HTTP/2 without a length", curl().http2().streamed())]);
    }
    let forms = ways.len();
    for (way, target) in ways {
        let idp = Idp { target, connection: connection.clone() };
        for (size, status) in [(BODY, 201), (BODY + 1, 413), (5 * BODY, 413)] {
            // A client that is still sending may lose the answer to the reset behind it, and asks again.
            let ask = |_| idp.send("POST", "/Users", Some(&user_of_size(way, size))).ok();
            let answer = (0..20).find_map(ask).with_context(|| format!("{size} bytes by {way}: no answer"))?;
            let checked = if status == 201 {
                ensure!(answer.status == 201, "{size} bytes by {way}: {}", answer.brief());
                Ok(())
            } else {
                is_error(&answer, status)
            };
            checked.with_context(|| format!("{size} bytes by {way}"))?;
        }
    }
    let after = scene.idp(&connection).get("/Users?count=0")?;
    ensure!(after.json()["totalResults"] == forms, "what was refused was done: {}", after.brief());
    Ok(())
}

/// A user whose JSON is so long to the byte.
fn user_of_size(name: &str, size: usize) -> Value {
    let mut user = user(name);
    user["title"] = "".into();
    let rest = size - user.to_string().len();
    user["title"] = "x".repeat(rest).into();
    user
}

fn keeps_calls(front: Front) -> Result<()> {
    const CONNECTIONS: usize = 16;
    let filter = json!({ "limits": { "in_flight": IN_FLIGHT }, "origin": { "timeout_ms": 2000 } });
    let relayed = Relayed::start(front, &filter, &[])?;
    let connections = (0..CONNECTIONS).map(|_| relayed.connection()).collect::<Result<Vec<_>>>()?;
    relayed.relay.set(Fault::Slow);
    let answers: Vec<Result<Answer>> = std::thread::scope(|scope| {
        let clients: Vec<_> = connections
            .iter()
            .map(|connection| {
                let idp = relayed.idp(connection);
                scope.spawn(move || idp.get("/Users"))
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap_or_else(|_| Err(anyhow!("a client panicked")))).collect()
    });
    relayed.relay.set(Fault::None);
    for answer in answers {
        let answer = answer?;
        is_error(&answer, 503)?;
        ensure!(answer.header("retry-after").is_some(), "503 without Retry-After");
    }
    let held = relayed.relay.most_held();
    println!("{CONNECTIONS} cold reads at once: {held} calls under way, {} are allowed", 2 * IN_FLIGHT);
    ensure!((1..=2 * IN_FLIGHT).contains(&held), "{held} calls were under way");
    Ok(())
}
