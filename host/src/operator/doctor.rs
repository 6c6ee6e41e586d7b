//! `scim-edge doctor`: what a running deployment lacks, and what to do about it.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

use super::client::{Answer, Client};
use super::{Access, table};
use crate::credentials::Credentials;

/// Seconds by which clocks may differ: tokens with an expiry and signed tokens of users are judged by them.
const SKEW: u64 = 30;
/// The version of this program, which is that of the guests it was built with.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Settings of `doctor`.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    access: Access,
    /// Base URL of the origin, where it can be reached from here; else it is asked through `--url`
    #[arg(long, value_name = "URL", env = "SCIM_EDGE_ORIGIN")]
    origin: Option<Url>,
}

/// What came of one check.
#[derive(Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum State {
    Good,
    Warning,
    Bad,
    /// What it would have needed is missing.
    Skipped,
}

/// Checks a deployment and prints what came of it. Whether nothing is wrong.
///
/// # Errors
/// A setting is wrong.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    let mut check = Check { options, findings: Vec::new() };
    check.everything()?;
    let well = check.findings.iter().all(|finding| finding.state != State::Bad);
    let document = json!({ "healthy": well, "checks": check.findings });
    options.access.print(&document, || {
        let rows = document["checks"].as_array().cloned().unwrap_or_default();
        let advice = check.findings.iter().filter_map(|finding| Some((finding.check, finding.advice?)));
        let advice: String = advice.map(|(check, advice)| format!("{check}: {advice}\n")).collect();
        format!("{}\n{advice}", table::of(&[("CHECK", "check"), ("STATE", "state"), ("", "detail")], &rows))
    })?;
    Ok(well)
}

struct Check<'o> {
    options: &'o Options,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn note(&mut self, check: &'static str, state: State, detail: impl Into<String>, advice: Option<&'static str>) {
        self.findings.push(Finding { check, state, detail: detail.into(), advice });
    }

    fn everything(&mut self) -> anyhow::Result<()> {
        let edge = self.edge(&Client::new(&self.options.access.url)?);
        let origin = Client::new(self.options.origin.as_ref().unwrap_or(&self.options.access.url))?;
        let Some(login) = self.login(&origin) else { return Ok(()) };
        self.token(origin, &login.body);
        self.edge_credential()?;
        self.clock("clock of the origin", issued_at(&login.body));
        self.clock("clock of the edge", edge.as_ref().and_then(|answer| http_date(answer.date.as_deref()?)));
        self.versions(edge.as_ref().and_then(|answer| answer.edge.as_deref()), login.body["version"].as_str());
        Ok(())
    }

    /// A request without a token: the edge refuses it itself, and says which edge it is.
    fn edge(&mut self, client: &Client) -> Option<Answer> {
        let answer = match client.ask("GET", "/directory/resources/scim/v2.0/doctor/Users", &[], None) {
            Ok(answer) => answer,
            Err(error) => {
                let advice = "start the edge, or correct `--url`; a firewall may stand in between";
                self.note("edge", State::Bad, format!("{error:#}"), Some(advice));
                return None;
            }
        };
        match (answer.status, &answer.edge) {
            (401, Some(version)) => self.note("edge", State::Good, format!("version {version} answers"), None),
            (401, None) => {
                let detail = "SCIM is answered by the origin itself, with no edge before it";
                let advice = "for reads from memory, put the filter in front: see `envoy/README.md`";
                self.note("edge", State::Warning, detail, Some(advice));
            }
            (status, _) => {
                let detail = format!("a SCIM request without a token is answered {status}, not 401");
                let advice = "route `/directory` and `/frontegg/directory` to the filter, or correct `--url`";
                self.note("edge", State::Bad, detail, Some(advice));
            }
        }
        Some(answer)
    }

    /// The vendor's login, which only the origin answers.
    fn login(&mut self, origin: &Client) -> Option<Answer> {
        let (id, secret) = match self.options.access.credential() {
            Ok(credential) => credential,
            Err(error) => {
                self.note(
                    "credential",
                    State::Bad,
                    format!("{error:#}"),
                    Some("give the vendor's client id and secret"),
                );
                return None;
            }
        };
        match origin.ask("POST", "/auth/vendor/", &[], Some(&json!({ "clientId": id, "secret": secret }))) {
            Err(error) => {
                let advice = "start the origin (`scim-edge serve`, `spin up`), or correct `--origin`";
                self.note("origin", State::Bad, format!("{error:#}"), Some(advice));
                None
            }
            Ok(answer) if matches!(answer.status, 500..) => {
                let advice = "the edge answers, but not what is behind it: is the origin running, and its store?";
                self.note("origin", State::Bad, format!("the login is answered {}", answer.status), Some(advice));
                None
            }
            Ok(answer) if answer.status == 401 => {
                self.note("origin", State::Good, "answers", None);
                let advice = "give the `client_id` and `client_secret` the origin was started with";
                self.note("credential", State::Bad, "the client id or secret is refused", Some(advice));
                None
            }
            Ok(answer) if answer.status == 200 && answer.body["token"].is_string() => {
                self.note("origin", State::Good, "answers", None);
                self.note("credential", State::Good, "the client id and secret are accepted", None);
                Some(answer)
            }
            Ok(answer) => {
                let detail = format!("the login is answered {} and no token", answer.status);
                self.note("origin", State::Bad, detail, Some("this is no deployment of scim-edge: correct the URL"));
                None
            }
        }
    }

    /// Whether the token the login gave opens the list of connections, for which the store has to be read.
    fn token(&mut self, origin: Client, login: &Value) {
        let origin = origin.with_token(login["token"].as_str().unwrap_or_default());
        let path = "/directory/resources/v1/configurations/scim2";
        match origin.ask("GET", path, &[("limit", "1")], None).and_then(Answer::accepted) {
            Ok(_) => self.note("token", State::Good, "the list of connections can be read", None),
            Err(error) => {
                let advice = "if it is a 503, look at the origin's store; if a 401, at the clocks of its nodes";
                self.note("token", State::Bad, format!("{error:#}"), Some(advice));
            }
        }
    }

    /// Edges reach their origin with a credential of their own; known here for a local server only.
    fn edge_credential(&mut self) -> anyhow::Result<()> {
        let known =
            Credentials::present(&self.options.access.data)?.filter(|_| self.options.access.client_id.is_none());
        let (Some(credentials), Some(url)) = (known, &self.options.origin) else {
            let detail = "takes `--origin` and the data directory of a local server";
            self.note("edge credential", State::Skipped, detail, None);
            return Ok(());
        };
        let client = Client::new(url)?.with_token(&credentials.edge_secret);
        // No directory has this name: 404 is for those who may ask.
        let answer = client.ask("GET", "/edge/v1/heads/doctor", &[], None);
        match answer.map(|answer| answer.status) {
            Ok(404) => self.note("edge credential", State::Good, "the origin accepts it", None),
            Ok(status) => {
                let advice = "start origin and edge with the same `edge_secret`";
                self.note("edge credential", State::Bad, format!("the origin answers {status}"), Some(advice));
            }
            Err(error) => self.note("edge credential", State::Bad, format!("{error:#}"), None),
        }
        Ok(())
    }

    fn clock(&mut self, check: &'static str, there: Option<u64>) {
        let here = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs());
        let (Some(there), Ok(here)) = (there, here) else {
            return self.note(check, State::Skipped, "it does not tell the time", None);
        };
        let skew = there.abs_diff(here);
        let detail = format!("differs from the one here by {skew} s");
        if skew <= SKEW {
            self.note(check, State::Good, detail, None);
        } else {
            self.note(check, State::Bad, detail, Some("let NTP set the clocks: tokens expire by them"));
        }
    }

    fn versions(&mut self, edge: Option<&str>, origin: Option<&str>) {
        let told = |version: Option<&str>| version.unwrap_or("not told").to_owned();
        let detail = format!("program {VERSION}, origin {}, edge {}", told(origin), told(edge));
        let same = [edge, origin].into_iter().flatten().all(|version| version == VERSION);
        if same && origin.is_some() {
            self.note("versions", State::Good, detail, None);
        } else {
            let advice = "bring all to one version, the origin first: edges understand older heads and pages";
            self.note("versions", State::Warning, detail, Some(advice));
        }
    }
}

/// When the origin made a token, in seconds since the epoch: its expiry less its life.
fn issued_at(login: &Value) -> Option<u64> {
    let payload = login["token"].as_str()?.split('.').next()?;
    let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    payload["exp"].as_u64()?.checked_sub(login["expiresIn"].as_u64()?)
}

/// Seconds since the epoch of an HTTP date (RFC 9110 section 5.6.7).
fn http_date(text: &str) -> Option<u64> {
    Some(httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs())
}
