//! Input of nobody's goodwill: whatever comes, the answer is an error of SCIM or of HTTP, and the next one is served.

mod bodies;
mod envoy;
mod heads;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::deployment::{Connection, Http};
use scim_host_tests::idp::Idp;
use scim_host_tests::message::Answer;
use scim_host_tests::raw;
use scim_host_tests::server::Front;
use serde_json::Map;

use crate::scene::Scene;
use crate::shared::{FRONTS, server, trial};

type Attack = (&'static str, fn(&Victim) -> Result<()>);

const ATTACKS: [Attack; 6] = [
    ("header_fields_that_are_no_text_or_come_twice", heads::odd_fields),
    ("line_breaks_where_locations_and_etags_are_made", heads::line_breaks),
    ("paths_with_escapes_dots_and_slashes", heads::odd_paths),
    ("bodies_too_large_too_deep_or_broken", bodies::odd_bodies),
    ("filters_of_ten_thousand_terms", bodies::odd_filters),
    ("methods_and_framing_nobody_sends", bodies::odd_framing),
];

/// Each attack on each front, on real Envoy over both versions of HTTP; then what only Envoy's own limits end.
pub fn trials() -> Vec<Trial> {
    let attacks = FRONTS.into_iter().flat_map(|(name, front)| {
        ATTACKS.map(|(attack_name, attack)| trial(format!("hostile::{name}::{attack_name}"), move || on(front, attack)))
    });
    let envoy = [
        trial("hostile::envoy::no_machine_traps_whatever_comes", envoy::survives_everything),
        trial("hostile::envoy::a_compressed_bomb_is_refused_unopened", envoy::refuses_bombs),
        trial("hostile::envoy::what_comes_slowly_ends", envoy::ends_slow_requests),
        trial("hostile::envoy::http2_is_no_way_around", || on(Front::Envoy, envoy::http2)),
    ];
    attacks.chain(envoy).collect()
}

/// Who is attacked.
struct Victim {
    url: String,
    connection: Connection,
    other: Connection,
}

fn on(front: Front, attack: fn(&Victim) -> Result<()>) -> Result<()> {
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
