//! What Envoy's own limits end, and whatever comes over HTTP/2.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use scim_host_tests::curl::Curl;
use scim_host_tests::deployment::Target;
use scim_host_tests::envoy::Changes;
use scim_host_tests::idp::{Idp, user};
use scim_host_tests::message::Request;
use scim_host_tests::raw;
use serde_json::json;

use super::{ATTACKS, Victim, expect, is_in_order, is_scim};
use crate::scene::{Scene, eventually};

/// Every attack once more on one Envoy whose statistics and log tell of traps.
pub fn survives_everything() -> Result<()> {
    let scene = Scene::new(&Changes::default())?;
    let victim = Victim::of(&scene)?;
    for (_, attack) in ATTACKS {
        attack(&victim)?;
    }
    http2(&victim)?;
    huge_bodies(&scene, &victim)?;
    // The embedded host can not pass this method on.
    expect("CONNECT", victim.send("CONNECT", "/Users", b"", b""), &[400, 404, 405, 501])?;
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

pub fn refuses_bombs() -> Result<()> {
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
pub fn ends_slow_requests() -> Result<()> {
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
pub fn http2(victim: &Victim) -> Result<()> {
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
