//! What the dashboard's pages of a large directory, and of many connections, take, from a browser's request to the last byte of the page, through
//! the filter and the Spin world.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;

use crate::server::Server;
use crate::suite::{mean, person};

/// Requests of each page.
const REQUESTS: u32 = 60;
/// Members of the one group.
const MEMBERS: usize = 1000;
/// The account of the large directories.
const ACCOUNT: &str = "bench";
/// Connections of every other account.
const CONNECTIONS: usize = 20;

/// Pages of the dashboard, as the embedded host serves them.
#[derive(Args)]
pub struct Pages {
    /// Users of each directory, the first of which is the baseline
    #[arg(long, value_delimiter = ',', default_value = "1000,100000")]
    users: Vec<usize>,
    /// Connections of the environment, the first of which is the baseline
    #[arg(long, value_delimiter = ',', default_value = "100,1000,3000")]
    connections: Vec<usize>,
    /// The optimised `scim-edge`
    #[arg(long, env = "SCIM_EDGE")]
    program: PathBuf,
    /// Directory for data
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
}

/// A page: its name, its address below the dashboard, and something that is on it.
type Asked = (&'static str, String, String);

/// Measures and prints.
///
/// # Errors
/// The server fails, or a page is not what it should be.
pub fn measure(pages: &Pages) -> Result<()> {
    std::fs::create_dir_all(&pages.directory)?;
    let data = pages.directory.join("pages");
    let server = Server::start(&pages.program, &data, &["--front", "embedded"])?;
    let browser = Browser::sign_in(&server)?;
    let mut baseline = Vec::new();
    for users in &pages.users {
        let id = server.connection(ACCOUNT, &format!("{users} users"))?.id;
        import(pages, &data, &id, *users)?;
        println!("{users} users");
        print(&server, &browser, &of_users(&id, *users), &mut baseline)?;
    }
    let (mut baseline, mut made) = (Vec::new(), pages.users.len());
    for connections in &pages.connections {
        for number in made..*connections {
            server.connection(&format!("account-{}", number / CONNECTIONS), &format!("Name {number}"))?;
        }
        made = *connections;
        println!("{connections} connections");
        print(&server, &browser, &of_connections(*connections), &mut baseline)?;
    }
    Ok(())
}

/// Prints what pages take, beside what the first ones of their kind took.
fn print(server: &Server, browser: &Browser, asked: &[Asked], baseline: &mut Vec<(f64, f64)>) -> Result<()> {
    println!("{:36} {:>10} {:>8} {:>8} {:>8} {:>8}", "page", "median ms", "ratio", "CPU ms", "ratio", "KiB");
    for (at, (name, path, expected)) in asked.iter().enumerate() {
        // The first requests compile and fill caches.
        let page = browser.page(path)?;
        ensure!(page.contains(expected), "{path} does not show {expected}");
        browser.page(path)?;
        let cpu = server.cpu()?;
        let mut times = Vec::new();
        for _ in 0..REQUESTS {
            let start = Instant::now();
            browser.page(path)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        let cpu = (server.cpu()? - cpu) * 1e3 / f64::from(REQUESTS);
        times.sort_by(f64::total_cmp);
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        let (then, cpu_then) = baseline.get(at).copied().unwrap_or((median, cpu));
        let (ratio, cpu_ratio, size) = (median / then, cpu / cpu_then, mean(page.len() as u64, 1024));
        println!("{name:36} {median:>10.2} {ratio:>7.2}x {cpu:>8.2} {cpu_ratio:>7.2}x {size:>8.1}");
        if baseline.len() <= at {
            baseline.push((median, cpu));
        }
    }
    println!();
    Ok(())
}

fn of_connections(connections: usize) -> Vec<Asked> {
    let account = format!("account-{}", (connections - 1) / CONNECTIONS);
    vec![
        ("overview", String::new(), "Provisioning activity".to_owned()),
        ("accounts, first page", "/accounts".to_owned(), "account-0".to_owned()),
        ("accounts, the end", "/accounts?after=account-95".to_owned(), ACCOUNT.to_owned()),
        ("an account", format!("/accounts/{account}"), "Name ".to_owned()),
    ]
}

fn of_users(connection: &str, users: usize) -> Vec<Asked> {
    let any = person(users / 2);
    let text = |name: &str| any[name].as_str().unwrap_or_default().to_owned();
    let (name, display) = (text("userName"), text("displayName"));
    let start = name.get(..3).unwrap_or_default().to_owned();
    let last = users - 20;
    let asked = [
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
    ];
    asked.map(|(name, path, expected)| (name, format!("/connections/{connection}{path}"), expected)).into()
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
    fn page(&self, path: &str) -> Result<String> {
        let url = format!("{}/dashboard{path}", self.front);
        let mut answer = self.agent.get(&url).header("cookie", &self.cookie).call()?;
        ensure!(answer.status() == 200, "{url}: {}", answer.status());
        Ok(answer.body_mut().read_to_string()?)
    }
}
