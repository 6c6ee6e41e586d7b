//! Writes through the whole Spin world onto SQLite, as many clients at once, against what the same disk can do at most.
//!
//! The limit is measured in the same run, in the same directory: one transaction that replaces one value of a head's size,
//! with the journal Spin's store keeps. How many transactions the server made is read from the database file, which counts
//! them (its header's change counter, <https://www.sqlite.org/fileformat.html>), so that figure depends on no clock.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use rusqlite::Connection;

use crate::server::{Server, post};
use crate::suite::person;

/// Bytes of a head with its pending writes.
const HEAD: usize = 8 << 10;
/// Transactions of the baseline.
const BASELINE: u32 = 200;

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
    let (fsyncs, limit) = (fsyncs(&disk.directory)?, transactions(&disk.directory)?);
    println!(
        "the disk: {fsyncs:.0} writes of 4 KiB with fsync a second, {limit:.0} transactions of {HEAD} bytes a second"
    );
    println!(
        "{:>7} {:>5} {:>10} {:>14} {:>14} {:>12}",
        "clients", "group", "writes/s", "of the limit", "transactions", "CPU us"
    );
    for clients in &disk.clients {
        for group in &disk.group {
            let data = disk.directory.join("data");
            let variable = format!("commit_group={group}");
            let server = Server::start(&disk.program, &data, &["--front", "none", "--variable", &variable])?;
            let connection = server.connection("bench", "bench")?;
            let base = (format!("{}/Users", connection.url), connection.token);
            // The first requests compile and fill caches.
            create(&base, 1, 0..20)?;
            let (before, cpu) = (transactions_of(&data)?, server.cpu()?);
            let start = Instant::now();
            create(&base, *clients, 20..20 + disk.users)?;
            let (time, users) = (start.elapsed().as_secs_f64(), ratio(disk.users));
            let made = f64::from(transactions_of(&data)?.wrapping_sub(before)) / users;
            let cpu = (server.cpu()? - cpu) * 1e6 / users;
            let rate = users / time;
            println!("{clients:>7} {group:>5} {rate:>10.0} {:>13.2}x {made:>14.2} {cpu:>12.0}", rate / limit);
        }
    }
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

/// Creates users, the clients taking turns.
fn create((url, token): &(String, String), clients: usize, users: std::ops::Range<usize>) -> Result<()> {
    std::thread::scope(|scope| {
        let client = |first: usize| {
            let agent = ureq::Agent::new_with_defaults();
            users
                .clone()
                .skip(first)
                .step_by(clients)
                .try_for_each(|number| post(&agent, url, token, &person(number)).map(drop))
        };
        let clients: Vec<_> = (0..clients).map(|first| scope.spawn(move || client(first))).collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow::anyhow!("a client died"))?)
    })
}

/// Transactions the database file has seen.
fn transactions_of(data: &Path) -> Result<u32> {
    let mut header = [0; 28];
    File::open(data.join("sqlite_key_value.db"))?.read_exact(&mut header)?;
    let [.., a, b, c, d] = header;
    Ok(u32::from_be_bytes([a, b, c, d]))
}
