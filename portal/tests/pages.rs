//! Pages as a browser asks for them, over a store in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::sync::Arc;

use scim_engine::env::{Config, Credential, Limits, Timestamp};
use scim_engine::http::{Request, Response};
use scim_engine::store::memory::MemoryStore;
use scim_engine::store::{Call, Handler, PageCache, Session, Turn};
use scim_engine::{connections, scim};
use serde_json::{Value, json};

/// A filter that no index answers may look at so few: a page that needs more is refused.
const SCAN: usize = 50;

struct Vendor {
    store: MemoryStore,
    cache: PageCache,
    config: Arc<Config>,
    clock: u64,
    cookie: String,
}

impl Vendor {
    fn new() -> Self {
        let vendor = Credential { client_id: "vendor".into(), secret: "secret".into() };
        let limits = Limits { scan: SCAN, body: 1 << 24, bulk_operations: 10_000, ..Limits::default() };
        let config = Arc::new(Config { vendor: Some(vendor), limits, ..Config::default() });
        let mut vendor = Self {
            store: MemoryStore::default(),
            cache: PageCache::new(0),
            config,
            clock: 1_700_000_000_000,
            cookie: String::new(),
        };
        let signed_in =
            vendor.send(scim_portal::handle, "POST", "/dashboard/login", &[], b"clientId=vendor&secret=secret");
        vendor.cookie = signed_in.0.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        vendor
    }

    /// The answer, and how many pages of the store it took.
    fn send(
        &mut self,
        handler: Handler,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (Response, usize) {
        self.clock += 11;
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        let headers = headers.iter().map(owned).chain([("host".to_owned(), b"scim.test".to_vec())]).collect();
        let request =
            Request { method: method.into(), target: target.into(), headers, body: body.into(), source: None };
        let mut seed = [0; 32];
        seed.iter_mut().zip(self.clock.to_be_bytes()).for_each(|(to, from)| *to = from);
        let mut session = Session::new(handler, request, seed, Timestamp(self.clock), Arc::clone(&self.config));
        let (mut reply, mut pages) = (None, 0);
        loop {
            match session.turn(&self.cache, reply.take()) {
                Turn::Call(call) => {
                    pages += if let Call::LoadPages(pages) = &call { pages.len() } else { 0 };
                    reply = Some(self.store.call(&call));
                }
                Turn::Wait => panic!("only sessions that commit in a group wait"),
                Turn::Done(response) => return (response, pages),
            }
        }
    }

    fn page(&mut self, path: &str) -> (String, usize) {
        let cookie = self.cookie.clone();
        let (response, pages) = self.send(scim_portal::handle, "GET", path, &[("cookie", &cookie)], b"");
        assert_eq!(response.status, 200, "{path}");
        (String::from_utf8(response.body).unwrap(), pages)
    }

    /// A new connection's id and token.
    fn connect(&mut self, wanted: &Value) -> (String, String) {
        let bearer = format!("Bearer {}", self.cookie.split_once('.').unwrap().1);
        let path = "/directory/resources/v1/configurations/scim2";
        let body = wanted.to_string().into_bytes();
        let (made, _) = self.send(connections::handle, "POST", path, &[("authorization", &bearer)], &body);
        let made: Value = serde_json::from_slice(&made.body).unwrap();
        (made["id"].as_str().unwrap().to_owned(), made["token"].as_str().unwrap().to_owned())
    }

    /// A connection with so many users, all of them in one group; its id.
    fn connection(&mut self, users: usize) -> String {
        let (id, token) = self.connect(&json!({ "source": "okta", "connectionName": format!("of {users}") }));
        let create = |n: usize| json!({ "method": "POST", "path": "/Users", "bulkId": format!("b{n}"), "data": { "userName": format!("user{n:06}") } });
        for first in (0..users).step_by(2000) {
            let mut operations: Vec<Value> = (first..(first + 2000).min(users)).map(create).collect();
            let members: Vec<Value> = operations
                .iter()
                .map(|made| json!({ "value": format!("bulkId:{}", made["bulkId"].as_str().unwrap()) }))
                .collect();
            let name = format!("Group {first}");
            operations.push(json!({ "method": "POST", "path": "/Groups", "bulkId": "g", "data": { "displayName": name, "members": members } }));
            let bulk =
                json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations })
                    .to_string();
            let bearer = format!("Bearer {token}");
            let target = format!("/directory/resources/scim/v2.0/{id}/Bulk");
            let (done, _) = self.send(scim::handle, "POST", &target, &[("authorization", &bearer)], bulk.as_bytes());
            assert_eq!(done.status, 200);
        }
        id
    }
}

/// What lists, searches and single resources cost does not grow with the directory, but for the height of its tree.
#[test]
fn a_directory_of_any_size_is_browsed_with_few_reads() {
    let mut vendor = Vendor::new();
    let sizes = [200, 3000];
    let costs = sizes.map(|users| {
        let id = vendor.connection(users);
        let base = format!("/dashboard/connections/{id}");
        let (groups, _) = vendor.page(&format!("{base}/groups"));
        let group =
            groups.split("/groups/").find_map(|rest| rest.split('"').next().filter(|id| id.len() == 36)).unwrap();
        let asked = [
            ("/users".to_owned(), "1–50 of"),
            (format!("/users?from={}", users - 60), "user00"),
            ("/users?q=USER&from=51".to_owned(), "51–100 of"),
            ("/users?q=nobody".to_owned(), "Nothing found"),
            (format!("/groups/{group}"), "Next"),
            ("/log".to_owned(), "Accepted"),
        ];
        asked.map(|(path, expected)| {
            let (page, pages) = vendor.page(&format!("{base}{path}"));
            assert!(page.contains(expected), "{path}: {page}");
            assert!(page.len() < 120_000, "{path}: {} bytes", page.len());
            (path, pages)
        })
    });
    let [small, large] = costs;
    for ((path, few), (_, more)) in small.iter().zip(&large) {
        assert!(*more <= few + 70 && *more < 150, "{path}: {few} pages of 200 users, {more} of 3000");
    }
}

#[test]
fn a_page_of_the_dashboard_needs_a_session_and_a_form_its_proof() {
    let mut vendor = Vendor::new();
    let id = vendor.connection(1);
    let cookie = vendor.cookie.clone();
    let ended = |response: &Response| response.header("location").is_some_and(|to| to.starts_with("/dashboard/login"));
    for path in [
        "/dashboard",
        "/dashboard/accounts",
        "/dashboard/roles",
        "/dashboard/residue",
        &format!("/dashboard/connections/{id}"),
    ] {
        let (response, _) = vendor.send(scim_portal::handle, "GET", path, &[], b"");
        assert!(response.status == 303 && ended(&response), "{path}");
    }
    let pause = format!("/dashboard/connections/{id}/pause");
    let check = |vendor: &mut Vendor, headers: &[(&str, &str)], body: &str, status: u16| {
        let (response, _) = vendor.send(scim_portal::handle, "POST", &pause, headers, body.as_bytes());
        assert_eq!(response.status, status, "{headers:?} {body}");
    };
    let (page, _) = vendor.page(&format!("/dashboard/connections/{id}"));
    let proof =
        page.split("name=\"proof\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    let proven = format!("proof={proof}");
    check(&mut vendor, &[("cookie", &cookie)], "", 403);
    check(&mut vendor, &[("cookie", &cookie)], "proof=AAAA", 403);
    check(&mut vendor, &[("cookie", &cookie), ("sec-fetch-site", "cross-site")], &proven, 403);
    check(&mut vendor, &[("cookie", &cookie), ("sec-fetch-site", "same-site")], &proven, 403);
    check(&mut vendor, &[], &proven, 303);
    assert!(vendor.page(&format!("/dashboard/connections/{id}")).0.contains("linked"));
    check(&mut vendor, &[("cookie", &cookie), ("sec-fetch-site", "same-origin")], &proven, 303);
    assert!(vendor.page(&format!("/dashboard/connections/{id}")).0.contains("paused"));
}

#[test]
fn an_error_leads_to_the_start_where_that_is_open_and_another_page() {
    let mut vendor = Vendor::new();
    let cookie = vendor.cookie.clone();
    let mut check = |method: &str, path: &str, status: u16, leads: bool| {
        let (page, _) = vendor.send(scim_portal::handle, method, path, &[("cookie", &cookie)], b"");
        let text = String::from_utf8(page.body).unwrap();
        assert_eq!((page.status, text.contains("Back to the start")), (status, leads), "{method} {path}");
    };
    check("GET", "/dashboard/elsewhere", 404, true);
    check("POST", "/dashboard/self-service", 403, true);
    check("POST", "/dashboard", 404, true);
    check("GET", "/portal", 401, false);
    check("GET", "/portal/elsewhere", 401, false);
}

/// Whatever a guide tells people to map is an attribute that a user can be given.
#[test]
fn every_attribute_a_guide_names_is_one_that_users_have() {
    let mut vendor = Vendor::new();
    let providers = ["okta", "entra-id", "onelogin", "jumpcloud", "google-workspace", "pingone", "rippling", "generic"];
    for provider in providers {
        let (id, token) =
            vendor.connect(&json!({ "provider": provider, "source": "other", "connectionName": provider }));
        let (page, _) = vendor.page(&format!("/dashboard/connections/{id}/setup"));
        let table = page.split("id=\"mapping\"").nth(1).unwrap();
        let attributes: Vec<_> = table
            .split("<td><code>")
            .skip(1)
            .map(|rest| rest.split("</code>").next().unwrap().replace("&#34;", "\""))
            .collect();
        assert!(attributes.len() >= 4 && attributes[0] == "userName", "{provider}: {attributes:?}");
        let base = format!("/directory/resources/scim/v2.0/{id}/Users");
        let bearer = format!("Bearer {token}");
        let mut scim = |method: &str, target: &str, body: &Value| {
            let (answer, _) =
                vendor.send(scim::handle, method, target, &[("authorization", &bearer)], body.to_string().as_bytes());
            (answer.status, serde_json::from_slice::<Value>(&answer.body).unwrap())
        };
        let (_, made) = scim("POST", &base, &json!({ "userName": "ann" }));
        let user = format!("{base}/{}", made["id"].as_str().unwrap());
        for attribute in attributes {
            let value = if attribute == "active" { json!(false) } else { json!("bob@example.com") };
            let change = json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{ "op": "replace", "path": attribute, "value": value }],
            });
            let (status, user) = scim("PATCH", &user, &change);
            assert!(
                status == 200 && user.to_string().contains(&value.to_string()),
                "{provider}, {attribute}: {status} {user}"
            );
        }
    }
}

/// Accounts and connections are reached page by page, however many there are.
#[test]
fn accounts_and_connections_are_paged_and_the_overview_says_what_it_counts() {
    let mut vendor = Vendor::new();
    for number in 0..1010 {
        let (account, name) = (format!("account-{:04}", number / 2), format!("Name {number}"));
        vendor.connect(&json!({ "source": "okta", "connectionName": name, "tenantId": account }));
    }
    for number in 0..130 {
        vendor.connect(&json!({ "source": "okta", "connectionName": format!("Name {number}"), "tenantId": "large" }));
    }
    let (overview, _) = vendor.page("/dashboard");
    assert!(
        overview.contains("<dd>1,140</dd>") && overview.contains("the 1,000 connections created first"),
        "{overview}"
    );
    let walk = |vendor: &mut Vendor, path: &str, row: &str| {
        let (mut names, mut sizes, mut query) = (Vec::new(), Vec::new(), String::new());
        loop {
            let (page, _) = vendor.page(&format!("{path}{query}"));
            let found: Vec<_> = page
                .split(row)
                .skip(1)
                .map(|rest| rest.split('>').nth(1).unwrap().split('<').next().unwrap().to_owned())
                .collect();
            sizes.push(found.len());
            names.extend(found);
            let Some(next) = page.split("<a class=\"button\" href=\"").find(|rest| rest.contains("rel=\"next\""))
            else {
                break;
            };
            query = next.split('"').next().unwrap().replace("&#38;", "&");
        }
        (names, sizes)
    };
    let (accounts, sizes) = walk(&mut vendor, "/dashboard/accounts", "href=\"/dashboard/accounts/");
    assert_eq!((accounts.len(), accounts.is_sorted(), sizes.len()), (506, true, 11), "{sizes:?}");
    let (names, sizes) = walk(&mut vendor, "/dashboard/accounts/large", "href=\"/dashboard/connections/");
    assert_eq!((names.len(), sizes), (130, vec![100, 30]));
}
