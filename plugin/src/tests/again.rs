//! An answer is given again to nobody who would not be let in, or would be told something else, by now.

use scim_engine::env::Timestamp;
use scim_engine::http::{Request, Response};
use serde_json::{Value, json};

use super::{Connection, Place, SCIM2, SECOND, text};

impl Place {
    /// The same directory by another token, with these limits.
    fn token(&self, connection: &Connection, limits: &Value) -> Connection {
        let made = self.manage("POST", &format!("{SCIM2}/{}/tokens", connection.id), limits);
        Connection { id: connection.id.clone(), token: text(&made, "token") }
    }

    /// Asks twice, so that the second answer can be the first one.
    fn twice(&self, request: &Request) -> Response {
        let first = self.ask(0, request);
        assert_eq!(self.ask(0, request), first);
        first
    }
}

fn users(connection: &Connection) -> Request {
    connection.request("GET", "/Users?count=0", &Value::Null)
}

#[test]
fn not_to_another_token() {
    let place = Place::new(json!({}));
    let connection = place.connection("c");
    let groups_only = place.token(&connection, &json!({ "name": "groups", "scopes": ["groups:read"] }));
    let guess = Connection { id: connection.id.clone(), token: "guess".into() };
    assert_eq!(place.twice(&users(&connection)).status, 200);
    assert_eq!(place.twice(&users(&groups_only)).status, 403);
    assert_eq!(place.twice(&users(&guess)).status, 401);
    let mut two = users(&connection);
    two.headers.push(("authorization".into(), b"Bearer guess".to_vec()));
    assert_eq!(place.twice(&two).status, 401);
}

#[test]
fn not_once_the_token_has_ended() {
    let place = Place::new(json!({ "max_staleness_ms": 60_000 }));
    let connection = place.connection("c");
    let ends = Timestamp(place.now.get() / 1000 + 10_000).rfc3339();
    let brief = place.token(&connection, &json!({ "name": "brief", "expiresAt": ends }));
    for _ in 0..9 {
        assert_eq!((place.twice(&users(&brief)).status, place.twice(&users(&connection)).status), (200, 200));
        place.pass(SECOND);
    }
    place.pass(SECOND);
    assert_eq!((place.twice(&users(&brief)).status, place.twice(&users(&connection)).status), (401, 200));
}

#[test]
fn not_to_another_network() {
    let place = Place::new(json!({}));
    let connection = place.connection("c");
    let office = place.token(&connection, &json!({ "name": "office", "cidrs": ["203.0.113.0/24"] }));
    for (source, status) in [("203.0.113.9", 200), ("198.51.100.1", 401), ("203.0.113.9", 200)] {
        let request = Request { source: Some(source.parse().unwrap()), ..users(&office) };
        assert_eq!(place.twice(&request).status, status, "{source}");
    }
}

#[test]
fn not_to_a_request_that_says_something_else() {
    let place = Place::new(json!({}));
    let connection = place.connection("c");
    assert_eq!(place.twice(&users(&connection)).status, 200);
    let with = |fields: &[(&str, &str)]| {
        let mut request = users(&connection);
        request.headers.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())));
        place.twice(&request).status
    };
    assert_eq!(with(&[("content-encoding", "gzip")]), 415);
    assert_eq!(with(&[("content-encoding", "identity")]), 200);
    assert_eq!(with(&[("content-encoding", "identity"), ("content-encoding", "gzip")]), 415);
    let options = place.twice(&connection.request("OPTIONS", "/Users?count=0", &Value::Null));
    assert_eq!(options.status, 204);
}
