//! `cargo xtask bench`: what operations cost as a directory grows. Counts do not depend on the machine; times do.
//! `cargo xtask bench disk`: how many writes a second a disk takes through the whole Spin world.
//! `cargo xtask bench hosts`: what operations cost through whole hosts.
//! `cargo xtask bench management`: what connections cost as an environment grows, and what the log costs.
//! `cargo xtask bench pages`: how long the dashboard's pages take as a directory grows.

mod disk;
mod hosts;
mod management;
mod pages;
mod process;
mod server;
mod suite;
mod world;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use scim_engine::env::Limits;

use suite::Measured;

/// Measures the engine over a key-value store in memory, or another section.
#[derive(Parser)]
#[command(name = "cargo xtask bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    section: Option<Section>,
    #[command(flatten)]
    growth: Growth,
}

#[derive(Subcommand)]
enum Section {
    /// Writes through the Spin world onto SQLite, against what the disk can do
    Disk(disk::Disk),
    /// Operations through the Spin world, and through Envoy in front of it or alone
    Hosts(hosts::Hosts),
    /// Requests of the management API among more and more connections, and writes with and without the provisioning log
    Management(management::Management),
    /// Pages of the dashboard as directories grow, through the filter and the Spin world
    Pages(pages::Pages),
}

/// What operations cost as a directory grows.
#[derive(Args)]
struct Growth {
    /// Users of each directory, the first of which is the baseline
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000,1000000")]
    users: Vec<usize>,
    /// Bytes of a page, if not the default
    #[arg(long)]
    page_bytes: Option<usize>,
    /// Writes a head keeps, if not the default
    #[arg(long)]
    pending_entries: Option<usize>,
    /// Bytes of writes a head keeps, if not the default
    #[arg(long)]
    pending_bytes: Option<usize>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.section {
        Some(Section::Disk(disk)) => disk::measure(&disk),
        Some(Section::Hosts(hosts)) => hosts::measure(&hosts),
        Some(Section::Management(management)) => management::measure(&management),
        Some(Section::Pages(pages)) => pages::measure(&pages),
        None => growth(arguments.growth),
    }
}

fn growth(arguments: Growth) -> Result<()> {
    let default = Limits::default();
    let limits = Limits {
        page_bytes: arguments.page_bytes.unwrap_or(default.page_bytes),
        pending_entries: arguments.pending_entries.unwrap_or(default.pending_entries),
        pending_bytes: arguments.pending_bytes.unwrap_or(default.pending_bytes),
        ..default
    };
    let (page, entries, bytes) = (limits.page_bytes, limits.pending_entries, limits.pending_bytes);
    println!("pages of {page} bytes, {entries} writes or {bytes} bytes pending");
    let mut baseline = Vec::new();
    for users in arguments.users {
        let measured = suite::measure(users, &limits)?;
        if baseline.is_empty() {
            baseline.clone_from(&measured);
        }
        print(&measured, &baseline);
    }
    Ok(())
}

fn print(measured: &[Measured], baseline: &[Measured]) {
    let columns = ["calls", "pages read", "median us"].map(|title| format!("{title:>14}")).concat();
    println!("{:33} {:^42} {:^42} {:^28}", "", "with nothing cached", "with an instance's cache", "written");
    println!("{:33} {columns} {columns} {:>14}{:>14}", "operation", "pages", "KiB");
    for one in measured {
        // A group that the baseline is too small for is compared with its largest.
        let kin = |other: &&Measured| other.name == one.name || verb(&other.name) == verb(&one.name);
        let base = baseline.iter().find(|other| other.name == one.name).or_else(|| baseline.iter().rfind(kin));
        let ratio = |figure: fn(&Measured) -> f64| {
            let (now, then) = (figure(one), base.map_or(0.0, figure));
            let text = if then > 0.0 { format!("{:.2}x", now / then) } else { "-".to_owned() };
            format!("{:>14}", format!("{now:.1} {text:>6}"))
        };
        println!(
            "{:33} {}{}{} {}{}{} {}{}",
            one.name,
            ratio(|m| m.cold_calls),
            ratio(|m| m.cold_pages_read),
            ratio(|m| m.cold_micros),
            ratio(|m| m.calls),
            ratio(|m| m.pages_read),
            ratio(|m| m.micros),
            ratio(|m| m.pages_written),
            ratio(|m| m.kib_written)
        );
    }
    println!();
}

/// A name up to its number.
fn verb(name: &str) -> &str {
    name.split(|c: char| c.is_ascii_digit()).next().unwrap_or_default()
}
