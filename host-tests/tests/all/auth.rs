//! Who is let in: what is refused is refused alike everywhere, and a front refuses it without asking the origin.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::deployment::{Connection, Deployment};
use scim_host_tests::message::{Answer, Request};
use scim_host_tests::raw::{self, Conversation};
use scim_host_tests::server::{Front, Server};
use serde_json::Map;

use crate::shared::{FRONTS, PLACES, server, trial};

/// What holds on every way in.
pub type Test = (&'static str, fn(&Scene) -> Result<()>);

/// The tests that need no more than a connection.
pub const TESTS: [Test; 3] = [
    ("what_is_no_valid_token_is_401_with_a_scim_error", refuses),
    ("header_bytes_that_are_no_text_are_refused_and_harm_nobody", survives_bytes),
    ("a_token_works_on_its_own_connection_only", keeps_connections_apart),
];

/// Each test on each way in.
pub fn trials() -> Vec<Trial> {
    let everywhere = PLACES.into_iter().flat_map(|(front_name, front)| {
        TESTS.map(|(name, test)| trial(format!("auth::{front_name}::{name}"), move || test(&shared(front)?)))
    });
    let behind = FRONTS.into_iter().map(|(front_name, front)| {
        let name = format!("auth::{front_name}::a_refused_request_does_not_reach_the_origin");
        trial(name, move || keeps_the_origin_out(front))
    });
    let early = FRONTS.into_iter().map(|(front_name, front)| {
        trial(format!("auth::{front_name}::who_is_answered_early_loses_no_answer"), move || {
            answers_early(&shared(front)?)
        })
    });
    // Envoy reads no more once it has answered: its limit for such a client is what the kernel buffers.
    let ours = [PLACES[0], PLACES[1]].into_iter().map(|(front_name, front)| {
        let name = format!("auth::{front_name}::who_sends_everything_first_hears_that_it_is_refused");
        trial(name, move || takes_in_what_it_refuses(&shared(front)?))
    });
    everywhere.chain(behind).chain(early).chain(ours).collect()
}

/// A deployment with a connection that has been used once.
pub struct Scene {
    deployment: Arc<Deployment>,
    connection: Connection,
    url: String,
}

impl Scene {
    /// A connection of that deployment, used once.
    pub fn new(deployment: Arc<Deployment>, url: &str) -> Result<Self> {
        let connection = deployment.connect(&Map::new())?;
        let used = deployment.send(&list(&connection).bearer(&connection.token))?;
        ensure!(used.status == 200, "the token itself is refused: {}", used.brief());
        Ok(Self { deployment, connection, url: url.to_owned() })
    }
}

fn scene(server: &Server, front: Front) -> Result<Scene> {
    let (deployment, url) = match front {
        Front::None => (server.origin()?, Some(&server.ready.origin)),
        Front::Embedded | Front::Envoy => (server.front()?, server.ready.front.as_ref()),
    };
    Scene::new(Arc::new(deployment), url.context("the server has no front")?)
}

fn shared(front: Front) -> Result<Scene> {
    scene(&server(if front == Front::None { Front::Embedded } else { front })?.server, front)
}

fn list(connection: &Connection) -> Request {
    Request::new("GET", &format!("{}/Users", connection.base()))
}

/// Every way to present something that is not the connection's token, exactly once.
fn wrong_ways(connection: &Connection) -> Vec<(&'static str, Request)> {
    let token = connection.token.as_str();
    let with = |value: &str| list(connection).header("authorization", value);
    let mut last_changed = token.to_owned();
    let last = last_changed.pop();
    last_changed.push(if last == Some('A') { 'B' } else { 'A' });
    let unknown = Connection { id: "0192f0c1-2a3b-7c4d-8e5f-0123456789ab".to_owned(), token: token.to_owned() };
    let no_id = Connection { id: "no-such-connection".to_owned(), token: token.to_owned() };
    vec![
        ("no header", list(connection)),
        ("another token", list(connection).bearer("wrong")),
        ("one character changed", list(connection).bearer(&last_changed)),
        ("no scheme", with(token)),
        ("no token", with("Bearer")),
        ("an empty token", with("Bearer  ")),
        ("another scheme", with(&format!("Basic {token}"))),
        ("two tokens in one header", with(&format!("Bearer {token}, Bearer {token}"))),
        ("more after the token", with(&format!("Bearer {token} x"))),
        ("the header twice, alike", list(connection).bearer(token).bearer(token)),
        ("the header twice, right first", list(connection).bearer(token).bearer("wrong")),
        ("the header twice, right last", list(connection).bearer("wrong").bearer(token)),
        ("a token of 10 kB", list(connection).bearer(&"x".repeat(10_000))),
        ("an unknown connection", list(&unknown).bearer(token)),
        ("a connection that can be none", list(&no_id).bearer(token)),
        ("a token in the query", Request::new("GET", &format!("{}/Users?access_token={token}", connection.base()))),
    ]
}

fn refuses(scene: &Scene) -> Result<()> {
    for (way, request) in wrong_ways(&scene.connection) {
        for method in ["GET", "POST", "DELETE"] {
            let request = Request { method: method.to_owned(), ..request.clone() };
            let answer = scene.deployment.send(&request).with_context(|| way.to_owned())?;
            is_refusal(&answer).with_context(|| format!("{way}, {method}: {}", answer.brief()))?;
        }
    }
    Ok(())
}

/// RFC 6750 section 3 and RFC 7644 section 3.12.
fn is_refusal(answer: &Answer) -> Result<()> {
    ensure!(answer.status == 401, "expected status 401");
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    ensure!(challenge.starts_with("Bearer"), "www-authenticate is `{challenge}`");
    let media_type = answer.header("content-type").unwrap_or_default();
    ensure!(media_type.starts_with("application/scim+json"), "content-type is `{media_type}`");
    let body = answer.json();
    ensure!(body["status"] == "401", "the body is no SCIM error");
    ensure!(body["schemas"][0] == "urn:ietf:params:scim:api:messages:2.0:Error", "the body is no SCIM error");
    Ok(())
}

fn survives_bytes(scene: &Scene) -> Result<()> {
    for value in [b"Bearer \xff\xfe\x80".as_slice(), b"\xc3\x28", b"Bearer \x80"] {
        let status = send_header(&scene.url, &scene.connection, value)?;
        ensure!(status == 401 || status == 400, "answered {status} to {value:?}");
    }
    let answer = scene.deployment.send(&list(&scene.connection).bearer(&scene.connection.token))?;
    ensure!(answer.status == 200, "the next request suffers: {}", answer.brief());
    Ok(())
}

/// A request with an Authorization header that no well-behaved client can send; gives the status.
fn send_header(url: &str, connection: &Connection, value: &[u8]) -> Result<u16> {
    let head = format!("GET {}/Users HTTP/1.1\r\nhost: edge.example\r\nauthorization: ", connection.base());
    Ok(raw::exchange(url, &[head.as_bytes(), value, b"\r\n\r\n"].concat())?.status)
}

/// A request without a token whose body has not ended, as a client's that sends head and body apart: once it has the 401,
/// the next request is answered too, unless the connection was said to close.
fn answers_early(scene: &Scene) -> Result<()> {
    let path = format!("{}/Users", scene.connection.base());
    let mut conversation = Conversation::open(&scene.url)?;
    conversation.say(format!("POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").as_bytes())?;
    let refused = conversation.hear()?;
    is_refusal(&refused)?;
    if refused.header("connection") != Some("close") {
        conversation.say(b"0\r\n\r\n")?;
        conversation.say(format!("DELETE {path}/x HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes())?;
        is_refusal(&conversation.hear()?)?;
    }
    Ok(())
}

/// A body that is refused before it is read, by a client that looks for an answer once it has sent all of it.
fn takes_in_what_it_refuses(scene: &Scene) -> Result<()> {
    let (path, length) = (format!("{}/Users", scene.connection.base()), 8 << 20);
    let mut conversation = Conversation::open(&scene.url)?;
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    conversation.say(&[head.as_bytes(), &vec![b' '; length]].concat())?;
    let refused = conversation.hear()?;
    ensure!([401, 413].contains(&refused.status), "{}", refused.brief());
    Ok(())
}

fn keeps_connections_apart(scene: &Scene) -> Result<()> {
    let other = scene.deployment.connect(&Map::new())?;
    let mine = scene.deployment.send(&list(&other).bearer(&scene.connection.token))?;
    is_refusal(&mine).with_context(|| mine.brief())?;
    let theirs = scene.deployment.send(&list(&scene.connection).bearer(&other.token))?;
    is_refusal(&theirs).with_context(|| theirs.brief())?;
    let own = scene.deployment.send(&list(&other).bearer(&other.token))?;
    ensure!(own.status == 200, "{}", own.brief());
    Ok(())
}

/// The origin's access log shows no SCIM request after all those refusals, and one after a write that is let in.
fn keeps_the_origin_out(front: Front) -> Result<()> {
    let data = tempfile::tempdir()?;
    let server = Server::start(&data.path().join("data"), front)?;
    let scene = scene(&server, front)?;
    let before = server.origin_requests("/directory/resources/scim/")?;
    for (way, request) in wrong_ways(&scene.connection) {
        let request = Request { method: "POST".to_owned(), ..request };
        let answer = scene.deployment.send(&request)?;
        ensure!(answer.status == 401, "{way}: {}", answer.brief());
    }
    let after = server.origin_requests("/directory/resources/scim/")?;
    ensure!(before == after, "{} refused requests reached the origin", after - before);
    let user = serde_json::json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ada" });
    let create = Request::new("POST", &format!("{}/Users", scene.connection.base())).json(&user);
    let answer = scene.deployment.send(&create.bearer(&scene.connection.token))?;
    ensure!(answer.status == 201, "{}", answer.brief());
    let written = server.origin_requests("/directory/resources/scim/")?;
    ensure!(written == after + 1, "the log does not show the write: it proves nothing");
    Ok(())
}
