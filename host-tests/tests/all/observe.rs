//! What operators see of the filter in real Envoy: metrics, access log, request ids. And what nobody may see there.

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::deployment::{Http, Target};
use scim_host_tests::envoy::{Changes, Envoy};
use scim_host_tests::idp::{Idp, user};
use scim_host_tests::message::Answer;
use serde_json::{Value, json};

use crate::scene::{Scene, eventually};
use crate::shared::trial;

/// One trial for each thing to see.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("observe::requests_are_counted_by_operation_outcome_and_who_answered", counts_requests),
        trial("observe::calls_caches_and_staleness_are_counted", counts_calls),
        trial("observe::the_access_log_tells_connection_operation_outcome_and_error", logs_fields),
        trial("observe::an_answer_tells_the_id_under_which_the_provisioning_log_has_the_request", carries_ids),
        trial("observe::no_secret_and_nothing_of_a_person_is_in_any_log_or_metric", keeps_secrets),
    ]
}

/// The sum of the samples of a metric that have all these labels.
fn sample(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
    let samples = page.lines().filter_map(|line| line.strip_prefix(name)).filter(|line| line.starts_with(['{', ' ']));
    let has = |line: &&str| labels.iter().all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")));
    let values: Vec<u64> = samples.filter(has).filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect();
    values.iter().copied().reduce(|sum, value| sum + value)
}

fn expect(envoy: &Envoy, name: &str, labels: &[(&str, &str)], expected: u64) -> Result<()> {
    let mut last = None;
    let found = eventually(&format!("{name}{labels:?} of {expected}"), || {
        last = sample(&envoy.admin("/stats/prometheus")?, name, labels);
        Ok(last.filter(|value| *value == expected))
    });
    found.map(drop).with_context(|| format!("found {last:?}"))
}

fn id(answer: &Answer) -> Result<String> {
    answer.json()["id"].as_str().map(str::to_owned).with_context(|| answer.brief())
}

fn status(answer: &Answer, expected: u16) -> Result<()> {
    ensure!(answer.status == expected, "expected {expected}: {}", answer.brief());
    Ok(())
}

fn stranger(idp: &Idp<Http>) -> Idp<Http> {
    let mut connection = idp.connection.clone();
    connection.token = "scim_wrong".to_owned();
    Idp { target: idp.target.clone(), connection }
}

fn counts_requests() -> Result<()> {
    let scene = Scene::new(&Changes::default())?;
    let idp = scene.idp()?;
    let ada = id(&idp.create("ada")?)?;
    status(&idp.create("ADA")?, 409)?;
    for _ in 0..3 {
        status(&idp.get(&format!("/Users/{ada}"))?, 200)?;
    }
    status(&idp.get("/Users/nobody")?, 404)?;
    status(&idp.get("/Users?filter=userName%20eq%20%22ada%22")?, 200)?;
    status(&idp.get("/Groups?filter=displayName%20ee%201")?, 400)?;
    status(&stranger(&idp).get(&format!("/Users/{ada}"))?, 401)?;
    status(&idp.send("DELETE", &format!("/Users/{ada}"), None)?, 204)?;
    let check = |operation: &str, outcome: &str, answered_by: &str, expected: u64| {
        let labels = [("operation", operation), ("outcome", outcome), ("answered_by", answered_by)];
        expect(&scene.envoy, "scim_requests_total", &labels, expected)
    };
    check("create_user", "ok", "origin", 1)?;
    check("create_user", "conflict", "origin", 1)?;
    check("read_user", "ok", "edge", 3)?;
    check("read_user", "not_found", "edge", 1)?;
    check("list_users", "ok", "edge", 1)?;
    check("list_groups", "invalid", "edge", 1)?;
    check("read_user", "unauthorized", "edge", 1)?;
    check("delete_user", "ok", "origin", 1)?;
    let read = [("operation", "read_user"), ("outcome", "ok")];
    expect(&scene.envoy, "scim_request_duration_us_count", &read, 3)?;
    let page = scene.envoy.admin("/stats/prometheus")?;
    let fast = [("operation", "read_user"), ("outcome", "ok"), ("le", "10000000")];
    ensure!(sample(&page, "scim_request_duration_us_bucket", &fast) == Some(3), "the buckets are not those configured");
    Ok(())
}

fn counts_calls() -> Result<()> {
    let scene = Scene::new(&Changes { filter: json!({ "max_staleness_ms": 0 }), ..Changes::default() })?;
    let idp = scene.idp()?;
    for name in ["ada", "bob"] {
        status(&idp.create(name)?, 201)?;
    }
    status(&idp.get("/Users")?, 200)?;
    let Scene { envoy, server, .. } = scene;
    // What was counted is told once a second.
    let page = eventually("calls for heads", || {
        let page = envoy.admin("/stats/prometheus")?;
        let calls = sample(&page, "scim_origin_calls_total", &[("call", "heads"), ("result", "ok")]);
        Ok(calls.map(|_| page))
    })?;
    let hits = sample(&page, "scim_cache_lookups_total", &[("cache", "heads"), ("result", "hit")]);
    ensure!(hits.is_none(), "no head is fresh without any staleness, but {hits:?} were");
    drop(server);
    status(&idp.get("/Users")?, 200)?;
    status(&idp.send("DELETE", "/Users/x", None)?, 503)?;
    expect(&envoy, "scim_stale_answers_total", &[], 1)?;
    expect(&envoy, "scim_requests_total", &[("operation", "delete_user"), ("outcome", "unavailable")], 1)?;
    expect(&envoy, "scim_origin_calls_total", &[("call", "heads"), ("result", "unavailable")], 1)?;
    for (name, labels) in [
        ("scim_cache_lookups_total", vec![("cache", "heads"), ("result", "miss")]),
        ("scim_cache_lookups_total", vec![("cache", "pages"), ("result", "hit")]),
        ("scim_origin_call_duration_us_count", vec![("call", "heads")]),
        ("scim_answer_age_ms_count", vec![]),
    ] {
        // Histograms are shown once Envoy has put the workers' parts together.
        eventually(name, || {
            let page = envoy.admin("/stats/prometheus")?;
            Ok((sample(&page, name, &labels) >= Some(1)).then_some(()))
        })?;
    }
    Ok(())
}

/// The lines of the access log, once there are that many of the filter's.
fn access_log(envoy: &Envoy, lines: usize) -> Result<Vec<Value>> {
    eventually("the access log", || {
        let log = envoy.log()?;
        let parsed = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found: Vec<_> = parsed.filter(|line| line["operation"].is_string()).collect();
        Ok((found.len() >= lines).then_some(found))
    })
}

fn logs_fields() -> Result<()> {
    let scene = Scene::new(&Changes::default())?;
    let idp = scene.idp()?;
    let ada = id(&idp.create("ada")?)?;
    status(&idp.create("ada")?, 409)?;
    status(&idp.get(&format!("/Users/{ada}"))?, 200)?;
    status(&idp.get("/Users?filter=x")?, 400)?;
    status(&stranger(&idp).get("/Users")?, 401)?;
    let log = access_log(&scene.envoy, 5)?;
    let told: Vec<_> = log
        .iter()
        .map(|line| {
            ensure!(line["connection"] == idp.connection.id.as_str(), "{line}");
            let [operation, outcome, scim_type] =
                ["operation", "outcome", "scim_type"].map(|field| line[field].as_str().unwrap_or("-"));
            Ok([operation, outcome, scim_type, if line["details"] == "via_upstream" { "origin" } else { "edge" }])
        })
        .collect::<Result<_>>()?;
    let expected = [
        ["create_user", "ok", "-", "origin"],
        ["create_user", "conflict", "uniqueness", "origin"],
        ["read_user", "ok", "-", "edge"],
        ["list_users", "invalid", "invalidFilter", "edge"],
        ["list_users", "unauthorized", "-", "edge"],
    ];
    ensure!(told == expected, "{told:?}");
    Ok(())
}

fn carries_ids() -> Result<()> {
    let scene = Scene::new(&Changes::default())?;
    let idp = scene.idp()?;
    let created = idp.create("ada")?;
    let id = created.header("x-request-id").context("the answer tells no id")?;
    let log = scene.deployment.log(&idp.connection)?;
    ensure!(log.iter().any(|entry| entry["requestId"] == id), "{id} is not in {log:?}");
    let logged = access_log(&scene.envoy, 1)?;
    ensure!(logged.iter().any(|line| line["request_id"] == id), "{id} is not in {logged:?}");
    Ok(())
}

/// A word that no program writes by itself.
const MARK: &str = "zq7Marked";

fn keeps_secrets() -> Result<()> {
    let arguments = ["--component-log-level", "wasm:trace"];
    let scene = Scene::new(&Changes { arguments: &arguments, ..Changes::default() })?;
    let idp = scene.idp()?;
    everything(&idp)?;
    let wrong = stranger(&idp);
    let mut guess = wrong.connection.clone();
    guess.token = format!("scim_{MARK}");
    let guess = Idp { target: wrong.target, connection: guess };
    for (method, path) in [("GET", format!("/Users/{MARK}")), ("POST", "/Users".to_owned())] {
        status(&guess.send(method, &path, Some(&user(MARK)))?, 401)?;
    }
    access_log(&scene.envoy, 20)?;
    let log = scene.envoy.log()?;
    ensure!(log.contains("answered by edge"), "the filter's log at level debug is not there: this proves nothing");
    let origin = std::fs::read_to_string(scene.directory().join("data.log"))?;
    let stats = scene.envoy.admin("/stats")? + &scene.envoy.admin("/stats/prometheus")?;
    let secrets = [
        (MARK, "a name, an address or a guessed token"),
        (&idp.connection.token, "the connection's token"),
        (&scene.server.edge_secret()?, "the edge's credential"),
        (scene.deployment.vendor_token(), "the vendor's token"),
        (&scene.server.ready.secret, "the vendor's secret"),
    ];
    for (place, text) in [("Envoy's log", &log), ("the origin's log", &origin), ("Envoy's metrics", &stats)] {
        for (secret, what) in &secrets {
            let line = text.lines().find(|line| line.to_lowercase().contains(&secret.to_lowercase()));
            ensure!(line.is_none(), "{place} shows {what}: {}", line.unwrap_or_default());
        }
    }
    Ok(())
}

/// Every operation, with a mark wherever a client says something; what is refused is said all the same.
fn everything(idp: &Idp<Http>) -> Result<()> {
    let body = |extra: Value| {
        let mut user = user(&format!("{MARK}@example.com"));
        user["name"] = json!({ "familyName": MARK });
        user["emails"] = json!([{ "value": format!("{MARK}@example.com"), "primary": true }]);
        user["externalId"] = json!(MARK);
        user["password"] = json!(format!("{MARK}-password"));
        user.as_object_mut().context("a user")?.extend(extra.as_object().cloned().unwrap_or_default());
        Ok::<_, anyhow::Error>(user)
    };
    let id = id(&idp.send("POST", "/Users", Some(&body(json!({}))?))?)?;
    let group = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": MARK,
        "members": [{ "value": id }] });
    let patch = |path: &str| {
        json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": "replace", "path": path, "value": MARK }] })
    };
    let search = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "filter": format!("userName eq \"{MARK}\"") });
    let bulk = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{ "method": "POST", "path": "/Users", "bulkId": MARK, "data": body(json!({}))? }] });
    let filter = format!("userName%20eq%20%22{MARK}%22");
    let requests = [
        ("POST", "/Users".to_owned(), Some(body(json!({}))?)),
        ("POST", "/Users".to_owned(), Some(body(json!({ "userName": { "x": MARK } }))?)),
        ("POST", "/Groups".to_owned(), Some(group)),
        ("GET", format!("/Users/{id}"), None),
        ("GET", format!("/Users/{MARK}@example.com"), None),
        ("GET", format!("/Users?filter={filter}"), None),
        ("GET", format!("/Users?filter={MARK}"), None),
        ("GET", format!("/Users?sortBy={MARK}&attributes={MARK}&cursor={MARK}"), None),
        ("GET", format!("/Schemas/{MARK}"), None),
        ("GET", format!("/{MARK}"), None),
        ("POST", "/.search".to_owned(), Some(search)),
        ("PUT", format!("/Users/{id}"), Some(body(json!({ "title": MARK }))?)),
        ("PATCH", format!("/Users/{id}"), Some(patch("title"))),
        ("PATCH", format!("/Users/{id}"), Some(patch(MARK))),
        ("PATCH", format!("/Users/{MARK}"), Some(patch("title"))),
        ("POST", "/Bulk".to_owned(), Some(bulk)),
        (MARK, "/Users".to_owned(), None),
        ("DELETE", format!("/Users/{id}"), None),
        ("GET", format!("/Users/{id}"), None),
    ];
    for (method, path, body) in requests {
        let answer = idp.target.send(&idp.request(method, &path, body.as_ref()))?;
        ensure!(answer.status < 500, "{method} {path}: {}", answer.brief());
    }
    Ok(())
}
