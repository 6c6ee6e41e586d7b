//! Local mode: a front that keeps the directories itself, with two workers and no origin.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use libtest_mimic::Trial;
use scim_host_tests::deployment::{Connection, Deployment, Http};
use scim_host_tests::envoy::{Envoy, free_ports};
use scim_host_tests::message::{Answer, Request};
use scim_host_tests::prepared::Prepared;
use scim_host_tests::server::{Front, Server};
use scim_host_tests::{case, place};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::shared::trial;
use crate::{auth, clients};

/// Connections beside those of the corpus.
const MORE: usize = 32;
/// Clients that write at once, each over a TCP connection of its own: both workers have some of them.
const CLIENTS: usize = 16;
/// How long Envoy may take to notice an update.
const PATIENCE: Duration = Duration::from_secs(60);

/// What keeps the directories itself, by the name it has in those of trials.
pub const LOCAL_FRONTS: [(&str, Front); 2] = [("local_proxy_wasm", Front::Embedded), ("local_envoy", Front::Envoy)];

type Test = (&'static str, fn() -> Result<()>);

/// What runs beside the corpus.
pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, front) in LOCAL_FRONTS {
        trials.extend(auth::TESTS.map(|(test_name, test)| {
            trial(format!("auth::{name}::{test_name}"), move || test(&server(front)?.scene()?))
        }));
        trials.extend(clients::CLIENTS.iter().map(|client| {
            trial(format!("clients::{name}::{client}"), move || {
                let local = server(front)?;
                clients::drive(client, local.url(), &local.deployment.connect(&Map::new())?)
            })
        }));
        let warning = format!("local::{name}::it_says_at_its_start_that_nothing_lasts");
        trials.push(trial(warning, move || warns(front)));
    }
    let tests: [Test; 5] = [
        ("local_proxy_wasm::writers_on_two_workers_lose_nothing", embedded_loses_nothing),
        ("local_envoy::writers_on_two_workers_lose_nothing", envoy_loses_nothing),
        ("local_envoy::an_update_keeps_the_directories_and_a_bad_one_changes_nothing", updates),
        ("local_envoy::a_full_table_answers_507_and_loses_nothing", fills_up),
        ("local_envoy::without_stop_iteration_on_headers_reads_are_served_and_writes_end", ends_writes),
    ];
    trials.extend(tests.map(|(name, test)| trial(format!("local::{name}"), test)));
    trials
}

/// A front in local mode, and its data.
pub struct Local {
    pub deployment: Arc<Deployment>,
    server: Server,
    _data: TempDir,
}

impl Local {
    fn start(front: Front) -> Result<Self> {
        let cases = case::load(&place::corpus())?.into_iter().filter(case::Case::is_scim_only);
        let wanted = cases.map(|case| case.connection).chain(std::iter::repeat_n(Map::new(), MORE));
        let prepared = Prepared::new(wanted);
        let data = tempfile::tempdir().context("no directory for data")?;
        let file = data.path().join("local.json");
        std::fs::write(&file, prepared.document()?.to_string())?;
        let file = file.to_str().context("the path is no text")?;
        let server = Server::start_with(&data.path().join("data"), front, &["--local", file])?;
        let url = server.ready.front.as_deref().context("there is no front")?;
        let deployment = Deployment::local(Box::new(Http::new(url)), prepared);
        Ok(Self { deployment: Arc::new(deployment), server, _data: data })
    }

    fn url(&self) -> &str {
        self.server.ready.front.as_deref().unwrap_or_default()
    }

    fn scene(&self) -> Result<auth::Scene> {
        auth::Scene::new(Arc::clone(&self.deployment), self.url())
    }
}

type Slot = Mutex<Option<std::result::Result<Arc<Local>, String>>>;

static EMBEDDED: Slot = Mutex::new(None);
static ENVOY: Slot = Mutex::new(None);

/// The shared front of that kind.
pub fn server(front: Front) -> Result<Arc<Local>> {
    let slot = if front == Front::Envoy { &ENVOY } else { &EMBEDDED };
    let mut slot = slot.lock().map_err(|_| anyhow!("the server's start panicked"))?;
    slot.get_or_insert_with(|| Local::start(front).map(Arc::new).map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(|error| anyhow!(error))
}

/// Stops every shared front.
pub fn stop() {
    for slot in [&EMBEDDED, &ENVOY] {
        if let Ok(mut slot) = slot.lock() {
            slot.take();
        }
    }
}

/// An identity provider with a TCP connection of its own.
struct Client {
    http: Deployment,
    connection: Connection,
}

impl Client {
    fn new(url: &str, connection: &Connection) -> Self {
        let http = Deployment::local(Box::new(Http::new(url)), Prepared::default());
        Self { http, connection: connection.clone() }
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let request = Request::new(method, &format!("{}{path}", self.connection.base())).bearer(&self.connection.token);
        self.http.send(&body.iter().fold(request, |request, body| request.json(body)))
    }

    fn accept(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let answer = self.send(method, path, Some(body))?;
        ensure!((200..300).contains(&answer.status), "{method} {path}: {}", answer.brief());
        Ok(answer.json())
    }

    fn create(&self, name: &str) -> Result<Answer> {
        self.send("POST", "/Users", Some(&json!({ "userName": name })))
    }

    fn total(&self, path: &str) -> Result<u64> {
        let answer = self.send("GET", path, None)?;
        answer.json()["totalResults"].as_u64().with_context(|| format!("no total: {}", answer.brief()))
    }
}

fn id(resource: &Value) -> Result<String> {
    resource["id"].as_str().map(str::to_owned).with_context(|| format!("no id: {resource}"))
}

fn embedded_loses_nothing() -> Result<()> {
    let local = server(Front::Embedded)?;
    loses_nothing(local.url(), &local.deployment.connect(&Map::new())?)
}

fn envoy_loses_nothing() -> Result<()> {
    let connections = json!([{ "id": "c", "tokens": [{ "token": "t" }] }]);
    let envoy = Watched::start(&json!({ "mode": "local", "connections": connections }))?;
    loses_nothing(&envoy.envoy.url, &envoy.client("c", "t").connection)?;
    for worker in ["worker_0", "worker_1"] {
        let served = envoy.envoy.stat(&format!("{worker}.downstream_cx_total"))?;
        ensure!(served > 0, "{worker} has served nobody: this proves nothing");
    }
    envoy.envoy.has_not_trapped()
}

/// Everybody writes at once: users and memberships of their own, and names that all want. Each reads what it wrote.
fn loses_nothing(url: &str, connection: &Connection) -> Result<()> {
    let first = Client::new(url, connection);
    let group = id(&first.accept("POST", "/Groups", &json!({ "displayName": "Everybody" }))?)?;
    let written: Vec<Result<Written>> = std::thread::scope(|scope| {
        let write = |number| {
            let (client, group) = (Client::new(url, connection), group.as_str());
            scope.spawn(move || write(&client, group, number))
        };
        let writers: Vec<_> = (0..CLIENTS).map(write).collect();
        writers.into_iter().map(|writer| writer.join().unwrap_or_else(|_| bail!("a writer panicked"))).collect()
    });
    let written = written.into_iter().collect::<Result<Vec<_>>>()?;
    let users: BTreeSet<&String> = written.iter().flat_map(|written| &written.users).collect();
    let won: usize = written.iter().map(|written| written.won).sum();
    ensure!(won == CONTESTED, "{won} clients were given one of {CONTESTED} names");
    let total = first.total("/Users?count=0")?;
    ensure!(total == (users.len() + won) as u64, "{total} users are there, {} were acknowledged", users.len() + won);
    let group = first.send("GET", &format!("/Groups/{group}"), None)?.json();
    let members = group["members"].as_array().into_iter().flatten();
    let members: BTreeSet<String> = members.filter_map(|member| member["value"].as_str().map(str::to_owned)).collect();
    ensure!(members.iter().eq(users.iter().copied()), "{} members of {} are there", members.len(), users.len());
    Ok(())
}

const OWN: usize = 20;
const CONTESTED: usize = 10;

/// What one client was told.
#[derive(Default)]
struct Written {
    users: Vec<String>,
    won: usize,
}

fn write(client: &Client, group: &str, number: usize) -> Result<Written> {
    let mut written = Written::default();
    for round in 0..OWN {
        let user = id(&client.accept("POST", "/Users", &json!({ "userName": format!("user-{number}-{round}") }))?)?;
        let title = json!({ "Operations": [{ "op": "replace", "path": "title", "value": "Kept" }] });
        client.accept("PATCH", &format!("/Users/{user}"), &title)?;
        let member = json!({ "Operations": [{ "op": "add", "path": "members", "value": [{ "value": user }] }] });
        client.accept("PATCH", &format!("/Groups/{group}?excludedAttributes=members"), &member)?;
        let read = client.send("GET", &format!("/Users/{user}"), None)?.json();
        ensure!(read["title"] == "Kept" && read["groups"][0]["value"] == group, "a write is lost: {read}");
        written.users.push(user);
        if round < CONTESTED {
            match client.create(&format!("contested-{round}"))? {
                answer if answer.status == 201 => written.won += 1,
                answer => ensure!(answer.status == 409, "{}", answer.brief()),
            }
        }
    }
    Ok(written)
}

fn warns(front: Front) -> Result<()> {
    let log = server(front)?.server.log();
    ensure!(log.contains("lost when Envoy stops"), "it says: {log}");
    Ok(())
}

/// Envoy with the listener of `envoy/local.yaml` in a file it watches.
struct Watched {
    directory: TempDir,
    envoy: Envoy,
    port: u16,
}

impl Watched {
    fn start(document: &Value) -> Result<Self> {
        Self::start_changed(document, &[])
    }

    /// With texts of the listener changed.
    fn start_changed(document: &Value, changes: &[(&str, &str)]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let [port] = free_ports()?;
        place_listener(directory.path(), port, document, changes)?;
        let bootstrap = json!({
            "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } },
            "node": { "id": "scim-edge", "cluster": "scim-edge" },
            "dynamic_resources": { "lds_config": { "path_config_source": {
                "path": directory.path().join("lds.yaml"),
                "watched_directory": { "path": directory.path() },
            } } },
        });
        // JSON is YAML.
        let envoy = Envoy::launch(directory.path(), "envoy", &bootstrap.to_string(), &["--concurrency", "2"])?;
        Ok(Self { directory, envoy, port })
    }

    fn update(&self, document: &Value) -> Result<()> {
        place_listener(self.directory.path(), self.port, document, &[])
    }

    /// Waits until Envoy's log holds a text.
    fn says(&self, text: &str) -> Result<()> {
        let start = Instant::now();
        while !self.envoy.log()?.contains(text) {
            ensure!(start.elapsed() < PATIENCE, "it does not say `{text}`: {}", self.envoy.log()?);
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn client(&self, id: &str, token: &str) -> Client {
        Client::new(&self.envoy.url, &Connection { id: id.to_owned(), token: token.to_owned() })
    }
}

/// Moves the listener into place, as Envoy wants a watched file to change.
fn place_listener(directory: &Path, port: u16, document: &Value, changes: &[(&str, &str)]) -> Result<()> {
    let example = std::fs::read_to_string(place::root().join("envoy/local.yaml"))?;
    let listener = example.split_once("  listeners:\n").context("the example has no listener")?.1;
    let (before, rest) = listener.split_once("value: |\n").context("the example has no document")?;
    let after = rest.split_once("                  - name: envoy.filters.http.router").context("no router")?.1;
    let text = format!("{before}value: '{document}'\n                  - name: envoy.filters.http.router{after}");
    let text = text
        .replace(
            "    - name: scim\n      address",
            "    - \"@type\": type.googleapis.com/envoy.config.listener.v3.Listener\n      name: scim\n      address",
        )
        .replace("@LISTEN_ADDRESS@", "127.0.0.1")
        .replace("@LISTEN_PORT@", &port.to_string())
        .replace("@PLUGIN@", &place::local_plugin().to_string_lossy());
    let text = changes.iter().try_fold(text, |text, (old, new)| {
        ensure!(text.contains(old), "the listener has no `{old}`");
        Ok(text.replace(old, new))
    })?;
    let file = directory.join("new.yaml");
    std::fs::write(&file, format!("resources:\n{text}"))?;
    Ok(std::fs::rename(file, directory.join("lds.yaml"))?)
}

/// Repeats a request until it is answered like that.
fn eventually(client: &Client, path: &str, status: u16) -> Result<Answer> {
    let start = Instant::now();
    loop {
        let answer = client.send("GET", path, None)?;
        if answer.status == status {
            return Ok(answer);
        }
        ensure!(start.elapsed() < PATIENCE, "expected {status}: {}", answer.brief());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn updates() -> Result<()> {
    let connection = |id: &str, token: &str| json!({ "id": id, "tokens": [{ "token": token }] });
    let document = |connections: Value| json!({ "mode": "local", "connections": connections });
    let envoy = Watched::start(&document(json!([connection("stays", "old"), connection("goes", "t")])))?;
    let stays = envoy.client("stays", "old");
    (0..150).try_for_each(|n| stays.accept("POST", "/Users", &json!({ "userName": format!("user-{n}") })).map(drop))?;
    let goes = envoy.client("goes", "t");
    goes.accept("POST", "/Users", &json!({ "userName": "ann" }))?;

    envoy.update(&json!({ "mode": "local", "connections": [connection("stays", "bad")], "slot": {} }))?;
    envoy.says("`slot`: is no field")?;
    let slots = json!({ "pages": 256 });
    envoy.update(&json!({ "mode": "local", "connections": [connection("stays", "bad")], "slots": slots }))?;
    envoy.says("`slots.pages`: can be changed by restarting Envoy only")?;
    ensure!(stays.total("/Users?count=0")? == 150, "a bad update has changed something");

    envoy.update(&document(json!([connection("stays", "new"), connection("comes", "t")])))?;
    let renewed = envoy.client("stays", "new");
    let found = eventually(&renewed, "/Users?count=200", 200)?.json();
    ensure!(found["Resources"].as_array().map_or(0, Vec::len) == 150, "users are lost: {}", found["totalResults"]);
    renewed.accept("POST", "/Users", &json!({ "userName": "after" }))?;
    ensure!(envoy.client("comes", "t").total("/Users")? == 0, "a new connection is not empty");
    for (id, token) in [("stays", "old"), ("stays", "bad"), ("goes", "t")] {
        let answer = envoy.client(id, token).send("GET", "/Users", None)?;
        ensure!(answer.status == 401, "{id} with {token}: {}", answer.brief());
    }

    envoy.update(&document(json!([connection("stays", "new"), connection("goes", "again")])))?;
    eventually(&envoy.client("goes", "again"), "/Users", 200)?;
    ensure!(envoy.client("goes", "again").total("/Users")? == 1, "what comes back does not find what it left");
    ensure!(renewed.total("/Users?count=0")? == 151, "users are lost");
    envoy.envoy.has_not_trapped()
}

fn fills_up() -> Result<()> {
    let connections = json!([{ "id": "c", "tokens": [{ "token": "t" }] }]);
    let tight = json!({ "pages": 256 });
    let envoy = Watched::start(&json!({
        "mode": "local", "connections": connections, "slots": tight,
        "limits": { "page_bytes": 1024, "requests_per_second": 0 },
    }))?;
    let client = envoy.client("c", "t");
    let mut users = Vec::new();
    let refused = loop {
        let answer = client.create(&format!("user-{}", users.len()))?;
        if answer.status != 201 {
            break answer;
        }
        users.push(id(&answer.json())?);
        ensure!(users.len() < 10_000, "the table does not fill");
    };
    ensure!(refused.status == 507 && refused.json()["status"] == "507", "{}", refused.brief());
    envoy.says("`slots.pages` is 256")?;
    ensure!(client.total("/Users?count=0")? == users.len() as u64, "users are lost");
    for user in &users {
        let answer = client.send("GET", &format!("/Users/{user}"), None)?;
        ensure!(answer.status == 200, "{}", answer.brief());
    }
    for user in &users {
        let answer = client.send("DELETE", &format!("/Users/{user}"), None)?;
        ensure!(answer.status == 204, "{}", answer.brief());
    }
    let answer = client.create("again")?;
    ensure!(answer.status == 201, "deletions make no room: {}", answer.brief());
    envoy.envoy.has_not_trapped()
}

/// Istio's WasmPlugin and Envoy Gateway's policy have no `allow_on_headers_stop_iteration`, so that they are no place for
/// local mode: Envoy shows the filter no body of a request it holds. Such a request ends all the same.
fn ends_writes() -> Result<()> {
    let document = json!({ "mode": "local", "connections": [{ "id": "c", "tokens": [{ "token": "t" }] }] });
    let changes = [
        ("allow_on_headers_stop_iteration: true", "allow_on_headers_stop_iteration: false"),
        ("stream_idle_timeout: 15s", "stream_idle_timeout: 1s"),
    ];
    let envoy = Watched::start_changed(&document, &changes)?;
    let client = envoy.client("c", "t");
    let written = client.create("ann")?;
    ensure!(written.status == 504 || written.status == 408, "{}", written.brief());
    ensure!(client.total("/Users")? == 0, "a write that was not answered was done");
    envoy.envoy.has_not_trapped()
}
