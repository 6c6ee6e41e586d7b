//! What is taken away ends at every edge within `max_staleness`, what is given works at once, and guessing reaches the
//! origin at a bounded rate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::deployment::{Connection, Deployment, Http};
use scim_host_tests::envoy::{Changes, Envoy};
use scim_host_tests::idp::Idp;
use scim_host_tests::server::{Front, Server};
use serde_json::{Map, Value, json};

use crate::shared::{Running, server, trial};

/// The bound, in milliseconds: the default.
const STALENESS: u64 = 1000;

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("revocation::envoy::a_revoked_token_ends_at_every_edge_within_the_staleness", || {
            ends(|vendor, idp, token| {
                vendor.manage("DELETE", &format!("/{}/tokens/{token}", idp.id), None)?;
                Ok(())
            })
        }),
        trial("revocation::envoy::a_deleted_connection_ends_at_every_edge_within_the_staleness", || {
            ends(|vendor, idp, _| {
                vendor.manage("DELETE", &format!("/{}", idp.id), Some(&json!({ "deleteAll": true })))?;
                Ok(())
            })
        }),
        trial("revocation::envoy::a_paused_connection_refuses_writes_at_every_edge_and_resumes", pauses),
        trial("revocation::envoy::a_new_token_works_at_once_at_every_edge", begins),
        trial("revocation::envoy::guessing_reaches_the_origin_at_a_bounded_rate", guesses),
    ]
}

/// Two Envoys over one origin, and a connection of which both have a fresh copy.
struct Scene {
    running: Arc<Running>,
    vendor: Deployment,
    edges: [Envoy; 2],
    connection: Connection,
    _directory: tempfile::TempDir,
}

impl Scene {
    fn new(filter: &Value) -> Result<Self> {
        let running = server(Front::Embedded)?;
        let directory = tempfile::tempdir()?;
        let start = |name: &str| {
            let changes = Changes { filter: filter.clone(), ..Changes::default() };
            Envoy::start(directory.path(), name, &running.server, running.server.origin_address(), &changes)
        };
        let edges = [start("one")?, start("two")?];
        let vendor = running.server.origin()?;
        let connection = vendor.connect(&Map::new())?;
        Ok(Self { running, vendor, edges, connection, _directory: directory })
    }

    fn server(&self) -> &Server {
        &self.running.server
    }

    /// What each edge answers to a read, on connections of their own.
    fn statuses(&self, connection: &Connection) -> Result<Vec<u16>> {
        self.edges.iter().map(|edge| read(edge, connection)).collect()
    }
}

fn read(edge: &Envoy, connection: &Connection) -> Result<u16> {
    Ok(Idp { target: Http::new(&edge.url), connection: connection.clone() }.get("/Users?count=0")?.status)
}

/// Both edges let a token in all the time, and from `max_staleness` after it was taken away none does.
fn ends(take_away: fn(&Deployment, &Connection, &str) -> Result<()>) -> Result<()> {
    let scene = Scene::new(&json!({}))?;
    let (token, holder) = scene.vendor.token(&scene.connection, &json!({ "name": "second" }))?;
    ensure!(scene.statuses(&holder)? == [200, 200], "the token does not work");
    take_away(&scene.vendor, &holder, &token)?;
    let taken = Instant::now();
    let bound = Duration::from_millis(STALENESS);
    let mut first = [None; 2];
    let mut late = 0;
    while late < 10 {
        for (edge, first) in scene.edges.iter().zip(&mut first) {
            let begun = taken.elapsed();
            let status = read(edge, &holder)?;
            ensure!(status == 401 || (status == 200 && first.is_none()), "{status} after {begun:?}");
            if status == 401 {
                first.get_or_insert(begun);
            }
            ensure!(status == 401 || begun <= bound, "still let in by a request made {begun:?} later");
            late += usize::from(begun > bound);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let [one, two] = first;
    let (one, two) = (one.context("never refused")?, two.context("never refused")?);
    println!("refused after {} and {} ms by two edges; the bound is {STALENESS} ms", one.as_millis(), two.as_millis());
    Ok(())
}

fn pauses() -> Result<()> {
    let scene = Scene::new(&json!({}))?;
    let write = |edge: &Envoy| {
        let idp = Idp { target: Http::new(&edge.url), connection: scene.connection.clone() };
        idp.send("DELETE", "/Users/nobody", None)
    };
    let statuses = || scene.edges.iter().map(|edge| Ok(write(edge)?.status)).collect::<Result<Vec<_>>>();
    ensure!(scene.statuses(&scene.connection)? == [200, 200] && statuses()? == [404, 404], "it is not active");
    let path = format!("/{}", scene.connection.id);
    scene.vendor.manage("PATCH", &path, Some(&json!({ "syncToUserManagement": false })))?;
    // Writes are the origin's, and it knows at once.
    ensure!(statuses()? == [403, 403], "a paused connection is written to");
    ensure!(scene.statuses(&scene.connection)? == [200, 200], "a paused connection is not read");
    scene.vendor.manage("PATCH", &path, Some(&json!({ "syncToUserManagement": true })))?;
    ensure!(statuses()? == [404, 404], "a resumed connection is not written to");
    Ok(())
}

fn begins() -> Result<()> {
    let scene = Scene::new(&json!({ "max_staleness_ms": 60_000 }))?;
    ensure!(scene.statuses(&scene.connection)? == [200, 200], "the first token does not work");
    for number in 0..5 {
        let (_, holder) = scene.vendor.token(&scene.connection, &json!({ "name": format!("token {number}") }))?;
        let statuses = scene.statuses(&holder)?;
        ensure!(statuses == [200, 200], "token {number} at its first use: {statuses:?}");
    }
    Ok(())
}

fn guesses() -> Result<()> {
    const GUESSES: usize = 600;
    const RATE: usize = 3;
    let limits = json!({ "rechecks_per_second": RATE, "lookups_per_second": RATE });
    let scene = Scene::new(&json!({ "max_staleness_ms": 60_000, "limits": limits }))?;
    ensure!(scene.statuses(&scene.connection)? == [200, 200], "the token does not work");
    let [edge, _] = &scene.edges;
    let target = || Http::new(&edge.url);
    let calls = |prefix: &str| scene.server().origin_requests(&format!("/edge/v1/heads/{prefix}"));
    let nobody = format!("nobody-{}", scene.connection.id);
    let before = (calls(&scene.connection.id)?, calls(&nobody)?);
    let begun = Instant::now();
    for number in 0..GUESSES {
        let token = format!("guess-{number}");
        let known = Idp { target: target(), connection: Connection { token, ..scene.connection.clone() } };
        let status = known.get("/Users")?.status;
        ensure!(status == 401, "{status} for a guessed token");
        let id = format!("{nobody}-{number}");
        let unknown = Idp { target: target(), connection: Connection { id, ..scene.connection.clone() } };
        let status = unknown.get("/Users")?.status;
        ensure!(status == 401 || status == 503, "{status} for a guessed connection");
    }
    // Two workers, each with a second's worth to begin with.
    let most = 2 * RATE * (usize::try_from(begun.elapsed().as_secs())? + 2);
    let after = (calls(&scene.connection.id)?, calls(&nobody)?);
    let (tokens, connections) = (after.0 - before.0, after.1 - before.1);
    println!(
        "{GUESSES} guessed tokens: {tokens} calls; {GUESSES} guessed connections: {connections} calls; at most {most} each"
    );
    ensure!(tokens <= most && connections <= most, "more than {most} calls: {tokens} and {connections}");
    let guessed = scene.server().origin_requests(&format!("/directory/resources/scim/v2.0/{nobody}"))?;
    ensure!(guessed == 0, "{guessed} guesses reached the origin's SCIM service");
    ensure!(tokens > 0 && connections > 0, "nothing was asked: the count proves nothing");
    ensure!(scene.statuses(&scene.connection)? == [200, 200], "the right token suffers");
    Ok(())
}
