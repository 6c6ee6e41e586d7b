//! Where a client is: a token limited to networks works from there, through an edge as well, and the provisioning log
//! shows the client's address, whoever says otherwise.

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::curl::Curl;
use scim_host_tests::deployment::{Connection, Deployment, Target};
use scim_host_tests::envoy::{Changes, Envoy};
use scim_host_tests::idp::{Idp, user};
use scim_host_tests::message::Request;
use scim_host_tests::server::Front;
use serde_json::{Map, json};

use crate::shared::{OnFront, PLACES, in_each, server, trial};

/// Where the customer's identity provider is, and where others are.
const OFFICE: &str = "127.0.0.9";
const ELSEWHERE: &str = "127.0.0.10";

/// Each way in; and what only Envoy can be told.
pub fn trials() -> Vec<Trial> {
    let tests: [OnFront; 2] = [
        ("a_token_of_one_network_reads_and_writes_from_there_only", keeps_networks),
        ("what_a_client_says_of_its_address_counts_nothing", believes_nobody),
    ];
    let mut trials = in_each("addresses", &PLACES, &tests);
    let name = "addresses::envoy::behind_a_trusted_proxy_the_client_is_the_one_it_names";
    trials.push(trial(name, trusts_the_proxy_it_is_told_of));
    trials
}

/// A connection, a token of it for the office's network, and ways to it from two places.
struct Scene {
    deployment: Deployment,
    office: Idp<Curl>,
    elsewhere: Idp<Curl>,
}

fn scene(front: Front) -> Result<Scene> {
    let running = server(if front == Front::None { Front::Embedded } else { front })?;
    let ready = &running.server.ready;
    let (deployment, url) = match front {
        Front::None => (running.server.origin()?, Some(&ready.origin)),
        Front::Embedded | Front::Envoy => (running.server.front()?, ready.front.as_ref()),
    };
    let url = url.context("the server has no front")?;
    let connection = limited(&deployment, &format!("{OFFICE}/32"))?;
    let from = |address: &str| Idp { target: Curl::new(url).from(address), connection: connection.clone() };
    Ok(Scene { office: from(OFFICE), elsewhere: from(ELSEWHERE), deployment })
}

/// A connection as one of its tokens knows it that is limited to a network.
fn limited(deployment: &Deployment, network: &str) -> Result<Connection> {
    let connection = deployment.connect(&Map::new())?;
    Ok(deployment.token(&connection, &json!({ "name": "office", "cidrs": [network] }))?.1)
}

fn keeps_networks(front: Front) -> Result<()> {
    let scene = scene(front)?;
    let made = scene.office.create("ada")?;
    ensure!(made.status == 201, "a write from the token's network: {}", made.brief());
    let read = scene.office.get("/Users")?;
    ensure!(read.status == 200, "a read from the token's network: {}", read.brief());
    for (method, path, body) in [("POST", "/Users", Some(user("eve"))), ("GET", "/Users", None)] {
        let answer = scene.elsewhere.send(method, path, body.as_ref())?;
        ensure!(answer.status == 401, "{method} from elsewhere: {}", answer.brief());
    }
    let log = scene.deployment.log(&scene.office.connection)?;
    let entry = log.iter().find(|entry| entry["status"] == 201).context("the write is not in the log")?;
    ensure!(entry["source"] == OFFICE, "the log has the write from {}", entry["source"]);
    Ok(())
}

/// Everything a client could send that something on the way might take for its address.
const CLAIMS: [(&str, &str); 6] = [
    ("x-scim-client", "127.0.0.9"),
    ("x-scim-client", "127.0.0.9 1800000000000 AAAA"),
    ("x-forwarded-for", "127.0.0.9"),
    ("forwarded", "for=127.0.0.9"),
    ("spin-client-addr", "127.0.0.9:1"),
    ("x-envoy-external-address", "127.0.0.9"),
];

fn believes_nobody(front: Front) -> Result<()> {
    let scene = scene(front)?;
    let anywhere = scene.deployment.connect(&Map::new())?;
    let open = Idp { target: scene.elsewhere.target.clone(), connection: anywhere };
    for (number, (name, value)) in CLAIMS.into_iter().enumerate() {
        let claim = |request: Request| request.header(name, value).header(name, value);
        let refused =
            scene.elsewhere.target.send(&claim(scene.elsewhere.request("POST", "/Users", Some(&user("eve")))))?;
        ensure!(refused.status == 401, "{name}: {value} opens the door: {}", refused.brief());
        let made = open.target.send(&claim(open.request("POST", "/Users", Some(&user(&format!("user-{number}"))))))?;
        ensure!(made.status == 201, "{name}: {value}: {}", made.brief());
    }
    let log = scene.deployment.log(&open.connection)?;
    ensure!(log.len() == CLAIMS.len(), "{} entries of {} writes", log.len(), CLAIMS.len());
    let wrong = log.iter().find(|entry| entry["source"] != ELSEWHERE);
    ensure!(wrong.is_none(), "the log has a write from {}", wrong.map_or(json!(null), |entry| entry["source"].clone()));
    Ok(())
}

/// With `xff_num_trusted_hops`, the client is the one the proxy before Envoy has named, and not one it was told of.
fn trusts_the_proxy_it_is_told_of() -> Result<()> {
    let running = server(Front::Embedded)?;
    let directory = tempfile::tempdir()?;
    let hops = [("use_remote_address: true", "use_remote_address: true\n                xff_num_trusted_hops: 1")];
    let changes = Changes { text: &hops, ..Changes::default() };
    let address = running.server.origin_address();
    let envoy = Envoy::start(directory.path(), "envoy", &running.server, address, &changes)?;
    let deployment = envoy.deployment(&running.server)?;
    let connection = limited(&deployment, "203.0.113.0/24")?;
    let proxy = Idp { target: Curl::new(&envoy.url), connection };
    for (chain, status) in [
        ("203.0.113.7", 201),
        ("198.51.100.1", 401),
        ("203.0.113.7, 198.51.100.1", 401),
        ("198.51.100.1, 203.0.113.8", 201),
    ] {
        let write = proxy.request("POST", "/Users", Some(&user(chain))).header("x-forwarded-for", chain);
        let answer = proxy.target.send(&write)?;
        ensure!(answer.status == status, "a write from {chain}: {}", answer.brief());
    }
    let log = deployment.log(&proxy.connection)?;
    let sources: Vec<_> = log.iter().filter(|entry| entry["status"] == 201).map(|entry| &entry["source"]).collect();
    ensure!(sources == ["203.0.113.8", "203.0.113.7"], "the log has writes from {sources:?}");
    Ok(())
}
