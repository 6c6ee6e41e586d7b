//! `cargo xtask bench envoy`: what the filter costs in real Envoy, beside Envoy's own answer and a plain proxy to the
//! origin, interleaved in one run. Times depend on the machine; their ratios are what counts.

mod config;
mod load;
mod report;
mod revocation;
mod scene;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use scim_host_tests::envoy::Envoy;
use scim_host_tests::server::{Front, Server};

use config::{DIRECT, Ports, SUBJECT, Surroundings};
use load::{Case, Load, Processes, Sample};
use scene::Scene;

/// Measures the filter in real Envoy.
#[derive(Parser)]
#[command(name = "cargo xtask bench envoy")]
struct Arguments {
    /// Rounds of all cases; one more goes before them, to warm up
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Length of one case in one round
    #[arg(long, default_value_t = 2)]
    seconds: u32,
    /// Connections that each have one request under way
    #[arg(long, default_value_t = 16)]
    connections: u32,
    /// Users deactivated, to see how soon they are turned away
    #[arg(long, default_value_t = 20)]
    revocations: usize,
    /// Only the baseline, and cases whose name contains this text
    #[arg(long, default_value = "")]
    only: String,
}

/// What the filter presents to the origin.
const EDGE_SECRET: &str = "bench-edge-secret";

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let directory = tempfile::tempdir()?;
    let data = directory.path().join("data");
    let server = Server::start_with(&data, Front::None, &["--variable", &format!("edge_secret={EDGE_SECRET}")])?;
    let deployment = server.origin()?;
    let scene = Scene::fill(&deployment)?;

    let ports = Ports::free()?;
    let body = scene.user(&deployment)?;
    println!("1 worker, {} connections, answers of {} bytes", arguments.connections, body.len());
    let origin = server.ready.origin.strip_prefix("http://").context("no http URL")?;
    let connection = scene.connection.id.as_str();
    let around = Surroundings { origin, edge_secret: EDGE_SECRET, body: &body, connection };
    let envoy = Envoy::launch(directory.path(), "envoy", &config::envoy(ports, &around)?, &["--concurrency", "1"])?;

    let processes = Processes { envoy: envoy.pid(), origin: *server.ready.pids.get("host").context("no host")? };
    let load = Load { connections: arguments.connections, seconds: arguments.seconds };
    let mut cases = cases(ports, &scene);
    let mut is_baseline = true;
    cases.retain(|case| std::mem::take(&mut is_baseline) || case.name.contains(&arguments.only));
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); cases.len()];
    for round in 0..=arguments.rounds {
        for (case, samples) in cases.iter().zip(&mut samples) {
            let sample = case.run(load, processes, directory.path())?;
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    ensure!(arguments.rounds > 0, "nothing was measured");
    report::print(&cases, &samples);

    let elsewhere = Ports::free()?;
    let configuration = config::envoy(elsewhere, &around)?;
    let _other = Envoy::launch(directory.path(), "other", &configuration, &["--concurrency", "1"])?;
    revocation::measure(ports, elsewhere, &scene, arguments.revocations)
}

fn cases(ports: Ports, scene: &Scene) -> Vec<Case> {
    let token = |token: &str| vec![("authorization", format!("Bearer {token}"))];
    let valid = |paths: Vec<String>| -> Vec<_> {
        paths.into_iter().map(|path| (path, token(&scene.connection.token))).collect()
    };
    let case = |name, port, requests| Case { name, port, requests, refused: false, proxied: None };
    let through = |name, proxied, requests| Case { proxied: Some(proxied), ..case(name, ports.scim, requests) };
    let anew = |name, proxied, requests| Case { proxied: Some(proxied), ..case(name, ports.anew, requests) };
    let direct = vec![(DIRECT.to_owned(), Vec::new())];
    let decided = (0..scene.users.len()).map(|user| (DIRECT.to_owned(), vec![(SUBJECT, scene::name(user))])).collect();
    let refused = scene.by_id().into_iter().map(|path| (path, token("scim_not-a-token-of-anybody"))).collect();
    vec![
        case("direct_response", ports.plain, direct.clone()),
        case("direct_response, filter passed by", ports.scim, direct),
        case("proxy: GET by id", ports.plain, valid(scene.by_id())),
        through("filter: GET by id", "proxy: GET by id", valid(scene.by_id())),
        anew("filter: GET by id, made anew", "proxy: GET by id", valid(scene.by_id())),
        case("proxy: userName eq", ports.plain, valid(scene.by_name())),
        through("filter: userName eq", "proxy: userName eq", valid(scene.by_name())),
        anew("filter: userName eq, made anew", "proxy: userName eq", valid(scene.by_name())),
        case("proxy: page of 100", ports.plain, valid(scene.pages())),
        through("filter: page of 100", "proxy: page of 100", valid(scene.pages())),
        anew("filter: page of 100, made anew", "proxy: page of 100", valid(scene.pages())),
        Case { refused: true, ..case("filter: refused token", ports.scim, refused) },
        case("filter: decision, then direct_response", ports.decision, decided),
    ]
}
