//! The components over stores as narrow as the services behind Spin: the heaviest traffic must fit, and what cannot fit
//! is refused by us and never by them.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use scim_edge::spin::app::App;
use scim_edge::spin::store::{Answer, Comparison, Store, Stores};
use serde_json::{Value, json};

/// What a service refuses.
struct Limits {
    /// Bytes of a key.
    key: usize,
    /// Bytes of an item, as `size` counts them.
    item: usize,
    /// What counts of a key and a value.
    size: fn(&str, &[u8]) -> usize,
    /// Keys of one batch; `None` where Spin makes a batch of single calls.
    batch: Option<usize>,
    /// What no key may contain.
    forbidden: &'static str,
    /// Whether a counter is a number to the service, which no read of a value understands.
    numbers: bool,
}

/// Names and values of all attributes count (DynamoDB developer guide, "Constraints"): `PK`, `VAL`, and the `VER` of an
/// item that was swapped.
const DYNAMO: Limits = Limits {
    key: 2048,
    item: 400 << 10,
    size: |key, value| "PK".len() + key.len() + "VAL".len() + value.len() + "VER".len() + 21,
    batch: Some(25),
    forbidden: "",
    numbers: false,
};

/// An item is its JSON (Azure Cosmos DB service quotas), in which Spin writes a value as a list of numbers.
const COSMOS: Limits = Limits {
    key: 1023,
    item: 2 << 20,
    size: |key, value| json!({ "id": key, "value": value }).to_string().len(),
    batch: None,
    forbidden: "/\\?#",
    numbers: true,
};

/// Hosted Spin (its key-value guide): keys of 256 bytes, values of a megabyte.
const HOSTED: Limits =
    Limits { key: 256, item: 1_000_000, size: |_, value| value.len(), batch: None, forbidden: "", numbers: false };

enum Item {
    Value { value: Vec<u8>, version: u64 },
    Number(i64),
}

/// A service: its limits are those of a real one, and every breach of them is noted.
struct Service {
    limits: Limits,
    items: Mutex<BTreeMap<String, Item>>,
    breaches: Mutex<Vec<String>>,
}

/// The service as a store, which comparisons keep hold of.
#[derive(Clone)]
struct Client(Arc<Service>);

impl Service {
    fn items(&self) -> MutexGuard<'_, BTreeMap<String, Item>> {
        self.items.lock().unwrap()
    }

    fn breach<T>(&self, what: String) -> Answer<T> {
        self.breaches.lock().unwrap().push(what.clone());
        Err(what)
    }

    fn admit(&self, key: &str, value: &[u8]) -> Answer<()> {
        let (limits, size) = (&self.limits, (self.limits.size)(key, value));
        if key.is_empty() || key.len() > limits.key || key.contains(|c| limits.forbidden.contains(c)) {
            return self.breach(format!("key `{key}`"));
        }
        if size > limits.item {
            return self.breach(format!("item `{key}` of {size} bytes"));
        }
        Ok(())
    }

    fn admit_batch<'k>(&self, keys: impl Iterator<Item = &'k String>) -> Answer<()> {
        let Some(limit) = self.limits.batch else { return Ok(()) };
        let keys: Vec<_> = keys.collect();
        if keys.len() > limit {
            return self.breach(format!("a batch of {}", keys.len()));
        }
        if keys.iter().collect::<HashSet<_>>().len() < keys.len() {
            return self.breach("a batch that names a key twice".to_owned());
        }
        Ok(())
    }

    fn put(&self, key: String, value: Vec<u8>) -> Answer<()> {
        self.admit(&key, &value)?;
        let mut items = self.items();
        let version = version(items.get(&key)).map_or(1, |version| version + 1);
        items.insert(key, Item::Value { value, version });
        Ok(())
    }
}

fn version(item: Option<&Item>) -> Option<u64> {
    match item? {
        Item::Value { version, .. } => Some(*version),
        Item::Number(_) => Some(0),
    }
}

#[async_trait]
impl Store for Client {
    async fn get(&self, key: String) -> Answer<Option<Vec<u8>>> {
        match self.0.items().get(&key) {
            None => Ok(None),
            Some(Item::Value { value, .. }) => Ok(Some(value.clone())),
            Some(Item::Number(_)) => self.0.breach(format!("the counter `{key}` is read as a value")),
        }
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Answer<()> {
        self.0.put(key, value)
    }

    async fn delete(&self, key: String) -> Answer<()> {
        self.0.items().remove(&key);
        Ok(())
    }

    async fn exists(&self, key: String) -> Answer<bool> {
        Ok(self.0.items().contains_key(&key))
    }

    async fn keys(&self) -> Answer<Vec<String>> {
        self.0.breach("every key is listed".to_owned())
    }

    async fn get_many(&self, keys: Vec<String>) -> Answer<Vec<(String, Option<Vec<u8>>)>> {
        self.0.breach(format!("a batch of {} is read", keys.len()))
    }

    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Answer<()> {
        self.0.admit_batch(pairs.iter().map(|(key, _)| key))?;
        pairs.into_iter().try_for_each(|(key, value)| self.0.put(key, value))
    }

    async fn delete_many(&self, keys: Vec<String>) -> Answer<()> {
        self.0.admit_batch(keys.iter())?;
        let mut items = self.0.items();
        keys.iter().for_each(|key| drop(items.remove(key)));
        Ok(())
    }

    async fn increment(&self, key: String, delta: i64) -> Answer<i64> {
        self.0.admit(&key, &[])?;
        let mut items = self.0.items();
        let old = match items.get(&key) {
            None => 0,
            Some(Item::Number(number)) => *number,
            Some(Item::Value { value, .. }) => String::from_utf8_lossy(value).parse().map_err(|_| "no counter")?,
        };
        let new = old + delta;
        let item = match self.0.limits.numbers {
            true => Item::Number(new),
            false => Item::Value { value: new.to_string().into_bytes(), version: 0 },
        };
        items.insert(key, item);
        Ok(new)
    }

    async fn compare(&self, key: String) -> Answer<Arc<dyn Comparison>> {
        Ok(Arc::new(Versioned { client: self.clone(), key, seen: Mutex::default() }))
    }
}

/// A swap that compares versions, as both services do; one that saw nothing creates.
struct Versioned {
    client: Client,
    key: String,
    seen: Mutex<Option<u64>>,
}

#[async_trait]
impl Comparison for Versioned {
    async fn current(&self) -> Answer<Option<Vec<u8>>> {
        *self.seen.lock().unwrap() = version(self.client.0.items().get(&self.key));
        self.client.get(self.key.clone()).await
    }

    async fn swap(&self, value: Vec<u8>) -> Answer<bool> {
        let found = version(self.client.0.items().get(&self.key));
        if found != *self.seen.lock().unwrap() {
            return Ok(false);
        }
        self.client.0.put(self.key.clone(), value).map(|()| true)
    }
}

/// The application over a service.
struct Deployment {
    app: App,
    service: Arc<Service>,
}

const VENDOR: (&str, &str) = ("vendor", "vendor-secret-of-this-test-only");
const CONNECTIONS: &str = "/directory/resources/v1/configurations/scim2";

impl Deployment {
    fn of(limits: Limits) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let data = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let service = Arc::new(Service { limits, items: Mutex::default(), breaches: Mutex::default() });
        let stores = Stores::from([("default".to_owned(), Arc::new(Client(Arc::clone(&service))) as Arc<dyn Store>)]);
        let value = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let values = BTreeMap::from([value("client_id", VENDOR.0), value("client_secret", VENDOR.1)]);
        let app = App::load(root, &data, &stores, &values, 2).expect("run `cargo xtask build`");
        Self { app, service }
    }

    async fn send(&self, method: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let sent = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "scim.test")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .header("content-length", sent.len());
        let request = request.body(Full::new(Bytes::from(sent))).unwrap();
        let answer = self.app.handle(request, SocketAddr::from(([127, 0, 0, 1], 1))).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// The body of the expected answer.
    #[track_caller]
    fn expect<'a>(
        &'a self,
        status: u16,
        method: &'a str,
        path: &'a str,
        token: &'a str,
        body: &'a Value,
    ) -> impl Future<Output = Value> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let (found, answer) = self.send(method, path, token, body).await;
            let breaches = self.service.breaches.lock().unwrap().clone();
            assert_eq!(found, status, "{caller}: {method} {path}: {answer:.300}, {breaches:?}");
            answer
        }
    }
}

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const BULK: usize = 1000;

fn user(number: usize) -> Value {
    json!({ "schemas": [USER], "userName": format!("user-{number}@example.com"), "externalId": number.to_string(),
        "emails": [{ "value": format!("user-{number}@example.com") }] })
}

fn bulk(operations: impl Iterator<Item = Value>) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": operations.collect::<Vec<_>>() })
}

fn add_members(ids: &[String]) -> Value {
    let members: Vec<_> = ids.iter().map(|id| json!({ "value": id })).collect();
    json!({ "Operations": [{ "op": "add", "path": "members", "value": members }] })
}

/// Ids of resources a Bulk request made.
fn made(answer: &Value) -> Vec<String> {
    let operations = answer["Operations"].as_array().unwrap();
    let id = |operation: &Value| {
        assert_eq!(operation["status"], "201", "{operation}");
        operation["location"].as_str().and_then(|location| location.rsplit('/').next()).unwrap().to_owned()
    };
    operations.iter().map(id).collect()
}

async fn check(limits: Limits) {
    let deployment = Deployment::of(limits);
    let go = &deployment;
    let credential = json!({ "clientId": VENDOR.0, "secret": VENDOR.1 });
    let vendor = go.expect(200, "POST", "/auth/vendor/", "", &credential).await;
    let vendor = vendor["token"].as_str().unwrap();
    let made_connection = go.expect(201, "POST", CONNECTIONS, vendor, &json!({ "source": "okta" })).await;
    let (id, token) = (made_connection["id"].as_str().unwrap(), made_connection["token"].as_str().unwrap());
    let connection = format!("{CONNECTIONS}/{id}");
    let base = format!("/directory/resources/scim/v2.0/{id}");

    settings_are_bounded(go, &connection, vendor).await;
    let users = many_users(go, &base, token).await;
    large_resources(go, &base, token).await;
    large_group(go, &base, token, &users).await;
    everybody_leaves(go, &base, token, &users).await;
    nothing_is_left(go, &connection, vendor).await;

    let breaches = go.service.breaches.lock().unwrap();
    assert!(breaches.is_empty(), "{breaches:#?}");
}

/// Settings are part of the head, which every write stores again.
async fn settings_are_bounded(go: &Deployment, connection: &str, vendor: &str) {
    let schema = |attributes: usize| {
        let attribute =
            |n| json!({ "name": format!("attribute{n}"), "type": "string", "description": "x".repeat(500) });
        json!({ "settings": { "userExtensions": [{ "id": "urn:example:params:scim:schemas:extension:x",
            "name": "X", "attributes": (0..attributes).map(attribute).collect::<Vec<_>>() }] } })
    };
    go.expect(400, "PATCH", connection, vendor, &schema(1000)).await;
    go.expect(204, "PATCH", connection, vendor, &schema(80)).await;
}

async fn many_users(go: &Deployment, base: &str, token: &str) -> Vec<String> {
    let mut users = Vec::new();
    for round in 0..2 {
        let create = |n: usize| json!({ "method": "POST", "path": "/Users", "bulkId": n.to_string(), "data": user(round * BULK + n) });
        let answer = go.expect(200, "POST", &format!("{base}/Bulk"), token, &bulk((0..BULK).map(create))).await;
        users.extend(made(&answer));
    }
    users
}

/// Resources of just under 256 KB each; more is refused.
async fn large_resources(go: &Deployment, base: &str, token: &str) {
    let large = |name: &str, bytes: usize| json!({ "schemas": [USER], "userName": name, "title": "t".repeat(bytes) });
    let path = format!("{base}/Users");
    for n in 0..4 {
        go.expect(201, "POST", &path, token, &large(&format!("large-{n}"), 255 << 10)).await;
    }
    go.expect(413, "POST", &path, token, &large("too-large", 257 << 10)).await;
    let emails: Vec<_> = (0..900).map(|n| json!({ "value": format!("{}-{n}@example.com", "m".repeat(200)) })).collect();
    go.expect(201, "POST", &path, token, &json!({ "schemas": [USER], "userName": "mail", "emails": emails })).await;
}

async fn large_group(go: &Deployment, base: &str, token: &str, users: &[String]) {
    let path = format!("{base}/Groups");
    let group = go.expect(201, "POST", &path, token, &json!({ "displayName": "Everybody" })).await;
    let group = format!("{path}/{}", group["id"].as_str().unwrap());
    for part in users.chunks(BULK) {
        go.expect(200, "PATCH", &group, token, &add_members(part)).await;
    }
    // Keys hold the ids of members, and members need not be resources of this directory.
    go.expect(413, "PATCH", &group, token, &add_members(&["x".repeat(300 << 10)])).await;
    let strangers: Vec<_> = (0..100).map(|n| format!("{n}-{}", "x".repeat(900))).collect();
    go.expect(200, "PATCH", &group, token, &add_members(&strangers)).await;
    go.expect(204, "DELETE", &group, token, &Value::Null).await;

    let create = |n: usize| {
        json!({ "method": "POST", "path": "/Groups", "bulkId": n.to_string(),
            "data": { "displayName": format!("Group {n}"), "members": [{ "value": users[n] }] } })
    };
    go.expect(200, "POST", &format!("{base}/Bulk"), token, &bulk((0..BULK).map(create))).await;
}

async fn everybody_leaves(go: &Deployment, base: &str, token: &str, users: &[String]) {
    let path = format!("{base}/Bulk");
    let deactivate = |id: &String| {
        json!({ "method": "PATCH", "path": format!("/Users/{id}"),
            "data": { "Operations": [{ "op": "replace", "value": { "active": false } }] } })
    };
    go.expect(200, "POST", &path, token, &bulk(users[..BULK].iter().map(deactivate))).await;
    let delete = |id: &String| json!({ "method": "DELETE", "path": format!("/Users/{id}") });
    for part in users.chunks(BULK) {
        let answer = go.expect(200, "POST", &path, token, &bulk(part.iter().map(delete))).await;
        let gone = answer["Operations"].as_array().unwrap().iter().filter(|operation| operation["status"] == "204");
        assert_eq!(gone.count(), part.len());
    }
}

/// A thorough deletion goes on with later requests, until neither head nor page of the connection says anything.
async fn nothing_is_left(go: &Deployment, connection: &str, vendor: &str) {
    go.expect(204, "DELETE", connection, vendor, &json!({ "deleteAll": true })).await;
    let residue = format!("{CONNECTIONS}?state=residue");
    for _ in 0..200 {
        if go.expect(200, "GET", &residue, vendor, &Value::Null).await == json!([]) {
            let pages = go.service.items().keys().filter(|key| key.starts_with("page:")).count();
            assert!(pages < 10, "{pages} pages are left");
            return;
        }
    }
    panic!("the deletion does not come to an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_fits_into_dynamodb() {
    check(DYNAMO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_fits_into_cosmos_db() {
    check(COSMOS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_fits_into_hosted_spin() {
    check(HOSTED).await;
}

/// The service is as narrow as it says: otherwise the tests above show nothing.
#[tokio::test]
async fn a_breach_is_refused_and_noted() {
    let service = Arc::new(Service { limits: DYNAMO, items: Mutex::default(), breaches: Mutex::default() });
    let store = Client(Arc::clone(&service));
    let pairs = |count: usize| (0..count).map(|n| (n.to_string(), vec![0])).collect::<Vec<_>>();
    assert!(store.set_many(pairs(25)).await.is_ok() && store.set_many(pairs(26)).await.is_err());
    assert!(store.set("k".into(), vec![0; 400 << 10]).await.is_err());
    assert!(store.set("k".repeat(2049), vec![]).await.is_err());
    assert!(store.delete_many(vec!["a".into(), "a".into()]).await.is_err());
    assert_eq!(service.breaches.lock().unwrap().len(), 4);
    let service = Arc::new(Service { limits: COSMOS, items: Mutex::default(), breaches: Mutex::default() });
    let store = Client(Arc::clone(&service));
    assert!(store.set("a/b".into(), vec![]).await.is_err());
    assert!(store.set("a:b".into(), vec![255; 500_000]).await.is_ok());
    assert!(store.set("a:b".into(), vec![255; 530_000]).await.is_err());
    store.increment("n".into(), 1).await.unwrap();
    assert!(store.get("n".into()).await.is_err());
    assert_eq!(service.breaches.lock().unwrap().len(), 3);
}
