//! An origin that is down, slow, cut off or not itself, and a filter that traps: reads go on and say how
//! old they are, writes are never reported as done when they are not, and what was wrong ends without a restart.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::Trial;
use scim_host_tests::deployment::{Connection, Http};
use scim_host_tests::faulty::Fault;
use scim_host_tests::idp::{Idp, total};
use scim_host_tests::message::Answer;
use scim_host_tests::place;
use scim_host_tests::server::Front;
use serde_json::{Value, json};
use wasmparser::{Parser, Payload};

use crate::relayed::Relayed;
use crate::shared::{FRONTS, trial};

/// Of this file's fronts, in milliseconds.
const STALENESS: u64 = 1000;

/// What can happen to the origin, and whether a write that meets it can have been done.
const FAULTS: [(&str, Fault, bool); 7] = [
    ("is_down", Fault::Down, false),
    ("is_slow", Fault::Slow, true),
    ("loses_answers", Fault::Lost, true),
    ("resets_in_the_middle_of_answers", Fault::Cut, true),
    ("answers_noise", Fault::Noise, false),
    ("answers_a_page_of_another_server", Fault::Page, false),
    ("answers_a_404_of_another_server", Fault::Missing, false),
];

/// The trials.
pub fn trials() -> Vec<Trial> {
    let faults = FRONTS.into_iter().flat_map(|(front_name, front)| {
        FAULTS.into_iter().map(move |(what, fault, may_be_done)| {
            let name = format!("faults::{front_name}::an_origin_that_{what}_stops_no_reads_and_fakes_no_writes");
            trial(name, move || goes_on(front, fault, may_be_done))
        })
    });
    let name = "faults::envoy::a_filter_that_traps_harms_its_own_worker_only_and_is_started_again";
    faults.chain([trial(name, traps)]).collect()
}

struct Scene {
    relayed: Relayed,
    connection: Connection,
    /// A second one, for a write whose answer goes wrong: what it acknowledges makes the copy of its directory outdated.
    other: Connection,
}

impl Scene {
    fn new(front: Front, filter: &Value, text: &[(&str, &str)]) -> Result<Self> {
        let relayed = Relayed::start(front, filter, text)?;
        let (connection, other) = (relayed.connection()?, relayed.connection()?);
        Ok(Self { relayed, connection, other })
    }

    /// A way through the front on a TCP connection of its own.
    fn idp(&self) -> Idp<Http> {
        self.relayed.idp(&self.connection)
    }

    fn set(&self, fault: Fault) {
        self.relayed.relay.set(fault);
    }

    /// Whether the origin itself knows a user.
    fn is_there(&self, connection: &Connection, name: &str) -> Result<bool> {
        let origin = self.relayed.at_origin(connection);
        Ok(total(&origin.get(&format!("/Users?filter=userName%20eq%20%22{name}%22"))?)? == 1)
    }
}

fn goes_on(front: Front, fault: Fault, may_be_done: bool) -> Result<()> {
    let filter = json!({ "max_staleness_ms": STALENESS, "origin": { "timeout_ms": 500 } });
    let text = [("route: { cluster: origin, timeout: 15s }", "route: { cluster: origin, timeout: 2s }")];
    let scene = Scene::new(front, &filter, &text)?;
    let made = scene.idp().create("before")?;
    ensure!(made.status == 201, "{}", made.brief());
    let fresh = scene.idp().get("/Users")?;
    ensure!(total(&fresh)? == 1 && fresh.header("age").is_none(), "{}", fresh.brief());

    let warm = scene.relayed.idp(&scene.other).get("/Users")?;
    ensure!(warm.status == 200, "{}", warm.brief());

    scene.set(fault);
    // This one is on its way when the fault begins: Envoy's copy of the head is fresh, so the write is forwarded.
    let first = scene.relayed.idp(&scene.other).create("forwarded");
    check_write(&scene, &scene.other, "forwarded", first, may_be_done)?;
    std::thread::sleep(Duration::from_millis(STALENESS));
    for number in 0..10 {
        let stale = scene.idp().get("/Users?count=0").with_context(|| format!("read {number}"))?;
        ensure!(total(&stale)? == 1, "read {number}: {}", stale.brief());
        let age: u64 = stale.header("age").context("the answer does not say its age")?.parse()?;
        ensure!((1..=60).contains(&age), "{age} seconds old");
        ensure!(stale.header("warning").is_some_and(|warning| warning.starts_with("110 ")), "no warning");
    }
    for number in 0..4 {
        let name = format!("refused-{number}");
        let answer = scene.idp().create(&name)?;
        ensure!(answer.status == 503, "a write while the origin fails: {}", answer.brief());
        check_write(&scene, &scene.connection, &name, Ok(answer), false)?;
    }

    scene.set(Fault::None);
    let recovered = eventually(|| {
        let read = scene.idp().get("/Users?count=0")?;
        ensure!(read.status == 200 && read.header("age").is_none(), "{}", read.brief());
        let write = scene.idp().create("after")?;
        ensure!(write.status == 201, "{}", write.brief());
        Ok(())
    });
    recovered.context("it does not recover")?;
    ensure!(scene.is_there(&scene.connection, "after")?, "a write after the recovery is lost");
    Ok(())
}

/// A write that is answered as done is done; one that is not says so in SCIM's form and when to try again.
fn check_write(
    scene: &Scene,
    connection: &Connection,
    name: &str,
    answer: Result<Answer>,
    may_be_done: bool,
) -> Result<()> {
    let there = scene.is_there(connection, name)?;
    ensure!(may_be_done || !there, "`{name}` should not have reached the origin");
    let Ok(answer) = answer else {
        // The answer broke off. Its head may have said that it is done, so it has to be.
        ensure!(there, "an answer broke off, and nothing was done");
        return Ok(());
    };
    if answer.status == 201 {
        ensure!(there, "`{name}` was reported as done: {}", answer.brief());
        return Ok(());
    }
    ensure!(answer.status == 503, "{}", answer.brief());
    ensure!(answer.header("retry-after").is_some(), "503 without Retry-After");
    ensure!(answer.json()["status"] == "503", "no SCIM error: {}", answer.brief());
    Ok(())
}

fn eventually(mut test: impl FnMut() -> Result<()>) -> Result<()> {
    let begun = Instant::now();
    loop {
        match test() {
            Ok(()) => return Ok(()),
            Err(error) if begun.elapsed() > Duration::from_secs(20) => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// What Envoy may be told not to let the filter do: each forwarded request needs it, no other does, and the ABI's library
/// panics where it is refused. That is a trap of the shipped filter, provoked by configuration alone.
const DENIED: &str = "proxy_add_header_map_value";

fn traps() -> Result<()> {
    let allowed = allowed_capabilities()?;
    let restricted = format!(
        "capability_restriction_config: {{ allowed_capabilities: {{ {allowed} }} }}\n                        vm_config:"
    );
    // Without the limit on a connection's rate: on a quick machine the readers would meet it.
    let filter = json!({ "max_staleness_ms": 60_000, "limits": { "requests_per_second": 0 } });
    let text = [("vm_config:", restricted.as_str()), ("stream_idle_timeout: 15s", "stream_idle_timeout: 3s")];
    let scene = Scene::new(Front::Envoy, &filter, &text)?;
    let readers: Vec<_> = (0..8).map(|_| scene.idp()).collect();
    for reader in &readers {
        let answer = reader.get("/Users")?;
        ensure!(answer.status == 200, "{}", answer.brief());
    }
    other_workers_go_on(&scene, &readers)?;
    nobody_hangs(&scene)?;
    eventually(|| {
        let another = scene.idp();
        let answers = readers.iter().chain([&another]).map(|reader| Ok(reader.get("/Users")?.status));
        let statuses = answers.collect::<Result<Vec<_>>>()?;
        ensure!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        Ok(())
    })?;
    let reloads = scene.relayed.as_envoy()?.stat("vm_reload_success")?;
    ensure!(reloads > 0, "no virtual machine was started again");
    println!("{reloads} virtual machines were started again");
    Ok(())
}

/// One worker's filter traps again and again while everybody reads on connections that stay with their workers: those of
/// the other worker see nothing of it.
fn other_workers_go_on(scene: &Scene, readers: &[Idp<Http>]) -> Result<()> {
    let active = |worker: u32| scene.relayed.as_envoy()?.stat(&format!("worker_{worker}.downstream_cx_active"));
    let least = active(0)?.min(active(1)?);
    ensure!(least > 0, "one worker has all connections");
    let (failed, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let traps = std::thread::scope(|scope| {
        for reader in readers {
            let (failed, done) = (&failed, &done);
            scope.spawn(move || {
                let mut harmed = false;
                while !done.load(Ordering::Relaxed) {
                    harmed |= !reader.get("/Users").is_ok_and(|answer| answer.status == 200);
                }
                failed.fetch_add(usize::from(harmed), Ordering::Relaxed);
            });
        }
        // One TCP connection, so one worker.
        let writer = scene.idp();
        let traps = (0..10).map(|_| {
            std::thread::sleep(Duration::from_millis(100));
            Ok(writer.create("ann")?.status)
        });
        let traps = traps.collect::<Result<Vec<_>>>();
        done.store(true, Ordering::Relaxed);
        traps
    })?;
    ensure!(traps.iter().all(|status| *status == 503), "the filter did not trap: {traps:?}");
    let unharmed = readers.len() - failed.into_inner();
    println!(
        "{unharmed} of {} connections saw nothing of the traps; the other worker has at least {least}",
        readers.len()
    );
    ensure!(unharmed as u64 >= least.min(readers.len() as u64 - 1), "only {unharmed} connections were unharmed");
    Ok(())
}

/// Requests that a trapped filter had held end with an error.
fn nobody_hangs(scene: &Scene) -> Result<()> {
    let cold = [(); 6].map(|()| scene.relayed.connection());
    scene.set(Fault::Slow);
    let ended: Vec<Result<u16>> = std::thread::scope(|scope| {
        let held: Vec<_> = cold
            .into_iter()
            .map(|connection| {
                let relayed = &scene.relayed;
                scope.spawn(move || Ok(relayed.idp(&connection?).get("/Users")?.status))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        // On fresh TCP connections, so that both workers trap.
        let trapped = (0..12).map(|_| Ok(scene.idp().create("ann")?.status)).collect::<Vec<_>>();
        let held = held.into_iter().map(|held| held.join().unwrap_or_else(|_| Err(anyhow!("a client panicked"))));
        held.chain(trapped).collect()
    });
    scene.set(Fault::None);
    let statuses = ended.into_iter().collect::<Result<Vec<_>>>().context("a request was never answered")?;
    let wrong: Vec<_> = statuses.iter().filter(|status| !(500..=504).contains(*status)).collect();
    ensure!(wrong.is_empty(), "answered {wrong:?}");
    Ok(())
}

/// Everything the filter imports and exports but what is denied, as YAML.
fn allowed_capabilities() -> Result<String> {
    let module = std::fs::read(place::plugin())?;
    let mut names = BTreeSet::new();
    for payload in Parser::new(0).parse_all(&module) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    names.insert(import?.name.to_owned());
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    names.insert(export?.name.to_owned());
                }
            }
            _ => {}
        }
    }
    ensure!(names.remove(DENIED), "the filter does not import `{DENIED}`");
    let entries: Vec<_> = names.iter().map(|name| format!("\"{name}\": {{}}")).collect();
    Ok(entries.join(", "))
}
