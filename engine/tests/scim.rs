//! The whole engine, as its hosts drive it: requests in, responses out, over a store in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::cell::Cell;
use std::sync::Arc;

use scim_engine::connections::record::Record;
use scim_engine::env::{Config, Credential, Env, Limits, Timestamp};
use scim_engine::http::{Request, Response};
use scim_engine::scim::{Decision, MatchedBy};
use scim_engine::store::memory::{MemoryStore, run};
use scim_engine::store::{
    Call, DirectoryId, Fault, Handler, Head, Outcome, Page, PageCache, PageId, PageSource, Session, Turn, Txn, View,
    head_key, page_key,
};
use scim_engine::{connections, scim};
use serde_json::{Value, json};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// One connection of one deployment.
struct Directory {
    store: MemoryStore,
    cache: PageCache,
    config: Arc<Config>,
    clock: Cell<u64>,
    requests: Cell<u64>,
    base: String,
    token: String,
}

/// All pages of a directory.
struct Stored<'s>(&'s MemoryStore, &'s DirectoryId);

impl PageSource for Stored<'_> {
    fn page(&self, id: &PageId) -> Option<Arc<Page>> {
        let bytes = self.0.values().get(&page_key(self.1, id))?.clone();
        Page::decode(bytes.into()).ok().map(Arc::new)
    }
}

impl Directory {
    fn new() -> Self {
        let vendor = Credential { client_id: "vendor".into(), secret: "secret".into() };
        let config = Arc::new(Config { vendor: Some(vendor), ..Config::default() });
        let clock = Cell::new(1_700_000_000_000);
        let mut directory = Self {
            store: MemoryStore::default(),
            cache: PageCache::new(1 << 26),
            config,
            clock,
            requests: Cell::new(0),
            base: String::new(),
            token: String::new(),
        };
        let vendor = json!({ "clientId": "vendor", "secret": "secret" });
        let token =
            body(&directory.call(connections::handle, "POST", "/auth/vendor/", "", Some(&vendor)))["token"].clone();
        let wanted = json!({ "source": "okta", "connectionName": "test" });
        let path = "/directory/resources/v1/configurations/scim2";
        let made = directory.call(connections::handle, "POST", path, token.as_str().unwrap(), Some(&wanted));
        assert_eq!(made.status, 201, "{}", body(&made));
        directory.base = format!("/directory/resources/scim/v2.0/{}", body(&made)["id"].as_str().unwrap());
        directory.token = body(&made)["token"].as_str().unwrap().to_owned();
        directory
    }

    fn call(&self, handler: Handler, method: &str, target: &str, token: &str, body: Option<&Value>) -> Response {
        run(self.session(handler, method, target, token, body), &self.store, &self.cache)
    }

    fn session(&self, handler: Handler, method: &str, target: &str, token: &str, body: Option<&Value>) -> Session {
        self.clock.set(self.clock.get() + 7);
        let mut headers = vec![("host".to_owned(), b"scim.example".to_vec())];
        if !token.is_empty() {
            headers.push(("authorization".to_owned(), format!("Bearer {token}").into_bytes()));
        }
        let body = body.map(|body| serde_json::to_vec(body).unwrap()).unwrap_or_default();
        let request = Request { method: method.into(), target: target.into(), headers, body, source: None };
        let mut seed = [0; 32];
        self.requests.set(self.requests.get() + 1);
        seed[..8].copy_from_slice(&self.requests.get().to_be_bytes());
        Session::new(handler, request, seed, Timestamp(self.clock.get()), Arc::clone(&self.config))
    }

    /// The status of a request made with nothing cached, and the pages it reads.
    fn pages_read(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, usize) {
        let (status, pages, _) = self.loads(method, path, body);
        (status, pages)
    }

    /// The same, and in how many calls it reads them.
    fn loads(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, usize, usize) {
        let mut session = self.session(scim::handle, method, &format!("{}{path}", self.base), &self.token, body);
        let (nothing, mut reply) = (PageCache::new(0), None);
        let (mut pages, mut calls) = (0, 0);
        loop {
            match session.turn(&nothing, reply.take()) {
                Turn::Call(call) => {
                    if let Call::LoadPages(wanted) = &call {
                        pages += wanted.len();
                        calls += 1;
                    }
                    reply = Some(self.store.call(&call));
                }
                Turn::Wait => {}
                Turn::Done(response) => return (response.status, pages, calls),
            }
        }
    }

    /// The directory as it is stored.
    fn head(&self) -> (DirectoryId, Arc<Head>) {
        let id = DirectoryId::new(self.base.rsplit('/').next().unwrap()).unwrap();
        let head = self.store.values()[&head_key(&id)].clone();
        (id, Arc::new(Head::decode(head.into()).unwrap()))
    }

    /// How many memberships are stored of a group, be it there or not.
    fn memberships(&self, group: &str) -> usize {
        let (id, head) = self.head();
        let pages = Stored(&self.store, &id);
        let view = View { heads: [(id.clone(), Some(head))].into(), pages: &pages };
        let start = [b"m", group.as_bytes(), &[0, 1]].concat();
        let end = [b"m", group.as_bytes(), &[0, 2]].concat();
        Txn::open(&view, &id).unwrap().unwrap().scan(&start..&end, 0, usize::MAX, false).unwrap().len()
    }

    fn send(&self, method: &str, path: &str, body: Option<Value>) -> Response {
        self.call(scim::handle, method, &format!("{}{path}", self.base), &self.token, body.as_ref())
    }

    fn create(&self, endpoint: &str, resource: Value) -> String {
        let made = self.send("POST", endpoint, Some(resource));
        assert_eq!(made.status, 201, "{}", body(&made));
        body(&made)["id"].as_str().unwrap().to_owned()
    }

    fn user(&self, name: &str) -> String {
        self.create("/Users", json!({ "schemas": [USER], "userName": name }))
    }

    fn get(&self, path: &str) -> Value {
        let got = self.send("GET", path, None);
        assert_eq!(got.status, 200, "{path}: {}", body(&got));
        body(&got)
    }
}

fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_default()
}

#[test]
fn a_user_lives_from_creation_to_deletion() {
    let directory = Directory::new();
    let id = directory.user("Ann@Example.com");
    let user = directory.get(&format!("/Users/{id}"));
    assert_eq!(user["userName"], "Ann@Example.com");
    assert_eq!(user["active"], true);
    let location = format!("http://scim.example{}/Users/{id}", directory.base);
    assert_eq!(user["meta"]["location"], location.as_str());
    let again = directory.send("POST", "/Users", Some(json!({ "userName": "ann@example.COM" })));
    assert_eq!((again.status, body(&again)["scimType"].as_str()), (409, Some("uniqueness")));
    let found = directory.get("/Users?filter=userName%20eq%20%22ANN@example.com%22");
    assert_eq!((found["totalResults"].as_u64(), found["Resources"][0]["id"].as_str()), (Some(1), Some(id.as_str())));
    let patch = json!({ "Operations": [{ "op": "Replace", "value": { "active": "False" } }] });
    let patched = directory.send("PATCH", &format!("/Users/{id}"), Some(patch));
    assert_eq!((patched.status, body(&patched)["active"].as_bool()), (200, Some(false)));
    assert_eq!(directory.send("DELETE", &format!("/Users/{id}"), None).status, 204);
    assert_eq!(directory.send("GET", &format!("/Users/{id}"), None).status, 404);
    assert_eq!(directory.get("/Users")["totalResults"], 0);
}

#[test]
fn membership_is_seen_from_both_sides_and_ends_with_the_user() {
    let directory = Directory::new();
    let (ann, bob) = (directory.user("ann"), directory.user("bob"));
    let inner = directory.create("/Groups", json!({ "displayName": "Inner", "members": [{ "value": ann }] }));
    let outer = directory
        .create("/Groups", json!({ "displayName": "Outer", "members": [{ "value": inner }, { "value": bob }] }));
    let groups = directory.get(&format!("/Users/{ann}"))["groups"].clone();
    let seen: Vec<_> = groups
        .as_array()
        .unwrap()
        .iter()
        .map(|g| (g["display"].as_str().unwrap(), g["type"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, [("Inner", "direct"), ("Outer", "indirect")]);
    let before = directory.get(&format!("/Groups/{inner}"))["meta"]["version"].clone();
    assert_eq!(directory.send("DELETE", &format!("/Users/{ann}"), None).status, 204);
    let after = directory.get(&format!("/Groups/{inner}"));
    assert!(after.get("members").is_none(), "{after}");
    assert_ne!(after["meta"]["version"], before);
    assert_eq!(directory.get(&format!("/Groups/{outer}"))["members"].as_array().unwrap().len(), 2);
}

#[test]
fn pages_cover_every_user_once_by_index_and_by_cursor() {
    let directory = Directory::new();
    let ids: Vec<String> = (0..250).map(|n| directory.user(&format!("user-{n:03}"))).collect();
    let listed = |path: &str| -> Vec<String> {
        let page = directory.get(path);
        assert_eq!(page["totalResults"], 250);
        assert_eq!(page["itemsPerPage"].as_u64(), Some(page["Resources"].as_array().unwrap().len() as u64));
        page["Resources"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect()
    };
    let by_index: Vec<String> =
        (0..4).flat_map(|n| listed(&format!("/Users?count=70&startIndex={}", n * 70 + 1))).collect();
    assert_eq!(by_index, ids);
    for query in ["", "&filter=userName%20sw%20%22user%22", "&sortBy=userName", "&sortBy=meta.created"] {
        let (mut cursor, mut found) = (String::new(), Vec::new());
        loop {
            let page = directory.get(&format!("/Users?count=100&cursor={cursor}{query}"));
            assert_eq!(page["totalResults"], 250, "{query}");
            found.extend(page["Resources"].as_array().unwrap().iter().map(|u| u["id"].as_str().unwrap().to_owned()));
            match page["nextCursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(found, ids, "{query}");
    }
    let descending = listed("/Users?sortBy=userName&sortOrder=descending&count=2");
    assert_eq!(descending, [ids[249].clone(), ids[248].clone()]);
    assert_eq!(listed("/Users?count=0"), Vec::<String>::new());
    let foreign = directory.send("GET", "/Users?cursor=AAAA", None);
    assert_eq!((foreign.status, body(&foreign)["scimType"].as_str()), (400, Some("invalidCursor")));
}

#[test]
fn resources_made_in_one_millisecond_lie_in_order_of_creation() {
    let directory = Directory::new();
    let post = |n: usize| json!({ "method": "POST", "path": "/Users", "bulkId": n.to_string(), "data": { "userName": format!("u{n}") } });
    for start in [0, 50] {
        directory.clock.set(1_800_000_000_000);
        let operations: Vec<Value> = (start..start + 50).map(post).collect();
        assert_eq!(directory.send("POST", "/Bulk", Some(json!({ "Operations": operations }))).status, 200);
    }
    let listed = directory.get("/Users?count=100");
    let names: Vec<_> = listed["Resources"].as_array().unwrap().iter().map(|user| user["userName"].clone()).collect();
    assert_eq!(names, (0..100).map(|n| json!(format!("u{n}"))).collect::<Vec<_>>());
}

#[test]
fn an_attribute_that_only_one_type_knows_has_no_value_in_the_other() {
    let directory = Directory::new();
    directory.user("ann");
    directory.create("/Groups", json!({ "displayName": "Team" }));
    let total = |filter: &str| {
        directory.get(&format!("?filter={}", filter.replace(' ', "%20").replace('"', "%22")))["totalResults"].clone()
    };
    for (filter, expected) in [
        ("userName eq \"ann\"", 1),
        ("not (userName eq \"ann\")", 1),
        ("userName eq \"ann\" or members pr", 1),
        ("userName pr or displayName eq \"team\"", 2),
        ("not (emails pr)", 2),
    ] {
        assert_eq!(total(filter), expected, "{filter}");
    }
    assert_eq!(directory.send("GET", "?filter=nosuch%20pr%20or%20userName%20pr", None).status, 400);
    assert_eq!(directory.send("GET", "?filter=password%20pr%20or%20userName%20pr", None).status, 400);
}

#[test]
fn the_operations_of_a_bulk_request_ask_for_their_pages_together() {
    let directory = Directory::new();
    let post = |n: usize| {
        let data = json!({ "userName": format!("u{}", n * 7919 % 10_007) });
        json!({ "method": "POST", "path": "/Users", "bulkId": n.to_string(), "data": data })
    };
    let bulk = |from: usize, to: usize| json!({ "Operations": (from..to).map(post).collect::<Vec<_>>() });
    for start in (0..4000).step_by(500) {
        assert_eq!(directory.send("POST", "/Bulk", Some(bulk(start, start + 500))).status, 200);
    }
    let (status, one, calls) = directory.loads("POST", "/Bulk", Some(&bulk(4000, 4001)));
    assert_eq!(status, 200);
    let (status, many, together) = directory.loads("POST", "/Bulk", Some(&bulk(4001, 4301)));
    assert_eq!(status, 200);
    assert!(many > 4 * one && together <= 2 * calls, "{one} pages in {calls} calls, {many} in {together}");
}

#[test]
fn bulk_resolves_references_forward_and_in_a_circle() {
    let directory = Directory::new();
    let group = |id: &str, member: &str| json!({ "method": "POST", "path": "/Groups", "bulkId": id, "data": { "displayName": id, "members": [{ "value": format!("bulkId:{member}") }] } });
    let user = json!({ "method": "POST", "path": "/Users", "bulkId": "u", "data": { "userName": "late" } });
    let request = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [group("first", "u"), user, group("a", "b"), group("b", "a")] });
    let done = directory.send("POST", "/Bulk", Some(request));
    assert_eq!(done.status, 200);
    let statuses: Vec<_> = body(&done)["Operations"].as_array().unwrap().iter().map(|o| o["status"].clone()).collect();
    assert_eq!(statuses, ["201", "201", "201", "201"], "{}", body(&done));
    let found = directory.get("/Users?filter=userName%20eq%20%22late%22");
    assert_eq!(found["Resources"][0]["groups"][0]["display"], "first");
}

#[test]
fn a_failed_bulk_operation_leaves_nothing_and_takes_its_dependants_along() {
    let directory = Directory::new();
    directory.user("taken");
    let request = json!({ "Operations": [
        { "method": "POST", "path": "/Groups", "bulkId": "g", "data": { "displayName": "g", "members": [{ "value": "bulkId:u" }] } },
        { "method": "POST", "path": "/Users", "bulkId": "u", "data": { "userName": "TAKEN" } },
        { "method": "POST", "path": "/Users", "bulkId": "v", "data": { "userName": "free" } },
    ] });
    let done = body(&directory.send("POST", "/Bulk", Some(request)));
    let statuses: Vec<_> =
        done["Operations"].as_array().unwrap().iter().map(|o| o["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["409", "409", "201"], "{done}");
    assert_eq!(directory.get("/Groups")["totalResults"], 0);
    assert_eq!(directory.get("/Users")["totalResults"], 2);
}

#[test]
fn versions_guard_writes_and_spare_reads() {
    let directory = Directory::new();
    let id = directory.user("ann");
    let path = format!("{}/Users/{id}", directory.base);
    let with = |method: &str, name: &str, value: &str, body: Value| {
        let mut request = Request { method: method.into(), target: path.clone(), ..Request::default() };
        request.headers = vec![
            ("authorization".into(), format!("Bearer {}", directory.token).into_bytes()),
            (name.into(), value.as_bytes().to_vec()),
        ];
        request.body = serde_json::to_vec(&body).unwrap();
        let session =
            Session::new(scim::handle, request, [9; 32], Timestamp(1_700_000_100_000), Arc::clone(&directory.config));
        run(session, &directory.store, &directory.cache)
    };
    let version = directory.get(&format!("/Users/{id}"))["meta"]["version"].as_str().unwrap().to_owned();
    let fresh = with("GET", "if-none-match", &version, Value::Null);
    assert_eq!((fresh.status, fresh.body.len()), (304, 0));
    let patch = json!({ "Operations": [{ "op": "replace", "path": "title", "value": "Dr" }] });
    assert_eq!(with("PATCH", "if-match", "W/\"0\"", patch.clone()).status, 412);
    assert_eq!(with("PATCH", "if-match", &version, patch.clone()).status, 200);
    assert_eq!(with("PATCH", "if-match", &version, patch).status, 412);
    assert_eq!(with("GET", "if-none-match", &version, Value::Null).status, 200);
}

#[test]
fn a_directory_of_many_writes_survives_merges() {
    let directory = Directory::new();
    let users: Vec<String> = (0..300).map(|n| directory.user(&format!("u{n}"))).collect();
    let members: Vec<Value> = users.iter().map(|id| json!({ "value": id })).collect();
    let group = directory.create("/Groups", json!({ "displayName": "all", "members": members }));
    for id in users.iter().step_by(2) {
        assert_eq!(directory.send("DELETE", &format!("/Users/{id}"), None).status, 204);
    }
    assert_eq!(directory.get("/Users?count=1")["totalResults"], 150);
    let left: Vec<String> = users.iter().skip(1).step_by(2).cloned().collect();
    let shown = directory.get(&format!("/Groups/{group}"));
    let listed: Vec<&str> = shown["members"].as_array().unwrap().iter().map(|m| m["value"].as_str().unwrap()).collect();
    assert_eq!(listed, left);
}

#[test]
fn a_filter_sees_what_is_derived() {
    let directory = Directory::new();
    let ann = directory.user("ann");
    let inner = directory.create("/Groups", json!({ "displayName": "Inner", "members": [{ "value": ann }] }));
    let outer = directory.create("/Groups", json!({ "displayName": "Outer", "members": [{ "value": inner }] }));
    let slice = std::slice::from_ref::<String>;
    let found = |endpoint: &str, filter: &str| -> Vec<String> {
        let filter = filter.replace(' ', "%20").replace('"', "%22");
        let listed = directory.get(&format!("{endpoint}?filter={filter}"));
        listed["Resources"].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(found("", "meta.resourceType eq \"User\""), slice(&ann));
    assert_eq!(found("/Users", "groups[type eq \"indirect\" and display eq \"outer\"]"), slice(&ann));
    assert_eq!(found("/Users", &format!("meta.location ew \"/Users/{ann}\"")), slice(&ann));
    assert_eq!(found("/Groups", &format!("members.$ref ew \"/Groups/{inner}\"")), slice(&outer));
    let version = directory.get(&format!("/Groups/{outer}"))["meta"]["version"].as_str().unwrap().to_owned();
    assert_eq!(found("/Groups", &format!("meta.version eq {}", Value::from(version))), slice(&outer));
}

#[test]
fn a_large_group_ends_at_once_and_its_memberships_go_with_later_writes() {
    let directory = Directory::new();
    let user = directory.user("ann");
    let members: Vec<Value> = (0..700).map(|n| json!({ "value": format!("m{n}") })).collect();
    let members: Vec<Value> = members.into_iter().chain([json!({ "value": user })]).collect();
    let large = directory.create("/Groups", json!({ "displayName": "Large", "members": members }));
    let outer = directory.create("/Groups", json!({ "displayName": "Outer", "members": [{ "value": large }] }));
    let of_user = |directory: &Directory| directory.get(&format!("/Users/{user}"))["groups"].clone();
    assert_eq!(of_user(&directory).as_array().map(Vec::len), Some(2));
    let left = |directory: &Directory| Record::from_bytes(directory.head().1.record()).unwrap().dissolving;
    assert_eq!(directory.send("DELETE", &format!("/Groups/{large}"), None).status, 204);
    assert_eq!(left(&directory), [large.as_str()]);
    assert_eq!(directory.send("GET", &format!("/Groups/{large}"), None).status, 404);
    assert_eq!(of_user(&directory), Value::Null);
    let named = format!("/Groups?filter=members.value%20eq%20%22{user}%22");
    assert_eq!(directory.get(&named)["totalResults"], 0);
    assert_eq!(directory.get(&format!("/Groups/{outer}"))["members"], Value::Null);
    let rounds = (0..500).take_while(|n| {
        directory.user(&format!("later{n}"));
        !left(&directory).is_empty()
    });
    // Fourteen merges take 50 each and the next one the last; about every twentieth of these small writes merges.
    let rounds = rounds.count();
    assert!((140..300).contains(&rounds), "{rounds} writes");
    assert_eq!(of_user(&directory), Value::Null);
    assert_eq!(directory.memberships(&large), 0);
}

#[test]
fn a_small_group_goes_with_all_its_memberships() {
    let directory = Directory::new();
    let members: Vec<Value> = (0..50).map(|n| json!({ "value": format!("m{n}") })).collect();
    let small = directory.create("/Groups", json!({ "displayName": "Small", "members": members }));
    assert_eq!(directory.memberships(&small), 50);
    assert_eq!(directory.send("DELETE", &format!("/Groups/{small}"), None).status, 204);
    assert_eq!(directory.memberships(&small), 0);
}

#[test]
fn the_more_deleted_groups_wait_the_more_goes_with_a_write() {
    let directory = Directory::new();
    let members: Vec<Value> = (0..60).map(|n| json!({ "value": format!("m{n}") })).collect();
    let groups: Vec<String> = (0..30)
        .map(|n| directory.create("/Groups", json!({ "displayName": format!("{n}"), "members": members })))
        .collect();
    let left = |directory: &Directory| groups.iter().map(|group| directory.memberships(group)).sum::<usize>();
    for group in &groups {
        assert_eq!(directory.send("DELETE", &format!("/Groups/{group}"), None).status, 204);
    }
    let mut before = left(&directory);
    let mut steps = Vec::new();
    for n in 0.. {
        directory.user(&format!("later{n}"));
        let after = left(&directory);
        steps.push(before - after);
        before = after;
        if after == 0 {
            break;
        }
    }
    let most = steps.iter().copied().max().unwrap();
    assert!((100..=500).contains(&most), "{steps:?}");
    assert!(steps.iter().rev().find(|step| **step > 0).is_some_and(|last| *last <= 50), "{steps:?}");
}

#[test]
fn a_member_of_many_groups_is_deleted_in_few_calls() {
    let directory = Directory::new();
    let user = directory.user("ann");
    // Enough of each that they lie on pages of their own.
    let long = "x".repeat(2000);
    for n in 0..40 {
        let group = json!({ "displayName": format!("{n}{long}"), "members": [{ "value": user }] });
        directory.create("/Groups", group);
    }
    let (status, pages, calls) = directory.loads("DELETE", &format!("/Users/{user}"), None);
    assert_eq!(status, 204);
    assert!(pages > 15 && calls <= 6, "{pages} pages in {calls} calls");
}

#[test]
fn a_patch_of_a_group_too_large_to_show_is_answered_without_it() {
    let mut directory = Directory::new();
    let members: Vec<Value> = (0..100).map(|n| json!({ "value": format!("m{n}") })).collect();
    let group = directory.create("/Groups", json!({ "displayName": "Many", "members": members }));
    let limits = Limits { members: 101, ..Limits::default() };
    directory.config = Arc::new(Config { limits, ..Config::clone(&directory.config) });
    let patch = |value: &str| {
        let body = json!({ "Operations": [{ "op": "add", "path": "members", "value": [{ "value": value }] }] });
        directory.send("PATCH", &format!("/Groups/{group}"), Some(body))
    };
    let shown = patch("a");
    assert_eq!((shown.status, body(&shown)["members"].as_array().map(Vec::len)), (200, Some(101)));
    let brief = patch("b");
    assert_eq!((brief.status, brief.body.len()), (204, 0));
    let now = directory.send("GET", &format!("/Groups/{group}?excludedAttributes=members"), None);
    assert_eq!(brief.header("etag"), now.header("etag"));
    assert_eq!(directory.send("GET", &format!("/Groups/{group}"), None).status, 400);
}

#[test]
fn the_members_of_a_large_group_are_not_read_to_show_or_to_change_it() {
    const MANY: usize = 3000;
    let mut directory = Directory::new();
    let members: Vec<Value> = (0..MANY).map(|n| json!({ "value": format!("member-{n:05}") })).collect();
    let group = directory.create("/Groups", json!({ "displayName": "Many", "members": members }));
    let limits = Limits { members: 1000, ..Limits::default() };
    directory.config = Arc::new(Config { limits, ..Config::clone(&directory.config) });
    let path = format!("/Groups/{group}");
    let change = |op: &str, path: &str, value: Value| {
        let operation = json!({ "op": op, "path": path, "value": value });
        json!({ "Operations": [operation] })
    };
    let found = |filter: &str| {
        let filter = filter.replace(' ', "%20").replace('"', "%22");
        format!("/Groups?filter={filter}&excludedAttributes=members")
    };
    let id = |n: usize| json!([{ "value": format!("member-{n:05}") }]);
    let requests = [
        ("GET", format!("{path}?excludedAttributes=members"), None, 200),
        ("GET", found(r#"members.value eq "member-00009""#), None, 200),
        ("GET", found(r#"members[value eq "member-00009"]"#), None, 200),
        ("GET", found(&format!(r#"id eq "{group}" and not (members eq "nobody")"#)), None, 200),
        ("PATCH", path.clone(), Some(change("add", "members", id(MANY))), 204),
        ("PATCH", path.clone(), Some(change("remove", "members[value eq \"member-01500\"]", Value::Null)), 204),
        ("PATCH", path.clone(), Some(change("remove", "members", id(7))), 204),
        ("PATCH", path.clone(), Some(change("replace", "displayName", json!("More"))), 204),
    ];
    for (method, path, body, expected) in requests {
        let (status, pages) = directory.pages_read(method, &path, body.as_ref());
        // Each path down the tree is two pages or three; the members fill some fifty, and their other sides as many.
        assert!(pages <= 16, "{pages} pages for {method} {path}");
        assert_eq!(status, expected, "{method} {path}");
    }
    assert_eq!(directory.get(&format!("{path}?excludedAttributes=members"))["displayName"], "More");
    for (filter, expected) in [
        (r#"members.value eq "member-00009""#, 1),
        (r#"members eq "member-00007""#, 0),
        (r#"displayName eq "More" and (members eq "member-00007" or members eq "member-00009")"#, 1),
        (r#"displayName eq "More" and not (members[value eq "member-00009"])"#, 0),
    ] {
        assert_eq!(directory.get(&found(filter))["totalResults"], expected, "{filter}");
    }
}

#[test]
fn members_that_are_too_many_to_see_are_never_left_behind() {
    let mut directory = Directory::new();
    let limits = Limits { members: 2, ..Limits::default() };
    directory.config = Arc::new(Config { limits, ..(*directory.config).clone() });
    let members = |count: usize| -> Vec<Value> { (0..count).map(|n| json!({ "value": format!("m{n}") })).collect() };
    let group = |count: usize| json!({ "displayName": "all", "members": members(count) });
    let put = |path: &str, count: usize| directory.send("PUT", path, Some(group(count)));
    let made = directory.send("POST", "/Groups?excludedAttributes=members", Some(group(21)));
    let path = format!("/Groups/{}?excludedAttributes=members", body(&made)["id"].as_str().unwrap());
    let refused = put(&path, 1);
    assert_eq!((refused.status, body(&refused)["scimType"].as_str()), (400, Some("tooMany")));
    let fewer = json!({ "Operations": [{ "op": "remove", "path": "members", "value": [{ "value": "m20" }] }] });
    assert_eq!(directory.send("PATCH", &path, Some(fewer)).status, 200);
    assert_eq!(put(&path, 1).status, 200);
    let left = directory.get(&path.replace("?excludedAttributes=members", ""));
    assert_eq!(left["members"], json!([{ "value": "m0" }]));
}

/// Decides about `subject` of the header of that name, matched by `by`; the decision as one text.
fn decide(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let header = |name| request.header(name).unwrap_or_default();
    let by = match header("by") {
        "id" => MatchedBy::Id,
        "userName" => MatchedBy::UserName,
        "externalId" => MatchedBy::ExternalId,
        _ => MatchedBy::Email,
    };
    let directory = DirectoryId::new(header("directory")).unwrap();
    let decision = match scim::decide(&directory, by, header("subject"), view, env)? {
        Decision::Active { id, groups } => {
            let groups: Vec<_> = groups.into_iter().filter_map(|group| group.display).collect();
            format!("{id} in {}", groups.join(","))
        }
        Decision::Deactivated { id } => format!("{id} is deactivated"),
        Decision::Unknown => "unknown".to_owned(),
    };
    Ok(Outcome { response: Response::empty(200).with("decision", decision), ..Outcome::default() })
}

impl Directory {
    fn decide(&self, by: &str, subject: &str) -> String {
        let directory = self.base.rsplit('/').next().unwrap();
        let headers = [("by", by), ("directory", directory), ("subject", subject)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec();
        let request = Request { headers, ..Request::default() };
        let session = Session::new(decide, request, [0; 32], Timestamp(self.clock.get()), Arc::clone(&self.config));
        run(session, &self.store, &PageCache::new(1 << 20)).header("decision").unwrap().to_owned()
    }
}

#[test]
fn a_decision_finds_an_active_user_by_any_name_and_the_groups_around() {
    let directory = Directory::new();
    let ann = json!({ "userName": "Ann@example.com", "externalId": "00uA", "emails": [{ "value": "a@example.com" }, { "value": "A@example.com", "type": "home" }] });
    let ann = directory.create("/Users", ann);
    let inner = directory.create("/Groups", json!({ "displayName": "Inner", "members": [{ "value": ann }] }));
    directory.create("/Groups", json!({ "displayName": "Outer", "members": [{ "value": inner }] }));
    directory.create("/Groups", json!({ "displayName": "Elsewhere" }));
    let expected = format!("{ann} in Inner,Outer");
    let names = [("id", ann.as_str()), ("userName", "ann@EXAMPLE.com"), ("externalId", "00uA")];
    for (by, subject) in names.into_iter().chain([("emails.value", "A@example.com"), ("emails.value", "a@EXAMPLE.com")])
    {
        assert_eq!(directory.decide(by, subject), expected, "{by} {subject}");
    }
}

#[test]
fn a_decision_about_nobody_or_about_several_is_unknown() {
    let directory = Directory::new();
    let kim = directory.create(
        "/Users",
        json!({ "userName": "kim", "externalId": "x", "emails": [{ "value": "shared@example.com" }] }),
    );
    directory.create(
        "/Users",
        json!({ "userName": "kit", "externalId": "x", "emails": [{ "value": "SHARED@example.com" }] }),
    );
    let group = directory.create("/Groups", json!({ "displayName": "Team", "members": [{ "value": kim }] }));
    let unknown = [
        ("userName", "k"),
        ("userName", "kim "),
        ("userName", ""),
        // U+212A, the sign for kelvin, is a `k` to whoever folds all of Unicode.
        ("userName", "\u{212a}im"),
        ("userName", "kim\0"),
        ("externalId", "X"),
        ("externalId", "x"),
        ("emails.value", "shared@example.com"),
        ("id", "kim"),
        ("id", ""),
        ("id", &group),
    ];
    for (by, subject) in unknown {
        assert_eq!(directory.decide(by, subject), "unknown", "{by} {subject:?}");
    }
}

#[test]
fn a_decision_follows_every_write() {
    let directory = Directory::new();
    let ann = directory.user("ann");
    let team = directory.create("/Groups", json!({ "displayName": "Team", "members": [{ "value": ann }] }));
    assert_eq!(directory.decide("userName", "ann"), format!("{ann} in Team"));
    let set = |active: bool| json!({ "Operations": [{ "op": "replace", "path": "active", "value": active }] });
    assert_eq!(directory.send("PATCH", &format!("/Users/{ann}"), Some(set(false))).status, 200);
    assert_eq!(directory.decide("userName", "ann"), format!("{ann} is deactivated"));
    assert_eq!(directory.send("PATCH", &format!("/Users/{ann}"), Some(set(true))).status, 200);
    assert_eq!(directory.send("DELETE", &format!("/Groups/{team}"), None).status, 204);
    assert_eq!(directory.decide("userName", "ann"), format!("{ann} in "));
    assert_eq!(directory.send("DELETE", &format!("/Users/{ann}"), None).status, 204);
    assert_eq!(directory.decide("userName", "ann"), "unknown");
}

#[test]
fn a_decision_over_a_deleted_connection_is_unknown_and_over_a_paused_one_stands() {
    let directory = Directory::new();
    let ann = directory.user("ann");
    let id = DirectoryId::new(directory.base.rsplit('/').next().unwrap()).unwrap();
    let vendor = json!({ "clientId": "vendor", "secret": "secret" });
    let vendor = body(&directory.call(connections::handle, "POST", "/auth/vendor/", "", Some(&vendor)));
    let path = format!("/directory/resources/v1/configurations/scim2/{}", id.as_str());
    let manage = |method, change: Value| {
        directory.call(connections::handle, method, &path, vendor["token"].as_str().unwrap(), Some(&change)).status
    };
    assert_eq!(manage("PATCH", json!({ "syncToUserManagement": false })), 204);
    assert_eq!(directory.decide("userName", "ann"), format!("{ann} in "));
    assert_eq!(manage("DELETE", json!({ "deleteAll": false })), 204);
    assert_eq!(directory.decide("userName", "ann"), "unknown");
}
