//! The Spin components as they ship, the command line that serves them, and the filter in front of them.

mod keys;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;
use wasmtime::component::Component;
use wasmtime::{Config, Engine};

/// What our components import, all of it offered by Spin 4.1; of WASI 0.2 any patch release will do.
const OFFERED: [&str; 26] = [
    "spin:key-value/key-value@3.0.0",
    "spin:variables/variables@3.0.0",
    "wasi:keyvalue/store@0.2.0-draft2",
    "wasi:keyvalue/atomics@0.2.0-draft2",
    "wasi:keyvalue/batch@0.2.0-draft2",
    "wasi:http/types@0.3.0",
    "wasi:http/client@0.3.0",
    "wasi:clocks/monotonic-clock@0.3.0",
    "wasi:clocks/system-clock@0.3.0",
    "wasi:clocks/types@0.3.0",
    "wasi:random/random@0.3.0",
    "wasi:random/insecure-seed@0.2.",
    "wasi:cli/environment@0.2.",
    "wasi:cli/exit@0.2.",
    "wasi:cli/stdin@0.2.",
    "wasi:cli/stdout@0.2.",
    "wasi:cli/stderr@0.2.",
    "wasi:cli/terminal-input@0.2.",
    "wasi:cli/terminal-output@0.2.",
    "wasi:cli/terminal-stdin@0.2.",
    "wasi:cli/terminal-stdout@0.2.",
    "wasi:cli/terminal-stderr@0.2.",
    "wasi:random/random@0.2.",
    "wasi:io/error@0.2.",
    "wasi:io/poll@0.2.",
    "wasi:io/streams@0.2.",
];

/// Bytes a component may have.
const LIMIT: u64 = 1_500_000;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn component(name: &str) -> PathBuf {
    let file = root().join("target/guests/wasm32-wasip2/guest").join(name);
    assert!(file.is_file(), "`{}` is missing: run `cargo xtask build`", file.display());
    file
}

fn check_component(name: &str) {
    let file = component(name);
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    let engine = Engine::new(&config).unwrap();
    let compiled = Component::from_file(&engine, &file).unwrap();
    for (import, _) in compiled.component_type().imports(&engine) {
        let offered = OFFERED.iter().any(|offered| import.starts_with(offered));
        assert!(offered, "`{name}` imports `{import}`");
    }
    assert!(std::fs::metadata(file).unwrap().len() < LIMIT, "`{name}` is too large");
}

#[test]
fn components_import_only_what_spin_offers_and_stay_small() {
    check_component("scim_spin_directory.wasm");
    check_component("scim_spin_connections.wasm");
    check_component("scim_spin_pages.wasm");
}

/// A fresh data directory, which shares compiled code with the others.
fn fresh() -> TempDir {
    let compiled = concat!(env!("CARGO_TARGET_TMPDIR"), "/compiled");
    std::fs::create_dir_all(compiled).unwrap();
    let data = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(compiled, data.path().join("compiled")).unwrap();
    data
}

struct Server {
    process: Child,
    ready: Value,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed by the test.
        let _gone = self.process.kill();
        self.process.wait().unwrap();
    }
}

fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scim-edge"));
    command.args(["serve", "--front", "none", "--ready-json", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn serve(data: &Path) -> Server {
    serve_with(data, &[])
}

fn serve_with(data: &Path, arguments: &[&str]) -> Server {
    component("scim_spin_directory.wasm");
    let mut command = command(data);
    command.args(arguments).arg("--app").arg(root()).args(["--origin-listen", "127.0.0.1:0"]);
    ready(command)
}

/// The server once it answers.
fn ready(mut command: Command) -> Server {
    let mut process = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let ready = serde_json::from_str(&line).unwrap_or_else(|_| {
        let mut said = String::new();
        process.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
        panic!("not ready: {said}")
    });
    Server { process, ready }
}

impl Server {
    fn address(&self) -> SocketAddr {
        self.ready["origin"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// Status, head and body of an answer.
    fn request(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String, String) {
        exchange(self.address(), method, path, token, body)
    }

    fn json(&self, method: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let (status, _, text) = self.request(method, path, token, &body.to_string());
        (status, serde_json::from_str(&text).unwrap_or_default())
    }
}

fn exchange(address: SocketAddr, method: &str, path: &str, token: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: scim.test\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         frontegg-tenant-id: acme\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

/// A connection: its base path and its token.
fn connect(server: &Server) -> (String, String) {
    let credential = json!({ "clientId": server.ready["clientId"], "secret": server.ready["secret"] });
    let (_, vendor) = server.json("POST", "/auth/vendor/", "", &credential);
    let vendor = vendor["token"].as_str().unwrap();
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let name = format!("staff {}", MADE.fetch_add(1, Ordering::Relaxed));
    let wish = json!({ "source": "okta", "connectionName": name });
    let (status, made) = server.json("POST", "/directory/resources/v1/configurations/scim2", vendor, &wish);
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap();
    (format!("/directory/resources/scim/v2.0/{id}"), made["token"].as_str().unwrap().to_owned())
}

fn user(name: &str) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name })
}

#[test]
fn what_was_acknowledged_is_there_after_kill_9() {
    let data = fresh();
    let mut first = serve(data.path());
    let (base, token) = connect(&first);
    let (status, made) = first.json("POST", &format!("{base}/Users"), &token, &user("ada"));
    assert_eq!(status, 201, "{made}");
    first.process.kill().unwrap();
    first.process.wait().unwrap();

    let second = serve(data.path());
    let (status, found) = second.json("GET", &format!("{base}/Users"), &token, &Value::Null);
    assert_eq!((status, &found["totalResults"]), (200, &json!(1)));
    assert_eq!(found["Resources"][0]["id"], made["id"]);
    assert_eq!(second.ready["secret"], first.ready["secret"]);
}

#[test]
fn rivals_for_one_directory_all_get_their_writes() {
    let data = fresh();
    let server = serve(data.path());
    let (base, token) = connect(&server);
    let path = format!("{base}/Users");
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (server, path, token) = (&server, &path, &token);
            scope.spawn(move || {
                for turn in 0..3 {
                    let (status, _) = server.json("POST", path, token, &user(&format!("{client}-{turn}")));
                    assert_eq!(status, 201);
                }
            });
        }
    });
    let (_, found) = server.json("GET", &path, &token, &Value::Null);
    assert_eq!(found["totalResults"], 24);
}

#[test]
fn head_tells_the_length_of_get_and_sends_nothing() {
    let data = fresh();
    let server = serve(data.path());
    let (base, token) = connect(&server);
    let path = format!("{base}/ServiceProviderConfig");
    let (_, _, body) = server.request("GET", &path, &token, "");
    let (status, head, nothing) = server.request("HEAD", &path, &token, "");
    assert_eq!((status, nothing.as_str()), (200, ""));
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_sent() {
    let data = fresh();
    let server = serve(data.path());
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let path = "/directory/resources/scim/v2.0/x/Users";
    write!(stream, "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000\r\n\r\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 413 Payload Too Large\r\n");
}

#[test]
fn the_management_api_refuses_a_large_body_in_its_own_form() {
    let data = fresh();
    let server = serve(data.path());
    let (status, refusal) = server.json("POST", "/auth/vendor", "", &Value::from("x".repeat(1 << 20)));
    assert_eq!((status, &refusal["statusCode"]), (413, &json!(413)));
    assert_eq!(refusal["errors"][0], refusal["message"]);
}

#[test]
fn a_browser_that_is_given_the_bare_host_is_shown_the_dashboard() {
    let data = fresh();
    let server = serve(data.path());
    let ask = |accept: &str| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        write!(stream, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\naccept: {accept}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let shown = ask("text/html,application/xhtml+xml,*/*;q=0.8");
    assert!(shown.starts_with("HTTP/1.1 303 ") && shown.contains("\r\nlocation: /dashboard\r\n"), "{shown}");
    assert!(ask("*/*").starts_with("HTTP/1.1 404 "));
}

/// The table as `PRAGMA table_info` shows it: column, type, whether it may be null, place in the primary key.
fn table(file: &rusqlite::Connection) -> Vec<(String, String, bool, i64)> {
    let mut statement = file.prepare("PRAGMA table_info(spin_key_value)").unwrap();
    let columns = statement.query_map([], |row| Ok((row.get(1)?, row.get(2)?, row.get(3)?, row.get(5)?))).unwrap();
    columns.collect::<Result<_, _>>().unwrap()
}

/// A file with the table exactly as Spin makes it, for its columns, their order and its key are what counts.
fn made_by_spin(path: &Path) -> rusqlite::Connection {
    let file = rusqlite::Connection::open(path).unwrap();
    let columns = "store TEXT NOT NULL,\nkey   TEXT NOT NULL,\nvalue BLOB NOT NULL,\n\nPRIMARY KEY (store, key)";
    file.execute_batch(&format!("CREATE TABLE IF NOT EXISTS spin_key_value (\n{columns}\n)")).unwrap();
    file
}

#[test]
fn a_file_of_spin_is_served_and_a_file_of_ours_is_one_of_spin() {
    let ours = fresh();
    let server = serve(ours.path());
    let (base, token) = connect(&server);
    let (status, made) = server.json("POST", &format!("{base}/Users"), &token, &user("ada"));
    assert_eq!(status, 201, "{made}");
    drop(server);

    // What Spin does with our file: the same table, texts and blobs, a counter of eight bytes, no write-ahead log.
    let theirs = fresh();
    let spin = made_by_spin(&theirs.path().join("sqlite_key_value.db"));
    let file = rusqlite::Connection::open(ours.path().join("sqlite_key_value.db")).unwrap();
    assert_eq!(table(&file), table(&spin));
    let kinds = "SELECT DISTINCT typeof(store) || ' ' || typeof(key) || ' ' || typeof(value) FROM spin_key_value";
    assert_eq!(file.query_row(kinds, [], |row| row.get::<_, String>(0)).unwrap(), "text text blob");
    let elected = "SELECT value FROM spin_key_value WHERE store = 'default' AND key = 'elect:environment'";
    assert_eq!(file.query_row(elected, [], |row| row.get::<_, Vec<u8>>(0)).unwrap(), 1i64.to_le_bytes());
    assert_eq!(file.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0)).unwrap(), "delete");
    assert_eq!(file.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).unwrap(), 0);

    // The same entries, written into a file of Spin's by the statement Spin writes with, are served.
    let write = "INSERT INTO spin_key_value (store, key, value) VALUES ($1, $2, $3) \
                 ON CONFLICT(store, key) DO UPDATE SET value=$3";
    let mut entries = file.prepare("SELECT store, key, value FROM spin_key_value").unwrap();
    let mut rows = entries.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let entry: (String, String, Vec<u8>) = (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap());
        spin.execute(write, rusqlite::params![entry.0, entry.1, entry.2]).unwrap();
    }
    drop(spin);
    std::fs::copy(ours.path().join("credentials.json"), theirs.path().join("credentials.json")).unwrap();
    let server = serve(theirs.path());
    let (status, found) = server.json("GET", &format!("{base}/Users"), &token, &Value::Null);
    assert_eq!((status, &found["Resources"][0]["id"]), (200, &made["id"]));
    let (status, _) = server.json("POST", &format!("{base}/Users"), &token, &user("grace"));
    assert_eq!(status, 201);
}

#[test]
fn a_runtime_configuration_says_where_the_store_is() {
    let data = fresh();
    let config = data.path().join("runtime-config.toml");
    let start = |text: &str| {
        std::fs::write(&config, text).unwrap();
        let mut command = command(data.path());
        command.arg("--app").arg(root()).args(["--origin-listen", "127.0.0.1:0", "--runtime-config-file"]).arg(&config);
        command
    };
    let count =
        |server: &Server, of: &(String, String)| server.json("GET", &format!("{}/Users", of.0), &of.1, &Value::Null);

    let server = ready(start("[key_value_store.default]\ntype = \"spin\"\npath = \"deep/store.db\""));
    let connection = connect(&server);
    drop(server);
    assert!(data.path().join("deep/store.db").is_file() && !data.path().join("sqlite_key_value.db").exists());
    let server = ready(start("[key_value_store.default]\ntype = \"spin\"\npath = \"deep/store.db\""));
    assert_eq!(count(&server, &connection).0, 200);
    drop(server);

    let server = ready(start("[key_value_store.default]\ntype = \"spin\""));
    assert_eq!(count(&server, &connection).0, 401, "a store in memory begins empty");
    let connection = connect(&server);
    assert_eq!(count(&server, &connection).0, 200);
    drop(server);

    check_refusal(&mut start("[key_value_store.default]\ntype = \"aws_dynamo\""), "takes Spin itself");
    check_refusal(&mut start("[key_value_store.other]\nurl = 1"), "not a runtime configuration");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let redis = format!("[key_value_store.default]\ntype = \"redis\"\nurl = \"redis://:secret@{nobody}\"");
    let said = check_refusal(&mut start(&redis), &format!("no Redis answers at {nobody}: start it, or correct `url`"));
    assert!(!said.contains("secret"), "{said}");
}

fn check_refusal(command: &mut Command, expected: &str) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(expected) && said.lines().count() == 1, "{said}");
    assert!(output.stdout.is_empty());
    said
}

#[test]
fn a_mistake_is_one_line_that_says_what_to_do() {
    let data = fresh();
    let server = serve(data.path());
    check_refusal(command(data.path()).arg("--app").arg(root()), "choose another `--data`");

    let other = fresh();
    check_refusal(command(other.path()).arg("--app").arg(other.path()), "name the directory of `spin.toml`");
    let taken = server.address().to_string();
    let listen = ["--origin-listen", taken.as_str()];
    check_refusal(command(other.path()).arg("--app").arg(root()).args(listen), "choose another `--origin-listen`");
    std::fs::copy(root().join("spin.toml"), other.path().join("spin.toml")).unwrap();
    check_refusal(command(other.path()).arg("--app").arg(other.path()), "run `cargo xtask build`");
}
