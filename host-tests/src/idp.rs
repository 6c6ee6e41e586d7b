//! An identity provider: SCIM requests below its connection's base, with its token.

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::deployment::{Connection, Deployment, Target};
use crate::message::{Answer, Request};

/// An identity provider that reaches its connection in one way.
#[derive(Debug)]
pub struct Idp<T> {
    /// How it sends requests.
    pub target: T,
    /// What it was given.
    pub connection: Connection,
}

impl Idp<Deployment> {
    /// One of a new connection.
    ///
    /// # Errors
    /// The deployment refuses it.
    pub fn connected(target: Deployment) -> Result<Self> {
        Ok(Self { connection: target.connect(&Map::new())?, target })
    }
}

impl<T> Idp<T> {
    /// The same, by another way.
    pub fn through<U>(self, target: U) -> Idp<U> {
        Idp { target, connection: self.connection }
    }

    /// A request; the path begins below the connection's base.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Request {
        let request = Request::new(method, &format!("{}{path}", self.connection.base())).bearer(&self.connection.token);
        body.into_iter().fold(request, Request::json)
    }
}

impl<T: Target> Idp<T> {
    /// Sends one request; the path begins below the connection's base.
    ///
    /// # Errors
    /// No answer came.
    pub fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.target.send(&self.request(method, path, body))
    }

    /// The body of an answer of success.
    ///
    /// # Errors
    /// No answer came, or one of failure.
    pub fn accept(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let answer = self.send(method, path, body)?;
        ensure!((200..300).contains(&answer.status), "{method} {path}: {}", answer.brief());
        Ok(answer.json())
    }

    /// A read.
    ///
    /// # Errors
    /// No answer came.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.send("GET", path, None)
    }

    /// Creates a user.
    ///
    /// # Errors
    /// No answer came.
    pub fn create(&self, name: &str) -> Result<Answer> {
        self.send("POST", "/Users", Some(&user(name)))
    }
}

/// The smallest user of that name.
pub fn user(name: &str) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name })
}

/// The body of a PATCH of one operation (RFC 7644, section 3.5.2).
pub fn patch(op: &str, path: &str, value: &Value) -> Value {
    let operation = json!({ "op": op, "path": path, "value": value });
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation] })
}

/// The number of resources a list tells.
///
/// # Errors
/// It is no list.
pub fn total(answer: &Answer) -> Result<u64> {
    answer.json()["totalResults"].as_u64().with_context(|| format!("no list: {}", answer.brief()))
}
