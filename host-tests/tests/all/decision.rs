//! The directory as a decision point: `envoy/decision.yaml` on real Envoy, in front of an application that shows what it
//! is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use libtest_mimic::Trial;
use scim_host_tests::deployment::{Connection, Deployment, Http, Target};
use scim_host_tests::envoy::{Envoy, example};
use scim_host_tests::message::{Answer, Request};
use scim_host_tests::place;
use scim_host_tests::server::{Front, Server};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use crate::shared::{Running, fresh, server, trial};

const ISSUER: &str = "https://idp.example.com";
const KEY: &[u8] = b"a symmetric key of a test, 32 bytes or more";

/// Every test of it.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("decision::an_active_user_passes_and_the_application_learns_who_it_is", passes),
        trial("decision::what_a_client_says_of_itself_is_taken_away", strips),
        trial("decision::groups_open_routes_through_rbac", opens_routes),
        trial("decision::a_deactivated_user_and_one_nobody_knows_are_refused", refuses),
        trial("decision::a_body_that_came_while_the_directory_was_asked_arrives_whole", holds_bodies),
        trial("decision::proxy_wasm::who_is_active_passes_and_nobody_else_does", decides_without_envoy),
    ]
}

/// An Envoy of its own between a user and the application, over a directory of its own.
struct Scene {
    directory: Deployment,
    connection: Connection,
    envoy: Envoy,
    front: Http,
    _server: std::sync::Arc<Running>,
    _files: tempfile::TempDir,
}

impl Scene {
    fn new() -> Result<Self> {
        let running = server(Front::Embedded)?;
        let directory = running.server.origin()?;
        let connection = directory.connect(&Map::new())?;
        let files = tempfile::tempdir()?;
        let jwks = files.path().join("jwks.json");
        let key = json!({ "kty": "oct", "alg": "HS256", "kid": "test", "k": URL_SAFE_NO_PAD.encode(KEY) });
        std::fs::write(&jwks, json!({ "keys": [key] }).to_string())?;
        let origin = running.server.ready.origin.strip_prefix("http://").context("no http URL")?;
        let (origin_address, origin_port) = origin.rsplit_once(':').context("no port")?;
        let (application, plugin) = (application()?, place::plugin());
        let words = [
            ("@ISSUER@", ISSUER),
            ("@JWKS@", &*jwks.to_string_lossy()),
            ("@PLUGIN@", &*plugin.to_string_lossy()),
            ("@EDGE_SECRET@", &running.server.edge_secret()?),
            ("@CONNECTION@", &connection.id),
            ("@APPLICATION_ADDRESS@", &application.ip().to_string()),
            ("@APPLICATION_PORT@", &application.port().to_string()),
            ("@ORIGIN_ADDRESS@", origin_address),
            ("@ORIGIN_PORT@", origin_port),
        ];
        let configuration = example("decision.yaml", &words)?;
        let envoy = Envoy::launch(files.path(), "decision", &configuration, &["--concurrency", "2"])?;
        let front = Http::new(&envoy.url);
        Ok(Self { directory, connection, envoy, front, _server: running, _files: files })
    }

    /// The identity provider writes, at the origin.
    fn provision(&self, method: &str, path: &str, body: &Value) -> Result<String> {
        let request = Request::new(method, &format!("{}{path}", self.connection.base())).json(body);
        let answer = self.directory.send(&request.bearer(&self.connection.token))?;
        ensure!(answer.status < 300, "{method} {path}: {}", answer.brief());
        Ok(answer.json()["id"].as_str().unwrap_or_default().to_owned())
    }

    fn user(&self, name: &str) -> Result<String> {
        self.provision("POST", "/Users", &json!({ "userName": name }))
    }

    fn group(&self, name: &str, member: &str) -> Result<String> {
        self.provision("POST", "/Groups", &json!({ "displayName": name, "members": [{ "value": member }] }))
    }

    /// A user's request to the application.
    fn get(&self, path: &str, subject: &Value) -> Result<Answer> {
        self.front.send(&Request::new("GET", path).bearer(&jwt(subject)))
    }

    /// The same again until the answer has that status: the edge may be behind for `max_staleness_ms`.
    fn eventually(&self, path: &str, subject: &Value, status: u16) -> Result<Answer> {
        let start = Instant::now();
        loop {
            let answer = self.get(path, subject)?;
            if answer.status == status || start.elapsed() > Duration::from_secs(5) {
                ensure!(answer.status == status, "{path}: {}", answer.brief());
                return Ok(answer);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A token of the identity provider.
fn jwt(subject: &Value) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "iss": ISSUER, "aud": "application", "sub": subject, "exp": 4_000_000_000u64 });
    let signed = format!("{}.{}", part(json!({ "alg": "HS256", "kid": "test" })), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap_or_else(|_| unreachable!("any length is a key"));
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// An application that answers with the header lines it got and the length of the body.
fn application() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || while echo(&stream).is_ok() {});
        }
    });
    Ok(address)
}

fn echo(stream: &TcpStream) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "the connection is closed");
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    reader.read_exact(&mut vec![0; length])?;
    let body = json!({ "head": lines, "length": length }).to_string();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    Ok(())
}

/// What the application was told in a header; several fields are several elements.
fn told(answer: &Answer, name: &str) -> Vec<String> {
    let lines = answer.json()["head"].as_array().cloned().unwrap_or_default();
    let prefix = format!("{name}: ");
    lines.iter().filter_map(|line| Some(line.as_str()?.strip_prefix(&prefix)?.to_owned())).collect()
}

fn passes() -> Result<()> {
    let scene = Scene::new()?;
    let ann = scene.user("ann@example.com")?;
    let inner = scene.group("Zürich, North", &ann)?;
    scene.group("Staff", &inner)?;
    let answer = scene.get("/", &json!("Ann@example.com"))?;
    ensure!(answer.status == 200, "{}", answer.brief());
    ensure!(told(&answer, "x-scim-user-id") == [ann.as_str()], "{}", answer.brief());
    ensure!(told(&answer, "x-scim-groups") == ["Z%C3%BCrich%2C%20North,Staff"], "{}", answer.brief());
    ensure!(told(&answer, "authorization").is_empty(), "the token went on to the application");
    let anonymous = scene.front.send(&Request::new("GET", "/"))?;
    ensure!(anonymous.status == 401, "{}", anonymous.brief());
    let start = Instant::now();
    let line = format!("\"user\":\"{ann}\"");
    while !scene.envoy.log()?.contains(&line) {
        ensure!(
            start.elapsed() < Duration::from_secs(5),
            "the access log does not name the user: {}",
            scene.envoy.log()?
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    scene.envoy.has_not_trapped()
}

fn strips() -> Result<()> {
    let scene = Scene::new()?;
    let ann = scene.user("ann")?;
    let spoofed = Request::new("GET", "/").bearer(&jwt(&json!("ann")));
    let spoofed = ["x-scim-user-id", "X-SCIM-Groups", "x-scim-groups"]
        .into_iter()
        .fold(spoofed, |request, name| request.header(name, "Administrators"));
    let answer = scene.front.send(&spoofed)?;
    ensure!(answer.status == 200, "{}", answer.brief());
    ensure!(told(&answer, "x-scim-user-id") == [ann.as_str()], "{}", answer.brief());
    ensure!(told(&answer, "x-scim-groups").is_empty(), "{}", answer.brief());
    let underscores = Request::new("GET", "/").bearer(&jwt(&json!("ann"))).header("x_scim_groups", "Administrators");
    let answer = scene.front.send(&underscores)?;
    ensure!(answer.status == 400, "{}", answer.brief());
    let spoofed = Request { target: "/admin".to_owned(), ..spoofed };
    let answer = scene.front.send(&spoofed)?;
    ensure!(answer.status == 403, "{}", answer.brief());
    scene.envoy.has_not_trapped()
}

fn opens_routes() -> Result<()> {
    let scene = Scene::new()?;
    let (ann, bob) = (scene.user("ann")?, scene.user("bob")?);
    let operators = scene.group("Operators", &ann)?;
    scene.group("Administrators", &operators)?;
    // Names that hold the one that opens the route.
    scene.group("Administrators of printers", &bob)?;
    let comma = scene.group("a,Administrators,b", &bob)?;
    for (name, status) in [("ann", 200), ("bob", 403)] {
        let answer = scene.get("/admin/users", &json!(name))?;
        ensure!(answer.status == status, "{name}: {}", answer.brief());
        let answer = scene.get("/", &json!(name))?;
        ensure!(answer.status == 200, "{name}: {}", answer.brief());
    }
    let rename = json!({ "Operations": [{ "op": "replace", "path": "displayName", "value": "Administrators" }] });
    let leave = json!({ "Operations": [{ "op": "remove", "path": format!("members[value eq \"{ann}\"]") }] });
    scene.provision("PATCH", &format!("/Groups/{operators}"), &leave)?;
    scene.eventually("/admin", &json!("ann"), 403)?;
    scene.provision("DELETE", &format!("/Groups/{operators}"), &json!({}))?;
    let taken = scene.provision("PATCH", &format!("/Groups/{comma}"), &rename);
    ensure!(taken.is_err(), "two groups of one name");
    scene.envoy.has_not_trapped()
}

fn refuses() -> Result<()> {
    let scene = Scene::new()?;
    let ann = scene.user("ann")?;
    ensure!(scene.get("/", &json!("ann"))?.status == 200, "an active user is refused");
    let set = |active: bool| json!({ "Operations": [{ "op": "replace", "path": "active", "value": active }] });
    scene.provision("PATCH", &format!("/Users/{ann}"), &set(false))?;
    let refused = scene.eventually("/", &json!("ann"), 403)?;
    ensure!(refused.json()["detail"] == "the user is deactivated", "{}", refused.brief());
    ensure!(refused.header("content-type") == Some("application/problem+json"), "{}", refused.brief());
    scene.provision("PATCH", &format!("/Users/{ann}"), &set(true))?;
    scene.eventually("/", &json!("ann"), 200)?;
    for subject in [json!("bob"), json!("ann "), json!("\u{e4}nn"), json!("a".repeat(1000))] {
        let refused = scene.get("/", &subject)?;
        ensure!(refused.status == 403, "{subject}: {}", refused.brief());
        ensure!(refused.json()["detail"] == "the user is not known here", "{}", refused.brief());
    }
    // What is no name is no subject: numbers, lists, objects, control characters.
    for subject in [json!(42), json!(["ann"]), json!({ "name": "ann" }), json!("ann\r\nx: y"), json!(""), json!(null)] {
        let refused = scene.get("/", &subject)?;
        ensure!(refused.status == 401, "{subject}: {}", refused.brief());
    }
    scene.envoy.has_not_trapped()
}

fn holds_bodies() -> Result<()> {
    let scene = Scene::new()?;
    scene.user("ann")?;
    // The first request of all: the directory is not known yet.
    let mut request = Request::new("POST", "/").bearer(&jwt(&json!("ann")));
    request.body = vec![b'x'; 3 << 20];
    let answer = scene.front.send(&request)?;
    ensure!(answer.status == 200, "{}", answer.brief());
    ensure!(answer.json()["length"] == 3 << 20, "the application got {}", answer.json()["length"]);
    scene.envoy.has_not_trapped()
}

/// The embedded host, which forwards to the origin as if that were the application.
fn decides_without_envoy() -> Result<()> {
    let directory = fresh()?;
    let data = directory.path().join("data");
    let server = Server::start(&data, Front::None)?;
    let deployment = server.origin()?;
    let connection = deployment.connect(&Map::new())?;
    for (name, active) in [("ann", true), ("bob", false)] {
        let user = Request::new("POST", &format!("{}/Users", connection.base()));
        let user = user.json(&json!({ "userName": name, "active": active })).bearer(&connection.token);
        let made = deployment.send(&user)?;
        ensure!(made.status == 201, "{}", made.brief());
    }
    drop(server);
    let rules = json!({ "connection": connection.id, "subject": { "header": "x-user" }, "match": "userName" });
    let filter = json!({ "mode": "decision", "decision": rules }).to_string();
    let server = Server::start_with(&data, Front::Embedded, &["--filter", &filter])?;
    let front = Http::new(server.ready.front.as_deref().context("no front")?);
    let path = "/openapi.json";
    for (name, status) in [(Some("Ann"), 200), (Some("bob"), 403), (Some("carol"), 403), (None, 401)] {
        let request = Request::new("GET", path);
        let answer = front.send(&name.into_iter().fold(request, |request, name| request.header("x-user", name)))?;
        ensure!(answer.status == status, "{name:?}: {}", answer.brief());
        let refused = answer.header("content-type") == Some("application/problem+json");
        ensure!(refused == (status != 200), "{name:?}: {}", answer.brief());
    }
    Ok(())
}
