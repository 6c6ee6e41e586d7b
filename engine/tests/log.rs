//! The provisioning log, from a request to what the API shows of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::cell::Cell;
use std::sync::Arc;

use proptest::prelude::*;
use scim_engine::connections::connection::Connection;
use scim_engine::env::{Config, Credential, Env, Limits, Timestamp};
use scim_engine::http::{Request, Response};
use scim_engine::scim::layout;
use scim_engine::store::memory::{MemoryStore, run};
use scim_engine::store::{Call, DirectoryId, Fault, Handler, Outcome, PageCache, Reply, Session, Turn, Txn, View};
use scim_engine::{connections, scim};
use serde_json::{Value, json};

const CONNECTIONS: &str = "/directory/resources/v1/configurations/scim2";
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// One connection of one deployment. Its clock moves by a second with every request.
struct World {
    store: MemoryStore,
    cache: PageCache,
    config: Arc<Config>,
    clock: Cell<u64>,
    vendor: String,
    id: String,
    token: String,
}

impl World {
    fn new(limits: Limits) -> Self {
        let vendor = Credential { client_id: "vendor".into(), secret: "secret".into() };
        let mut world = Self {
            store: MemoryStore::default(),
            cache: PageCache::new(1 << 26),
            config: Arc::new(Config { vendor: Some(vendor), limits, ..Config::default() }),
            clock: Cell::new(1_700_000_000_000),
            vendor: String::new(),
            id: String::new(),
            token: String::new(),
        };
        world.login();
        let made = world.manage("POST", CONNECTIONS, json!({ "source": "okta", "connectionName": "test" }));
        world.id = made["id"].as_str().unwrap().to_owned();
        world.token = made["token"].as_str().unwrap().to_owned();
        world
    }

    fn login(&mut self) {
        let login = self.manage("POST", "/auth/vendor/", json!({ "clientId": "vendor", "secret": "secret" }));
        self.vendor = login["token"].as_str().unwrap().to_owned();
    }

    fn session(&self, handler: Handler, request: Request) -> Session {
        self.clock.set(self.clock.get() + 1000);
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.clock.get().to_be_bytes());
        Session::new(handler, request, seed, Timestamp(self.clock.get()), Arc::clone(&self.config))
    }

    fn request(&self, method: &str, target: &str, token: &str, body: &Value) -> Request {
        let headers = vec![
            ("authorization".into(), format!("Bearer {token}").into_bytes()),
            ("user-agent".into(), b"Okta SCIM Client 1.0".to_vec()),
            ("x-request-id".into(), b"request-7".to_vec()),
        ];
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        let source = Some("192.0.2.7".parse().unwrap());
        Request { method: method.into(), target: target.into(), headers, body, source }
    }

    fn manage(&self, method: &str, target: &str, body: Value) -> Value {
        let request = self.request(method, target, &self.vendor, &body);
        let response = run(self.session(connections::handle, request), &self.store, &self.cache);
        assert!(response.status < 300, "{method} {target}: {}", response.status);
        serde_json::from_slice(&response.body).unwrap_or_default()
    }

    fn scim(&self, method: &str, path: &str, body: Value) -> Request {
        self.request(method, &format!("/directory/resources/scim/v2.0/{}{path}", self.id), &self.token, &body)
    }

    fn run(&self, request: Request) -> (u16, Value) {
        let response = run(self.session(scim::handle, request), &self.store, &self.cache);
        (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
    }

    fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.run(self.scim(method, path, body))
    }

    fn user(&self, name: &str) -> String {
        let (status, made) = self.send("POST", "/Users", json!({ "userName": name }));
        assert_eq!(status, 201, "{made}");
        made["id"].as_str().unwrap().to_owned()
    }

    fn logs(&self, query: &str) -> Value {
        self.manage("GET", &format!("{CONNECTIONS}/{}/logs?{query}", self.id), Value::Null)
    }

    fn items(&self, query: &str) -> Vec<Value> {
        self.logs(query)["items"].as_array().unwrap().clone()
    }

    /// Runs a request, without cached pages, against a store whose calls about the log meet `with` instead.
    fn run_with(&self, request: Request, mut with: impl FnMut(&Call) -> Option<Reply>) -> Response {
        let mut session = self.session(scim::handle, request);
        let cache = PageCache::new(0);
        let mut reply = None;
        loop {
            match session.turn(&cache, reply.take()) {
                Turn::Call(call) => {
                    let special = if directory(&call).starts_with("log-") { with(&call) } else { None };
                    reply = Some(special.unwrap_or_else(|| self.store.call(&call)));
                }
                Turn::Wait => {}
                Turn::Done(response) => return response,
            }
        }
    }
}

fn directory(call: &Call) -> &str {
    match call {
        Call::LoadHead(directory)
        | Call::StorePages(directory, _)
        | Call::Elect(directory)
        | Call::CreateHead { directory, .. }
        | Call::SwapHead { directory, .. }
        | Call::DeletePages(directory, _) => directory.as_str(),
        Call::LoadHeads(directories) => directories.first().map_or("", DirectoryId::as_str),
        Call::LoadPages(pages) => pages.first().map_or("", |(directory, _)| directory.as_str()),
    }
}

/// Sends a request and compares its entry, the newest, as far as `expected` says something.
fn check(world: &World, request: Request, expected: &Value) {
    world.run(request);
    let entry = world.items("limit=1")[0].clone();
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&entry[field], value, "{field} of {entry}");
    }
    assert_eq!(entry["time"], Timestamp(world.clock.get() - 1000).rfc3339());
    assert_eq!((&entry["requestId"], &entry["source"]), (&json!("request-7"), &json!("192.0.2.7")));
    assert_eq!(entry["client"], "Okta");
}

#[test]
fn every_kind_of_write_and_refusal_has_its_entry() {
    let world = World::new(Limits::default());
    let made = json!({ "userName": "ann", "active": "True", "favouriteColour": "red" });
    check(
        &world,
        world.scim("POST", "/Users", made),
        &json!({ "operation": "POST User", "outcome": "success", "status": 201, "scimType": null, "reason": null,
            "unknown": ["favouriteColour"], "normalised": ["`schemas` missing", "boolean as text"], "limited": false }),
    );
    let id = world.items("limit=1")[0]["resource"].as_str().unwrap().to_owned();
    let user = format!("/Users/{id}");
    let done = |operation: &str, status: u16| json!({ "operation": operation, "resource": id, "status": status, "outcome": "success", "bulk": null });
    let refused = |operation: &str, status: u16, scim_type: Value, reason: &str| {
        json!({ "operation": operation, "status": status, "outcome": "failure", "scimType": scim_type, "reason": reason,
            "unknown": [], "normalised": [] })
    };
    let put = json!({ "userName": "ann", "title": "Dr" });
    check(&world, world.scim("PUT", &user, put.clone()), &done("PUT User", 200));
    check(&world, world.scim("PUT", &user, put), &done("PUT User", 200));
    let patch = |path: &str, value: Value| json!({ "Operations": [{ "op": "replace", "path": path, "value": value }] });
    check(&world, world.scim("PATCH", &user, patch("title", json!("Prof"))), &done("PATCH User", 200));
    check(
        &world,
        world.scim("POST", "/Groups", json!({ "displayName": "g", "members": [{ "value": id }] })),
        &json!({ "operation": "POST Group", "status": 201 }),
    );
    check(
        &world,
        world.scim("POST", "/Users", json!({ "userName": "ANN" })),
        &refused("POST User", 409, json!("uniqueness"), "`userName` `…` is already in use"),
    );
    check(
        &world,
        world.scim("PATCH", &user, patch("nickname2", json!("x"))),
        &refused("PATCH User", 400, json!("invalidPath"), "`nickname2` is not a path in this resource"),
    );
    check(
        &world,
        world.scim("GET", "/Users/ann", Value::Null),
        &refused("GET User", 404, Value::Null, "there is no user `…`"),
    );
    check(&world, world.scim("PUT", "/Users", json!({})), &json!({ "operation": "PUT User", "status": 405 }));
    check(&world, world.scim("GET", "/Me", Value::Null), &json!({ "operation": "GET Me", "status": 501 }));
    check(&world, world.scim("DELETE", &user, Value::Null), &done("DELETE User", 204));
    let stranger = world.scim("GET", "/Users", Value::Null);
    let stranger = world.request("GET", &stranger.target, "wrong", &Value::Null);
    check(&world, stranger, &json!({ "operation": "GET User", "status": 401, "outcome": "failure" }));
    world.manage("PATCH", &format!("{CONNECTIONS}/{}", world.id), json!({ "syncToUserManagement": false }));
    check(
        &world,
        world.scim("POST", "/Users", json!({ "userName": "bob" })),
        &json!({ "status": 403, "reason": "this connection is paused: provisioning is switched off, nothing was changed" }),
    );
}

#[test]
fn each_operation_of_a_bulk_request_has_its_entry() {
    let world = World::new(Limits::default());
    let post = |id: &str, name: &str| json!({ "method": "POST", "path": "/Users", "bulkId": id, "data": { "userName": name } });
    let gone = json!({ "method": "DELETE", "path": "/Users/nobody" });
    let (status, _) = world.send("POST", "/Bulk", json!({ "Operations": [post("a", "ann"), gone, post("b", "ANN")] }));
    assert_eq!(status, 200);
    let seen: Vec<_> = world
        .items("")
        .iter()
        .rev()
        .map(|e| (e["bulk"].as_u64(), e["operation"].as_str().unwrap().to_owned(), e["status"].as_u64().unwrap()))
        .collect();
    let expected = [
        (Some(1), "POST User".to_owned(), 201),
        (Some(2), "DELETE User".into(), 404),
        (Some(3), "POST User".into(), 409),
    ];
    assert_eq!(seen, expected);
    let (_, _) = world.send("POST", "/Bulk", json!({ "Operations": "none" }));
    assert_eq!(world.items("limit=1")[0]["operation"], "POST Bulk");
}

#[test]
fn filters_and_pages_cover_both_sources_newest_first_while_more_arrive() {
    let world = World::new(Limits::default());
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(world.user(&format!("user-{n}")));
        assert_eq!(world.send("GET", "/Users/nobody", Value::Null).0, 404);
    }
    let all = world.items("");
    assert_eq!(all.len(), 40);
    assert!(all.windows(2).all(|pair| pair[0]["time"].as_str() >= pair[1]["time"].as_str()));
    for limit in [1, 7, 39, 40] {
        let (mut cursor, mut found) = (String::new(), Vec::new());
        loop {
            let page = world.logs(&format!("limit={limit}&cursor={cursor}"));
            found.extend(page["items"].as_array().unwrap().clone());
            world.user(&format!("late-{}", world.clock.get()));
            match page["nextCursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        let listed: Vec<_> = found.iter().filter(|item| all.contains(item)).collect();
        assert_eq!(listed, all.iter().collect::<Vec<_>>(), "{limit}");
    }
    assert_eq!(world.items("outcome=failure").len(), 20);
    assert_eq!(world.items("outcome=failure&operation=get+user&limit=3").len(), 3);
    assert!(world.items("outcome=success&limit=1000").iter().all(|item| item["status"] == 201));
    let one = world.items(&format!("resource={}", ids[3]));
    assert_eq!((one.len(), &one[0]["resource"]), (1, &json!(ids[3])));
    for wrong in ["limit=0", "limit=1001", "cursor=x", "outcome=maybe"] {
        let target = format!("{CONNECTIONS}/{}/logs?{wrong}", world.id);
        let request = world.request("GET", &target, &world.vendor, &Value::Null);
        assert_eq!(run(world.session(connections::handle, request), &world.store, &world.cache).status, 400, "{wrong}");
    }
}

#[test]
fn the_log_keeps_so_many_entries_and_days() {
    let mut world = World::new(Limits { log_entries: 20, ..Limits::default() });
    for n in 0..400 {
        world.user(&format!("user-{n}"));
        world.send("GET", "/Users/nobody", Value::Null);
        world.clock.set(world.clock.get() + 2000);
    }
    world.login();
    for outcome in ["success", "failure"] {
        let kept = world.items(&format!("outcome={outcome}&limit=1000")).len();
        assert!((20..=120).contains(&kept), "{kept} of {outcome}");
    }
    world.clock.set(world.clock.get() + 31 * 24 * 60 * MINUTE);
    world.login();
    assert_eq!(world.logs("limit=1000"), json!({ "items": [], "nextCursor": null }));
    let none = World::new(Limits { log_entries: 0, ..Limits::default() });
    none.user("ann");
    none.send("GET", "/Users/nobody", Value::Null);
    assert_eq!(none.items(""), Vec::<Value>::new());
}

#[test]
fn a_minute_takes_so_many_refusals_and_strangers_push_nobody_out() {
    let world = World::new(Limits::default());
    world.clock.set((world.clock.get() / MINUTE + 1) * MINUTE);
    let start = world.clock.get();
    let path = world.scim("GET", "/Users/nobody", Value::Null).target;
    for _ in 0..100 {
        world.clock.set(start);
        assert_eq!(world.run(world.request("GET", &path, "wrong", &Value::Null)).0, 401);
    }
    assert_eq!(world.send("GET", "/Users/nobody", Value::Null).0, 404);
    let items = world.items("limit=1000");
    assert_eq!((items.len(), &items[0]["status"]), (21, &json!(404)));
    assert_eq!(
        (&items[0]["limited"], &items[1]["limited"], &items[2]["limited"]),
        (&json!(false), &json!(true), &json!(false))
    );
    world.clock.set(start + MINUTE);
    world.run(world.request("GET", &path, "wrong", &Value::Null));
    assert_eq!(world.items("limit=1000").len(), 22);
}

#[test]
fn a_request_to_an_unknown_connection_creates_nothing() {
    let world = World::new(Limits::default());
    let before = world.store.values().clone();
    let unknown = "0190163d-8694-739b-aea5-966c26f8ad91".to_owned();
    for id in [unknown.clone(), format!("log-{}", world.id), format!("log-{unknown}")] {
        let target = format!("/directory/resources/scim/v2.0/{id}/Users");
        assert_eq!(world.run(world.request("GET", &target, &world.token, &Value::Null)).0, 401);
    }
    assert_eq!(*world.store.values(), before);
}

/// Requests that the log notes aside, with their status.
fn noted(world: &World, id: &str) -> Vec<(Request, u16)> {
    let wrong = world.scim("GET", "/Users", Value::Null);
    vec![
        (world.scim("GET", "/Users/nobody", Value::Null), 404),
        (world.scim("POST", "/Users", json!({ "userName": "ann" })), 409),
        (world.scim("PUT", &format!("/Users/{id}"), json!({ "userName": "ann" })), 200),
        (world.request("GET", &wrong.target, "wrong", &Value::Null), 401),
    ]
}

#[test]
fn a_store_that_fails_for_the_log_changes_no_answer() {
    let world = World::new(Limits { pending_entries: 2, page_bytes: 512, ..Limits::default() });
    let id = world.user("ann");
    for _ in 0..9 {
        world.send("GET", "/Users/nobody", Value::Null);
    }
    let failed = || Some(Reply::Failed("no".into()));
    type Fails = Box<dyn Fn(&Call) -> bool>;
    let kinds: [Fails; 5] = [
        Box::new(|_| true),
        Box::new(|call| matches!(call, Call::SwapHead { .. })),
        Box::new(|call| matches!(call, Call::StorePages(..) | Call::LoadPages(_))),
        Box::new(|call| matches!(call, Call::LoadHead(_) | Call::LoadHeads(_))),
        Box::new(|call| matches!(call, Call::DeletePages(..))),
    ];
    for (at, fails) in kinds.iter().enumerate() {
        for (request, status) in noted(&world, &id) {
            let method = request.method.clone();
            let response = world.run_with(request, |call: &Call| if fails(call) { failed() } else { None });
            assert_eq!(response.status, status, "{method} with failure {at}");
        }
    }
    for nonsense in [Reply::Head(None), Reply::Head(Some(b"damaged".to_vec())), Reply::Pages(Vec::new())] {
        for (request, status) in noted(&world, &id) {
            assert_eq!(world.run_with(request, |_| Some(nonsense.clone())).status, status, "{nonsense:?}");
        }
    }
}

#[test]
fn writers_that_race_for_the_log_all_get_their_answers() {
    let world = World::new(Limits::default());
    let id = world.user("ann");
    for rivals in [1, 2, 1000] {
        for (request, status) in noted(&world, &id) {
            let mut left = rivals;
            let response = world.run_with(request, |call| {
                if matches!(call, Call::SwapHead { .. }) && left > 0 {
                    left -= 1;
                    world.clock.set(world.clock.get() + MINUTE);
                    assert_eq!(world.send("GET", "/Users/rival", Value::Null).0, 404);
                }
                None
            });
            assert_eq!(response.status, status, "{rivals} rivals");
            assert!(rivals < 1000 || left > 900, "it gives up early");
            let logged = world.items("limit=1000").iter().filter(|item| item["status"] == status).count();
            assert!(logged > 0, "a few lost races lose no entry");
        }
    }
}

#[test]
fn the_log_goes_with_its_connection() {
    for everything in [true, false] {
        let world = World::new(Limits { page_bytes: 512, pending_entries: 4, ..Limits::default() });
        let one = format!("{CONNECTIONS}/{}", world.id);
        let id = world.user("ann");
        for _ in 0..30 {
            world.send("GET", "/Users/nobody", Value::Null);
        }
        assert_eq!(world.send("DELETE", &format!("/Users/{id}"), Value::Null).0, 204);
        world.manage("DELETE", &one, json!({ "deleteAll": everything }));
        while run(world.session(connections::sweep, Request::default()), &world.store, &world.cache).status == 202 {}
        let listed = world.manage("GET", &format!("{CONNECTIONS}?state=residue"), Value::Null);
        assert_eq!(listed, json!([]), "without users and groups nothing is left to keep");
        let left: Vec<_> = world
            .store
            .values()
            .keys()
            .filter(|key| key.contains(&world.id) && !key.starts_with("head:"))
            .cloned()
            .collect();
        assert_eq!(left, Vec::<String>::new());
        let log = DirectoryId::new(&format!("log-{}", world.id)).unwrap();
        let before = world.store.values().get(&scim_engine::store::head_key(&log)).cloned();
        assert_eq!(world.send("GET", "/Users", Value::Null).0, 401);
        assert_eq!(world.store.values().get(&scim_engine::store::head_key(&log)).cloned(), before);
    }
}

/// A value that no word of the log's own can hold, in the company of what might mislead a redactor.
fn secret() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "`", "` ", "\\", "\"", "`userName` ", "@x", " eq \"", "]", "é"]).prop_flat_map(
        |junk| prop::sample::select(vec![format!("{junk}zq7"), format!("zq7{junk}"), format!("{junk}zq7{junk}")]),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_value_of_a_request_is_ever_in_the_log(values in prop::collection::vec(secret(), 8)) {
        let world = World::new(Limits::default());
        let v = |n: usize| values[n].clone();
        let encoded = |n: usize| v(n).bytes().map(|b| format!("%{b:02x}")).collect::<String>();
        let user = json!({ "userName": v(0), "externalId": v(1), "password": v(2), "emails": [{ "value": v(3), "type": v(4) }] });
        world.send("POST", "/Users", user.clone());
        let id = world.items("limit=1")[0]["resource"].as_str().unwrap().to_owned();
        let patch = |op: Value| json!({ "Operations": [op] });
        for (method, path, body) in [
            ("POST", "/Users".to_owned(), user.clone()),
            ("POST", "/Users".into(), json!({ "userName": v(5), "active": v(6) })),
            ("POST", "/Users".into(), json!({ "userName": { "value": v(6) }, (format!("{}@", v(1))): v(2) })),
            ("PUT", format!("/Users/{id}"), json!({ "schemas": [v(0)], "userName": v(1) })),
            ("PATCH", format!("/Users/{id}"), patch(json!({ "op": v(2), "path": "title", "value": v(3) }))),
            ("PATCH", format!("/Users/{id}"), patch(json!({ "op": "add", "path": format!("emails[value eq \"{}\"].x", v(4)), "value": v(5) }))),
            ("PATCH", format!("/Users/{id}"), patch(json!({ "op": "add", "path": "emails", "value": v(6) }))),
            ("GET", format!("/Users/{}", encoded(0)), Value::Null),
            ("GET", format!("/Users?filter=userName%20eq%20{}", encoded(1)), Value::Null),
            ("GET", format!("/Users?sortBy={}&count={}", encoded(2), encoded(3)), Value::Null),
            ("POST", "/Groups".into(), json!({ "displayName": v(4), "members": [{ "value": v(5) }] })),
            ("POST", "/Bulk".into(), json!({ "Operations": [
                { "method": "POST", "path": "/Users", "bulkId": v(6), "data": user },
                { "method": "PATCH", "path": format!("/Users/{}", v(0)), "data": v(1) },
                { "method": "POST", "path": "/Groups", "bulkId": "g", "data": { "displayName": format!("bulkId:{}", v(7)) } },
            ] })),
        ] {
            world.send(method, &path, body);
        }
        let shown = world.logs("limit=1000");
        prop_assert!(shown["items"].as_array().unwrap().len() >= 12);
        for item in shown["items"].as_array().unwrap() {
            prop_assert!(!item.to_string().contains("zq7"), "{item}");
        }
    }
}

/// What a check of the directory that is the target finds wrong.
fn problems(request: &Request, view: &View<'_>, _: &Env<'_>) -> Result<Outcome, Fault> {
    let txn = Txn::open(view, &DirectoryId::new(&request.target).unwrap())?.unwrap();
    let body = format!("{:?}", scim::verify(&txn)?).into_bytes();
    Ok(Outcome { response: Response { status: 200, body, ..Response::default() }, ..Outcome::default() })
}

/// What each of the last thirty days' hours has brought to the connection whose id is the target.
fn activity(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let connection = Connection::open(view, &DirectoryId::new(&request.target).unwrap())?.unwrap();
    let hours = connections::activity(view, &connection, 30 * 24, env)?;
    let now = env.now.0 / HOUR;
    let counts: Vec<_> = hours.iter().map(|hour| (now - hour.hour, hour.accepted, hour.refused)).collect();
    Ok(Outcome { response: Response::json(200, "application/json", &json!(counts)), ..Outcome::default() })
}

impl World {
    /// Hours ago, accepted, refused; the latest first.
    fn activity(&self) -> Vec<(u64, u64, u64)> {
        let request = Request { target: self.id.clone(), ..Request::default() };
        let response = run(self.session(activity, request), &self.store, &self.cache);
        serde_json::from_slice(&response.body).unwrap()
    }

    fn problems(&self) -> String {
        let request = Request { target: self.id.clone(), ..Request::default() };
        String::from_utf8(run(self.session(problems, request), &self.store, &self.cache).body).unwrap()
    }

    fn wait(&self, time: u64) {
        self.clock.set(self.clock.get() + time);
    }
}

#[test]
fn accepted_and_refused_requests_are_counted_by_the_hour() {
    let world = World::new(Limits { log_entries: 10, ..Limits::default() });
    world.clock.set(world.clock.get() / HOUR * HOUR);
    assert_eq!(world.activity(), []);
    for number in 0..30 {
        world.user(&format!("u{number}"));
    }
    world.send("POST", "/Users", json!({ "userName": "u1" }));
    assert_eq!(world.activity(), [(0, 30, 1)], "the log has forgotten most of them, the count has not");
    world.wait(2 * HOUR);
    assert_eq!(world.activity(), [(2, 30, 1)]);
    let mixed = json!({ "Operations": [
        { "method": "POST", "path": "/Users", "bulkId": "a", "data": { "userName": "new" } },
        { "method": "POST", "path": "/Users", "bulkId": "b", "data": { "userName": "u1" } },
    ] });
    assert_eq!(world.send("POST", "/Bulk", mixed).0, 200);
    assert_eq!(world.activity(), [(0, 1, 1), (2, 30, 1)]);
    world.send("GET", "/Users/nobody", Value::Null);
    world.wait(24 * HOUR);
    world.user("later");
    assert_eq!(world.activity(), [(0, 1, 0), (24, 1, 2), (26, 30, 1)]);
    assert_eq!(world.problems(), "[]");
}

#[test]
fn counts_are_kept_for_a_month_and_then_go() {
    let world = World::new(Limits { pending_entries: 2, page_bytes: 512, ..Limits::default() });
    for number in 0..80 {
        world.user(&format!("u{number}"));
        world.send("GET", "/Users/nobody", Value::Null);
        world.wait(20 * HOUR);
    }
    let counts = world.activity();
    assert_eq!(counts.len(), (30 * 24 - 1) / 20, "{counts:?}");
    assert!(counts.iter().all(|(_, accepted, refused)| (*accepted, *refused) == (1, 1)), "{counts:?}");
    let id = DirectoryId::new(&world.id).unwrap();
    for directory in [id, DirectoryId::new(&format!("log-{}", world.id)).unwrap()] {
        let kept = stored(&world, &directory);
        assert!(kept <= 31 * 24 / 20 + 1, "{kept} entries of {}", directory.as_str());
    }
}

/// How many hours a directory still holds.
fn stored(world: &World, directory: &DirectoryId) -> usize {
    fn count(request: &Request, view: &View<'_>, _: &Env<'_>) -> Result<Outcome, Fault> {
        let txn = Txn::open(view, &DirectoryId::new(&request.target).unwrap())?.unwrap();
        let hours = layout::under(&layout::hours());
        let body = txn.count(&hours.start..&hours.end)?.to_string().into_bytes();
        Ok(Outcome { response: Response { status: 200, body, ..Response::default() }, ..Outcome::default() })
    }
    let request = Request { target: directory.as_str().to_owned(), ..Request::default() };
    let response = run(world.session(count, request), &world.store, &world.cache);
    String::from_utf8(response.body).unwrap().parse().unwrap()
}

#[test]
fn counting_makes_no_call_to_the_store_of_its_own() {
    let calls = |log_entries: usize| {
        let world = World::new(Limits { log_entries, ..Limits::default() });
        world.user("first");
        let request = world.scim("POST", "/Users", json!({ "userName": "ann" }));
        let mut calls = Vec::new();
        let mut session = world.session(scim::handle, request);
        let mut reply = None;
        while let Turn::Call(call) = session.turn(&world.cache, reply.take()) {
            reply = Some(world.store.call(&call));
            calls.push(std::mem::discriminant(&call));
        }
        calls
    };
    assert_eq!(calls(10_000), calls(0));
}
