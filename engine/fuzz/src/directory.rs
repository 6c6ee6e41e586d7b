//! One connection of the engine, driven as a host drives it, and looked at from below.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use scim_engine::env::{Config, Credential, Env, Limits, Timestamp};
use scim_engine::http::{Request, Response};
use scim_engine::schema::Registry;
use scim_engine::store::memory::{MemoryStore, run};
use scim_engine::store::{Fault, Handler, Outcome, PageCache, Session, Txn, View};
use scim_engine::{connections, scim};
use serde_json::{Value, json};

use super::{answer, naive};

/// Part of every text that must never be stored or answered.
pub const SECRET: &str = "s3cr3t";
/// The custom extension of every directory here.
pub const BADGE: &str = "urn:example:params:scim:schemas:extension:badge:2.0:User";

/// Entries of a directory's tree.
pub type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// How a connection is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub strict: bool,
    pub revive: bool,
    /// Small pages and early merges, so that short sequences reach deep trees.
    pub small: bool,
}

/// A connection and its store.
pub struct Directory {
    store: MemoryStore,
    cache: PageCache,
    config: Arc<Config>,
    clock: u64,
    pub base: String,
    pub token: String,
}

/// A store with one connection, made once for each kind of settings.
struct Template {
    values: BTreeMap<String, Vec<u8>>,
    base: String,
    token: String,
}

/// The resource types of these directories.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| Registry::with_extensions(&[badge()], &[]).unwrap())
}

fn badge() -> Value {
    json!({ "id": BADGE, "name": "Badge", "attributes": [
        { "name": "number", "type": "string", "mutability": "immutable" },
        { "name": "pin", "type": "string", "mutability": "writeOnly", "returned": "never" },
        { "name": "hint", "type": "string", "returned": "request" },
        { "name": "level", "type": "integer" },
        { "name": "weight", "type": "decimal" },
        { "name": "since", "type": "dateTime" },
        { "name": "tags", "type": "string", "multiValued": true, "caseExact": true },
        { "name": "site", "type": "complex", "subAttributes": [
            { "name": "code", "type": "string", "required": true }, { "name": "pin", "type": "string", "returned": "never" } ] },
    ] })
}

impl Directory {
    pub fn new(setup: Setup) -> Self {
        static TEMPLATES: [OnceLock<Template>; 4] = [const { OnceLock::new() }; 4];
        let which = usize::from(setup.strict) + 2 * usize::from(setup.revive);
        let template = TEMPLATES[which].get_or_init(|| Self::template(setup));
        let mut limits = Limits { filter_depth: 8, patch_operations: 50, bulk_operations: 20, ..Limits::default() };
        if setup.small {
            (limits.page_bytes, limits.pending_entries, limits.pending_bytes) = (512, 4, 512);
        }
        let directory = Self::empty(limits);
        directory.store.values().clone_from(&template.values);
        Self { base: template.base.clone(), token: template.token.clone(), ..directory }
    }

    fn empty(limits: Limits) -> Self {
        let vendor = Credential { client_id: "vendor".into(), secret: "vendor-secret".into() };
        Self {
            store: MemoryStore::default(),
            cache: PageCache::new(1 << 24),
            config: Arc::new(Config { vendor: Some(vendor), limits, ..Config::default() }),
            clock: 1_700_000_000_000,
            base: String::new(),
            token: String::new(),
        }
    }

    fn template(setup: Setup) -> Template {
        let mut directory = Self::empty(Limits::default());
        let mut manage = |method: &str, path: &str, token: &str, body: Value| {
            let headers = vec![("authorization".to_owned(), format!("Bearer {token}").into_bytes())];
            let body = serde_json::to_vec(&body).unwrap();
            let request = Request { method: method.into(), target: path.into(), headers, body, source: None };
            let response = directory.call(connections::handle, request);
            assert!(response.status < 300, "{path}: {}", String::from_utf8_lossy(&response.body));
            serde_json::from_slice::<Value>(&response.body).unwrap_or_default()
        };
        let login = json!({ "clientId": "vendor", "secret": "vendor-secret" });
        let token = manage("POST", "/auth/vendor", "", login)["token"].as_str().unwrap().to_owned();
        let all = "/directory/resources/v1/configurations/scim2";
        let made = manage("POST", all, &token, json!({ "source": "okta", "connectionName": "fuzzed" }));
        let id = made["id"].as_str().unwrap();
        let settings = json!({ "strict": setup.strict, "revive": setup.revive, "userExtensions": [badge()] });
        manage("PATCH", &format!("{all}/{id}"), &token, json!({ "settings": settings }));
        let base = format!("/directory/resources/scim/v2.0/{id}");
        let token = made["token"].as_str().unwrap().to_owned();
        let values = directory.store.values().clone();
        Template { values, base, token }
    }

    fn call(&mut self, handler: Handler, request: Request) -> Response {
        self.clock += 7;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.clock.to_be_bytes());
        let session = Session::new(handler, request, seed, Timestamp(self.clock), Arc::clone(&self.config));
        run(session, &self.store, &self.cache)
    }

    /// Sends any request at all; the answer has been checked for its form.
    pub fn raw(&mut self, request: Request) -> Response {
        let method = request.method.clone();
        let response = self.call(scim::handle, request);
        answer::check(&method, &response);
        response
    }

    /// Sends a request with the connection's token.
    pub fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> Response {
        let headers = vec![
            ("authorization".to_owned(), format!("Bearer {}", self.token).into_bytes()),
            ("host".to_owned(), b"scim.example".to_vec()),
        ];
        let body = body.map(|body| serde_json::to_vec(body).unwrap()).unwrap_or_default();
        let target = format!("{}{path}", self.base);
        self.raw(Request { method: method.into(), target, headers, body, source: None })
    }

    /// Reads what must be there.
    pub fn get(&mut self, path: &str) -> Value {
        let response = self.send("GET", path, None);
        assert_eq!(response.status, 200, "{path}: {}", text(&response));
        body(&response)
    }

    /// Every resource of an endpoint, in order of creation.
    pub fn all(&mut self, endpoint: &str) -> Vec<Value> {
        let (mut found, mut total) = (Vec::new(), 1);
        while (found.len() as u64) < total {
            let page = self.get(&format!("{endpoint}?count=200&startIndex={}", found.len() + 1));
            total = page["totalResults"].as_u64().unwrap();
            let listed = page["Resources"].as_array().unwrap();
            assert!(!listed.is_empty() || total == 0, "a page before the last is empty: {page}");
            found.extend(listed.iter().cloned());
        }
        found
    }

    /// What is stored, by the tree's own keys, without the provisioning log.
    pub fn entries(&mut self) -> Entries {
        let request = Request { target: self.base.clone(), ..Request::default() };
        let response = self.call(dump, request);
        assert_eq!(response.status, 200);
        serde_json::from_slice::<Vec<(Vec<u8>, Vec<u8>)>>(&response.body)
            .unwrap()
            .into_iter()
            .filter(|(key, _)| key.first() != Some(&b'l'))
            .collect()
    }

    /// Panics unless the directory holds together and keeps no secret.
    pub fn verify(&mut self) {
        let request = Request { target: self.base.clone(), ..Request::default() };
        let response = self.call(verify, request);
        assert_eq!((response.status, text(&response).as_str()), (200, "[]"));
        let secret = SECRET.as_bytes();
        let leaks = |value: &[u8]| value.windows(secret.len()).any(|part| part == secret);
        assert!(!self.store.values().values().any(|value| leaks(value)), "a secret is stored");
    }

    /// Panics unless a filter finds exactly what the naive evaluator finds; false when that cannot be said.
    pub fn compare_filter(&mut self, endpoint: &str, filter: &str) -> bool {
        let path = format!("{endpoint}?count=200&filter={}", encode(filter));
        let response = self.send("GET", &path, None);
        if response.status != 200 {
            assert_eq!(response.status, 400, "{}", text(&response));
            return false;
        }
        // What is returned on request only is not in the list to compare with.
        if filter.contains("hint") {
            return false;
        }
        let parsed = scim_engine::filter::Filter::parse(filter, &self.config.limits).unwrap();
        let everything = self.all(endpoint);
        let expected: Vec<&Value> = everything
            .iter()
            .filter(|resource| {
                let kind = resource["meta"]["resourceType"].as_str().unwrap();
                naive::matches(&parsed, registry().by_name(kind).unwrap(), resource)
            })
            .collect();
        let found = body(&response);
        let found: Vec<&Value> = found["Resources"].as_array().unwrap().iter().collect();
        assert_eq!(found, expected, "{endpoint} with {filter}");
        true
    }
}

/// Percent-encodes a query value.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") })
        .collect()
}

pub fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_default()
}

pub fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

fn opened<'v>(request: &Request, view: &'v View<'v>) -> Result<Txn<'v>, Fault> {
    let directory = scim::connection_of(&request.target).unwrap();
    Ok(Txn::open(view, &directory)?.unwrap())
}

fn verify(request: &Request, view: &View<'_>, _env: &Env<'_>) -> Result<Outcome, Fault> {
    let problems = scim::verify(&opened(request, view)?)?;
    Ok(Outcome { response: Response::json(200, "application/json", &problems), ..Outcome::default() })
}

fn dump(request: &Request, view: &View<'_>, _env: &Env<'_>) -> Result<Outcome, Fault> {
    let entries = opened(request, view)?.scan(&[]..&[0xff, 0xff], 0, usize::MAX, false)?;
    Ok(Outcome { response: Response::json(200, "application/json", &entries), ..Outcome::default() })
}
