//! The management API as requests and responses over a key-value store in memory.

mod faults;
mod fields;
mod hostile;
mod lifecycle;
mod matrix;
mod openapi;
mod paging;
mod roles;

use std::cell::Cell;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::connections::route::Route;
use crate::connections::user::SharedSecret;
use crate::env::{Config, Credential, Env, Timestamp, UserJwt};
use crate::http::{Request, Response};
use crate::store::memory::{MemoryStore, run};
use crate::store::{DirectoryId, Fault, Handler, Outcome, PageCache, Session, Txn, View};

const USER_SECRET: &str = "a secret of more than 32 bytes for tests";
const BASE: &str = "/directory/resources/v1/configurations";
const CONNECTIONS: &str = "/directory/resources/v1/configurations/scim2";
const READ: &str = "fe.secure.read.provisioningConfiguration";
const WRITE: &str = "fe.secure.write.provisioningConfiguration";
const DELETE: &str = "fe.secure.delete.provisioningConfiguration";

/// A deployment: a store, a clock that moves by a second with every request, and a source of seeds.
struct Deployment {
    store: MemoryStore,
    cache: PageCache,
    config: Arc<Config>,
    requests: Cell<u64>,
}

/// A response with its body as JSON.
#[derive(Debug)]
struct Answer {
    status: u16,
    body: Value,
    response: Response,
}

impl Deployment {
    fn new() -> Self {
        let vendor = Credential { client_id: "vendor".into(), secret: "s3cret".into() };
        let signature = Arc::new(SharedSecret::new(USER_SECRET).unwrap());
        let config = Config {
            vendor: Some(vendor),
            user_jwt: Some(UserJwt { signature, issuer: None, audience: None }),
            public_url: Some("https://scim.test".into()),
            ..Config::default()
        };
        Self {
            store: MemoryStore::default(),
            cache: PageCache::new(64 << 20),
            config: Arc::new(config),
            requests: Cell::new(0),
        }
    }

    fn session(&self, handler: Handler, request: Request) -> Session {
        let number = self.requests.get() + 1;
        self.requests.set(number);
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        let now = Timestamp(1_700_000_000_000 + number * 1000);
        Session::new(handler, request, seed, now, Arc::clone(&self.config))
    }

    fn run(&self, handler: Handler, request: Request) -> Response {
        run(self.session(handler, request), &self.store, &self.cache)
    }

    fn send(&self, request: Request) -> Answer {
        let asked = format!("{} {}", request.method, request.target);
        let route = Route::of(&request).ok().map(|(route, _)| route);
        let response = self.run(super::handle, request);
        if let Some(route) = route {
            assert!(is_described(route, &response), "{asked} is not described as answering {}", response.status);
        }
        let body = if response.body.is_empty() { Value::Null } else { serde_json::from_slice(&response.body).unwrap() };
        Answer { status: response.status, body, response }
    }

    /// A request of the vendor, for every account.
    fn vendor(&self, method: &str, target: &str, body: Value) -> Answer {
        self.send(request(method, target, &self.environment_token(), &body))
    }

    fn environment_token(&self) -> String {
        let body = json!({"clientId": "vendor", "secret": "s3cret"});
        let answer = self.send(request("POST", "/auth/vendor/", "", &body));
        assert_eq!(answer.status, 200);
        answer.body["token"].as_str().unwrap().to_owned()
    }

    fn user(&self, tenant: &str, permissions: &[&str], method: &str, target: &str, body: Value) -> Answer {
        self.send(request(method, target, &user_token(tenant, permissions, &[]), &body))
    }

    /// A new connection's id and token.
    fn create(&self, tenant: &str, name: &str) -> (String, String) {
        let body = json!({"source": "okta", "connectionName": name, "tenantId": tenant});
        let answer = self.vendor("POST", CONNECTIONS, body);
        assert_eq!(answer.status, 201, "{answer:?}");
        let text = |field: &str| answer.body[field].as_str().unwrap().to_owned();
        (text("id"), text("token"))
    }

    /// Everything that is stored.
    fn stored(&self) -> Vec<(String, Vec<u8>)> {
        self.store.values().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// The status of a SCIM request with that token, as far as authentication decides it.
    fn scim(&self, id: &str, token: &str) -> u16 {
        let request = Request { body: id.into(), ..request("GET", "/", token, &Value::Null) };
        self.run(authenticated, request).status
    }

    /// Puts that many users and groups into a connection's directory, as the SCIM service would.
    fn populate(&self, id: &str, users: usize, groups: usize) {
        let body = format!("{id} {users} {groups}").into_bytes();
        assert_eq!(self.run(populated, Request { body, ..Request::default() }).status, 204);
    }

    /// Runs the sweep until nothing is left; gives the number of steps.
    fn sweep(&self) -> usize {
        let steps = (0..10_000).take_while(|_| self.run(super::sweep, Request::default()).status == 202);
        steps.count()
    }
}

/// Whether the description of the API knows of such an answer.
fn is_described(route: &Route, response: &Response) -> bool {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(super::openapi::document);
    let operation = &DOCUMENT["paths"][route.path][route.method.to_lowercase()];
    let mut answer = &operation["responses"][response.status.to_string()];
    if let Some(reference) = answer["$ref"].as_str() {
        answer = DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap();
    }
    let media = answer["content"].as_object().map(|content| content.keys().map(String::as_str).collect::<Vec<_>>());
    answer.is_object() && media.unwrap_or_default() == response.header("content-type").into_iter().collect::<Vec<_>>()
}

fn request(method: &str, target: &str, token: &str, body: &Value) -> Request {
    let headers =
        if token.is_empty() { Vec::new() } else { vec![("authorization".into(), format!("Bearer {token}").into())] };
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    Request { method: method.into(), target: target.into(), headers, body, source: None }
}

fn user_token(tenant: &str, permissions: &[&str], roles: &[&str]) -> String {
    let claims = json!({
        "sub": "ann", "tenantId": tenant, "permissions": permissions, "roles": roles, "exp": 2_000_000_000,
    });
    signed(&claims)
}

fn signed(claims: &Value) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mac = Hmac::<Sha256>::new_from_slice(USER_SECRET.as_bytes()).unwrap().chain_update(&signed).finalize();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.into_bytes()))
}

/// A handler that only authenticates; the connection is named in the body.
fn authenticated(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let id = DirectoryId::new(std::str::from_utf8(&request.body).unwrap()).unwrap();
    let record = Txn::open(view, &id)?.and_then(|txn| super::record::Record::from_bytes(txn.record()));
    super::token::authenticate(request, record.as_ref(), env)?;
    Ok(Outcome { response: Response::empty(200), ..Outcome::default() })
}

fn populated(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let words: Vec<_> = std::str::from_utf8(&request.body).unwrap().split(' ').collect();
    let mut txn = Txn::open(view, &DirectoryId::new(words[0]).unwrap())?.unwrap();
    for (kind, count) in [(b'u', words[1]), (b'g', words[2])] {
        for number in 0..count.parse::<u32>().unwrap() {
            txn.put([&[kind][..], &number.to_be_bytes()].concat(), br#"{"userName":"somebody"}"#.to_vec());
            txn.put([&b"i"[..], &[kind], &number.to_be_bytes()].concat(), b"somebody".to_vec());
        }
    }
    Ok(Outcome {
        response: Response::empty(204),
        commits: txn.commit(env)?.into_iter().collect(),
        ..Outcome::default()
    })
}
