//! What a front refuses by itself is in the connection's provisioning log like everything else, with its reason and the
//! client's address, however much is refused.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::curl::Curl;
use scim_host_tests::deployment::{Connection, Deployment, Http, Target};
use scim_host_tests::idp::Idp;
use scim_host_tests::server::{Front, Server};
use serde_json::{Map, Value};

use crate::shared::{FRONTS, OnFront, in_each, server};

const CLIENT: &str = "127.0.0.9";

/// The trials, on both fronts that refuse by themselves.
pub fn trials() -> Vec<Trial> {
    let tests: [OnFront; 2] = [
        ("what_a_front_refuses_is_in_the_connections_log", are_noted),
        ("a_flood_of_refusals_costs_the_origin_little_and_leaves_a_trace", are_bounded),
    ];
    in_each("refusals", &FRONTS, &tests)
}

/// The log, oldest first, once it has that many entries.
fn log_of(deployment: &Deployment, connection: &Connection, entries: usize) -> Result<Vec<Value>> {
    let begun = Instant::now();
    loop {
        let mut log = deployment.log(connection)?;
        if log.len() >= entries || begun.elapsed() > Duration::from_secs(20) {
            ensure!(log.len() >= entries, "{} of {entries} entries: {log:?}", log.len());
            log.reverse();
            return Ok(log);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn are_noted(front: Front) -> Result<()> {
    let running = server(front)?;
    let url = running.server.ready.front.as_ref().context("no front")?;
    let deployment = running.server.front()?;
    let connection = deployment.connect(&Map::new())?;
    let holder = Idp { target: Curl::new(url).from(CLIENT), connection: connection.clone() };
    let stranger = Idp {
        target: Curl::new(url).from(CLIENT),
        connection: Connection { token: "guess".into(), ..connection.clone() },
    };
    let nameless = holder.request("GET", "/Users", None);
    let nameless = scim_host_tests::message::Request { headers: Vec::new(), ..nameless };
    let cases = [
        (nameless, 401, "GET User", Value::Null),
        (stranger.request("GET", "/Users", None), 401, "GET User", Value::Null),
        (stranger.request("POST", "/Users", Some(&scim_host_tests::idp::user("ann"))), 401, "POST User", Value::Null),
        (holder.request("GET", "/Users?filter=nonsense", None), 400, "GET User", "invalidFilter".into()),
        (holder.request("GET", "/Users/nobody", None), 404, "GET User", Value::Null),
        (holder.request("GET", "/Nonsense", None), 404, "GET unknown", Value::Null),
    ];
    let before = running.server.origin_requests(&connection.base())?;
    for (number, (request, status, ..)) in cases.iter().enumerate() {
        let answer = holder.target.send(&request.clone().header("user-agent", "Okta SCIM Client 1.0"))?;
        ensure!(answer.status == *status, "request {number}: {}", answer.brief());
        // Two workers report apart: one after the other the log has them in order.
        log_of(&deployment, &connection, number + 1)?;
    }
    let after = running.server.origin_requests(&connection.base())?;
    ensure!(before == after, "the origin refused some of them itself: that is not what this is about");
    let log = log_of(&deployment, &connection, cases.len())?;
    ensure!(log.len() == cases.len(), "{} entries of {} requests", log.len(), cases.len());
    for (entry, (_, status, operation, scim_type)) in log.iter().zip(cases) {
        let right = entry["status"] == status
            && entry["operation"] == operation
            && entry["scimType"] == scim_type
            && entry["source"] == CLIENT
            && entry["client"] == "Okta"
            && entry["outcome"] == "failure"
            && entry["reason"].as_str().is_some_and(|reason| !reason.is_empty());
        ensure!(right, "expected {status} of {operation}: {entry}");
    }
    Ok(())
}

fn are_bounded(front: Front) -> Result<()> {
    const GUESSES: usize = 1500;
    let data = tempfile::tempdir()?;
    let server = Server::start(&data.path().join("data"), front)?;
    let deployment = server.front()?;
    let connection = deployment.connect(&Map::new())?;
    let url = server.ready.front.as_ref().context("no front")?;
    let target = Http::new(url);
    let begun = Instant::now();
    for number in 0..GUESSES {
        let id = if number % 2 == 0 { connection.id.clone() } else { format!("nobody-{number}") };
        let stranger = Connection { id, token: format!("guess-{number}") };
        let answer = target.send(&Idp { target: (), connection: stranger }.request("GET", "/Users", None))?;
        ensure!(answer.status == 401 || answer.status == 503, "{}", answer.brief());
    }
    let log = log_of(&deployment, &connection, 1)?;
    let (calls, seconds) = (server.origin_requests("/edge/v1/refusals/")?, begun.elapsed().as_secs() + 1);
    println!("{GUESSES} refusals in {seconds} s: {calls} calls about them, {} entries", log.len());
    // Two workers, eight connections each a second; the log takes twenty strangers a minute.
    ensure!(calls as u64 <= 2 * 8 * seconds, "{calls} calls in {seconds} s");
    ensure!(log.len() <= 40, "{} entries", log.len());
    ensure!(log.iter().all(|entry| entry["status"] == 401), "{log:?}");
    let own = Idp { target: Http::new(url), connection };
    ensure!(own.get("/Users")?.status == 200, "the connection itself suffers");
    Ok(())
}
