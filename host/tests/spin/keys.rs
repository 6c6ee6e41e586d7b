//! The keys the filter makes in shared data, which gives none back: whoever could make keys could fill Envoy's memory.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::Duration;

use scim_edge::proxy_wasm::{Cluster, Options, Proxy, Settings};
use serde_json::{Value, json};

use super::{Server, connect, exchange, fresh, root, serve_with, user};

const EDGE_SECRET: &str = "what-edges-present";

/// Attempts of each kind.
const ATTEMPTS: usize = 500;

/// The origin; its edges present [`EDGE_SECRET`].
fn origin(data: &std::path::Path) -> Server {
    serve_with(data, &["--variable", &format!("edge_secret={EDGE_SECRET}")])
}

/// A module of the filter as it ships, with that configuration.
fn filter(module: &str, configuration: &Value, origin: Option<SocketAddr>) -> Proxy {
    let module = root().join("target/guests/wasm32-wasip1/guest").join(module);
    assert!(module.is_file(), "`{}` is missing: run `cargo xtask build`", module.display());
    Proxy::start(Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        module,
        cache: Some(concat!(env!("CARGO_TARGET_TMPDIR"), "/compiled").into()),
        clusters: origin.into_iter().map(|address| Cluster::new("origin", address)).collect(),
        settings: Settings {
            configuration: configuration.to_string().into_bytes(),
            closed: vec!["/edge/".to_owned()],
            ..Settings::default()
        },
    })
    .unwrap()
}

fn before_an_origin(server: &Server, more: Value) -> Proxy {
    let mut configuration = json!({ "mode": "origin", "origin": { "cluster": "origin", "credential": EDGE_SECRET } });
    configuration.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    filter("scim_plugin.wasm", &configuration, Some(server.address()))
}

/// Runs what strangers do, and sees which keys are there after it that were not there before.
fn makes_no_key(proxy: &Proxy, what: impl FnOnce()) {
    let keys = || proxy.shared().data.keys().into_iter().map(|key| String::from_utf8_lossy(&key).into_owned());
    let before: HashSet<_> = keys().collect();
    assert!(!before.is_empty(), "no key is seen where there must be one");
    what();
    assert_eq!(keys().filter(|key| !before.contains(key)).collect::<Vec<_>>(), Vec::<String>::new());
    assert_eq!(proxy.shared().counts.traps.load(Ordering::Relaxed), 0);
}

/// Sends a request as it is; gives the status, or 0 where none came.
fn send(address: SocketAddr, request: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // It may be refused before all of it is sent.
    let _refused = stream.write_all(request);
    let mut answer = Vec::new();
    let _broken = stream.read_to_end(&mut answer);
    let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    status.unwrap_or(0)
}

/// Everything somebody without a token may think of, of `base` and of connections that do not exist.
fn intrude(address: SocketAddr, base: &str) {
    let refused = |method: &str, path: &str, fields: &[u8], body: &[u8]| {
        let line = format!("{method} {path} HTTP/1.1\r\nhost: edge.example\r\nconnection: close\r\n");
        let length = format!("content-length: {}\r\n\r\n", body.len());
        let status = send(address, &[line.as_bytes(), fields, length.as_bytes(), body].concat());
        assert!(status >= 400, "{method} {path}: {status}");
    };
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n").into_bytes();
    let mut random = Random(1);
    for attempt in 0..ATTEMPTS {
        let token = bearer(&random.text(1 + attempt % 80));
        let unknown = format!("/directory/resources/scim/v2.0/{}", random.text(1 + attempt % 70));
        let method = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"][attempt % 7];
        refused(method, &format!("{base}/Users"), &token, b"{}");
        refused(method, &format!("{base}/{}/{}", random.text(5), random.text(36)), &token, b"");
        refused(method, &format!("{unknown}/Groups"), &token, b"");
        refused(method, &format!("{unknown}/Users?filter={}", random.text(50)), b"", b"");
    }
    for path in ["/Users/%00", "/Users/%ff%fe", "/../x/Users", "/%2e%2e/x/Users", "/Users/a%2fb", "//Users", "/Users;x"]
    {
        refused("GET", &format!("{base}{path}"), &bearer("x"), b"");
    }
    let fields: [&[u8]; 8] = [
        b"authorization: Bearer \xff\xfe\r\n",
        b"authorization: Bearer a\r\nauthorization: Bearer b\r\n",
        b"authorization: Basic eDp5\r\n",
        b"authorization: Bearer\r\n",
        b"authorization: Bearer x\r\nx-forwarded-host: a%0d%0ab\r\n",
        b"authorization: Bearer x\r\nif-none-match: \"\xff\"\r\n",
        b"authorization: Bearer x\r\nx-request-id: \xff\r\n",
        b"authorization: Bearer x\r\ntransfer-encoding: chunked\r\n",
    ];
    let long = bearer(&"x".repeat(10_000));
    for fields in fields.into_iter().chain([long.as_slice()]) {
        refused("POST", &format!("{base}/Users"), fields, b"{}");
    }
    let deep = b"[".repeat(200_000);
    let bodies: [&[u8]; 5] = [b"{\"userName\":\"\xff\"}", b"", &deep, &[0; 1000], &[b' '; 5 << 20]];
    for body in bodies {
        for path in ["/Users", "/Groups", "/.search", "/Bulk"] {
            refused("POST", &format!("{base}{path}"), &bearer("x"), body);
        }
    }
    let head = format!("POST {base}/Users HTTP/1.1\r\nhost: a\r\nauthorization: Bearer x\r\n");
    for rest in ["content-length: 10\r\n\r\n{}", "transfer-encoding: chunked\r\n\r\nzz\r\n", "x", ""] {
        TcpStream::connect(address).unwrap().write_all(&[head.as_bytes(), rest.as_bytes()].concat()).unwrap();
    }
}

/// Letters that are the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn text(&mut self, length: usize) -> String {
        let mut letter = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            char::from(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[self.0 as usize % 64])
        };
        (0..length).map(|_| letter()).collect()
    }
}

#[test]
fn a_stranger_makes_no_key_in_front_of_an_origin() {
    let data = fresh();
    let server = origin(data.path());
    let (base, token) = connect(&server);
    let (unused, _) = connect(&server);
    let proxy = before_an_origin(&server, json!({}));
    makes_no_key(&proxy, || {
        intrude(proxy.address(), "/directory/resources/scim/v2.0/unknown");
        let (status, ..) = exchange(proxy.address(), "GET", &format!("{base}/Users"), &token, "");
        assert_eq!(status, 200);
        intrude(proxy.address(), &base);
        // The head of a connection that exists is looked up, for the token might be a new one.
        intrude(proxy.address(), &unused);
    });
}

#[test]
fn a_stranger_makes_no_key_of_pages_that_were_committed_since() {
    let data = fresh();
    let server = origin(data.path());
    let (base, token) = connect(&server);
    let proxy = before_an_origin(&server, json!({ "max_staleness_ms": 0 }));
    makes_no_key(&proxy, || {
        let path = format!("{base}/Users");
        assert_eq!(exchange(proxy.address(), "GET", &path, &token, "").0, 200);
        for n in 0..100 {
            let (status, made) = server.json("POST", &path, &token, &user(&format!("user {n}")));
            assert_eq!(status, 201, "{made}");
            assert_eq!(exchange(proxy.address(), "GET", &path, "guess", "").0, 401);
        }
    });
}

#[test]
fn a_stranger_makes_no_key_in_local_mode() {
    let tokens = json!([{ "token": "a-token-of-this-test" }]);
    let configuration = json!({ "mode": "local", "connections": [{ "id": "mine", "tokens": tokens }] });
    let proxy = filter("scim_plugin_local.wasm", &configuration, None);
    let base = "/directory/resources/scim/v2.0/mine";
    let made =
        exchange(proxy.address(), "POST", &format!("{base}/Users"), "a-token-of-this-test", &user("ada").to_string());
    assert_eq!(made.0, 201, "{}", made.2);
    makes_no_key(&proxy, || intrude(proxy.address(), base));
}

#[test]
fn a_stranger_makes_no_key_where_the_filter_decides() {
    let data = fresh();
    let server = origin(data.path());
    let (base, token) = connect(&server);
    let (status, made) = server.json("POST", &format!("{base}/Users"), &token, &user("ada"));
    assert_eq!(status, 201, "{made}");
    let connection = base.rsplit('/').next().unwrap();
    let rules = json!({ "connection": connection, "subject": { "header": "x-user" }, "match": "userName" });
    let proxy = before_an_origin(&server, json!({ "mode": "decision", "decision": rules }));
    let ask = |subject: &str| {
        send(
            proxy.address(),
            format!("GET /openapi.json HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{subject}\r\n").as_bytes(),
        )
    };
    assert_eq!(ask("x-user: ada\r\n"), 200);
    makes_no_key(&proxy, || {
        intrude(proxy.address(), "/app");
        let mut random = Random(2);
        for attempt in 0..ATTEMPTS {
            let status = ask(&format!("x-user: {}\r\n", random.text(1 + attempt % 200)));
            assert_eq!(status, 403);
        }
    });
}
