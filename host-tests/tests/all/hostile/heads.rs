//! Fields, line breaks and paths that are no honest client's.

use anyhow::{Result, ensure};
use scim_host_tests::idp::user;
use serde_json::json;

use super::{Victim, expect};

pub fn odd_fields(victim: &Victim) -> Result<()> {
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

pub fn line_breaks(victim: &Victim) -> Result<()> {
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

pub fn odd_paths(victim: &Victim) -> Result<()> {
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
