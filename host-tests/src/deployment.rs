//! Something that answers requests, and connections made in it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::message::{Answer, Request};
use crate::prepared::Prepared;

/// Where the vendor manages connections.
const SCIM2: &str = "/directory/resources/v1/configurations/scim2";

/// Takes a request, gives an answer: the port every host is tested through.
pub trait Target: Send + Sync {
    /// Sends one request.
    ///
    /// # Errors
    /// No answer came.
    fn send(&self, request: &Request) -> Result<Answer>;
}

/// A server reached over HTTP.
#[derive(Clone, Debug)]
pub struct Http {
    base: String,
    agent: ureq::Agent,
}

impl Http {
    /// The server at a base URL.
    pub fn new(base: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(30)))
            .accept(ureq::config::AutoHeaderValue::None)
            .build();
        Self { base: base.trim_end_matches('/').to_owned(), agent: config.into() }
    }
}

impl Target for Http {
    fn send(&self, request: &Request) -> Result<Answer> {
        let url = if request.target.starts_with("http") {
            request.target.clone()
        } else {
            format!("{}{}", self.base, request.target)
        };
        let mut builder = ureq::http::Request::builder().method(request.method.as_str()).uri(&url);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let sent = if request.body.is_empty() {
            self.agent.run(builder.body(())?)
        } else {
            let sent = builder.body(request.body.as_slice())?;
            let sent = self.agent.configure_request(sent).allow_non_standard_methods(true);
            self.agent.run(sent.build())
        };
        let mut answer = sent.with_context(|| format!("{} {url} was not answered", request.method))?;
        let text = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Ok(Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: answer.body_mut().with_config().limit(64 << 20).read_to_vec()?,
        })
    }
}

/// A target, and the way to connections in it: the vendor's access, or connections that are there already.
pub struct Deployment {
    target: Box<dyn Target>,
    vendor_token: String,
    prepared: Option<Prepared>,
}

/// A connection, as its identity provider knows it.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its id.
    pub id: String,
    /// Its token.
    pub token: String,
}

impl Connection {
    /// The path under which its users and groups are.
    pub fn base(&self) -> String {
        format!("/directory/resources/scim/v2.0/{}", self.id)
    }
}

impl Target for Deployment {
    fn send(&self, request: &Request) -> Result<Answer> {
        self.target.send(request)
    }
}

impl Deployment {
    /// Logs the vendor in.
    ///
    /// # Errors
    /// The target does not answer, or refuses the credential.
    pub fn new(target: Box<dyn Target>, client_id: &str, secret: &str) -> Result<Self> {
        let credential = json!({ "clientId": client_id, "secret": secret });
        let answer = target.send(&Request::new("POST", "/auth/vendor/").json(&credential))?;
        let token = answer.json()["token"].as_str().map(str::to_owned);
        let vendor_token = token.with_context(|| format!("no vendor token: {}", answer.brief()))?;
        Ok(Self { target, vendor_token, prepared: None })
    }

    /// A target in local mode, which has connections and no vendor.
    pub fn local(target: Box<dyn Target>, prepared: Prepared) -> Self {
        Self { target, vendor_token: String::new(), prepared: Some(prepared) }
    }

    /// The vendor's token; empty in local mode.
    pub fn vendor_token(&self) -> &str {
        &self.vendor_token
    }

    /// Sends one request.
    ///
    /// # Errors
    /// No answer came.
    pub fn send(&self, request: &Request) -> Result<Answer> {
        self.target.send(request)
    }

    /// Sends a request again while the answer is 503 with `Retry-After`, as the first requests to an empty store may be
    /// answered: one of them creates the environment, the others wait.
    fn patiently(&self, request: &Request) -> Result<Answer> {
        for _ in 0..5 {
            let answer = self.send(request)?;
            if answer.status != 503 || answer.header("retry-after").is_none() {
                return Ok(answer);
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        self.send(request)
    }

    /// Sends a vendor's request about connections; the path begins below `/scim2`.
    ///
    /// # Errors
    /// No answer came, or one of failure.
    pub fn manage(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let request = Request::new(method, &format!("{SCIM2}{path}")).bearer(&self.vendor_token);
        let answer = self.send(&body.into_iter().fold(request, Request::json))?;
        ensure!((200..300).contains(&answer.status), "{method} {path}: {}", answer.brief());
        Ok(answer)
    }

    /// Makes one more token for a connection; `settings` is the body of the request for it.
    ///
    /// # Errors
    /// The deployment refuses it.
    pub fn token(&self, connection: &Connection, settings: &Value) -> Result<(String, Connection)> {
        let made = self.manage("POST", &format!("/{}/tokens", connection.id), Some(settings))?.json();
        let text = |name: &str| made[name].as_str().map(str::to_owned).context("the new token is not described");
        Ok((text("id")?, Connection { id: connection.id.clone(), token: text("token")? }))
    }

    /// The connection's provisioning log, newest first.
    ///
    /// # Errors
    /// The deployment refuses it.
    pub fn log(&self, connection: &Connection) -> Result<Vec<Value>> {
        let page = self.manage("GET", &format!("/{}/logs?limit=1000", connection.id), None)?.json();
        page["items"].as_array().cloned().context("no log")
    }

    /// Makes a connection in an account of its own; `changes` is the body of a PATCH of it, empty for none.
    ///
    /// # Errors
    /// The deployment refuses it.
    pub fn connect(&self, changes: &Map<String, Value>) -> Result<Connection> {
        if let Some(prepared) = &self.prepared {
            return prepared.take(changes);
        }
        static ACCOUNTS: AtomicU64 = AtomicU64::new(1);
        let account = format!("account-{}-{}", std::process::id(), ACCOUNTS.fetch_add(1, Ordering::Relaxed));
        let body = json!({ "source": "other", "connectionName": "directory" });
        let create = Request::new("POST", SCIM2).json(&body).bearer(&self.vendor_token);
        let answer = self.patiently(&create.header("frontegg-tenant-id", &account))?;
        ensure!(answer.status == 201, "no connection was made: {}", answer.brief());
        let made = answer.json();
        let text = |name: &str| made[name].as_str().map(str::to_owned).context("the new connection is not described");
        let connection = Connection { id: text("id")?, token: text("token")? };
        if !changes.is_empty() {
            self.manage("PATCH", &format!("/{}", connection.id), Some(&changes.clone().into()))?;
        }
        Ok(connection)
    }
}
