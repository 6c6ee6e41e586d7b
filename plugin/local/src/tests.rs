//! Workers of one Envoy over shared data: alone, and interleaved call by call.

mod envoy;
mod interleaved;

use std::collections::BTreeMap;
use std::rc::Rc;

use scim_engine::http::{Request, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::table::{Room, Table};
use crate::worker::Worker;
use envoy::{Envoy, Handle, NOW, Random, entropy};

/// A document with these connections, all with the token `t`, and more fields.
fn document(connections: &[&str], more: Value) -> Value {
    let connections: Vec<_> = connections.iter().map(|id| json!({ "id": id, "tokens": [{ "token": "t" }] })).collect();
    let mut document = json!({ "mode": "local", "connections": connections });
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    document
}

/// A worker that has taken its configuration.
fn worker(handle: Handle, document: &Value) -> Worker<Handle> {
    let config = Rc::new(Config::parse(document.to_string().as_bytes()).unwrap());
    let mut worker = Worker::new(config, Rc::new(handle));
    worker.establish(entropy, NOW).unwrap();
    worker
}

fn request(connection: &str, token: &str, method: &str, path: &str, body: &Value) -> Request {
    Request {
        method: method.into(),
        target: format!("/directory/resources/scim/v2.0/{connection}{path}"),
        headers: vec![("authorization".into(), format!("Bearer {token}").into_bytes())],
        body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
        source: None,
    }
}

/// A request as the adapter would carry it.
fn ask(worker: &mut Worker<Handle>, request: &Request) -> Response {
    worker.refusal(request, NOW).unwrap_or_else(|| worker.serve(request, entropy, NOW))
}

fn get(worker: &mut Worker<Handle>, connection: &str, path: &str) -> Response {
    ask(worker, &request(connection, "t", "GET", path, &Value::Null))
}

fn create(worker: &mut Worker<Handle>, connection: &str, name: &str) -> Response {
    ask(worker, &request(connection, "t", "POST", "/Users", &json!({ "userName": name })))
}

fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

fn id(response: &Response) -> String {
    assert_eq!(response.status, 201, "{}", String::from_utf8_lossy(&response.body));
    body(response)["id"].as_str().unwrap().to_owned()
}

fn total(response: &Response) -> u64 {
    body(response)["totalResults"].as_u64().unwrap()
}

#[test]
fn every_worker_sees_every_write_and_connections_are_apart() {
    let envoy = Envoy::new();
    let document = document(&["a", "b"], json!({}));
    let (mut one, mut two) = (worker(envoy.handle(0), &document), worker(envoy.handle(0), &document));
    for n in 1..200 {
        let created = create(&mut one, "a", &format!("user-{n}"));
        assert_eq!(created.header("x-scim-version"), None, "that is between an origin and its edges");
        assert_eq!(total(&get(&mut two, "a", "/Users?count=0")), n);
        assert_eq!(get(&mut two, "a", &format!("/Users/{}", id(&created))).status, 200);
    }
    assert_eq!(create(&mut two, "a", "USER-7").status, 409);
    assert_eq!(total(&get(&mut one, "b", "/Users")), 0);
}

#[test]
fn what_is_not_admitted_is_refused_before_its_body_and_leaves_nothing_in_shared_data() {
    let envoy = Envoy::new();
    let mut worker = worker(envoy.handle(0), &document(&["a"], json!({ "limits": { "body_bytes": 100 } })));
    let before = envoy.values();
    let mut refused = |request: &Request| worker.refusal(request, NOW).map(|response| response.status);
    let post = |connection: &str, token: &str| request(connection, token, "POST", "/Users", &Value::Null);
    assert_eq!(refused(&post("a", "wrong")), Some(401));
    assert_eq!(refused(&post("other", "t")), Some(401));
    let none = Request { headers: Vec::new(), ..post("a", "t") };
    assert_eq!(refused(&none), Some(401));
    assert_eq!(envoy.values(), before);
    assert_eq!(refused(&post("a", "t")), None);
    let mut long = post("a", "t");
    long.headers.push(("content-length".into(), b"101".to_vec()));
    assert_eq!(refused(&long), Some(413));
}

#[test]
fn a_connection_over_its_rate_is_429_on_every_worker_and_no_other_is() {
    let envoy = Envoy::new();
    let document = document(&["a", "b"], json!({ "limits": { "requests_per_second": 10, "burst": 3 } }));
    let mut workers = [0, 0].map(|number| worker(envoy.handle(number), &document));
    let mut asked = |index: usize, connection: &str| get(&mut workers[index], connection, "/Users").status;
    assert_eq!([asked(0, "a"), asked(1, "a"), asked(0, "a"), asked(1, "a"), asked(0, "a")], [200, 200, 200, 429, 429]);
    assert_eq!(asked(1, "b"), 200);
    let stranger = request("a", "wrong", "GET", "/Users", &Value::Null);
    assert_eq!(ask(&mut workers[0], &stranger).status, 401, "a stranger is told of the rate");
}

#[test]
fn an_update_keeps_the_directories_of_the_connections_that_stay() {
    let envoy = Envoy::new();
    let mut old = worker(envoy.handle(0), &document(&["a", "b"], json!({})));
    let user = id(&create(&mut old, "a", "ann"));
    id(&create(&mut old, "b", "bob"));
    let token = json!([{ "token": "new", "scopes": ["users:read"] }]);
    let changed =
        json!({ "mode": "local", "connections": [{ "id": "a", "tokens": token }, { "id": "c", "tokens": token }] });
    let mut new = worker(envoy.handle(0), &changed);
    let path = format!("/Users/{user}");
    assert_eq!(ask(&mut new, &request("a", "new", "GET", &path, &Value::Null)).status, 200);
    assert_eq!(ask(&mut new, &request("a", "new", "DELETE", &path, &Value::Null)).status, 403, "the scope is new too");
    assert_eq!(ask(&mut new, &request("a", "t", "GET", &path, &Value::Null)).status, 401);
    assert_eq!(ask(&mut new, &request("b", "t", "GET", "/Users", &Value::Null)).status, 401);
    // Until Envoy uses the update, the worker that has not heard of it goes on as before.
    assert_eq!(get(&mut old, "a", &path).status, 200);
    assert_eq!(total(&get(&mut old, "b", "/Users")), 1);
    // What comes back finds what it left.
    let mut back = worker(envoy.handle(0), &document(&["b"], json!({})));
    assert_eq!(total(&get(&mut back, "b", "/Users")), 1);
}

#[test]
fn connections_beyond_the_slots_are_refused_and_take_nobodys_place() {
    let envoy = Envoy::new();
    let slots = json!({ "slots": { "connections": 2 } });
    let mut first = worker(envoy.handle(0), &document(&["a", "b"], slots.clone()));
    id(&create(&mut first, "a", "ann"));
    let refused = |more: Value| {
        let config = Rc::new(Config::parse(more.to_string().as_bytes()).unwrap());
        Worker::new(config, Rc::new(envoy.handle(0))).establish(entropy, NOW).unwrap_err()
    };
    assert!(refused(document(&["a", "c"], slots)).starts_with("`slots.connections`"));
    // Nor may the sizes change under what is there.
    assert!(refused(document(&["a"], json!({}))).starts_with("`slots.connections`"));
    let other = json!({ "slots": { "connections": 2, "pages": 512 } });
    assert!(refused(document(&["a"], other)).starts_with("`slots.pages`"));
    assert_eq!(total(&get(&mut first, "a", "/Users")), 1);
    assert_eq!(total(&get(&mut first, "b", "/Users")), 0);
}

/// Small pages and few of them.
fn tight() -> Value {
    json!({ "slots": { "pages": 256 }, "limits": { "page_bytes": 1024 } })
}

/// Users created until there is no room, with the refusal.
fn fill_up(worker: &mut Worker<Handle>, prefix: &str) -> (Vec<String>, Response) {
    let mut ids = Vec::new();
    loop {
        let created = create(worker, "a", &format!("{prefix}-{}", ids.len()));
        if created.status != 201 {
            return (ids, created);
        }
        ids.push(id(&created));
    }
}

fn delete(worker: &mut Worker<Handle>, user: &str) -> u16 {
    ask(worker, &request("a", "t", "DELETE", &format!("/Users/{user}"), &Value::Null)).status
}

#[test]
fn a_full_table_refuses_writes_loses_none_and_deletions_make_room() {
    let envoy = Envoy::new();
    let mut worker = worker(envoy.handle(0), &document(&["a"], tight()));
    let (ids, refusal) = fill_up(&mut worker, "user");
    assert_eq!(refusal.status, 507, "{}", String::from_utf8_lossy(&refusal.body));
    assert!(ids.len() > 20, "only {} users fit", ids.len());
    let size = envoy.size();
    assert!(size < 256 * (1024 + 20) + (32 << 10), "{size} bytes");
    for (n, user) in ids.iter().enumerate() {
        assert_eq!(body(&get(&mut worker, "a", &format!("/Users/{user}")))["userName"], format!("user-{n}"));
    }
    assert_eq!(total(&get(&mut worker, "a", "/Users")), ids.len() as u64);
    for user in &ids {
        assert_eq!(delete(&mut worker, user), 204);
    }
    assert_eq!(total(&get(&mut worker, "a", "/Users")), 0);
    // Where pages come to lie is chance, and so is how many fit.
    (0..ids.len() / 2).for_each(|n| drop(id(&create(&mut worker, "a", &format!("again-{n}")))));
}

#[test]
fn deletions_make_room_wherever_pages_lie_and_however_often_the_table_fills() {
    for seed in 0..3 {
        envoy::seed_entropy(seed);
        let mut random = Random(seed);
        let envoy = Envoy::new();
        let mut worker = worker(envoy.handle(0), &document(&["a"], tight()));
        let mut ids = Vec::new();
        for round in 0..4 {
            ids.extend(fill_up(&mut worker, &format!("user-{round}")).0);
            let keep = if round % 2 == 0 { ids.len() / 2 } else { 0 };
            while ids.len() > keep {
                let user = ids.swap_remove(random.below(ids.len()));
                assert_eq!(delete(&mut worker, &user), 204, "seed {seed}, round {round}, {} users left", ids.len());
            }
        }
    }
}

#[test]
fn a_page_larger_than_a_slot_takes_several() {
    let envoy = Envoy::new();
    let mut worker = worker(envoy.handle(0), &document(&["a"], json!({ "limits": { "page_bytes": 512 } })));
    let title = "x".repeat(40_000);
    let user = json!({ "userName": "ann", "title": title });
    let ann = id(&ask(&mut worker, &request("a", "t", "POST", "/Users", &user)));
    (0..100).for_each(|n| drop(id(&create(&mut worker, "a", &format!("user-{n}")))));
    assert_eq!(body(&get(&mut worker, "a", &format!("/Users/{ann}")))["title"], title);
    assert!(envoy.values().values().all(|value| value.len() <= 512 + 20 || value.starts_with(b"\x01a")));
    let gone = ask(&mut worker, &request("a", "t", "DELETE", &format!("/Users/{ann}"), &Value::Null));
    assert_eq!(gone.status, 204);
    (100..300).for_each(|n| drop(id(&create(&mut worker, "a", &format!("user-{n}")))));
    assert!(envoy.size() < 300_000, "{} bytes: the large page is still there", envoy.size());
}

#[test]
fn a_table_holds_exactly_what_was_put_in_and_not_taken_out() {
    let envoy = Envoy::new();
    let table = Table::new(Rc::new(envoy.handle(0)), 100);
    let name = |n: u8| [n; 19];
    for n in 0..100 {
        table.insert(&name(n), &[n], Room::Reserve).unwrap();
    }
    assert!(table.insert(&name(100), &[], Room::Reserve).is_err());
    for n in (0..100).step_by(3) {
        table.remove(&name(n));
    }
    for n in 0..=100 {
        let expected = (n < 100 && n % 3 != 0).then(|| vec![n]);
        assert_eq!(table.get(&name(n)), expected, "{n}");
    }
    table.insert(&name(100), b"new", Room::Reserve).unwrap();
    assert_eq!(table.get(&name(100)), Some(b"new".to_vec()));
    assert_eq!(table.names().len(), 67);
    assert_eq!(envoy.values().len(), 100, "no key was added");
}

#[test]
fn what_two_workers_remember_of_a_table_never_misleads_them() {
    let envoy = Envoy::new();
    let tables = [(); 2].map(|()| Table::new(Rc::new(envoy.handle(0)), 100));
    let mut random = Random(7);
    let mut expected: BTreeMap<u8, u8> = BTreeMap::new();
    for turn in 0..20_000 {
        let (table, number) = (&tables[random.below(2)], u8::try_from(random.below(110)).unwrap());
        let (name, value) = ([number; 19], u8::try_from(random.below(256)).unwrap());
        assert_eq!(table.get(&name), expected.get(&number).map(|value| vec![*value]), "turn {turn}");
        if expected.contains_key(&number) {
            assert_eq!(table.remove(&name), expected.remove(&number).map(|value| vec![value]), "turn {turn}");
        } else if table.insert(&name, &[value], Room::Reserve).is_ok() {
            expected.insert(number, value);
        } else {
            assert_eq!(expected.len(), 100, "turn {turn}: there was room");
        }
    }
    assert_eq!(tables[0].names().len(), expected.len());
}

#[test]
fn in_a_crowded_table_a_worker_looks_once_for_what_it_knows() {
    let envoy = Envoy::new();
    let table = Table::new(Rc::new(envoy.handle(0)), 1000);
    let names: Vec<_> = (0..700u32).map(|n| Sha256::digest(n.to_le_bytes())[..19].try_into().unwrap()).collect();
    names.iter().for_each(|name| table.insert(name, b"page", Room::Common).unwrap());
    let before = envoy.calls();
    assert!(names.iter().all(|name| table.get(name).is_some()));
    assert!(envoy.calls() - before < 710, "{} looks", envoy.calls() - before);
    let before = envoy.calls();
    names[..100].iter().for_each(|name| assert!(table.remove(name).is_some()));
    names[..100].iter().for_each(|name| table.insert(name, b"page", Room::Common).unwrap());
    assert!(envoy.calls() - before < 420, "{} calls", envoy.calls() - before);
}
