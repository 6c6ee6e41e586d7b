//! Input of nobody's goodwill: whatever comes, the answer is an error of SCIM or of HTTP, and the next one is served.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::curl::Curl;
use scim_host_tests::deployment::{Connection, Http, Target};
use scim_host_tests::envoy::Changes;
use scim_host_tests::idp::{Idp, user};
use scim_host_tests::message::{Answer, Request};
use scim_host_tests::raw;
use scim_host_tests::server::Front;
use serde_json::{Map, json};

use crate::scene::{Scene, eventually};
use crate::shared::{FRONTS, server, trial};

type Attack = fn(&Victim) -> Result<()>;

/// Each attack on each front, on real Envoy over both versions of HTTP; then what only Envoy's own limits end.
pub fn trials() -> Vec<Trial> {
    let attacks: [(&str, Attack); 6] = [
        ("header_fields_that_are_no_text_or_come_twice", odd_fields),
        ("line_breaks_where_locations_and_etags_are_made", line_breaks),
        ("paths_with_escapes_dots_and_slashes", odd_paths),
        ("bodies_too_large_too_deep_or_broken", odd_bodies),
        ("filters_of_ten_thousand_terms", odd_filters),
        ("methods_and_framing_nobody_sends", odd_framing),
    ];
    let attacks = FRONTS.into_iter().flat_map(|(name, front)| {
        attacks.map(|(attack_name, attack)| trial(format!("hostile::{name}::{attack_name}"), move || on(front, attack)))
    });
    let envoy = [
        trial("hostile::envoy::no_machine_traps_whatever_comes", survives_everything),
        trial("hostile::envoy::a_compressed_bomb_is_refused_unopened", refuses_bombs),
        trial("hostile::envoy::what_comes_slowly_ends", ends_slow_requests),
        trial("hostile::envoy::http2_is_no_way_around", speaks_http2),
    ];
    attacks.chain(envoy).collect()
}

/// Who is attacked.
struct Victim {
    url: String,
    connection: Connection,
    other: Connection,
}

fn on(front: Front, attack: Attack) -> Result<()> {
    let running = server(front)?;
    let deployment = running.server.front()?;
    let url = running.server.ready.front.clone().context("no front")?;
    let (connection, other) = (deployment.connect(&Map::new())?, deployment.connect(&Map::new())?);
    let victim = Victim { url, connection, other };
    attack(&victim)?;
    victim.is_well()
}

impl Victim {
    fn of(scene: &Scene) -> Result<Self> {
        let (connection, other) = (scene.idp()?.connection, scene.idp()?.connection);
        Ok(Self { url: scene.envoy.url.clone(), connection, other })
    }

    fn idp(&self) -> Idp<Http> {
        Idp { target: Http::new(&self.url), connection: self.connection.clone() }
    }

    /// The next request is served: a user is created and read.
    fn is_well(&self) -> Result<()> {
        let idp = self.idp();
        let name = format!("well-{:?}", std::time::SystemTime::now());
        let made = idp.create(&name)?;
        ensure!(made.status == 201, "a user can not be created any more: {}", made.brief());
        let id = made.json()["id"].as_str().map(str::to_owned).context("no id")?;
        let read = idp.get(&format!("/Users/{id}"))?;
        ensure!(read.status == 200, "a user can not be read any more: {}", read.brief());
        Ok(())
    }

    /// A request's bytes: the line, this connection's token, then the lines given.
    fn request(&self, method: &str, path: &str, fields: &[u8], body: &[u8]) -> Vec<u8> {
        let target = if path.starts_with("//") { path[1..].to_owned() } else { self.connection.base() + path };
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: edge.example\r\nconnection: close\r\nauthorization: Bearer {}\r\n",
            self.connection.token
        );
        [head.as_bytes(), fields, b"\r\n", body].concat()
    }

    fn send(&self, method: &str, path: &str, fields: &[u8], body: &[u8]) -> Result<Answer> {
        let length = format!("content-length: {}\r\n", body.len());
        let fields = if body.is_empty() { fields.to_vec() } else { [fields, length.as_bytes()].concat() };
        self.send_raw(&self.request(method, path, &fields, body))
    }

    fn send_raw(&self, request: &[u8]) -> Result<Answer> {
        let answer = raw::exchange(&self.url, request)?;
        is_in_order(&answer)?;
        Ok(answer)
    }
}

/// What holds for every answer: it is no failure of ours, an error of SCIM has the form of one, and nothing the client
/// sent has become a header field.
fn is_in_order(answer: &Answer) -> Result<()> {
    ensure!(answer.status < 500 || answer.status == 501, "{}", answer.brief());
    ensure!(answer.header("x-injected").is_none(), "a field was injected: {:?}", answer.headers);
    let media_type = answer.header("content-type").unwrap_or_default();
    if answer.status >= 400 && media_type.starts_with("application/scim+json") {
        let body = answer.json();
        ensure!(body["schemas"][0] == "urn:ietf:params:scim:api:messages:2.0:Error", "{}", answer.brief());
        ensure!(body["status"].as_str() == Some(&*answer.status.to_string()), "{}", answer.brief());
    }
    Ok(())
}

fn expect(what: &str, answer: Result<Answer>, expected: &[u16]) -> Result<Answer> {
    let answer = answer.with_context(|| what.to_owned())?;
    ensure!(expected.contains(&answer.status), "{what}: expected {expected:?}: {}", answer.brief());
    Ok(answer)
}

fn is_scim(answer: &Answer) -> Result<()> {
    let media_type = answer.header("content-type").unwrap_or_default();
    ensure!(media_type.starts_with("application/scim+json"), "no answer of SCIM: {}", answer.brief());
    Ok(())
}

/// Envoy answers by itself when its buffer fills before the filter's answer leaves.
fn is_too_large(answer: &Answer) -> Result<()> {
    if answer.body == b"Payload Too Large" { Ok(()) } else { is_scim(answer) }
}

fn odd_fields(victim: &Victim) -> Result<()> {
    let names =
        ["x-forwarded-host", "x-forwarded-proto", "user-agent", "if-none-match", "if-match", "accept", "cookie"];
    for name in names.into_iter().chain(["content-type", "x-request-id", "x-frontegg", "accept-encoding", "prefer"]) {
        for value in [b"\xff\xfe\x80".as_slice(), b"\xc3\x28", b"\xed\xa0\x80", b"", b"\x01\x02"] {
            let field = [name.as_bytes(), b": ", value, b"\r\n"].concat();
            let twice = [field.clone(), field.clone()].concat();
            for fields in [field, twice] {
                let what = format!("{name} {value:?}");
                expect(&what, victim.send("GET", "/Users", &fields, b""), &[200, 304, 400, 412])?;
                let unknown = [b"authorization: Bearer x\r\n".as_slice(), &fields].concat();
                expect(&what, victim.send("GET", "/Users", &unknown, b""), &[400, 401])?;
                expect(&what, victim.send("POST", "/Users", &fields, b"{}"), &[400, 412])?;
            }
        }
    }
    let many: Vec<u8> = (0..300).flat_map(|n| format!("x-many-{n}: {n}\r\n").into_bytes()).collect();
    expect("300 fields", victim.send("GET", "/Users", &many, b""), &[200, 400, 431])?;
    let long = format!("x-long: {}\r\n", "y".repeat(200_000));
    expect("a field of 200 kB", victim.send("GET", "/Users", long.as_bytes(), b""), &[200, 400, 431])?;
    expect("two hosts", victim.send("GET", "/Users", b"host: other.example\r\n", b""), &[200, 400]).map(drop)
}

fn line_breaks(victim: &Victim) -> Result<()> {
    let hosts = [
        "evil.example%0d%0ax-injected: 1",
        "evil.example\nx-injected: 1",
        "evil.example\r\n x-injected: 1",
        "a b",
        "\"<>",
    ];
    for (index, host) in hosts.into_iter().enumerate() {
        let body = user(&format!("host-{index}")).to_string();
        let fields = format!("x-forwarded-host: {host}\r\nx-forwarded-proto: https\n\tx-injected: 1\r\n");
        for fields in [fields, format!("x-forwarded-host: {host}\r\n"), format!("host: {host}\r\n")] {
            let answer =
                expect(host, victim.send("POST", "/Users", fields.as_bytes(), body.as_bytes()), &[201, 400, 409])?;
            let location = answer.header("location").unwrap_or_default();
            ensure!(location.bytes().all(|byte| byte.is_ascii_graphic()), "{host}: location {location}");
            ensure!(!location.contains(['"', '<', '%']), "{host}: location {location}");
        }
    }
    for id in ["%0d%0ax-injected:%201", "%0ax-injected:1", "a%00b", "%e2%80%a8", "%c0%8ax"] {
        for method in ["GET", "DELETE", "PATCH", "PUT"] {
            let path = format!("/Users/{id}");
            expect(&path, victim.send(method, &path, b"", b"{}"), &[400, 404, 405])?;
        }
        expect(id, victim.send("GET", &format!("/Schemas/{id}"), b"", b""), &[400, 404])?;
    }
    let broken = "a\r\nx-injected: 1";
    let mut body = user(broken);
    for field in ["externalId", "displayName", "title", "id"] {
        body[field] = broken.into();
    }
    let made = expect(
        "a name with a line break",
        victim.send("POST", "/Users", b"", body.to_string().as_bytes()),
        &[201, 400],
    )?;
    if made.status == 201 {
        let etag = made.header("etag").unwrap_or_default().to_owned();
        expect(
            "its etag",
            victim.send("GET", "/Users?count=1", format!("if-none-match: {etag}\r\n").as_bytes(), b""),
            &[200, 304],
        )?;
    }
    let bulk = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [
        { "method": "POST", "path": "/Users", "bulkId": broken, "data": user("bulk") },
        { "method": "PATCH", "path": format!("/Users/{broken}"), "data": { "Operations": [] } },
        { "method": "GET\r\nx-injected: 1", "path": "/Users" },
    ] });
    expect("a bulkId with a line break", victim.send("POST", "/Bulk", b"", bulk.to_string().as_bytes()), &[200, 400])
        .map(drop)
}

fn odd_paths(victim: &Victim) -> Result<()> {
    let (base, other) = (victim.connection.base(), &victim.other.id);
    let below = [
        "/Users/%2e%2e/%2e%2e/x",
        "/Users/%zz",
        "/Users/%",
        "/Users/%f",
        "/Users/%ff%fe",
        "/Users/%00",
        "/Users//",
        "/Users/./",
        "/Users/a%5cb",
        "/%55sers/x",
        "/Users;x=1",
        "/Users/..;/x",
        "/users",
        "/Users/a/b/c",
        "/Users?filter=%",
        "/Users?%ff=%ff",
        "/Users?count=99999999999999999999&startIndex=-99999999999999999999",
        "/Users?cursor=%00%ff",
        "/Users?cursor=AAAA",
        "/Users?sortBy=a.b.c.d.e&sortOrder=up",
        "/Users?attributes=,,,&excludedAttributes=,",
        "/Users?a=b?c=d#e",
        "/Schemas/..",
        "/Users/a%2fb",
        "/Users%2fx",
        "/.search/x",
        "/Me/%2e%2e/Users",
    ];
    for path in below {
        expect(path, victim.send("GET", path, b"", b""), &[200, 400, 401, 404, 405, 501])?;
    }
    // By whatever way it is written, another connection stays closed to this token, and so does the edges' interface.
    let away = [
        format!("{base}/../{other}/Users"),
        format!("{base}/%2e%2e/{other}/Users"),
        format!("{base}/..%2f{other}/Users"),
        format!("{base}/..%5c{other}/Users"),
        format!("{base}//..//{other}/Users"),
        format!("{base}/.%2e/{other}/Users"),
        format!("/directory//resources/./scim/v2.0/{other}/Users"),
        format!("/directory/resources/scim/v2.0/%2e%2e/v2.0/{other}/Users"),
        format!("/edge/v1/heads/{other}"),
        format!("/directory/../edge/v1/heads/{other}"),
        format!("//edge/v1/heads/{other}"),
        format!("/%65dge/v1/heads/{other}"),
        format!("/edge%2fv1/heads/{other}"),
        format!("/./edge/./v1/heads/{other}"),
        format!("http://edge.example/edge/v1/heads/{other}"),
        format!("/frontegg/../edge/v1/heads/{other}"),
    ];
    for path in away {
        expect(&path, victim.send("GET", &format!("/{path}"), b"", b""), &[400, 401, 404])?;
    }
    let long = format!("/Users/{}", "x".repeat(30_000));
    expect("a path of 30 kB", victim.send("GET", &long, b"", b""), &[400, 404, 414, 431])?;
    let bytes =
        [b"GET ".as_slice(), base.as_bytes(), b"/Users/\xff\xc3\x28 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"]
            .concat();
    expect("bytes that are no text", victim.send_raw(&bytes), &[400, 401, 404]).map(drop)
}

fn odd_bodies(victim: &Victim) -> Result<()> {
    let deep = |open: &str, close: &str, depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
    let list = |n: usize| (0..n).map(|n| format!("{{\"value\":\"{n}\"}}")).collect::<Vec<_>>().join(",");
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("lists 200,000 deep", deep("[", "]", 200_000).into()),
        ("objects 100,000 deep", deep("{\"a\":", "}", 100_000).into()),
        ("a user 10,000 deep", format!("{{\"userName\":{}}}", deep("{\"a\":", "}", 10_000)).into()),
        ("a number of 100,000 digits", format!("{{\"userName\":{}}}", "9".repeat(100_000)).into()),
        ("an exponent", b"{\"userName\":1e999999999}".to_vec()),
        ("half a surrogate", b"{\"userName\":\"\\ud800\"}".to_vec()),
        ("bytes that are no text", b"{\"userName\":\"\xff\xfe\"}".to_vec()),
        ("a mark of byte order", b"\xef\xbb\xbf{}".to_vec()),
        ("zeros", vec![0; 1000]),
        ("half a document", b"{\"userName\":\"a".to_vec()),
        ("no object", b"[]".to_vec()),
        ("nothing but blanks", b"   ".to_vec()),
        ("a document and a half", b"{} {".to_vec()),
    ];
    for (what, body) in &bodies {
        for (method, path) in
            [("POST", "/Users"), ("PUT", "/Users/x"), ("PATCH", "/Users/x"), ("POST", "/.search"), ("POST", "/Bulk")]
        {
            let answer = expect(what, victim.send(method, path, b"", body), &[400, 404, 413])?;
            is_scim(&answer).with_context(|| format!("{what}, {method} {path}"))?;
        }
    }
    let wide = format!("{{\"userName\":\"wide\",\"emails\":[{}]}}", list(40_000));
    expect("40,000 e-mails", victim.send("POST", "/Users", b"", wide.as_bytes()), &[201, 400, 413])?;
    let operation = json!({ "op": "add", "path": "title", "value": "x" });
    let patch =
        json!({ "Operations": vec![operation; 10_000], "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"] });
    expect("10,000 operations", victim.send("PATCH", "/Users/x", b"", patch.to_string().as_bytes()), &[400, 404, 413])?;
    too_large(victim)
}

/// Over the limit is 413 as SCIM says it, whether the length is told or not.
fn too_large(victim: &Victim) -> Result<()> {
    let body = vec![b' '; 5 << 20];
    let told = expect("5 MB", victim.send("POST", "/Users", b"", &body), &[413])?;
    is_too_large(&told)?;
    let chunk = [format!("{:x}\r\n", 64 << 10).as_bytes(), &[b' '; 64 << 10], b"\r\n"].concat();
    let chunked = [chunk.repeat(80), b"0\r\n\r\n".to_vec()].concat();
    let request = victim.request("POST", "/Users", b"transfer-encoding: chunked\r\n", &chunked);
    expect("5 MB in chunks", victim.send_raw(&request), &[413])?;
    let lie = victim.request("POST", "/Users", b"content-length: 99999999999\r\n", b"{}");
    is_too_large(&expect("a length of 100 GB", victim.send_raw(&lie), &[413])?)
}

fn odd_filters(victim: &Victim) -> Result<()> {
    let terms = |count: usize| vec!["userName eq \"a\""; count].join(" or ");
    let filters = [
        ("10,000 terms", terms(10_000)),
        ("500 terms", terms(500)),
        ("5,000 parentheses", "(".repeat(5_000) + "a pr" + &")".repeat(5_000)),
        ("5,000 negations", "not (".repeat(5_000) + "a pr" + &")".repeat(5_000)),
        ("brackets", "emails[".repeat(1_000) + "value pr" + &"]".repeat(1_000)),
        ("a name of 8,000 characters", "a".repeat(8_000) + " pr"),
        ("a value that never ends", format!("userName eq \"{}", "a".repeat(1000))),
        ("zeros", "\0 eq \"\0\"".to_owned()),
        ("escapes", r#"userName eq "\u0000\ud800""#.to_owned()),
    ];
    for (what, filter) in filters {
        let search = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": filter });
        let answer = expect(what, victim.send("POST", "/Users/.search", b"", search.to_string().as_bytes()), &[400])?;
        ensure!(answer.json()["scimType"] == "invalidFilter", "{what}: {}", answer.brief());
        let query: String = filter.bytes().map(|byte| format!("%{byte:02x}")).collect();
        // Envoy takes 60 KiB of header, the embedded host what hyper takes.
        let answer = expect(what, victim.send("GET", &format!("/Users?filter={query}"), b"", b""), &[400, 414, 431])?;
        ensure!(
            answer.status != 400 || query.len() > 50_000 || answer.json()["scimType"] == "invalidFilter",
            "{}",
            answer.brief()
        );
    }
    Ok(())
}

fn odd_framing(victim: &Victim) -> Result<()> {
    for method in ["TRACE", "BREW", "get", "PROPFIND"] {
        expect(method, victim.send(method, "/Users", b"", b""), &[400, 404, 405, 501])?;
    }
    let body = b"{}";
    let framings: [(&str, &[u8]); 6] = [
        ("two lengths", b"content-length: 2\r\ncontent-length: 3\r\n"),
        ("a negative length", b"content-length: -1\r\n"),
        ("a length that is no number", b"content-length: two\r\n"),
        ("length and chunks", b"content-length: 2\r\ntransfer-encoding: chunked\r\n"),
        ("a coding in front of chunks", b"transfer-encoding: gzip, chunked\r\n"),
        ("a field without a name", b": x\r\n"),
    ];
    for (what, fields) in framings {
        // Whichever of two framings a server goes by, the body has it.
        let body: &[u8] = if what.contains("chunks") { b"2\r\n{}\r\n0\r\n\r\n" } else { body };
        let request = victim.request("POST", "/Users", fields, body);
        expect(what, victim.send_raw(&request), &[400, 413, 501])?;
    }
    let expecting = victim.request("POST", "/Users", b"expect: 100-continue\r\ncontent-length: 2\r\n", body);
    expect("expect: 100-continue", victim.send_raw(&expecting), &[400])?;
    for cut in [victim.request("POST", "/Users", b"content-length: 10\r\n", b"{}"), b"GET /direct".to_vec(), Vec::new()]
    {
        raw::abandon(&victim.url, &cut)?;
    }
    expect("no HTTP at all", victim.send_raw(b"\x16\x03\x01\x02\x00\r\n\r\n"), &[400]).map(drop)
}

/// Every attack once more on one Envoy whose statistics and log tell of traps.
fn survives_everything() -> Result<()> {
    let scene = Scene::new(&Changes::default())?;
    let victim = Victim::of(&scene)?;
    for attack in [odd_fields, line_breaks, odd_paths, odd_bodies, odd_filters, odd_framing] {
        attack(&victim)?;
    }
    http2(&victim)?;
    huge_bodies(&scene, &victim)?;
    // The embedded host can not pass this method on.
    expect("CONNECT", victim.send("CONNECT", "/Users", b"", b""), &[400, 404, 405, 501])?;
    let chunk = victim.request("POST", "/Users", b"transfer-encoding: chunked\r\n", b"ffffffffffffffffff\r\n");
    expect("a chunk of 2^72 bytes", victim.send_raw(&chunk), &[400])?;
    let forwarded = b"x-forwarded-host: evil.example\r\n";
    let made = victim.send("POST", "/Users", forwarded, user("forwarded").to_string().as_bytes())?;
    let location = made.header("location").unwrap_or_default();
    ensure!(location.starts_with("http://edge.example/"), "a client chooses the host of a location: {location}");
    victim.is_well()?;
    scene.envoy.has_not_trapped()
}

/// 100 MB of zeros in 100 kB.
fn bomb() -> Result<Vec<u8>> {
    let mut gzip = Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = gzip.stdin.take().context("no input")?;
    let writer = std::thread::spawn(move || (0..100).try_for_each(|_| input.write_all(&vec![0; 1 << 20])));
    let output = gzip.wait_with_output()?;
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    Ok(output.stdout)
}

fn refuses_bombs() -> Result<()> {
    let scene = Scene::new(&Changes::default())?;
    let victim = Victim::of(&scene)?;
    victim.is_well()?;
    let bomb = bomb()?;
    let before = scene.envoy.resident()?;
    for coding in ["gzip", "GZIP", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip", "x"] {
        for (method, path) in [("POST", "/Users"), ("PATCH", "/Users/x"), ("POST", "/.search"), ("POST", "/Bulk")] {
            let fields = format!("content-encoding: {coding}\r\n");
            let answer = expect(coding, victim.send(method, path, fields.as_bytes(), &bomb), &[415])?;
            is_scim(&answer)?;
        }
    }
    let plain = user("plain").to_string();
    expect("identity", victim.send("POST", "/Users", b"content-encoding: identity\r\n", plain.as_bytes()), &[201])?;
    let grown = scene.envoy.resident()?.saturating_sub(before);
    ensure!(grown < 50 << 20, "Envoy has grown by {grown} bytes");
    victim.is_well()?;
    scene.envoy.has_not_trapped()
}

/// Whatever a client leaves open, Envoy ends: the example's limits, made short.
fn ends_slow_requests() -> Result<()> {
    let text = [
        ("request_headers_timeout: 10s", "request_headers_timeout: 1s"),
        ("request_timeout: 60s", "request_timeout: 2s"),
    ];
    let scene = Scene::new(&Changes { text: &text, ..Changes::default() })?;
    let victim = Victim::of(&scene)?;
    let head = victim.request("POST", "/Users", b"content-length: 1000\r\n", b"");
    let mut drops = vec![head.as_slice()];
    drops.extend(std::iter::repeat_n(b" ".as_slice(), 200));
    let body = raw::exchange_slowly(&victim.url, &drops, Duration::from_millis(50));
    expect("a body that drips", body, &[408, 504])?;
    let mut letters: Vec<&[u8]> = vec![b"GET / HTTP/1.1\r\nx: "];
    letters.extend(std::iter::repeat_n(b"y".as_slice(), 200));
    let fields = raw::exchange_slowly(&victim.url, &letters, Duration::from_millis(50));
    expect("a field that drips", fields, &[408])?;
    victim.is_well()?;
    scene.envoy.has_not_trapped()
}

fn speaks_http2() -> Result<()> {
    let victim_server = server(Front::Envoy)?;
    let deployment = victim_server.server.front()?;
    let url = victim_server.server.ready.front.clone().context("no front")?;
    let (connection, other) = (deployment.connect(&Map::new())?, deployment.connect(&Map::new())?);
    let victim = Victim { url, connection, other };
    http2(&victim)?;
    victim.is_well()
}

/// 5 MB of body by either version of HTTP, whether the length is told or not, are 413, and Envoy says so in its log.
fn huge_bodies(scene: &Scene, victim: &Victim) -> Result<()> {
    let curl = Curl::new(&victim.url);
    let ways = [
        ("HTTP/1.1", curl.clone()),
        ("HTTP/1.1 in chunks", curl.clone().streamed()),
        ("HTTP/2", curl.clone().http2()),
        ("HTTP/2 without a length", curl.http2().streamed()),
    ];
    for (way, target) in ways {
        let refused = || Ok::<_, anyhow::Error>(too_large_by(&scene.envoy.log()?, way));
        let before = refused()?;
        let idp = Idp { target, connection: victim.connection.clone() };
        let request = Request { body: vec![b' '; 5 << 20], ..idp.request("POST", "/Users", None) };
        // Envoy resets the stream behind its answer, since nobody wants the rest of the body (RFC 9113 section 8.1); to curl,
        // which is still sending, the reset may hide the answer.
        match idp.target.send(&request) {
            Ok(answer) => ensure!(answer.status == 413, "5 MB by {way}: {}", answer.brief()),
            Err(error) => ensure!(way.starts_with("HTTP/2"), "5 MB by {way}: {error:#}"),
        }
        eventually(way, || Ok((refused()? > before).then_some(())))?;
    }
    Ok(())
}

/// Lines of the access log that tell of a 413 by that version.
fn too_large_by(log: &str, way: &str) -> usize {
    let protocol = if way.starts_with("HTTP/2") { "HTTP/2" } else { "HTTP/1.1" };
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.filter(|line| line["protocol"] == protocol && line["status"] == 413).count()
}

/// The same over HTTP/2: by curl what curl can send, by bytes what it can not.
fn http2(victim: &Victim) -> Result<()> {
    let curl = Curl::new(&victim.url).http2();
    let idp = Idp { target: curl.clone(), connection: victim.connection.clone() };
    let made = expect("a user", idp.create(&format!("h2-{:?}", std::time::SystemTime::now())), &[201])?;
    ensure!(made.header("location").is_some(), "{made:?}");
    let deep = Request { body: b"[".repeat(200_000), ..idp.request("POST", "/Users", None) };
    is_scim(&expect("lists 200,000 deep", curl.send(&deep), &[400])?)?;
    let packed = idp.request("POST", "/Users", Some(&json!({}))).header("content-encoding", "gzip");
    is_scim(&expect("a coded body", curl.send(&packed), &[415])?)?;
    for path in ["/%2e%2e/x", "/Users/%ff", "/Users/%0d%0ax-injected:1", "/../x/Users", "/Users?filter=%"] {
        let answer = expect(path, idp.get(path), &[400, 401, 404])?;
        is_in_order(&answer)?;
    }
    let twice = idp.request("GET", "/Users", None).bearer("x");
    is_scim(&expect("two tokens", curl.send(&twice), &[401])?)?;
    let (path, bearer) = (format!("{}/Users", victim.connection.base()), format!("Bearer {}", victim.connection.token));
    let head: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"edge.example"), (b":path", path.as_bytes())];
    let odd: [(&[u8], &[u8]); 8] = [
        (b"x-forwarded-host", b"evil.example\r\nx-injected: 1"),
        (b"x-forwarded-host", b"\xff\xfe"),
        (b"authorization", b"Bearer \xff"),
        (b"if-none-match", b"\"a\nb\""),
        (b"x-request-id", b"\x00\x01"),
        (b"X-Upper", b"1"),
        (b":path", b"/edge/v1/heads/x"),
        (b"connection", b"close"),
    ];
    let fields =
        |more: &[(&'static [u8], &'static [u8])]| [&head[..], &[(b"authorization", bearer.as_bytes())], more].concat();
    for field in odd {
        let end = raw::exchange_http2(&victim.url, &fields(&[field]), true).with_context(|| format!("{field:?}"))?;
        ensure!(["HEADERS", "RST_STREAM", "GOAWAY", "END"].contains(&end), "{end}");
    }
    // The answer comes before the body: curl would take the end of the stream for an error.
    let end = raw::exchange_http2(&victim.url, &fields(&[(b"content-length", b"5242880")]), false)?;
    ensure!(end == "HEADERS", "5 MB end in {end}");
    Ok(())
}
