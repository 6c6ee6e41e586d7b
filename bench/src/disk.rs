//! Writes through the whole Spin world onto SQLite, as many clients at once, against what the same disk can do at most.
//!
//! The limit is measured in the same run, in the same directory: one transaction that replaces one value of a head's size,
//! with the journal Spin's store keeps. How many transactions the server made is read from the database file, which counts
//! them (its header's change counter, <https://www.sqlite.org/fileformat.html>), so that figure depends on no clock.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use rusqlite::Connection;

use crate::server::{Made, Server, post};
use crate::suite::person;

/// Bytes of a head with its pending writes.
const HEAD: usize = 8 << 10;
/// Transactions of the baseline.
const BASELINE: u32 = 200;
/// Answers of 503 that a client takes.
const MOST_REFUSED: usize = 100;

/// Writes through the Spin world onto a disk.
#[derive(Args)]
pub struct Disk {
    /// Clients at once
    #[arg(long, value_delimiter = ',', default_value = "1,4,16")]
    clients: Vec<usize>,
    /// Users created by all clients together, in each round
    #[arg(long, default_value_t = 320)]
    users: usize,
    /// Commits that share a swap at most, each tried in turn
    #[arg(long, value_delimiter = ',', default_value = "1,16")]
    group: Vec<usize>,
    /// Instances of the component at most, each tried in turn
    #[arg(long, value_delimiter = ',', default_value = "1,2,128")]
    instances: Vec<usize>,
    /// The optimised `scim-edge`
    #[arg(long, env = "SCIM_EDGE")]
    program: PathBuf,
    /// Directory on the disk to measure
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
}

/// Measures and prints.
///
/// # Errors
/// The disk, the database or the server fails, or a request is refused.
pub fn measure(disk: &Disk) -> Result<()> {
    std::fs::create_dir_all(&disk.directory)?;
    println!("the disk: {:.0} writes of 4 KiB with fsync a second", fsyncs(&disk.directory)?);
    println!(
        "{:>7} {:>9} {:>5} {:>10} {:>16} {:>12} {:>14} {:>8} {:>8}",
        "clients",
        "instances",
        "group",
        "writes/s",
        "transactions/s",
        "of the limit",
        "transactions",
        "CPU us",
        "refused"
    );
    for clients in &disk.clients {
        for instances in &disk.instances {
            for group in &disk.group {
                row(disk, *clients, *instances, *group)?;
            }
        }
    }
    Ok(())
}

/// One way to write, and right before it what the disk can do.
fn row(disk: &Disk, clients: usize, instances: usize, group: usize) -> Result<()> {
    let data = disk.directory.join("data");
    let (variable, instances_of_each) = (format!("commit_group={group}"), instances.to_string());
    let arguments = ["--front", "none", "--variable", &variable, "--instances", &instances_of_each];
    let server = Server::start(&disk.program, &data, &arguments)?;
    let connection = server.connection("bench", "bench")?;
    // The first requests compile and fill caches.
    create(&connection, 1, 0..20)?;
    let limit = transactions(&disk.directory)?;
    let (before, cpu) = (transactions_of(&data)?, server.cpu()?);
    let start = Instant::now();
    let refused = create(&connection, clients, 20..20 + disk.users)?;
    let (time, users) = (start.elapsed().as_secs_f64(), ratio(disk.users));
    let made = f64::from(transactions_of(&data)?.wrapping_sub(before)) / users;
    let cpu = (server.cpu()? - cpu) * 1e6 / users;
    let rate = users / time;
    println!(
        "{clients:>7} {instances:>9} {group:>5} {rate:>10.0} {limit:>16.0} {:>11.2}x {made:>14.2} {cpu:>8.0} {refused:>8}",
        rate / limit
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "figures to look at")]
fn ratio(count: usize) -> f64 {
    count as f64
}

/// What the disk itself can do.
fn fsyncs(directory: &Path) -> Result<f64> {
    let path = directory.join("fsync");
    let mut file = File::create(&path)?;
    let start = Instant::now();
    for _ in 0..BASELINE {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&[7; 4096])?;
        file.sync_all()?;
    }
    let rate = f64::from(BASELINE) / start.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// What SQLite can do on it: the least a commit takes.
fn transactions(directory: &Path) -> Result<f64> {
    let path = directory.join("limit.db");
    let _old = std::fs::remove_file(&path);
    let database = Connection::open(&path)?;
    database.execute("CREATE TABLE t (k TEXT PRIMARY KEY, v BLOB NOT NULL)", [])?;
    let mut replace = database.prepare("INSERT INTO t VALUES ('head', ?1) ON CONFLICT (k) DO UPDATE SET v = ?1")?;
    let start = Instant::now();
    for number in 0..BASELINE {
        replace.execute([vec![u8::try_from(number % 251)?; HEAD]])?;
    }
    let rate = f64::from(BASELINE) / start.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// Creates users, the clients taking turns; how often one was answered 503 and asked again.
fn create(to: &Made, clients: usize, users: Range<usize>) -> Result<usize> {
    let url = format!("{}/Users", to.url);
    std::thread::scope(|scope| {
        let client = |first: usize| -> Result<usize> {
            let agent = ureq::Agent::new_with_defaults();
            let mut refused = 0;
            for number in users.clone().skip(first).step_by(clients) {
                while let Err(error) = post(&agent, &url, &to.token, &person(number)) {
                    let busy = matches!(error.downcast_ref(), Some(ureq::Error::StatusCode(503)));
                    ensure!(busy && refused < MOST_REFUSED, error);
                    refused += 1;
                }
            }
            Ok(refused)
        };
        let clients: Vec<_> = (0..clients).map(|first| scope.spawn(move || client(first))).collect();
        clients.into_iter().map(|client| client.join().map_err(|_| anyhow!("a client died"))?).sum()
    })
}

/// Transactions the database file in a server's data has seen.
fn transactions_of(data: &Path) -> Result<u32> {
    let mut header = [0; 28];
    File::open(data.join("sqlite_key_value.db"))?.read_exact(&mut header)?;
    let [.., a, b, c, d] = header;
    Ok(u32::from_be_bytes([a, b, c, d]))
}
