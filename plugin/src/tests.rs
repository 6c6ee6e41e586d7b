//! The worker against a real origin: the engine over a store in memory. Envoy is played by [`Place`].

mod again;
mod decision;
mod fetches;
mod shared;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use scim_engine::env::{Config as Engine, Credential, Env, Limits, Timestamp};
use scim_engine::error::SCIM_JSON;
use scim_engine::http::{Request, Response};
use scim_engine::store::memory::{MemoryStore, run};
use scim_engine::store::{Fault, Outcome, PageCache, Session, View};
use scim_engine::{connections, edge, scim};
use serde_json::{Value, json};

use crate::config::Config;
use crate::origin::{Call, Context, Reply};
use crate::shared::Shared;
use crate::worker::{Answered, VERSION_HEADER, Verdict, Worker};

const SECOND: u64 = 1_000_000;
/// When every test begins, in microseconds.
const START: u64 = 1_800_000_000 * SECOND;

thread_local! {
    /// Where the client of the stream in effect is.
    static SOURCE: Cell<Option<IpAddr>> = const { Cell::new(None) };
}

/// Shared data as Envoy keeps it: generations count up and never are 0.
#[derive(Default)]
pub struct Memory {
    pub values: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
    pub generation: Cell<u32>,
}

impl Shared for Rc<Memory> {
    fn get(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.values.borrow().get(key).cloned()
    }

    fn set(&self, key: &str, value: &[u8], expected: Option<u32>) -> bool {
        let found = self.values.borrow().get(key).map(|(_, generation)| *generation);
        if found != expected {
            return false;
        }
        self.generation.set(self.generation.get() + 1);
        self.values.borrow_mut().insert(key.to_owned(), (value.to_vec(), self.generation.get()));
        true
    }
}

/// The origin: every handler over one store.
struct Origin {
    store: MemoryStore,
    cache: PageCache,
    config: Arc<Engine>,
    requests: Cell<u64>,
    up: Cell<bool>,
    /// Whether it gives pages that were not asked for by name.
    ahead: Cell<bool>,
}

fn handle(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    match request.path() {
        path if path.starts_with(edge::PREFIX) => edge::handle(request, view, env),
        path if scim::connection_of(path).is_some() => scim::handle(request, view, env),
        _ => connections::handle(request, view, env),
    }
}

impl Origin {
    fn new(page_bytes: usize) -> Self {
        let config = Engine {
            vendor: Some(Credential { client_id: "vendor".into(), secret: "vendor-secret".into() }),
            edge_secret: Some("edge-secret".into()),
            // Replaced pages go at once, so that readers of an older head miss them.
            limits: Limits { page_bytes, garbage_pages: 0, ..Limits::default() },
            ..Engine::default()
        };
        let config = Arc::new(config);
        Self {
            store: MemoryStore::default(),
            // None, so that a page that was replaced is gone.
            cache: PageCache::new(0),
            config,
            requests: Cell::new(0),
            up: Cell::new(true),
            ahead: Cell::new(true),
        }
    }

    fn answer(&self, mut request: Request, now: u64) -> Response {
        edge::recognise(&mut request, Timestamp(now / 1000), &self.config);
        self.requests.set(self.requests.get() + 1);
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&self.requests.get().to_le_bytes());
        let session = Session::new(handle, request, seed, Timestamp(now / 1000), Arc::clone(&self.config));
        run(session, &self.store, &self.cache)
    }

    fn reply(&self, call: &Call, now: u64) -> Reply {
        if !self.up.get() {
            return Reply::Failed;
        }
        let header = |wanted| call.headers.iter().find(|(name, _)| *name == wanted).map(|(_, v)| v.clone()).unwrap();
        let headers = call.headers.iter().filter(|(name, _)| self.ahead.get() || *name != edge::READS_HEADER);
        let headers = headers.map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes()));
        let request = Request {
            method: header(":method"),
            target: header(":path"),
            headers: headers.collect(),
            body: call.body.clone(),
            source: None,
        };
        let response = self.answer(request, now);
        Reply::Answer { status: response.status, body: response.body }
    }
}

/// Some workers of one Envoy, and their origin.
struct Place {
    config: Rc<Config>,
    origin: Origin,
    shared: Rc<Memory>,
    workers: Vec<RefCell<Worker<Rc<Memory>>>>,
    now: Cell<u64>,
    contexts: Cell<Context>,
    /// Calls for heads and for pages, and requests forwarded.
    calls: RefCell<Vec<&'static str>>,
    vendor: String,
}

struct Connection {
    id: String,
    token: String,
}

impl Connection {
    fn request(&self, method: &str, path: &str, body: &Value) -> Request {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        Request {
            method: method.into(),
            target: format!("/directory/resources/scim/v2.0/{}{path}", self.id),
            headers: vec![("authorization".into(), format!("Bearer {}", self.token).into_bytes())],
            body,
            source: None,
        }
    }
}

impl Place {
    fn new(settings: Value) -> Self {
        Self::with_pages(settings, Limits::default().page_bytes)
    }

    fn with_pages(settings: Value, page_bytes: usize) -> Self {
        let mut document = json!({ "mode": "origin", "origin": { "cluster": "o", "credential": "edge-secret" } });
        document.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let mut place = Self {
            config: Rc::new(Config::parse(document.to_string().as_bytes()).unwrap()),
            origin: Origin::new(page_bytes),
            workers: Vec::new(),
            shared: Rc::default(),
            now: Cell::new(START),
            contexts: Cell::new(0),
            calls: RefCell::default(),
            vendor: String::new(),
        };
        place.workers = [(); 2].map(|()| RefCell::new(place.worker())).into();
        let login = json!({ "clientId": "vendor", "secret": "vendor-secret" });
        place.vendor = text(&place.manage("POST", "/auth/vendor/", &login), "token");
        place
    }

    /// A worker that knows nothing yet but what all share.
    fn worker(&self) -> Worker<Rc<Memory>> {
        Worker::new(Rc::clone(&self.config), Rc::new(Rc::clone(&self.shared)))
    }

    /// A management request, straight to the origin.
    fn manage(&self, method: &str, path: &str, body: &Value) -> Value {
        let headers = [
            ("authorization", format!("Bearer {}", self.vendor)),
            ("frontegg-tenant-id", "acme".to_owned()),
            ("content-type", "application/json".to_owned()),
        ];
        let request = Request {
            method: method.into(),
            target: path.into(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.into_bytes())).to_vec(),
            body: body.to_string().into_bytes(),
            source: None,
        };
        let response = self.origin.answer(request, self.now.get());
        assert!(response.status < 300, "{method} {path}: {}", response.status);
        serde_json::from_slice(&response.body).unwrap_or_default()
    }

    fn connection(&self, name: &str) -> Connection {
        let made = self.manage("POST", SCIM2, &json!({ "source": "okta", "connectionName": name }));
        Connection { id: text(&made, "id"), token: text(&made, "token") }
    }

    fn pass(&self, microseconds: u64) {
        self.now.set(self.now.get() + microseconds);
    }

    /// Sends a request's head to a worker.
    fn arrive(&self, worker: usize, mut request: Request) -> (Context, Verdict) {
        let context = self.contexts.get();
        self.contexts.set(context + 1);
        self.pass(1);
        SOURCE.set(request.source.take());
        let directory = scim::connection_of(&request.target).expect("a SCIM path");
        let now = self.now.get();
        let verdict = self.workers[worker].borrow_mut().arrive(context, directory, request, now, || SOURCE.get());
        (context, verdict)
    }

    /// Sends a worker's queued calls.
    fn send(&self, worker: usize) -> Vec<(u64, Reply)> {
        let mut replies = Vec::new();
        while let Some(call) = self.workers[worker].borrow_mut().next_call() {
            self.pass(1);
            let path = call.headers.iter().find(|(name, _)| *name == ":path").map(|(_, path)| path.as_str());
            let kind = ["heads", "pages", "refusals"].into_iter().find(|kind| path.unwrap_or_default().contains(kind));
            self.calls.borrow_mut().push(kind.unwrap_or("?"));
            replies.push((call.flight, self.origin.reply(&call, self.now.get())));
        }
        replies
    }

    /// Delivers replies: verdicts for those who waited.
    fn deliver(&self, worker: usize, replies: Vec<(u64, Reply)>) -> Vec<(Context, Verdict)> {
        self.pass(1);
        let mut worker = self.workers[worker].borrow_mut();
        replies.into_iter().flat_map(|(flight, reply)| worker.land(flight, reply, self.now.get())).collect()
    }

    /// The origin's answer to a forwarded request, as it goes back through the worker.
    fn forwarded(&self, worker: usize, context: Context, mut request: Request) -> Response {
        self.calls.borrow_mut().push("forward");
        let client = self.workers[worker].borrow().introduction(context, self.now.get()).unwrap();
        request.headers.push((edge::CLIENT_HEADER.to_owned(), client.into_bytes()));
        request.source = Some("10.0.0.5".parse().unwrap());
        let response = self.origin.answer(request, self.now.get());
        let answered = Answered {
            status: response.status,
            version: response.header(VERSION_HEADER).and_then(|version| version.parse().ok()),
            is_scim: response.header("content-type") == Some(SCIM_JSON),
        };
        self.pass(1);
        let replaced = self.workers[worker].borrow_mut().answered(context, answered, self.now.get());
        replaced.unwrap_or(response)
    }

    /// One whole exchange.
    fn ask(&self, worker: usize, request: &Request) -> Response {
        let (context, mut verdict) = self.arrive(worker, request.clone());
        loop {
            match verdict {
                Verdict::Answer(response) => break self.settle(worker, Rc::unwrap_or_clone(response)),
                Verdict::Forward => break self.settle(worker, self.forwarded(worker, context, request.clone())),
                Verdict::Rule(_) => panic!("not a SCIM request"),
                Verdict::Hold => {}
            }
            let verdicts = self.deliver(worker, self.send(worker));
            verdict = verdicts.into_iter().find(|(other, _)| *other == context).map_or(Verdict::Hold, |(_, v)| v);
        }
    }

    /// Lets background calls end.
    fn settle(&self, worker: usize, response: Response) -> Response {
        let replies = self.send(worker);
        assert_eq!(self.deliver(worker, replies), []);
        response
    }

    fn get(&self, worker: usize, connection: &Connection, path: &str) -> Response {
        self.ask(worker, &connection.request("GET", path, &Value::Null))
    }

    /// What the origin itself answers.
    fn forwarded_anew(&self, connection: &Connection, path: &str) -> Response {
        self.origin.answer(connection.request("GET", path, &Value::Null), self.now.get())
    }

    fn create(&self, worker: usize, connection: &Connection, name: &str) -> String {
        let body = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name });
        let response = self.ask(worker, &connection.request("POST", "/Users", &body));
        assert_eq!(response.status, 201);
        text(&serde_json::from_slice(&response.body).unwrap(), "id")
    }

    /// What was asked of the origin since the last time.
    fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.calls.borrow_mut())
    }
}

const SCIM2: &str = "/directory/resources/v1/configurations/scim2";

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("{value} has no {field}")).to_owned()
}

fn total(response: &Response) -> u64 {
    assert_eq!(response.status, 200);
    serde_json::from_slice::<Value>(&response.body).unwrap()["totalResults"].as_u64().unwrap()
}

#[test]
fn a_fresh_head_is_asked_for_once_by_all_workers_together() {
    let place = Place::new(json!({}));
    let connection = place.connection("c");
    assert_eq!(total(&place.get(0, &connection, "/Users")), 0);
    assert_eq!(place.asked(), ["heads"]);
    for worker in [0, 1, 1, 0] {
        assert_eq!(total(&place.get(worker, &connection, "/Users")), 0);
    }
    assert_eq!(place.asked(), [""; 0]);
    place.pass(SECOND + 1);
    assert_eq!(total(&place.get(1, &connection, "/Users")), 0);
    assert_eq!(total(&place.get(0, &connection, "/Users")), 0);
    assert_eq!(place.asked(), ["heads"]);
}

#[test]
fn the_next_read_on_any_worker_shows_an_acknowledged_write() {
    let place = Place::new(json!({ "max_staleness_ms": 60_000 }));
    let connection = place.connection("c");
    for count in 1..100 {
        place.create(0, &connection, &format!("user-{count}"));
        assert_eq!(total(&place.get(1, &connection, "/Users?count=0")), count);
        assert_eq!(total(&place.get(0, &connection, "/Users?count=0")), count);
    }
}

#[test]
fn a_check_that_began_before_a_write_was_answered_proves_nothing_after_it() {
    // One slot for two directories: the floor is lost each time the other one is served.
    let place = Place::new(json!({ "max_staleness_ms": 60_000, "slots": { "heads": 1 } }));
    let (connection, other) = (place.connection("c"), place.connection("other"));
    let (_, verdict) = place.arrive(0, connection.request("GET", "/Users", &Value::Null));
    assert_eq!(verdict, Verdict::Hold);
    let late = place.send(0);
    place.create(1, &connection, "ann");
    assert_eq!(total(&place.get(1, &other, "/Users")), 0);
    let early = place.deliver(0, late);
    assert!(matches!(early.as_slice(), [(_, Verdict::Answer(_))]), "{early:?}");
    assert_eq!(total(&place.get(0, &connection, "/Users")), 1);
    assert_eq!(total(&place.get(1, &connection, "/Users")), 1);
}

#[test]
fn a_write_whose_answer_never_came_makes_the_next_read_ask() {
    let place = Place::new(json!({ "max_staleness_ms": 60_000 }));
    let connection = place.connection("c");
    place.get(0, &connection, "/Users");
    let body = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann" });
    let request = connection.request("POST", "/Users", &body);
    let (context, verdict) = place.arrive(0, request.clone());
    assert_eq!(verdict, Verdict::Forward);
    place.origin.answer(request, place.now.get());
    place.workers[0].borrow_mut().gone(context, place.now.get());
    assert_eq!(total(&place.get(1, &connection, "/Users")), 1);
}

#[test]
fn requests_that_wait_for_the_same_head_share_one_call_and_one_that_leaves_takes_nothing_along() {
    let place = Place::new(json!({}));
    let connection = place.connection("c");
    let request = connection.request("GET", "/Users", &Value::Null);
    let arrived: Vec<_> = (0..3).map(|_| place.arrive(0, request.clone())).collect();
    assert!(arrived.iter().all(|(_, verdict)| *verdict == Verdict::Hold));
    let replies = place.send(0);
    assert_eq!(place.asked(), ["heads"]);
    place.workers[0].borrow_mut().gone(arrived[0].0, place.now.get());
    let verdicts = place.deliver(0, replies);
    let answered: Vec<_> = verdicts.iter().map(|(context, _)| *context).collect();
    assert_eq!(answered, [arrived[1].0, arrived[2].0]);
    assert!(verdicts.iter().all(|(_, verdict)| matches!(verdict, Verdict::Answer(r) if r.status == 200)));
}

#[test]
fn a_new_token_works_at_once_and_a_revoked_one_ends_within_the_staleness() {
    let place = Place::new(json!({}));
    let connection = place.connection("c");
    place.get(0, &connection, "/Users");
    let tokens = format!("{SCIM2}/{}/tokens", connection.id);
    let made = place.manage("POST", &tokens, &json!({ "name": "second" }));
    let second = Connection { id: connection.id.clone(), token: text(&made, "token") };
    assert_eq!(place.get(1, &second, "/Users").status, 200);
    place.manage("DELETE", &format!("{tokens}/{}", text(&made, "id")), &Value::Null);
    place.pass(SECOND + 1);
    assert_eq!(place.get(0, &second, "/Users").status, 401);
    assert_eq!(place.get(1, &second, "/Users").status, 401);
    assert_eq!(place.get(1, &connection, "/Users").status, 200);
}

#[test]
fn a_token_of_one_network_reads_and_writes_from_there_and_from_nowhere_else() {
    let place = Place::new(json!({}));
    let connection = place.connection("c");
    let limits = json!({ "name": "office", "cidrs": ["203.0.113.0/24"] });
    let made = place.manage("POST", &format!("{SCIM2}/{}/tokens", connection.id), &limits);
    let office = Connection { id: connection.id, token: text(&made, "token") };
    let body = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann" });
    for (source, write, read) in [
        (Some("203.0.113.7"), 201, 200),
        (Some("203.0.114.7"), 401, 401),
        (Some("10.0.0.5"), 401, 401),
        (None, 401, 401),
    ] {
        let source = source.map(|source| source.parse().unwrap());
        let from = |request: Request| place.ask(0, &Request { source, ..request }).status;
        assert_eq!(from(office.request("POST", "/Users", &body)), write, "{source:?}");
        assert_eq!(from(office.request("GET", "/Users", &Value::Null)), read, "{source:?}");
    }
}

#[test]
fn guessing_reaches_the_origin_at_a_bounded_rate_and_writes_nothing() {
    let limits = json!({ "rechecks_per_second": 3, "lookups_per_second": 5 });
    let place = Place::new(json!({ "max_staleness_ms": 60_000, "limits": limits }));
    let connection = place.connection("c");
    place.get(0, &connection, "/Users");
    let keys = || place.shared.values.borrow().keys().cloned().collect::<Vec<_>>();
    let before = keys();
    place.asked();
    place.pass(SECOND);
    for guess in 0..20 {
        let guess = Connection { id: connection.id.clone(), token: format!("guess-{guess}") };
        assert_eq!(place.get(0, &guess, "/Users").status, 401);
    }
    assert_eq!(place.asked(), ["heads"; 3]);
    let statuses: Vec<_> = (0..20)
        .map(|guess| {
            let unknown = Connection { id: format!("unknown-{guess}"), token: connection.token.clone() };
            place.get(0, &unknown, "/Users").status
        })
        .collect();
    assert_eq!(statuses, [[401; 5].as_slice(), &[503; 15]].concat());
    assert_eq!(place.asked(), ["heads"; 5]);
    assert_eq!(keys(), before);
}

#[test]
fn a_malformed_authorization_is_refused_without_asking_anybody() {
    let place = Place::new(json!({}));
    let connection = place.connection("c");
    let check = |values: &[&[u8]]| {
        let mut request = connection.request("GET", "/Users", &Value::Null);
        request.headers = values.iter().map(|value| ("authorization".to_owned(), value.to_vec())).collect();
        let response = place.ask(0, &request);
        assert_eq!((response.status, response.header("www-authenticate")), (401, Some("Bearer")), "{values:?}");
    };
    let right = format!("Bearer {}", connection.token).into_bytes();
    check(&[]);
    for wrong in ["", "Bearer", "Bearer ", "Basic YTpi"] {
        check(&[wrong.as_bytes()]);
    }
    check(&[b"Bearer \xff\xff"]);
    check(&[&right, &right]);
    check(&[&[b"Bearer ".as_slice(), &[b'a'; 600]].concat()]);
    assert_eq!(place.asked(), [""; 0]);
    assert!(place.shared.values.borrow().is_empty());
}

#[test]
fn while_the_origin_is_down_reads_go_on_for_the_grace_and_say_their_age() {
    let place = Place::new(json!({ "grace_ms": 10_000 }));
    let connection = place.connection("c");
    place.create(0, &connection, "ann");
    assert_eq!(total(&place.get(0, &connection, "/Users")), 1);
    place.origin.up.set(false);
    place.pass(4 * SECOND);
    let stale = place.get(0, &connection, "/Users");
    assert_eq!((total(&stale), stale.header("age")), (1, Some("5")));
    assert!(stale.header("warning").is_some());
    let write = place.ask(0, &connection.request("DELETE", "/Users/x", &Value::Null));
    assert_eq!((write.status, write.header("retry-after")), (503, Some("1")));
    place.pass(7 * SECOND);
    assert_eq!(place.get(0, &connection, "/Users").status, 503);
    place.origin.up.set(true);
    place.pass(2 * SECOND);
    let again = place.get(0, &connection, "/Users");
    assert_eq!((total(&again), again.header("age")), (1, None));
}

#[test]
fn lookups_calls_and_the_age_of_answers_are_measured() {
    let place = Place::with_pages(json!({}), 512);
    let connection = place.connection("c");
    (0..40).for_each(|n| drop(place.create(0, &connection, &format!("user-{n}"))));
    let measured = |path: &str| {
        drop(place.workers[1].borrow_mut().measured());
        assert_eq!(place.get(1, &connection, path).status, 200);
        let measured: Vec<_> = place.workers[1].borrow_mut().measured().collect();
        measured.into_iter().map(|(metric, value)| (metric.name(), value)).collect::<BTreeMap<_, _>>()
    };
    let check = |measured: &BTreeMap<String, u64>, expected: &[(&str, u64)]| {
        for (name, value) in expected {
            assert_eq!(measured.get(*name), Some(value), "{name} in {measured:?}");
        }
    };
    let first = measured("/Users?count=1");
    // The origin answers until one fetch is enough.
    (0..5).for_each(|_| drop(measured("/Users?count=1")));
    let then = measured("/Users?count=1");
    check(&first, &[("scim_cache_lookups_total.cache.heads.result.miss", 1)]);
    check(&first, &[("scim_origin_calls_total.call.heads.result.ok", 1)]);
    check(&first, &[("scim_cache_lookups_total.cache.pages.result.miss", 1)]);
    check(
        &first,
        &[("scim_origin_calls_total.call.pages.result.ok", 1), ("scim_origin_call_duration_us.call.heads", 2)],
    );
    check(&then, &[("scim_cache_lookups_total.cache.heads.result.hit", 1), ("scim_answer_age_ms", 0)]);
    check(&then, &[("scim_cache_lookups_total.cache.pages.result.hit", 1)]);
    assert_eq!(then.len(), 3, "{then:?}");
    place.origin.up.set(false);
    place.pass(4 * SECOND);
    let stale = measured("/Users?count=1");
    check(&stale, &[("scim_origin_calls_total.call.heads.result.unanswered", 1)]);
    check(&stale, &[("scim_stale_answers_total", 1), ("scim_answer_age_ms", 4000)]);
}

#[test]
fn calls_carry_the_id_of_the_request_they_are_made_for() {
    let place = Place::new(json!({}));
    let connection = place.connection("c");
    for (id, expected) in [("0a-1", Some("0a-1")), ("a b", None), (&*"x".repeat(129), None)] {
        place.pass(2 * SECOND);
        let mut request = connection.request("GET", "/Users", &Value::Null);
        request.headers.push(("x-request-id".into(), id.into()));
        assert_eq!(place.arrive(0, request).1, Verdict::Hold);
        let call = place.workers[0].borrow_mut().next_call().unwrap();
        let carried = call.headers.iter().find(|(name, _)| *name == "x-request-id").map(|(_, id)| id.as_str());
        assert_eq!(carried, expected);
    }
}

#[test]
fn what_an_acknowledged_write_made_outdated_is_not_served_even_when_the_origin_is_down() {
    let place = Place::new(json!({}));
    let connection = place.connection("c");
    place.get(0, &connection, "/Users");
    place.create(0, &connection, "ann");
    place.origin.up.set(false);
    assert_eq!(place.get(0, &connection, "/Users").status, 503);
    assert_eq!(place.get(1, &connection, "/Users").status, 503);
}

#[test]
fn a_failing_origin_is_asked_about_once_a_second() {
    let place = Place::new(json!({}));
    let connection = place.connection("c");
    place.get(0, &connection, "/Users");
    place.origin.up.set(false);
    place.pass(2 * SECOND);
    place.asked();
    for _ in 0..10 {
        assert_eq!(place.get(0, &connection, "/Users").status, 200);
        place.pass(SECOND / 4);
    }
    assert_eq!(place.asked().len(), 3);
}

#[test]
fn nobody_waits_for_an_origin_that_failed_while_there_is_something_to_serve() {
    let place = Place::new(json!({}));
    let connection = place.connection("c");
    place.get(0, &connection, "/Users");
    place.origin.up.set(false);
    place.pass(2 * SECOND);
    place.get(0, &connection, "/Users");
    place.pass(2 * SECOND);
    place.asked();
    let request = connection.request("GET", "/Users", &Value::Null);
    for _ in 0..3 {
        let (_, verdict) = place.arrive(0, request.clone());
        assert!(matches!(verdict, Verdict::Answer(answer) if answer.status == 200 && answer.header("age").is_some()));
    }
    let (_, verdict) = place.arrive(0, connection.request("DELETE", "/Users/x", &Value::Null));
    assert!(matches!(verdict, Verdict::Answer(answer) if answer.status == 503));
    place.origin.up.set(true);
    let replies = place.send(0);
    assert_eq!(place.asked(), ["heads"]);
    place.deliver(0, replies);
    assert_eq!(place.get(0, &connection, "/Users").header("age"), None);
}

#[test]
fn a_404_that_is_not_the_origins_is_a_failure_like_any_other() {
    let place = Place::new(json!({}));
    let connection = place.connection("c");
    place.get(0, &connection, "/Users");
    for body in ["", "<html>", "{}", r#"{"schemas":["urn:example"]}"#] {
        place.pass(3 * SECOND);
        let (_, verdict) = place.arrive(0, connection.request("GET", "/Users", &Value::Null));
        let reply = Reply::Answer { status: 404, body: body.into() };
        let replies: Vec<_> = place.send(0).into_iter().map(|(flight, _)| (flight, reply.clone())).collect();
        assert!(!replies.is_empty());
        let answers = place.deliver(0, replies);
        let stale = |answer: &Response| answer.status == 200 && answer.header("age").is_some();
        assert!(answers.iter().all(|(_, verdict)| matches!(verdict, Verdict::Answer(answer) if stale(answer))));
        assert_eq!(answers.is_empty(), !matches!(verdict, Verdict::Hold), "{body}");
    }
}

#[test]
fn an_answer_that_cannot_be_the_origins_is_none() {
    let place = Place::new(json!({}));
    let connection = place.connection("c");
    for (status, version, is_scim, replaced) in [
        (200, Some(7), true, false),
        (204, Some(7), false, false),
        (200, None, true, true),
        (204, None, false, true),
        (200, Some(7), false, true),
        (404, None, true, false),
        (404, None, false, true),
        (401, None, false, true),
        (302, None, false, true),
        (500, None, true, false),
        (502, None, false, true),
        (504, None, false, true),
        (429, None, false, false),
        (413, None, false, false),
    ] {
        let (context, verdict) = place.arrive(0, connection.request("PATCH", "/Users/x", &Value::Null));
        if verdict == Verdict::Hold {
            place.deliver(0, place.send(0));
        }
        let answered = Answered { status, version, is_scim };
        let answer = place.workers[0].borrow_mut().answered(context, answered, place.now.get());
        assert_eq!(answer.map(|answer| answer.status), replaced.then_some(503), "{answered:?}");
    }
}

#[test]
fn a_connection_over_its_rate_is_429_on_every_worker_and_nobody_else_is() {
    let limits = json!({ "requests_per_second": 2, "burst": 4 });
    let place = Place::new(json!({ "max_staleness_ms": 60_000, "limits": limits }));
    let (connection, other) = (place.connection("c"), place.connection("other"));
    let stranger = Connection { id: connection.id.clone(), token: "guess".into() };
    for _ in 0..20 {
        assert_eq!(place.get(0, &stranger, "/Users").status, 401);
    }
    place.create(0, &connection, "ann");
    for worker in [1, 0, 1] {
        assert_eq!(place.get(worker, &connection, "/Users").status, 200);
    }
    place.asked();
    for worker in [0, 1] {
        let refused = place.get(worker, &connection, "/Users");
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
        let write = place.ask(worker, &connection.request("DELETE", "/Users/x", &Value::Null));
        assert_eq!(write.status, 429);
    }
    assert_eq!(place.asked(), [""; 0]);
    assert_eq!(place.get(0, &stranger, "/Users").status, 401);
    assert_eq!(place.get(0, &other, "/Users").status, 200);
    place.pass(SECOND);
    let statuses = [0, 1, 0].map(|worker| place.get(worker, &connection, "/Users").status);
    assert_eq!(statuses, [200, 200, 429]);
}

/// What the provisioning log shows, oldest first: status and source.
fn logged(place: &Place, connection: &Connection) -> Vec<(u64, Value)> {
    let log = place.manage("GET", &format!("{SCIM2}/{}/logs", connection.id), &Value::Null);
    let items = log["items"].as_array().unwrap().iter().rev();
    items.map(|item| (item["status"].as_u64().unwrap(), item["source"].clone())).collect()
}

#[test]
fn what_a_worker_refuses_reaches_the_log_in_one_call_and_only_for_connections_that_exist() {
    let place = Place::new(json!({}));
    let connection = place.connection("c");
    let from = |source: &str, mut request: Request| {
        request.source = Some(source.parse().unwrap());
        place.ask(0, &request).status
    };
    let stranger = Connection { id: connection.id.clone(), token: "guess".into() };
    let nobody = Connection { id: "nobody".into(), token: "guess".into() };
    assert_eq!(from("203.0.113.1", stranger.request("GET", "/Users", &Value::Null)), 401);
    assert_eq!(from("203.0.113.2", connection.request("GET", "/Users/x", &Value::Null)), 404);
    assert_eq!(from("203.0.113.3", connection.request("GET", "/Users?filter=x", &Value::Null)), 400);
    assert_eq!(from("203.0.113.4", nobody.request("GET", "/Users", &Value::Null)), 401);
    place.asked();
    place.workers[0].borrow_mut().report(place.now.get());
    let replies = place.send(0);
    assert_eq!(place.asked(), ["refusals"]);
    place.deliver(0, replies);
    let expected = [(401, json!("203.0.113.1")), (404, json!("203.0.113.2")), (400, json!("203.0.113.3"))];
    assert_eq!(logged(&place, &connection), expected);
    place.workers[0].borrow_mut().report(place.now.get());
    assert_eq!(place.send(0).len(), 0);
}

#[test]
fn refusals_are_bounded_however_many_there_are_and_wait_while_the_origin_is_down() {
    let place = Place::new(json!({}));
    let connection = place.connection("c");
    place.get(0, &connection, "/Users");
    place.origin.up.set(false);
    place.pass(2 * SECOND);
    let mut headless = connection.request("GET", "/Users", &Value::Null);
    headless.headers.clear();
    for _ in 0..500 {
        assert_eq!(place.ask(0, &headless).status, 401);
    }
    assert_eq!(place.get(0, &connection, "/Users").status, 200);
    place.workers[0].borrow_mut().report(place.now.get());
    assert!(place.send(0).is_empty(), "the origin is known to be down");
    place.origin.up.set(true);
    place.pass(2 * SECOND);
    place.workers[0].borrow_mut().report(place.now.get());
    let replies = place.send(0);
    assert_eq!(replies.len(), 1);
    place.deliver(0, replies);
    let log = logged(&place, &connection);
    assert!(!log.is_empty() && log.len() <= edge::MAX_REFUSALS && log.iter().all(|(status, _)| *status == 401));
}

#[test]
fn damaged_slots_are_as_good_as_empty_ones() {
    let place = Place::new(json!({ "max_staleness_ms": 60_000 }));
    let connection = place.connection("c");
    for n in 0..100 {
        place.create(0, &connection, &format!("user-{n}"));
    }
    assert_eq!(total(&place.get(0, &connection, "/Users?count=100")), 100);
    let keys: Vec<_> = place.shared.values.borrow().keys().cloned().collect();
    assert!(keys.len() > 1, "the test wants pages in shared data");
    for length in [0, 1, 20, 60, 200] {
        for key in &keys {
            let (mut value, generation) = place.shared.get(key).unwrap();
            value.truncate(length);
            value.iter_mut().for_each(|byte| *byte ^= 0x55);
            assert!(place.shared.set(key, &value, Some(generation)));
        }
        assert_eq!(total(&place.get(1, &connection, "/Users?count=100")), 100);
    }
}

#[test]
fn a_body_over_the_limit_is_refused_by_its_declared_length() {
    let place = Place::new(json!({ "limits": { "body_bytes": 100 } }));
    let connection = place.connection("c");
    for (length, status) in [("100", 201), ("101", 413), ("18446744073709551615", 413)] {
        let body = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": length });
        let mut request = connection.request("POST", "/Users", &body);
        request.headers.push(("content-length".into(), length.into()));
        assert_eq!(place.ask(0, &request).status, status, "{length}");
    }
}
