//! Sequences of requests against one directory, and what must hold after each.

use scim_engine::http::Response;
use serde_json::Value;

use super::directory::{Directory, Setup, body, encode, text};
use super::{Choices, message};

/// A directory in use.
pub struct Sequence<'c, 'd> {
    pub choices: &'c mut Choices<'d>,
    pub directory: Directory,
    /// Paths and ids of everything ever made.
    made: Vec<(&'static str, String)>,
}

impl<'c, 'd> Sequence<'c, 'd> {
    pub fn new(choices: &'c mut Choices<'d>) -> Self {
        let flags = choices.byte();
        let setup = Setup { strict: flags & 1 != 0, revive: flags & 2 != 0, small: flags & 4 != 0 };
        Self { choices, directory: Directory::new(setup), made: Vec::new() }
    }

    pub fn ids(&self) -> Vec<String> {
        self.made.iter().map(|(_, id)| id.clone()).collect()
    }

    /// Does one thing to the directory.
    pub fn step(&mut self) {
        match self.choices.below(12) {
            0 | 1 => self.create("/Users"),
            2 => self.create("/Groups"),
            3 | 4 => self.change("PATCH"),
            5 => self.change("PUT"),
            6 => self.delete(),
            7 => self.filter(),
            8 => self.read(),
            9 => self.search(),
            _ => self.bulk(),
        }
    }

    fn body_for(&mut self, method: &str, endpoint: &str) -> Value {
        let ids = self.ids();
        match (method, endpoint) {
            ("PATCH", _) => message::patch(self.choices, &ids),
            (_, "/Users") => message::user(self.choices, &ids),
            _ => message::group(self.choices, &ids),
        }
    }

    fn create(&mut self, endpoint: &'static str) {
        let wanted = self.body_for("POST", endpoint);
        let response = self.write("POST", endpoint, Some(&wanted));
        assert!(matches!(response.status, 201 | 400 | 409 | 413), "{}: {}", response.status, text(&response));
        if response.status == 201 {
            let id = body(&response)["id"].as_str().unwrap().to_owned();
            self.made.push((endpoint, id.clone()));
            self.settled(&format!("{endpoint}/{id}"), &body(&response));
        }
    }

    fn target(&mut self) -> (&'static str, String) {
        if self.made.is_empty() || self.choices.byte() == 255 {
            let ids = self.ids();
            return (self.choices.pick(&["/Users", "/Groups"]), encode(&message::text(self.choices, &ids)));
        }
        self.made[self.choices.below(self.made.len())].clone()
    }

    fn change(&mut self, method: &str) {
        let (endpoint, id) = self.target();
        let path = format!("{endpoint}/{id}");
        let wanted = self.body_for(method, endpoint);
        let response = self.write(method, &path, Some(&wanted));
        if response.status != 200 {
            return;
        }
        let shown = body(&response);
        self.settled(&path, &shown);
        if method == "PUT" || repeatable(&wanted) {
            let again = self.write(method, &path, Some(&wanted));
            assert_eq!((again.status, body(&again)), (200, shown), "twice is not once: {method} {path} {wanted}");
        }
    }

    fn delete(&mut self) {
        let (endpoint, id) = self.target();
        let path = format!("{endpoint}/{id}");
        if self.write("DELETE", &path, None).status == 204 {
            assert_eq!(self.directory.send("GET", &path, None).status, 404);
        }
    }

    /// A refused write changes nothing.
    fn write(&mut self, method: &str, path: &str, wanted: Option<&Value>) -> Response {
        let before = self.directory.entries();
        let response = self.directory.send(method, path, wanted);
        if response.status >= 400 {
            assert!(before == self.directory.entries(), "refused, and yet: {method} {path} {wanted:?}");
        }
        response
    }

    /// What was answered is what is stored, and putting it back changes nothing.
    fn settled(&mut self, path: &str, shown: &Value) {
        assert_eq!(&self.directory.get(path), shown, "the answer to a write is not what was stored");
        // Who did not ask to see `hint` takes it away by putting back the rest.
        if self.directory.entries().values().any(|value| String::from_utf8_lossy(value).contains("\"hint\"")) {
            return;
        }
        let put = self.directory.send("PUT", path, Some(shown));
        assert_eq!((put.status, &body(&put)), (200, shown), "what was read cannot be put back at {path}");
    }

    fn filter(&mut self) {
        let ids = self.ids();
        let filter = message::filter(self.choices, &ids, 3);
        let endpoint = self.choices.pick(&["/Users", "/Groups", ""]);
        self.directory.compare_filter(endpoint, &filter);
    }

    /// A read of anything, with any parameters.
    fn read(&mut self) {
        let mut path = match self.choices.below(3) {
            0 => self
                .choices
                .pick(&[
                    "/Users",
                    "/Groups",
                    "",
                    "/Schemas",
                    "/Me",
                    "/ResourceTypes/User",
                    "/ServiceProviderConfig",
                    "/x",
                ])
                .to_owned(),
            _ => {
                let (endpoint, id) = self.target();
                format!("{endpoint}/{id}")
            }
        };
        path.push('?');
        let ids = self.ids();
        for _ in 0..self.choices.below(4) {
            let name = self.choices.pick(&[
                "attributes",
                "excludedAttributes",
                "sortBy",
                "sortOrder",
                "startIndex",
                "count",
                "cursor",
            ]);
            let value = match self.choices.below(4) {
                0 | 1 => message::attribute(self.choices).to_owned(),
                2 => self.choices.below(5).to_string(),
                _ => message::text(self.choices, &ids),
            };
            path.push_str(&format!("{name}={}&", encode(&value)));
        }
        let method = self.choices.pick(&["GET", "HEAD", "OPTIONS", "GET"]);
        self.write(method, &path, None);
    }

    fn search(&mut self) {
        let ids = self.ids();
        let endpoint = self.choices.pick(&["/.search", "/Users/.search", "/Groups/.search"]);
        let wanted = match self.choices.below(3) {
            0 => message::anything(self.choices, &ids, 3),
            _ => serde_json::json!({
                "filter": message::filter(self.choices, &ids, 2),
                "sortBy": message::attribute(self.choices),
                "count": self.choices.below(4),
                "attributes": [message::attribute(self.choices)],
            }),
        };
        self.write("POST", endpoint, Some(&wanted));
    }

    /// A Bulk request; what it refuses wholly changes nothing.
    pub fn bulk(&mut self) {
        let ids = self.ids();
        let wanted = message::bulk(self.choices, &ids);
        let before = self.directory.entries();
        let response = self.directory.send("POST", "/Bulk", Some(&wanted));
        let results = body(&response)["Operations"].as_array().cloned().unwrap_or_default();
        let done = results.iter().filter(|result| result["status"].as_str().is_some_and(|status| status < "300"));
        let done: Vec<&Value> = done.collect();
        if done.is_empty() {
            assert!(before == self.directory.entries(), "refused, and yet: {wanted}");
        }
        for result in done {
            let location = result["location"].as_str().unwrap();
            let (rest, id) = location.rsplit_once('/').unwrap();
            let endpoint = if rest.ends_with("Users") { "/Users" } else { "/Groups" };
            if result["status"] == "201" {
                self.made.push((endpoint, id.to_owned()));
            }
        }
    }
}

/// Whether a PATCH is one operation that sets something, without asking first what is there: `emails.primary` after
/// `emails` asks, and so does every filter.
pub fn repeatable(patch: &Value) -> bool {
    fn asks(value: &Value) -> bool {
        let part = |key: &str| key.contains('[') || key.rsplit(':').next().is_some_and(|name| name.contains('.'));
        value.as_object().is_some_and(|object| object.iter().any(|(key, value)| part(key) || asks(value)))
    }
    let Some([operation]) = patch["Operations"].as_array().map(Vec::as_slice) else { return false };
    let sets = operation["op"].as_str().is_some_and(|op| ["add", "replace"].contains(&op.to_lowercase().as_str()));
    sets && !operation["path"].as_str().unwrap_or_default().contains('[') && !asks(&operation["value"])
}
