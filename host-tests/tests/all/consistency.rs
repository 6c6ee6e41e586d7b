//! Reads served by real Envoys never show less than what was acknowledged: on any worker of the Envoy a write went
//! through at once, through another Envoy within `max_staleness`. And what that costs: calls to the origin, and memory.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::Trial;
use scim_host_tests::deployment::{Connection, Http};
use scim_host_tests::envoy::{Changes, Envoy};
use scim_host_tests::idp::{Idp, total, user};
use scim_host_tests::message::Answer;
use scim_host_tests::server::{Front, Server};
use serde_json::{Map, Value, json};

use crate::shared::{Running, server, trial};

/// Clients that write at once, and what each does.
const WRITERS: usize = 4;
const ROUNDS: usize = 25;
/// The bound between Envoys, in milliseconds.
const STALENESS: u64 = 300;

/// The trials.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("consistency::envoy::a_write_is_seen_by_the_next_read_on_any_worker", one_envoy),
        trial("consistency::envoy::a_write_is_seen_through_another_envoy_within_the_staleness", two_envoys),
        trial("consistency::envoy::misses_are_fetched_together_and_once", few_calls),
        trial("consistency::envoy::the_cache_takes_no_more_memory_than_it_is_given", bounded_memory),
    ]
}

/// An origin that other trials use too, and a directory for Envoys' files.
struct Scene {
    running: std::sync::Arc<Running>,
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Result<Self> {
        Ok(Self { running: server(Front::Embedded)?, directory: tempfile::tempdir()? })
    }

    fn server(&self) -> &Server {
        &self.running.server
    }

    /// Without the limit on a connection's rate: on a quick machine the readers would meet it.
    fn envoy(&self, name: &str, filter: Value) -> Result<Envoy> {
        self.envoy_of(2, name, filter)
    }

    /// An Envoy of so many workers.
    fn envoy_of(&self, concurrency: u32, name: &str, mut filter: Value) -> Result<Envoy> {
        filter["limits"] = json!({ "requests_per_second": 0 });
        let changes = Changes { filter, concurrency, ..Changes::default() };
        Envoy::start(self.directory.path(), name, self.server(), self.server().origin_address(), &changes)
    }

    fn connection(&self) -> Result<Connection> {
        self.server().origin()?.connect(&Map::new())
    }

    /// Calls of edges about one connection that reached the origin, and its SCIM requests.
    fn calls(&self, connection: &Connection) -> Result<Calls> {
        let count = |kind: &str| self.server().origin_requests(&format!("/edge/v1/{kind}/{}", connection.id));
        let scim = self.server().origin_requests(&connection.base())?;
        Ok(Calls { heads: count("heads")?, pages: count("pages")?, scim })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Calls {
    heads: usize,
    pages: usize,
    scim: usize,
}

/// A way to an Envoy whose TCP connection is new, so that the kernel picks a worker.
fn fresh(envoy: &Envoy, connection: &Connection) -> Idp<Http> {
    Idp { target: Http::new(&envoy.url), connection: connection.clone() }
}

/// What reads were checked, and those that showed too little.
#[derive(Default)]
struct Findings {
    checked: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

impl Findings {
    fn check(&self, right: bool, what: impl FnOnce() -> String) {
        self.checked.fetch_add(1, Ordering::Relaxed);
        if !right && let Ok(mut wrong) = self.wrong.lock() {
            wrong.push(what());
        }
    }

    fn conclude(self, at_least: usize) -> Result<usize> {
        let wrong = self.wrong.into_inner().map_err(|_| anyhow!("a client panicked"))?;
        let checked = self.checked.into_inner();
        ensure!(wrong.is_empty(), "{} of {checked} reads showed too little: {:?}", wrong.len(), wrong.first());
        ensure!(checked >= at_least, "only {checked} reads were checked");
        Ok(checked)
    }
}

fn one_envoy() -> Result<()> {
    let scene = Scene::new()?;
    // So long that only the knowledge of the write can make a read fresh.
    let envoy = scene.envoy("envoy", json!({ "max_staleness_ms": 60_000 }))?;
    let connection = scene.connection()?;
    let (findings, acknowledged) = (Findings::default(), AtomicUsize::new(0));
    let outcomes: Vec<Result<()>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let (envoy, connection, findings, acknowledged) = (&envoy, &connection, &findings, &acknowledged);
                scope.spawn(move || write_and_read(envoy, connection, number, findings, acknowledged))
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap_or_else(|_| Err(anyhow!("a client panicked")))).collect()
    });
    outcomes.into_iter().collect::<Result<()>>()?;
    let checked = findings.conclude(WRITERS * ROUNDS * 3)?;
    let workers = [0, 1].map(|worker| envoy.stat(&format!("worker_{worker}.downstream_cx_total")));
    let [first, second] = workers;
    let (first, second) = (first?, second?);
    ensure!(first > 0 && second > 0, "one worker served everything");
    let forwarded = scene.calls(&connection)?.scim;
    println!(
        "{checked} reads after writes, none behind; {first} and {second} connections on two workers; {forwarded} requests at the origin"
    );
    Ok(())
}

/// One client: users are created, changed and deleted, and after each answer looked for on a connection of its own.
fn write_and_read(
    envoy: &Envoy,
    connection: &Connection,
    number: usize,
    findings: &Findings,
    acknowledged: &AtomicUsize,
) -> Result<()> {
    let writer = fresh(envoy, connection);
    let read = |path: &str| fresh(envoy, connection).get(path);
    for round in 0..ROUNDS {
        let name = format!("user-{number}-{round}");
        let id = accepted(&writer.create(&name)?)?["id"].as_str().map(str::to_owned).context("no id")?;
        let known = acknowledged.fetch_add(1, Ordering::SeqCst) + 1;
        let found = read(&format!("/Users/{id}"))?;
        findings.check(found.status == 200, || format!("{name} after its creation: {}", found.brief()));
        let listed = total(&read("/Users?count=0")?)?;
        findings.check(listed >= known as u64, || format!("{listed} of {known} users are listed"));
        let change = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": "replace", "path": "title", "value": name }] });
        accepted(&writer.send("PATCH", &format!("/Users/{id}"), Some(&change))?)?;
        let found = read(&format!("/Users?filter=userName%20eq%20%22{name}%22"))?.json();
        findings.check(found["Resources"][0]["title"] == name.as_str(), || format!("{name} after a change: {found}"));
    }
    Ok(())
}

fn accepted(answer: &Answer) -> Result<Value> {
    ensure!((200..300).contains(&answer.status), "a write is refused: {}", answer.brief());
    Ok(answer.json())
}

fn two_envoys() -> Result<()> {
    let scene = Scene::new()?;
    let near = scene.envoy("near", json!({ "max_staleness_ms": STALENESS }))?;
    let far = scene.envoy("far", json!({ "max_staleness_ms": STALENESS }))?;
    let connection = scene.connection()?;
    let (findings, done) = (Findings::default(), AtomicBool::new(false));
    // When each user was acknowledged: the n-th user is the n-th entry.
    let acknowledged = Mutex::new(Vec::<Instant>::new());
    let unconfirmed = AtomicUsize::new(0);
    let outcomes: Vec<Result<()>> = std::thread::scope(|scope| {
        let readers = [(); 3].map(|()| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let bound = |at: &&Instant| begun.duration_since(**at) >= Duration::from_millis(STALENESS);
                    let due = acknowledged.lock().map_or(0, |at| at.iter().filter(bound).count());
                    let answer = fresh(&far, &connection).get("/Users?count=0")?;
                    if answer.header("age").is_some() {
                        // It says itself that the origin did not answer in time.
                        unconfirmed.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    let listed = total(&answer)?;
                    findings.check(listed >= due as u64, || format!("{listed} users listed, {due} are due"));
                }
                Ok(())
            })
        });
        let written = (0..WRITERS * ROUNDS).try_for_each(|number| {
            accepted(&fresh(&near, &connection).create(&format!("user-{number}"))?)?;
            acknowledged.lock().map_err(|_| anyhow!("a client panicked"))?.push(Instant::now());
            std::thread::sleep(Duration::from_millis(10));
            Ok(())
        });
        std::thread::sleep(Duration::from_millis(2 * STALENESS));
        done.store(true, Ordering::Relaxed);
        let readers =
            readers.into_iter().map(|reader| reader.join().unwrap_or_else(|_| Err(anyhow!("a client panicked"))));
        readers.chain([written]).collect()
    });
    outcomes.into_iter().collect::<Result<()>>()?;
    let checked = findings.conclude(100)?;
    let seen = total(&fresh(&far, &connection).get("/Users?count=0")?)?;
    ensure!(seen == (WRITERS * ROUNDS) as u64, "{seen} users in the end");
    let unconfirmed = unconfirmed.into_inner();
    println!(
        "{checked} reads through the other envoy, none further behind than {STALENESS} ms; {unconfirmed} said their age"
    );
    Ok(())
}

/// Fills a directory at the origin, past every edge.
fn fill(scene: &Scene, connection: &Connection, users: usize, bytes: usize) -> Result<()> {
    let idp = Idp { target: Http::new(&scene.server().ready.origin), connection: connection.clone() };
    for start in (0..users).step_by(200) {
        let operations: Vec<_> = (start..users.min(start + 200))
            .map(|number| {
                let mut data = user(&format!("user-{number:05}"));
                data["title"] = "x".repeat(bytes).into();
                json!({ "method": "POST", "path": "/Users", "bulkId": number.to_string(), "data": data })
            })
            .collect();
        let bulk =
            json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations });
        accepted(&idp.send("POST", "/Bulk", Some(&bulk))?)?;
    }
    Ok(())
}

fn few_calls() -> Result<()> {
    const CLIENTS: usize = 24;
    let scene = Scene::new()?;
    let connection = scene.connection()?;
    fill(&scene, &connection, 1000, 400)?;
    let envoy = scene.envoy("envoy", json!({ "max_staleness_ms": 60_000 }))?;
    let before = scene.calls(&connection)?;
    let all_at_once = || -> Result<()> {
        let answers: Vec<Result<Answer>> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| scope.spawn(|| fresh(&envoy, &connection).get("/Users?count=100&startIndex=500")))
                .collect();
            clients.into_iter().map(|client| client.join().unwrap_or_else(|_| Err(anyhow!("panicked")))).collect()
        });
        answers.into_iter().try_for_each(|answer| {
            let listed = answer?.json()["Resources"].as_array().map_or(0, Vec::len);
            ensure!(listed == 100, "{listed} users on the page");
            Ok(())
        })
    };
    let mut rounds = 0;
    let mut last = before;
    loop {
        all_at_once()?;
        rounds += 1;
        let calls = scene.calls(&connection)?;
        if calls == last {
            break;
        }
        ensure!(rounds < 20, "the cache does not fill: {calls:?}");
        last = calls;
    }
    let (heads, pages, scim) = (last.heads - before.heads, last.pages - before.pages, last.scim - before.scim);
    println!(
        "{rounds} rounds of {CLIENTS} reads from nothing: {heads} calls for heads, {pages} for pages, {scim} reads forwarded"
    );
    // Each of two workers asks for itself; a page of the list takes a path down the tree and the leaves at its end.
    ensure!(heads <= 2, "{heads} calls for one head");
    ensure!(pages <= 2 * 6, "{pages} calls for pages");
    Ok(())
}

fn bounded_memory() -> Result<()> {
    let scene = Scene::new()?;
    let connection = scene.connection()?;
    fill(&scene, &connection, 4000, 4000)?;
    let grown = |name: &str, pages: u32| -> Result<u64> {
        let slots = json!({ "heads": 8, "pages": pages, "worker_bytes": 4 << 20, "answer_bytes": 0 });
        // One worker: what each keeps for itself would depend on which of two are asked.
        let envoy = scene.envoy_of(1, name, json!({ "max_staleness_ms": 60_000, "slots": slots }))?;
        read_all(&fresh(&envoy, &connection), 1)?;
        let before = envoy.resident()?;
        for _ in 0..2 {
            read_all(&fresh(&envoy, &connection), 4000)?;
        }
        Ok(envoy.resident()?.saturating_sub(before))
    };
    let (small, large) = (grown("small", 32)?, grown("large", 4096)?);
    println!("resident memory grew by {} KiB with 32 slots, by {} KiB with 4096", small >> 10, large >> 10);
    // The directory is some 10 MiB of pages: without a bound both would have grown by all of it.
    ensure!(small + (4 << 20) < large, "32 slots take as much as all the pages there are");
    Ok(())
}

fn read_all(idp: &Idp<Http>, users: usize) -> Result<()> {
    for start in (1..=users).step_by(100) {
        let answer = idp.get(&format!("/Users?startIndex={start}&count=100"))?;
        ensure!(answer.status == 200, "{}", answer.brief());
    }
    Ok(())
}
