//! What managing connections costs as an environment grows, and what the provisioning log costs a write.

use anyhow::{Context, Result};
use scim_engine::env::Limits;
use serde_json::json;

use crate::print;
use crate::suite::{Measured, person, sample};
use crate::world::World;

/// Requests of each kind.
const SAMPLES: usize = 40;
/// Writes with the log and without.
const WRITES: usize = 4000;
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
    let [without, with] = log(&limits)?;
    println!("without the provisioning log, and with it");
    print(&without, &without);
    print(&with, &without);
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
        let (_, made, _) = world.manage("POST", "", Some(&wanted), true)?;
        ids.push(made["id"].as_str().context("no id")?.to_owned());
    }
    let middle = format!("?limit={}", (count / 2).min(1000));
    let (middle, ..) = world.manage("GET", &middle, None, true)?;
    let middle = middle.context("there is no second page")?;
    let any = |i: usize| i.wrapping_mul(7919) % count;
    let paths: [(&str, &dyn Fn(usize) -> String); 6] = [
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
        measured.push(sample(name, SAMPLES, |i, warm| Ok(world.manage("GET", &path(i), None, warm)?.2))?);
    }
    measured.push(sample("create a connection", SAMPLES, |i, warm| {
        let wanted = json!({ "source": "okta", "connectionName": format!("Another {i}") });
        Ok(world.manage("POST", "", Some(&wanted), warm)?.2)
    })?);
    Ok(measured)
}

/// The same writes without a log and with one, taken in turn.
///
/// # Errors
/// One is refused.
fn log(limits: &Limits) -> Result<[Vec<Measured>; 2]> {
    let silent = Limits { log_entries: 0, ..limits.clone() };
    let mut worlds = [World::new(&silent)?, World::new(limits)?];
    let mut costs = [Vec::new(), Vec::new()];
    for number in 0..WRITES {
        // Whoever comes second finds the processor's caches filled.
        let second = usize::from(number % 4 < 2);
        for which in [1 - second, second] {
            if let (Some(world), Some(costs)) = (worlds.get_mut(which), costs.get_mut(which)) {
                costs.push(world.send("POST", "/Users", Some(&person(number)), number % 2 == 1)?.1);
            }
        }
    }
    let [without, with] = costs.map(|costs| {
        let cost = |i: usize, _| costs.get(i).copied().context("too few writes");
        Ok::<_, anyhow::Error>(vec![sample("create a user", WRITES, cost)?])
    });
    Ok([without?, with?])
}
