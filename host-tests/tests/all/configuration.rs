//! The configurations people are shown are valid to the strictest tool there is, do what they say in real Envoy, and come
//! into force only when they are right.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::deployment::{Http, Target};
use scim_host_tests::envoy::{Changes, Envoy, example, validate};
use scim_host_tests::idp::{Idp, total, user};
use scim_host_tests::message::Request;
use scim_host_tests::server::{Front, Server};
use scim_host_tests::{case, check, place};
use serde_json::{Map, Value};

use crate::scene::{Scene, eventually};
use crate::shared::trial;
use crate::tls::Certificates;

/// Files of `envoy/` that Envoy reads.
const EXAMPLES: [&str; 3] = ["origin.yaml", "local.yaml", "decision.yaml"];

/// Manifests, each with the schema of what it may say.
const MANIFESTS: [&str; 2] = ["istio", "envoy-gateway"];

/// One trial for each promise.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("configuration::examples_are_valid_to_envoy", examples_are_valid),
        trial("configuration::documents_of_the_examples_obey_the_schema", documents_obey),
        trial("configuration::manifests_obey_their_schemas", manifests_obey),
        trial("configuration::the_image_is_made_as_linters_like_it", image_is_linted),
        trial("configuration::a_bad_update_never_replaces_a_good_one", updates_are_checked),
        trial("configuration::the_corpus_passes_without_stop_iteration_on_headers", works_portably),
    ]
}

fn examples_are_valid() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let certificates = Certificates::make(directory.path())?;
    for file in EXAMPLES {
        let text = fill(file, &certificates)?;
        validate(directory.path(), &text).with_context(|| file.to_owned())?;
        let tls = text.replace("#tls ", "");
        validate(directory.path(), &tls).with_context(|| format!("{file} with TLS"))?;
        let broken = text.replace("stat_prefix: ", "stat_prefixes: ");
        ensure!(validate(directory.path(), &broken).is_err(), "Envoy takes anything: this proves nothing");
    }
    Ok(())
}

/// An example with every word filled in.
fn fill(file: &str, certificates: &Certificates) -> Result<String> {
    let plugin = if file == "local.yaml" { place::local_plugin() } else { place::plugin() };
    let file_of = |name: &str| certificates.file(name);
    let jwks = file_of("jwks.json");
    std::fs::write(&jwks, r#"{"keys":[{"kty":"oct","alg":"HS256","kid":"test","k":"c2VjcmV0"}]}"#)?;
    let words = [
        ("@ISSUER@", "https://idp.example.com".to_owned()),
        ("@JWKS@", jwks),
        ("@CONNECTION@", "0192f0c1-2a3b-7c4d-8e5f-0123456789ab".to_owned()),
        ("@APPLICATION_ADDRESS@", "127.0.0.1".to_owned()),
        ("@APPLICATION_PORT@", "8000".to_owned()),
        ("@PLUGIN@", plugin.to_string_lossy().into_owned()),
        ("@ORIGIN_ADDRESS@", "127.0.0.1".to_owned()),
        ("@ORIGIN_PORT@", "3000".to_owned()),
        ("@EDGE_SECRET@", "secret".to_owned()),
        ("@TLS_CERTIFICATE@", file_of("edge.pem")),
        ("@TLS_KEY@", file_of("edge.key")),
        ("@CLIENT_CERTIFICATE@", file_of("edge.pem")),
        ("@CLIENT_KEY@", file_of("edge.key")),
        ("@ORIGIN_CA@", file_of("ca.pem")),
        ("@ORIGIN_NAME@", "origin.test".to_owned()),
    ];
    example(file, &words.each_ref().map(|(word, value)| (*word, value.as_str())))
}

/// Validates files by a schema, with an implementation of others.
fn obey(schema: &Path, files: &[&Path]) -> Result<()> {
    let script = place::root().join("host-tests/clients/validate.py");
    let output = Command::new(place::python()?).arg(script).arg(schema).args(files).output()?;
    ensure!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn documents_obey() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let schema = place::root().join("envoy/config.schema.json");
    let certificates = Certificates::make(directory.path())?;
    let path = directory.path().join("origin.yaml");
    let filled = fill("origin.yaml", &certificates)?;
    std::fs::write(&path, &filled)?;
    obey(&schema, &[&path])?;
    let local = directory.path().join("local.yaml");
    std::fs::write(&local, fill("local.yaml", &certificates)?)?;
    obey(&schema, &[&local])?;
    for (right, wrong) in
        [("grace_ms", "grace"), ("\"heads\": 1024", "\"heads\": 0"), ("\"origin\",", "\"elsewhere\",")]
    {
        ensure!(filled.contains(right), "`{right}` is not in the example");
        std::fs::write(&path, filled.replacen(right, wrong, 1))?;
        ensure!(obey(&schema, &[&path]).is_err(), "the schema takes `{wrong}`");
    }
    let schema: Value = serde_json::from_slice(&std::fs::read(schema)?)?;
    let modes = schema["oneOf"].as_array().context("the schema has no modes")?;
    let examples = modes.iter().filter_map(|mode| schema.pointer(mode["$ref"].as_str()?.strip_prefix('#')?));
    for example in examples.flat_map(|mode| mode["examples"].as_array().into_iter().flatten()) {
        std::fs::write(&path, example.to_string())?;
        obey(&place::root().join("envoy/config.schema.json"), &[&path])?;
    }
    Ok(())
}

fn manifests_obey() -> Result<()> {
    let directory = tempfile::tempdir()?;
    for name in MANIFESTS {
        let schema = place::root().join("host-tests/schemas").join(format!("{name}.schema.json"));
        let manifest = place::root().join("envoy/kubernetes").join(format!("{name}.yaml"));
        obey(&schema, &[&manifest])?;
        let whole = std::fs::read_to_string(&manifest)?;
        let damage = [
            ("grace_ms", "grace"),
            ("metadata:", "meta:"),
            ("\"0000", "\"xyz0"),
            ("  name: scim-edge", "  name: SCIM"),
        ];
        for (right, wrong) in damage {
            ensure!(whole.contains(right), "`{right}` is not in {name}");
            let path = directory.path().join(format!("{name}.yaml"));
            std::fs::write(&path, whole.replacen(right, wrong, 1))?;
            ensure!(obey(&schema, &[&path]).is_err(), "the schema of {name} takes `{wrong}`");
        }
    }
    Ok(())
}

fn image_is_linted() -> Result<()> {
    let python = place::python()?;
    let hadolint = python.parent().context("no directory")?.join("hadolint");
    let recipe = place::root().join("envoy/kubernetes/Dockerfile");
    let lint = |path: &Path| Command::new(&hadolint).args(["--failure-threshold", "style"]).arg(path).output();
    let output = lint(&recipe).with_context(|| format!("{} is missing", hadolint.display()))?;
    ensure!(output.status.success(), "{}", text(&output.stdout));
    let directory = tempfile::tempdir()?;
    let broken = directory.path().join("Dockerfile");
    std::fs::write(&broken, std::fs::read_to_string(&recipe)?.replace("COPY", "ADD"))?;
    ensure!(!lint(&broken)?.status.success(), "the linter takes anything: this proves nothing");
    let copied = std::fs::read_to_string(&recipe)?;
    let module = place::plugin();
    let module = module.file_name().unwrap_or_default().to_string_lossy();
    ensure!(copied.contains(&format!("COPY {module} /plugin.wasm\n")), "the recipe does not copy {module}");
    Ok(())
}

/// The listener of a whole configuration as a file of LDS, and the configuration without it.
fn by_lds(configuration: &str, lds: &Path) -> Result<(String, String)> {
    let (before, rest) = configuration.split_once("  listeners:\n").context("no listeners")?;
    let (listener, clusters) = rest.split_once("\n  clusters:\n").context("no clusters")?;
    let kind = "type.googleapis.com/envoy.config.listener.v3.Listener";
    let listener = listener.replacen("    - name: scim\n", &format!("    - \"@type\": {kind}\n      name: scim\n"), 1);
    let directory = lds.parent().context("no directory")?.display();
    let dynamic = format!(
        "dynamic_resources:\n  lds_config:\n    resource_api_version: V3\n    path_config_source:\n      path: {}\n      \
         watched_directory: {{ path: {directory} }}\n\n",
        lds.display()
    );
    Ok((
        format!("{before}  clusters:\n{clusters}").replacen(
            "static_resources:",
            &format!("{dynamic}static_resources:"),
            1,
        ),
        format!("resources:\n{listener}\n"),
    ))
}

/// Puts a file in another's place at once, as Envoy's watch of the directory wants it.
fn put(path: &Path, contents: &str) -> Result<()> {
    let aside = path.with_extension("new");
    std::fs::write(&aside, contents)?;
    Ok(std::fs::rename(aside, path)?)
}

fn updates_are_checked() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = Server::start(&directory.path().join("data"), Front::None)?;
    let watched = directory.path().join("lds");
    std::fs::create_dir(&watched)?;
    let lds = watched.join("listeners.yaml");
    let (ip, port) = server.origin_address().rsplit_once(':').context("no port")?;
    let (secret, plugin) = (server.edge_secret()?, place::plugin());
    let words = [
        ("@ORIGIN_ADDRESS@", ip),
        ("@ORIGIN_PORT@", port),
        ("@EDGE_SECRET@", &*secret),
        ("@PLUGIN@", &*plugin.to_string_lossy()),
    ];
    let (bootstrap, listener) = by_lds(&example("origin.yaml", &words)?, &lds)?;
    put(&lds, &listener)?;
    let envoy = Envoy::launch(directory.path(), "edge", &bootstrap, &["--concurrency", "2"])?;
    let idp = Idp { target: Http::new(&envoy.url), connection: envoy.deployment(&server)?.connect(&Map::new())? };
    let create = |name: &str| idp.create(name);
    ensure!(create("before")?.status == 201, "the first configuration does not serve");
    let bad = [
        ("\"grace_ms\"", "\"grace_msec\"", "`grace_msec`: "),
        ("\"heads\": 1024", "\"heads\": 0", "`slots.heads`: "),
        ("\"mode\": \"origin\"", "\"mode\": \"none\"", "`mode`: "),
        ("\"credential\": \"", "\"credential\": \"\u{e9}", "`origin.credential`: "),
        ("{\n", "[\n", "the configuration is no JSON"),
        ("scim_plugin.wasm", "no_plugin.wasm", "no_plugin.wasm"),
    ];
    for (index, (right, wrong, named)) in bad.iter().copied().enumerate() {
        ensure!(listener.contains(right), "`{right}` is not in the example");
        put(&lds, &listener.replacen(right, wrong, if right == "{\n" { usize::MAX } else { 1 }))?;
        eventually(named, || Ok((envoy.stat("listener_manager.lds.update_rejected")? > index as u64).then_some(())))?;
        eventually(named, || Ok(envoy.log()?.contains(named).then_some(())))?;
        ensure!(!envoy.log()?.contains(&secret), "the log shows the credential");
        ensure!(create(&format!("after-{index}"))?.status == 201, "after `{wrong}` nothing is served");
    }
    // A good one, with a module under another name.
    let next = directory.path().join("next.wasm");
    std::fs::copy(place::plugin(), &next)?;
    let good =
        listener.replacen("\"max_staleness_ms\"", "\"limits\": { \"body_bytes\": 100 }, \"max_staleness_ms\"", 1);
    put(&lds, &good.replace(&*place::plugin().to_string_lossy(), &next.to_string_lossy()))?;
    eventually("the new limit", || Ok((create(&"x".repeat(100))?.status == 413).then_some(())))?;
    ensure!(envoy.admin("/config_dump?resource=dynamic_listeners")?.contains("next.wasm"), "the old module serves");
    let found = idp.get("/Users?count=0")?;
    ensure!(total(&found)? > bad.len() as u64, "{}", found.brief());
    envoy.has_not_trapped()
}

/// Istio's WasmPlugin and Envoy Gateway's policy have no `allow_on_headers_stop_iteration`.
fn works_portably() -> Result<()> {
    let text = [("allow_on_headers_stop_iteration: true", "allow_on_headers_stop_iteration: false")];
    let scene = Scene::new(&Changes { text: &text, ..Changes::default() })?;
    let idp = scene.idp()?;
    // The head is not there yet, so the request with this body waits.
    let mut large = user("large");
    large["title"] = "x".repeat(200_000).into();
    let made = idp.send("POST", "/Users", Some(&large))?;
    ensure!(made.status == 201, "{}", made.brief());
    let larger = Request { body: vec![b' '; 3 << 20], ..scene.idp()?.request("POST", "/Users", None) };
    let refused = idp.target.send(&larger)?;
    ensure!(refused.status == 413, "{}", refused.brief());
    let cases = case::load(&place::corpus())?;
    let failed: Vec<_> = cases
        .iter()
        .filter_map(|case| check::check(case, &scene.deployment).err().map(|error| format!("{}: {error:#}", case.name)))
        .collect();
    ensure!(failed.is_empty(), "{} of {} cases fail: {}", failed.len(), cases.len(), failed.join("\n"));
    scene.envoy.has_not_trapped()
}
