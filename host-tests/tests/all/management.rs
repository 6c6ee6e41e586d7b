//! What the management API promises of a running deployment: tokens bound to networks and times, and a log that can be read
//! while it is written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use scim_engine::env::Timestamp;
use scim_host_tests::deployment::{Connection, Deployment};
use scim_host_tests::message::Request;
use scim_host_tests::server::Front;
use serde_json::{Map, Value, json};

use crate::shared::{PLACES, server, trial};

/// Identity providers that write at once, and users each of them makes.
const WRITERS: usize = 4;
const USERS: usize = 25;

/// One trial for each promise, and for tokens one for each way in.
pub fn trials() -> Vec<Trial> {
    let tokens = PLACES.map(|(name, front)| {
        trial(format!("management::{name}::a_token_is_good_in_its_networks_and_until_its_time"), move || tokens(front))
    });
    let log = trial("management::the_log_is_read_while_it_is_written_and_misses_nothing", log);
    tokens.into_iter().chain([log]).collect()
}

fn deployment(front: Front) -> Result<Deployment> {
    match front {
        Front::None => server(Front::Embedded)?.server.origin(),
        Front::Embedded | Front::Envoy => server(front)?.server.front(),
    }
}

fn tokens(front: Front) -> Result<()> {
    let deployment = deployment(front)?;
    let connection = deployment.connect(&Map::new())?;
    let made = |limits: Value| -> Result<String> {
        let path = format!("/directory/resources/v1/configurations/scim2/{}/tokens", connection.id);
        let answer = deployment.send(&Request::new("POST", &path).json(&limits).bearer(deployment.vendor_token()))?;
        answer.json()["token"].as_str().map(str::to_owned).with_context(|| answer.brief())
    };
    let near = made(json!({ "cidrs": ["2001:db8::/32", "127.0.0.0/8"] }))?;
    let far = made(json!({ "cidrs": ["127.0.0.0/32", "2001:db8::/32", "::1"] }))?;
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let brief = made(json!({ "expiresAt": Timestamp(now + 1500).rfc3339() }))?;
    until(&deployment, &connection, &near, 200)?;
    until(&deployment, &connection, &far, 401)?;
    until(&deployment, &connection, &brief, 401)
}

/// Reads with a token until the answer is this: an edge hears of tokens with a delay.
fn until(deployment: &Deployment, connection: &Connection, token: &str, status: u16) -> Result<()> {
    let request = Request::new("GET", &format!("{}/Users", connection.base())).bearer(token);
    let mut last = 0;
    for _ in 0..100 {
        last = deployment.send(&request)?.status;
        if last == status {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("expected {status}, got {last} for ten seconds")
}

fn log() -> Result<()> {
    let deployment = deployment(Front::None)?;
    let connection = deployment.connect(&Map::new())?;
    let writing = AtomicBool::new(true);
    let (made, read) = std::thread::scope(|scope| -> Result<(Vec<String>, usize)> {
        let reader = scope.spawn(|| -> Result<usize> {
            let mut read = 0;
            while writing.load(Ordering::Relaxed) {
                whole(&deployment, &connection)?;
                read += 1;
            }
            Ok(read)
        });
        let (deployment, connection) = (&deployment, &connection);
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| scope.spawn(move || write(deployment, connection, writer))).collect();
        let made = writers.into_iter().map(|writer| writer.join().unwrap_or_else(|_| bail!("a writer panicked")));
        let made = made.collect::<Result<Vec<_>>>();
        writing.store(false, Ordering::Relaxed);
        let read = reader.join().unwrap_or_else(|_| bail!("the reader panicked"))?;
        Ok((made?.concat(), read))
    })?;
    ensure!(made.len() == WRITERS * USERS && read > 0, "{} users were made, the log was read {read} times", made.len());
    let logged = whole(&deployment, &connection)?;
    for id in &made {
        let of_it = logged.iter().filter(|entry| entry["resource"] == id.as_str()).count();
        ensure!(of_it == 1, "user {id} has {of_it} entries");
    }
    Ok(())
}

/// The whole log, page by page; entries that arrive meanwhile may be missing, but none comes twice and none out of order.
fn whole(deployment: &Deployment, connection: &Connection) -> Result<Vec<Value>> {
    let base = format!("/directory/resources/v1/configurations/scim2/{}/logs?limit=20", connection.id);
    let (mut path, mut entries) = (base.clone(), Vec::new());
    loop {
        let answer = deployment.send(&Request::new("GET", &path).bearer(deployment.vendor_token()))?;
        ensure!(answer.status == 200, "{}", answer.brief());
        let mut page = answer.json();
        entries.extend(page["items"].take().as_array().cloned().context("no items")?);
        match page["nextCursor"].as_str() {
            Some(cursor) => path = format!("{base}&cursor={cursor}"),
            None => break,
        }
    }
    let mut ids: Vec<_> = entries.iter().filter_map(|entry| entry["id"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    ensure!(ids.len() == entries.len(), "an entry came twice");
    Ok(entries)
}

/// Makes users one after the other; their ids.
fn write(deployment: &Deployment, connection: &Connection, writer: usize) -> Result<Vec<String>> {
    let mut made = Vec::new();
    for number in 0..USERS {
        let user = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": format!("u{writer}-{number}"),
        });
        let request =
            Request::new("POST", &format!("{}/Users", connection.base())).json(&user).bearer(&connection.token);
        let answer = deployment.send(&request)?;
        ensure!(answer.status == 201, "{}", answer.brief());
        made.push(answer.json()["id"].as_str().context("no id")?.to_owned());
    }
    Ok(made)
}
