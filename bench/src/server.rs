//! A `scim-edge serve` of our own, and requests to it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::process;

/// A server with fresh data, stopped at the end.
pub struct Server {
    process: Child,
    ready: Value,
    vendor: String,
}

/// A connection of it.
pub struct Made {
    /// Its id.
    pub id: String,
    /// Where its identity provider sends requests, at the origin.
    pub url: String,
    /// Its token.
    pub token: String,
}

impl Server {
    /// Starts one whose data go into that directory; what is there is removed.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(program: &Path, data: &Path, arguments: &[&str]) -> Result<Self> {
        let _old = std::fs::remove_dir_all(data);
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--origin-listen", "127.0.0.1:0", "--ready-json"]);
        command.arg("--data").arg(data).args(arguments);
        let mut process = command.stdout(Stdio::piped()).spawn().context("`scim-edge` cannot be started")?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("no output")?).read_line(&mut line)?;
        let ready = serde_json::from_str(&line).context("`scim-edge serve` does not answer")?;
        let mut server = Self { process, ready, vendor: String::new() };
        let login = json!({ "clientId": server.ready("clientId")?, "secret": server.ready("secret")? });
        let url = format!("{}/auth/vendor/", server.ready("origin")?);
        let vendor = post(&ureq::Agent::new_with_defaults(), &url, "", &login)?;
        vendor["token"].as_str().unwrap_or_default().clone_into(&mut server.vendor);
        Ok(server)
    }

    /// What the server has said about itself: `origin`, `front`, `clientId`, `secret`.
    ///
    /// # Errors
    /// It did not say that.
    pub fn ready(&self, name: &str) -> Result<&str> {
        self.ready[name].as_str().with_context(|| format!("the server has no `{name}`"))
    }

    /// A fresh connection of an account.
    ///
    /// # Errors
    /// It is refused.
    pub fn connection(&self, account: &str, name: &str) -> Result<Made> {
        let origin = self.ready("origin")?;
        let path = format!("{origin}/directory/resources/v1/configurations/scim2");
        let wanted = json!({ "source": "okta", "connectionName": name, "tenantId": account });
        let made = post(&ureq::Agent::new_with_defaults(), &path, &self.vendor, &wanted)?;
        let id = made["id"].as_str().context("no connection")?.to_owned();
        let token = made["token"].as_str().context("no token")?.to_owned();
        Ok(Made { url: format!("{origin}/directory/resources/scim/v2.0/{id}"), id, token })
    }

    /// Seconds of CPU the server has used.
    ///
    /// # Errors
    /// The system does not say.
    pub fn cpu(&self) -> Result<f64> {
        process::cpu(self.process.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// Sends JSON, and reads the JSON of the answer.
///
/// # Errors
/// It is refused.
pub fn post(agent: &ureq::Agent, url: &str, token: &str, body: &Value) -> Result<Value> {
    let request = agent.post(url).header("content-type", "application/json");
    let mut answer = request.header("authorization", format!("Bearer {token}")).send(body.to_string().as_bytes())?;
    ensure!(answer.status().is_success(), "{url}: {}", answer.status());
    Ok(serde_json::from_slice(&answer.body_mut().read_to_vec()?)?)
}
