//! The management API over HTTP.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::{Request, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use url::Url;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer.
const LARGEST: u64 = 64 << 20;

/// A deployment as the vendor reaches it.
pub struct Client {
    base: Url,
    agent: Agent,
    token: String,
}

/// An answer.
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// `x-next-cursor`: where the list goes on.
    pub next: Option<String>,
    /// `date`: the time where it was answered.
    pub date: Option<String>,
    /// `x-scim-edge`: the version of the edge, when it is one that answered.
    pub edge: Option<String>,
    /// Body; null when it is none of JSON.
    pub body: Value,
}

impl Client {
    /// A deployment nobody is logged in to yet.
    ///
    /// # Errors
    /// The URL is none of HTTP.
    pub fn new(base: &Url) -> anyhow::Result<Self> {
        ensure!(matches!(base.scheme(), "http" | "https") && base.has_host(), "`{base}` is no URL of HTTP");
        let mut config =
            Agent::config_builder().http_status_as_error(false).max_redirects(0).timeout_global(Some(PATIENCE));
        if base.scheme() == "https" {
            config = config.tls_config(tls());
        }
        Ok(Self { base: base.clone(), agent: config.build().into(), token: String::new() })
    }

    /// The same with the vendor logged in.
    ///
    /// # Errors
    /// The deployment does not answer, or refuses the credential.
    pub fn log_in(mut self, id: &str, secret: &str) -> anyhow::Result<Self> {
        let answer = self.ask("POST", "/auth/vendor/", &[], Some(&json!({ "clientId": id, "secret": secret })))?;
        ensure!(answer.status != 401, "the deployment refuses the client id and secret: are they of this deployment?");
        let body = answer.accepted()?;
        self.token = body["token"].as_str().context("the deployment gives no token: is `--url` right?")?.to_owned();
        Ok(self)
    }

    /// What a request is answered, whatever it is.
    ///
    /// # Errors
    /// No answer comes.
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = Request::builder().method(method).uri(url.as_str());
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        let answer = match body {
            None => self.agent.run(request.body(())?),
            Some(body) => {
                let request = request.header("content-type", "application/json").body(body.to_string())?;
                let request = self.agent.configure_request(request).allow_non_standard_methods(true).build();
                self.agent.run(request)
            }
        };
        read(answer.with_context(|| format!("{} does not answer: is it running, and `--url` right?", self.base))?)
    }

    /// The body of an accepted answer.
    ///
    /// # Errors
    /// No answer comes, or it is a refusal.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        self.ask(method, path, &[], body)?.accepted()
    }

    /// The same with another bearer token.
    pub fn with_token(mut self, token: &str) -> Self {
        token.clone_into(&mut self.token);
        self
    }
}

impl Answer {
    /// The body, unless the answer is a refusal.
    ///
    /// # Errors
    /// The deployment's own words.
    pub fn accepted(self) -> anyhow::Result<Value> {
        if self.status < 300 {
            return Ok(self.body);
        }
        match self.body["message"].as_str().or(self.body["detail"].as_str()) {
            Some(message) => bail!("refused: {message} ({})", self.status),
            None => bail!("answered with status {}: is `--url` that of a deployment?", self.status),
        }
    }
}

fn read(mut answer: Response<ureq::Body>) -> anyhow::Result<Answer> {
    let header = |name: &str| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
    let (next, date, edge) = (header("x-next-cursor"), header("date"), header("x-scim-edge"));
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(LARGEST).read_to_vec().context("the answer breaks off")?;
    Ok(Answer { status, next, date, edge, body: serde_json::from_slice(&body).unwrap_or_default() })
}

/// TLS with the certificates this machine trusts.
fn tls() -> TlsConfig {
    let roots = rustls_native_certs::load_native_certs().certs;
    let roots = roots.iter().map(|root| Certificate::from_der(root.as_ref()).to_owned()).collect();
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}
