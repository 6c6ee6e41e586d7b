//! The embedded host against what Envoy 1.40 does, with a plugin that does what each request asks.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use scim_edge::proxy_wasm::{Cluster, Level, Log, Options, Proxy, Settings};

/// The fixture's module, built once.
static MODULE: LazyLock<PathBuf> = LazyLock::new(|| {
    let target = concat!(env!("CARGO_TARGET_TMPDIR"), "/fixture");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "scim-filter-fixture", "--target", "wasm32-wasip1"])
        .args(["--profile", "guest", "--target-dir", target])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()
        .unwrap();
    assert!(built.success(), "the fixture does not build");
    PathBuf::from(target).join("wasm32-wasip1/guest/scim_filter_fixture.wasm")
});

/// What the origin has been asked, as `METHOD path`, or the headers it saw last.
type Seen = Arc<Mutex<Vec<String>>>;

/// An origin that echoes, is slow at `/slow`, and breaks off at `/break`.
fn origin() -> (SocketAddr, Seen, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, seen, last) = (listener.local_addr().unwrap(), Seen::default(), Seen::default());
    let (requests, headers) = (Arc::clone(&seen), Arc::clone(&last));
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let (requests, headers) = (Arc::clone(&requests), Arc::clone(&headers));
            // A client that goes away ends its thread.
            thread::spawn(move || answer(socket, &requests, &headers).unwrap_or(()));
        }
    });
    (address, seen, last)
}

fn answer(mut socket: TcpStream, seen: &Seen, last: &Seen) -> std::io::Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    loop {
        let (line, headers, body) = message(&mut reader, true)?;
        let target = line.rsplit_once(' ').map_or("", |(target, _)| target).to_owned();
        seen.lock().unwrap().push(target.clone());
        last.lock().unwrap().clone_from(&headers);
        if target.ends_with("/slow") {
            thread::sleep(Duration::from_secs(1));
        }
        if target.ends_with("/break") {
            return write!(socket, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
        }
        let added = headers.iter().any(|header| header == "x-added: yes");
        let text = format!("{target} added={added} body={}", body.len());
        write!(socket, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())?;
    }
}

/// Reads a first line, lower-case headers and a body of given length or in chunks.
fn message(reader: &mut impl BufRead, has_body: bool) -> std::io::Result<(String, Vec<String>, Vec<u8>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let first = lines.remove(0);
    let headers: Vec<String> = lines.iter().map(|line| line.to_lowercase()).collect();
    let length = headers.iter().find_map(|header| header.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.filter(|_| has_body).unwrap_or(0)];
    reader.read_exact(&mut body)?;
    if headers.iter().any(|header| header == "transfer-encoding: chunked") {
        body = chunks(reader)?;
    }
    Ok((first, headers, body))
}

fn chunks(reader: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk)?;
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

struct Setup {
    proxy: Proxy,
    seen: Seen,
    headers: Seen,
}

impl Setup {
    fn new(change: impl FnOnce(&mut Settings)) -> Setup {
        let (address, seen, headers) = origin();
        Setup { proxy: start(address, change).unwrap(), seen, headers }
    }

    /// Sends a request on a connection of its own; answers `STATUS body`, or nothing when it was closed.
    fn ask(&self, method: &str, target: &str, headers: &[u8], body: &[u8]) -> String {
        let (status, _, body) = self.exchange(method, target, headers, body);
        format!("{status} {}", String::from_utf8_lossy(&body))
    }

    fn get(&self, target: &str) -> String {
        self.ask("GET", target, b"", b"")
    }

    fn exchange(&self, method: &str, target: &str, headers: &[u8], body: &[u8]) -> (String, Vec<String>, Vec<u8>) {
        let mut socket = TcpStream::connect(self.proxy.address()).unwrap();
        write!(socket, "{method} {target} HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n").unwrap();
        socket.write_all(headers).unwrap();
        if !body.is_empty() {
            write!(socket, "content-length: {}\r\n", body.len()).unwrap();
        }
        socket.write_all(b"\r\n").unwrap();
        // A reply may come before the body has been sent in full.
        let mut writer = socket.try_clone().unwrap();
        let body = body.to_vec();
        thread::spawn(move || writer.write_all(&body));
        match message(&mut BufReader::new(socket), method != "HEAD") {
            Err(_) => Default::default(),
            Ok((line, headers, body)) => (line.split(' ').nth(1).unwrap().to_owned(), headers, body),
        }
    }
}

fn start(address: SocketAddr, change: impl FnOnce(&mut Settings)) -> anyhow::Result<Proxy> {
    let log = Log { level: Level::Info, sink: Arc::new(|_, _| {}) };
    let mut settings = Settings { workers: 1, log, ..Settings::default() };
    change(&mut settings);
    Proxy::start(Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        module: MODULE.clone(),
        cache: None,
        clusters: vec![Cluster::new("origin", address), Cluster::new("refused", "127.0.0.1:1".parse().unwrap())],
        settings,
    })
}

const REFUSED: &str =
    "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";

#[test]
fn requests_meet_what_envoy_would_do_with_them() {
    let setup = Setup::new(|settings| {
        settings.buffer_limit = 100_000;
        settings.closed = vec!["/closed/".to_owned()];
    });
    let check = |method: &str, target: &str, headers: &[u8], body: &[u8], expected: &str| {
        assert_eq!(setup.ask(method, target, headers, body), expected, "{method} {target}");
    };
    check("GET", "/plain?a=1", b"", b"", "200 GET /plain?a=1 added=true body=0");
    check("POST", "/plain", b"", &[7; 300_000], "200 POST /plain added=true body=300000");
    check("POST", "/plain", b"expect: 100-continue\r\n", b"", "200 POST /plain added=true body=0");
    check("GET", "/upper", b"", b"", "200 GET /UPPER ADDED=TRUE BODY=0");
    // Only the first local response counts.
    check("GET", "/local", b"", b"", "201 first");
    // Header values are bytes.
    check("GET", "/probe", b"x-probe: \xff\xfe\r\n", b"", "200 [255, 254]");
    // A paused body adds up; beyond the limit it is refused.
    check("POST", "/body", b"", &[1; 90_000], "200 90000 90000");
    check("POST", "/body", b"", &[1; 200_000], "413 Payload Too Large");
    // Calls: unknown cluster, refused, too late, broken off, resumed.
    check("GET", "/call?nobody", b"", b"", "200 BadArgument");
    check("GET", "/call?refused", b"", b"", &format!("200 503 3 {}", REFUSED.len()));
    check("GET", "/call?origin", b"", b"", "200 504 3 24");
    check("GET", "/break", b"", b"", "200 none 0 0");
    check("GET", "/resume", b"", b"", "200 GET /resume added=false body=0");
    check("GET", "/root", b"", b"", "200 root heard 3 headers");
    check("GET", "/cas?key", b"", b"", "200 Ok(()) Err(CasMismatch) Ok(()) None true");
    check("GET", "/property?plugin_name", b"", b"", "200 scim-edge");
    check("GET", "/property?role", b"", b"", "200 admin");
    check("GET", "/property?request.query", b"", b"", "200 request.query");
    // One form of each path; no route for some.
    check("GET", "/a//b/../%7Ec%41/./d?q=//../%7E", b"", b"", "200 GET /a/~cA/d?q=//../%7E added=true body=0");
    check("GET", "/a%2fb", b"", b"", "400 ");
    check("GET", "/plain", b"x_y: 1\r\n", b"", "400 ");
    check("GET", "/x/../closed/1", b"", b"", "404 ");
    check("OPTIONS", "*", b"", b"", "404 ");
    // Filter state as a whole has no form, and the SDK panics over it.
    check("GET", "/property?filter_state", b"", b"", "503 ");
}

#[test]
fn a_stream_that_nobody_resumes_ends_at_its_idle_timeout() {
    let setup = Setup::new(|settings| settings.stream_idle_timeout = Duration::from_millis(200));
    assert_eq!(setup.get("/hang"), "504 stream timeout");
}

#[test]
fn without_the_flag_a_paused_header_hides_the_body() {
    let setup = Setup::new(|settings| {
        settings.allow_on_headers_stop_iteration = false;
        settings.stream_idle_timeout = Duration::from_millis(200);
    });
    assert_eq!(setup.ask("POST", "/body", b"", b"1"), "504 stream timeout");
}

#[test]
fn a_trap_costs_its_own_request_and_the_machine_is_replaced() {
    let setup = Setup::new(|settings| settings.reload_backoff = Duration::ZERO);
    let before = setup.get("/cas?kept");
    assert_eq!(setup.get("/trap"), "503 ");
    assert_eq!(setup.get("/plain"), "200 GET /plain added=true body=0");
    let counts = &setup.proxy.shared().counts;
    assert_eq!((counts.traps.load(Ordering::Relaxed), counts.reloads.load(Ordering::Relaxed)), (1, 1));
    // Shared data outlives the virtual machine.
    assert_ne!(setup.get("/cas?kept"), before);
}

#[test]
fn until_the_backoff_has_passed_a_trapped_machine_answers_503() {
    let setup = Setup::new(|settings| settings.reload_backoff = Duration::from_secs(3600));
    assert_eq!(setup.get("/trap"), "503 ");
    assert_eq!(setup.get("/local"), "503 ");
}

#[test]
fn local_replies_pass_the_response_callbacks() {
    let setup = Setup::new(|_| {});
    let (status, headers, body) = setup.exchange("HEAD", "/local", b"", b"");
    assert_eq!((status.as_str(), body.len()), ("201", 0));
    assert!(headers.contains(&"content-length: 5".to_owned()), "{headers:?}");
    let (_, headers, _) = setup.exchange("GET", "/local", b"", b"");
    for expected in ["x-one: 1", "x-filter: seen", "content-type: text/plain", "content-length: 5"] {
        assert!(headers.contains(&expected.to_owned()), "{expected}: {headers:?}");
    }
}

#[test]
fn every_machine_is_configured_and_ticks_and_every_stream_is_logged() {
    let setup = Setup::new(|settings| settings.workers = 2);
    // A canary, the main one and two workers.
    assert_eq!(setup.get("/counter?configured"), "200 4");
    let ticks = || setup.get("/counter?ticks")[4..].parse::<u64>().unwrap();
    while ticks() < 6 {
        thread::sleep(Duration::from_millis(10));
    }
    let logged = || setup.proxy.shared().metrics.all().get("logged").copied();
    let requests = || setup.proxy.shared().counts.requests.load(Ordering::Relaxed);
    while logged() != Some(requests()) {
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_answer_for_a_client_that_left_is_dropped() {
    let setup = Setup::new(|_| {});
    let mut socket = TcpStream::connect(setup.proxy.address()).unwrap();
    socket.write_all(b"GET /call?origin HTTP/1.1\r\nhost: edge\r\n\r\n").unwrap();
    while setup.seen.lock().unwrap().is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    drop(socket);
    assert_eq!(setup.get("/call?origin"), "200 504 3 24");
    assert_eq!(setup.proxy.shared().counts.traps.load(Ordering::Relaxed), 0);
}

#[test]
fn the_origin_sees_who_asked_and_no_headers_that_are_instructions_to_the_proxy() {
    let setup = Setup::new(|_| {});
    let forged =
        b"x-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: https\r\nx-request-id: mine\r\nx-envoy-internal: true\r\n";
    assert!(setup.ask("GET", "/plain", forged, b"").starts_with("200 "));
    let headers = setup.headers.lock().unwrap().clone();
    for expected in ["host: edge", "x-forwarded-for: 192.0.2.1,127.0.0.1", "x-forwarded-proto: http"] {
        assert!(headers.contains(&expected.to_owned()), "{expected}: {headers:?}");
    }
    assert!(!headers.iter().any(|header| header.ends_with(" mine") || header.contains("internal")), "{headers:?}");
}

#[test]
fn a_request_answered_before_it_has_arrived_is_the_last_of_its_connection_which_says_so() {
    let setup = Setup::new(|_| {});
    let mut socket = TcpStream::connect(setup.proxy.address()).unwrap();
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    let mut ask = |bytes: &[u8]| {
        socket.write_all(bytes).unwrap();
        let (line, headers, _) = message(&mut reader, true).unwrap();
        (line, headers.contains(&"connection: close".to_owned()))
    };
    let created = "HTTP/1.1 201 Created".to_owned();
    assert_eq!(ask(b"POST /local HTTP/1.1\r\nhost: edge\r\ncontent-length: 0\r\n\r\n"), (created.clone(), false));
    assert_eq!(ask(b"POST /local HTTP/1.1\r\nhost: edge\r\ntransfer-encoding: chunked\r\n\r\n"), (created, true));
}

#[test]
fn a_body_that_breaks_its_framing_is_400_though_the_filter_holds_the_request() {
    let setup = Setup::new(|_| {});
    for target in ["/hang", "/body", "/call?origin"] {
        let mut socket = TcpStream::connect(setup.proxy.address()).unwrap();
        write!(socket, "POST {target} HTTP/1.1\r\nhost: edge\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\nzz\r\n")
            .unwrap();
        let (line, headers, _) = message(&mut BufReader::new(socket), true).unwrap();
        assert_eq!(line, "HTTP/1.1 400 Bad Request", "{target}");
        assert!(headers.contains(&"connection: close".to_owned()), "{target}: {headers:?}");
    }
}

#[test]
fn an_early_answer_reaches_a_client_that_sends_everything_first() {
    let setup = Setup::new(|_| {});
    let mut socket = TcpStream::connect(setup.proxy.address()).unwrap();
    write!(socket, "POST /local HTTP/1.1\r\nhost: edge\r\ncontent-length: {}\r\n\r\n", 8 << 20).unwrap();
    socket.write_all(&[7; 8 << 20]).unwrap();
    let (line, _, body) = message(&mut BufReader::new(socket), true).unwrap();
    assert_eq!((line.as_str(), body.as_slice()), ("HTTP/1.1 201 Created", b"first".as_slice()));
}

#[test]
fn an_origin_that_refuses_is_a_503_in_envoys_words() {
    let proxy = start("127.0.0.1:1".parse().unwrap(), |_| {}).unwrap();
    let setup = Setup { proxy, seen: Seen::default(), headers: Seen::default() };
    assert_eq!(setup.get("/plain"), format!("503 {REFUSED}"));
}

#[test]
fn a_refused_configuration_starts_nothing() {
    let refused = start("127.0.0.1:1".parse().unwrap(), |settings| settings.configuration = b"refuse".to_vec());
    assert_eq!(refused.unwrap_err().to_string(), "the plugin refused its configuration");
}

#[test]
fn stopping_closes_the_door() {
    let Setup { proxy, .. } = Setup::new(|_| {});
    let address = proxy.address();
    tokio::runtime::Runtime::new().unwrap().block_on(proxy.stop());
    assert!(TcpStream::connect(address).is_err());
}
