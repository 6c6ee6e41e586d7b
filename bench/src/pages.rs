//! What the dashboard's pages of a large directory take, from a browser's request to the last byte of the page, through
//! the filter and the Spin world.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;

use crate::server::Server;
use crate::suite::person;

/// Requests of each page.
const REQUESTS: usize = 60;
/// Members of the one group.
const MEMBERS: usize = 1000;

/// Pages of the dashboard, as the embedded host serves them.
#[derive(Args)]
pub struct Pages {
    /// Users of each directory, the first of which is the baseline
    #[arg(long, value_delimiter = ',', default_value = "1000,100000")]
    users: Vec<usize>,
    /// The optimised `scim-edge`
    #[arg(long, env = "SCIM_EDGE")]
    program: PathBuf,
    /// Directory for data
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
}

/// Measures and prints.
///
/// # Errors
/// The server fails, or a page is not what it should be.
pub fn measure(pages: &Pages) -> Result<()> {
    std::fs::create_dir_all(&pages.directory)?;
    let data = pages.directory.join("pages");
    let server = Server::start(&pages.program, &data, &["--front", "embedded"])?;
    let browser = Browser::sign_in(&server)?;
    let mut baseline: Vec<(f64, f64)> = Vec::new();
    for users in &pages.users {
        let id = server.connection(&format!("{users} users"))?.id;
        import(pages, &data, &id, *users)?;
        println!("{users} users");
        println!("{:36} {:>10} {:>8} {:>8} {:>8} {:>8}", "page", "median ms", "ratio", "CPU ms", "ratio", "KiB");
        let mut measured = Vec::new();
        for (name, path, expected) in asked(*users) {
            let url = format!("{}/dashboard/connections/{id}{path}", browser.front);
            // The first requests compile and fill caches.
            let page = browser.page(&url)?;
            ensure!(page.contains(&expected), "{url} does not show {expected}");
            browser.page(&url)?;
            let cpu = server.cpu()?;
            let mut times = Vec::new();
            for _ in 0..REQUESTS {
                let start = Instant::now();
                browser.page(&url)?;
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
            let cpu = (server.cpu()? - cpu) * 1e3 / REQUESTS as f64;
            times.sort_by(f64::total_cmp);
            let median = times.get(REQUESTS / 2).copied().unwrap_or_default();
            let base = baseline.get(measured.len()).copied().unwrap_or((median, cpu));
            let size = page.len() as f64 / 1024.0;
            println!(
                "{name:36} {median:>10.2} {:>7.2}x {cpu:>8.2} {:>7.2}x {size:>8.1}",
                median / base.0,
                cpu / base.1
            );
            measured.push((median, cpu));
        }
        if baseline.is_empty() {
            baseline = measured;
        }
    }
    Ok(())
}

/// Pages, their addresses, and something that is on each.
fn asked(users: usize) -> Vec<(&'static str, String, String)> {
    let any = person(users / 2);
    let text = |name: &str| any[name].as_str().unwrap_or_default().to_owned();
    let (name, display) = (text("userName"), text("displayName"));
    let start = name.get(..3).unwrap_or_default().to_owned();
    let last = users - 20;
    vec![
        ("users, first page", "/users".to_owned(), "1–50 of ".to_owned()),
        ("users, from the middle", format!("/users?from={}", users / 2), "Previous".to_owned()),
        ("users, the end", format!("/users?from={last}"), "Previous".to_owned()),
        ("search: user name begins with", format!("/users?by=userName&q={start}"), name.clone()),
        ("search: display name begins with", format!("/users?by=displayName&q={}", display.replace(' ', "+")), display),
        ("search: email is", format!("/users?by=emails.value&q={name}"), name.clone()),
        ("search: external id is", format!("/users?by=externalId&q={}", text("externalId")), name.clone()),
        ("search: nobody", "/users?q=nobody".to_owned(), "Nothing found".to_owned()),
        ("one user", format!("/users/{}", id(users / 2)), name),
        ("one group, first page of members", format!("/groups/{}", id(users)), "Next".to_owned()),
        ("log", "/log".to_owned(), "Log".to_owned()),
    ]
}

fn id(number: usize) -> String {
    format!("0190163d-8694-7000-8000-{number:012x}")
}

/// Fills a connection with users and one group.
fn import(pages: &Pages, data: &Path, connection: &str, users: usize) -> Result<()> {
    let mut command = Command::new(&pages.program);
    command.arg("import").arg("--data").arg(data).args(["--connection", connection]);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let mut lines = std::io::BufWriter::new(process.stdin.take().context("no input")?);
    let meta = |kind: &str| json!({ "resourceType": kind, "created": "2026-01-01T00:00:00.000Z", "lastModified": "2026-01-01T00:00:00.000Z" });
    for number in 0..users {
        let mut user = person(number);
        (user["id"], user["meta"]) = (id(number).into(), meta("User"));
        writeln!(lines, "{}", json!({ "user": user }))?;
    }
    let group = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "id": id(users), "displayName": "Everybody",
        "meta": meta("Group"),
    });
    writeln!(lines, "{}", json!({ "group": group }))?;
    for number in 0..MEMBERS.min(users) {
        let member = json!({ "group": id(users), "value": id(number), "type": "User" });
        writeln!(lines, "{}", json!({ "member": member }))?;
    }
    lines.flush()?;
    drop(lines);
    ensure!(process.wait()?.success(), "the users cannot be imported");
    Ok(())
}

/// Somebody who has signed in.
struct Browser {
    agent: ureq::Agent,
    front: String,
    cookie: String,
}

impl Browser {
    fn sign_in(server: &Server) -> Result<Self> {
        let front = server.ready("front")?.to_owned();
        let agent: ureq::Agent = ureq::Agent::config_builder().max_redirects(0).build().into();
        let form = format!("clientId={}&secret={}", server.ready("clientId")?, server.ready("secret")?);
        let request = agent.post(format!("{front}/dashboard/login"));
        let answer = request.header("content-type", "application/x-www-form-urlencoded").send(form.as_bytes())?;
        let cookie = answer.headers().get("set-cookie").context("nobody can sign in")?.to_str()?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        Ok(Self { agent, front, cookie })
    }

    /// The whole page.
    fn page(&self, url: &str) -> Result<String> {
        let mut answer = self.agent.get(url).header("cookie", &self.cookie).call()?;
        ensure!(answer.status() == 200, "{url}: {}", answer.status());
        Ok(answer.body_mut().read_to_string()?)
    }
}
