//! Bodies, filters and framing that are no honest client's.

use anyhow::{Context, Result, ensure};
use scim_host_tests::message::Answer;
use scim_host_tests::raw;
use serde_json::json;

use super::{Victim, expect, is_scim};

pub fn odd_bodies(victim: &Victim) -> Result<()> {
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

pub fn odd_filters(victim: &Victim) -> Result<()> {
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

pub fn odd_framing(victim: &Victim) -> Result<()> {
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
    let chunk = victim.request("POST", "/Users", b"transfer-encoding: chunked\r\n", b"ffffffffffffffffff\r\n");
    expect("a chunk of 2^72 bytes", victim.send_raw(&chunk), &[400])?;
    let expecting = victim.request("POST", "/Users", b"expect: 100-continue\r\ncontent-length: 2\r\n", body);
    expect("expect: 100-continue", victim.send_raw(&expecting), &[400])?;
    for cut in [victim.request("POST", "/Users", b"content-length: 10\r\n", b"{}"), b"GET /direct".to_vec(), Vec::new()]
    {
        raw::abandon(&victim.url, &cut)?;
    }
    expect("no HTTP at all", victim.send_raw(b"\x16\x03\x01\x02\x00\r\n\r\n"), &[400]).map(drop)
}

/// Envoy answers by itself when its buffer fills before the filter's answer leaves.
fn is_too_large(answer: &Answer) -> Result<()> {
    if answer.body == b"Payload Too Large" { Ok(()) } else { is_scim(answer) }
}
