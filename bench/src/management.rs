//! What managing connections costs as an environment grows, and what the provisioning log costs a write.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use scim_engine::env::Limits;
use serde_json::json;

use crate::print;
use crate::suite::{Measured, mean, person, sample};
use crate::world::{Cost, Run, World};

/// Requests of each kind.
const SAMPLES: usize = 40;
/// Requests of each kind with the log and without.
const REQUESTS: usize = 4000;
/// Connections of each account.
const ACCOUNT: usize = 50;

/// How large environments are.
#[derive(clap::Args)]
pub struct Management {
    /// Connections of each environment, the first of which is the baseline
    #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
    connections: Vec<usize>,
}

/// Measures and prints.
///
/// # Errors
/// A request is refused.
pub fn measure(arguments: &Management) -> Result<()> {
    let limits = Limits::default();
    println!("without the provisioning log, and with it: means of {REQUESTS} requests, half with nothing cached");
    log(&limits)?;
    let mut baseline = Vec::new();
    for count in &arguments.connections {
        println!("{count} connections");
        let measured = connections(*count, &limits)?;
        if baseline.is_empty() {
            baseline.clone_from(&measured);
        }
        print(&measured, &baseline);
    }
    Ok(())
}

/// The requests of an environment of so many connections.
///
/// # Errors
/// One is refused.
fn connections(count: usize, limits: &Limits) -> Result<Vec<Measured>> {
    let mut world = World::new(limits)?;
    let mut ids = Vec::new();
    for number in 0..count {
        let wanted = json!({
            "source": "okta", "connectionName": format!("Name {number}"), "tenantId": format!("account-{}", number / ACCOUNT),
        });
        let (_, made, _) = world.manage("POST", "", Some(&wanted), Run::Warm)?;
        ids.push(made["id"].as_str().context("no id")?.to_owned());
    }
    let middle = format!("?limit={}", (count / 2).min(1000));
    let (middle, ..) = world.manage("GET", &middle, None, Run::Warm)?;
    let middle = middle.context("there is no second page")?;
    let any = |i: usize| i.wrapping_mul(7919) % count;
    let paths: [(&str, &dyn Fn(usize) -> String); 7] = [
        ("list 1000, first page", &|_| "?limit=1000".to_owned()),
        ("list 100, first page", &|_| "?limit=100".to_owned()),
        ("list 100, from the middle", &|_| format!("?limit=100&cursor={middle}")),
        ("list an account of 50", &|i| format!("?tenantId=account-{}", any(i) / ACCOUNT)),
        ("find by name in an account", &|i| {
            format!("?connectionName=name+{}&tenantId=account-{}", any(i), any(i) / ACCOUNT)
        }),
        ("find by id", &|i| format!("?id={}", ids[any(i)])),
        ("read by id", &|i| format!("/{}", ids[any(i)])),
    ];
    let mut measured = Vec::new();
    for (name, path) in paths {
        measured.push(sample(name, SAMPLES, |i, run| Ok(world.manage("GET", &path(i), None, run)?.2))?);
    }
    measured.push(sample("create a connection", SAMPLES, |i, run| {
        let wanted = json!({ "source": "okta", "connectionName": format!("Another {i}") });
        Ok(world.manage("POST", "", Some(&wanted), run)?.2)
    })?);
    Ok(measured)
}

/// Requests without a log and with one, taken in turn: what each costs on average.
///
/// # Errors
/// One is not answered as it should be.
fn log(limits: &Limits) -> Result<()> {
    let silent = Limits { log_entries: 0, ..limits.clone() };
    let mut worlds = [World::new(&silent)?, World::new(limits)?];
    compare("create a user", &mut worlds, |world, number, run| {
        Ok(world.send("POST", "/Users", Some(&person(number)), run)?.1)
    })?;
    compare("be refused: there is no such user", &mut worlds, |world, _, run| {
        // So few a minute are all noted.
        world.wait(Duration::from_secs(3));
        let (refusal, cost) = world.ask("GET", "/Users/nobody", None, run);
        ensure!(refusal.status == 404, "{}", refusal.status);
        Ok(cost)
    })
}

fn compare(
    name: &str,
    worlds: &mut [World; 2],
    request: impl Fn(&mut World, usize, Run) -> Result<Cost>,
) -> Result<()> {
    let mut costs = [Cost::default(); 2];
    for number in 0..REQUESTS {
        // Merges come every so many writes: which ones find nothing cached must not keep step with them. And whoever comes
        // second finds the processor's caches filled.
        let drawn = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (run, second) = (if drawn >> 63 == 1 { Run::Warm } else { Run::Cold }, drawn >> 62 & 1);
        for which in [1 - second, second] {
            if let (Some(world), Some(cost)) = (worlds.get_mut(which), costs.get_mut(which)) {
                cost.add(request(world, number, run)?);
            }
        }
    }
    println!("{:36} {:>10} {:>10} {:>8}", name, "no log", "log", "ratio");
    let [without, with] = costs;
    let row = |what: &str, figure: fn(&Cost) -> u64, unit: f64| {
        let [then, now] = [&without, &with].map(|cost| mean(figure(cost), REQUESTS) / unit);
        let ratio = if then > 0.0 { format!("{:.2}x", now / then) } else { "-".to_owned() };
        println!("{what:>36} {then:>10.2} {now:>10.2} {ratio:>8}");
    };
    row("calls", |cost| cost.calls, 1.0);
    row("pages read", |cost| cost.pages_read, 1.0);
    row("pages written", |cost| cost.pages_written, 1.0);
    row("KiB written", |cost| cost.bytes_written, 1024.0);
    row("CPU us", |cost| u64::try_from(cost.time.as_nanos()).unwrap_or_default(), 1000.0);
    println!();
    Ok(())
}
