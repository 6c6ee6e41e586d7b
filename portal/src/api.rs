//! Requests of the management API and reads of a directory, made on behalf of a page.

use scim_engine::connections::connection::{Connection, Counts};
use scim_engine::connections::{self, caller::Rights};
use scim_engine::env::Env;
use scim_engine::http::{Request, Response};
use scim_engine::log::tally::Hour;
use scim_engine::scim;
use scim_engine::scim::layout::{self, Kind};
use scim_engine::store::{DirectoryId, Fault, Need, Outcome, View};
use serde_json::Value;

use crate::form::Problem;

/// Path of the connections' API.
pub const SCIM2: &str = "/directory/resources/v1/configurations/scim2";
/// Path of the self-service toggle.
pub const SELF_SERVICE: &str = "/directory/resources/v1/configurations/self-service";
/// Path of the roles.
pub const ROLES: &str = "/identity/resources/roles/v1";

/// The management API as one session may use it.
pub struct Api<'a> {
    request: &'a Request,
    view: &'a View<'a>,
    env: &'a Env<'a>,
    credential: &'a str,
}

impl<'a> Api<'a> {
    /// The API with a session's credential.
    pub fn new(request: &'a Request, view: &'a View<'a>, env: &'a Env<'a>, credential: &'a str) -> Self {
        Self { request, view, env, credential }
    }

    /// What the credential is good for.
    ///
    /// # Errors
    /// 401, or what has to be loaded first.
    pub fn rights(&self) -> Result<Rights, Fault> {
        connections::rights(&self.of("GET", "/", None), self.view, self.env)
    }

    /// Reads.
    ///
    /// # Errors
    /// A refusal, or what has to be loaded first.
    pub fn get(&self, target: &str) -> Result<Value, Fault> {
        self.page(target).map(|(page, _)| page)
    }

    /// Reads a page of a list; with it the cursor of the next one, if there is one.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn page(&self, target: &str) -> Result<(Value, Option<String>), Fault> {
        let response = connections::handle(&self.of("GET", target, None), self.view, self.env)?.response;
        Ok((parse(&response)?, response.header("x-next-cursor").map(str::to_owned)))
    }

    /// Accounts with connections, after that one, at most `limit`, each with how many it has.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn accounts(&self, after: Option<&str>, limit: usize) -> Result<Vec<(String, u64)>, Fault> {
        connections::accounts(&self.of("GET", "/", None), self.view, self.env, after, limit)
    }

    /// How many connections all accounts have together.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub fn connections(&self) -> Result<u64, Fault> {
        connections::count(&self.of("GET", "/", None), self.view, self.env)
    }

    /// Changes something; what is wrong with the form comes back as a value.
    ///
    /// # Errors
    /// A refusal that no other input would avoid, or what has to be loaded first.
    pub fn send(&self, method: &str, target: &str, body: &Value) -> Result<Result<Outcome, Problem>, Fault> {
        match connections::handle(&self.of(method, target, Some(body)), self.view, self.env) {
            Ok(outcome) if outcome.response.status >= 400 => Ok(Err(Problem::of(&outcome.response))),
            Ok(outcome) => Ok(Ok(outcome)),
            Err(Fault::Refused(response)) if matches!(response.status, 400 | 409) => Ok(Err(Problem::of(&response))),
            Err(fault) => Err(fault),
        }
    }

    /// Reads SCIM resources of a connection that [`Api::get`] has shown to be in reach.
    ///
    /// # Errors
    /// A refusal, or what has to be loaded first.
    pub fn browse(&self, id: &str, rest: &str) -> Result<Value, Fault> {
        let target = format!("/directory/resources/scim/v2.0/{id}/{rest}");
        parse(&scim::browse(&self.of("GET", &target, None), self.view, self.env)?)
    }

    /// How many users and groups such a connection holds.
    ///
    /// # Errors
    /// What has to be loaded first.
    pub fn counts(&self, id: &str) -> Result<Counts, Fault> {
        self.open(id)?.map_or_else(|| Ok(Counts::default()), |connection| connection.counts())
    }

    /// What such a connection has taken and refused in each of the last so many hours.
    ///
    /// # Errors
    /// What has to be loaded first.
    pub fn activity(&self, id: &str, hours: u64) -> Result<Vec<Hour>, Fault> {
        let Some(connection) = self.open(id)? else { return Ok(Vec::new()) };
        connections::activity(self.view, &connection, hours, self.env)
    }

    fn open(&self, id: &str) -> Result<Option<Connection<'a>>, Fault> {
        let Some(id) = DirectoryId::new(id) else { return Ok(None) };
        Connection::open(self.view, &id)
    }

    /// Some of a group's members, each with what is stored of it, and how many there are: a group may have more than
    /// a page could show.
    ///
    /// # Errors
    /// What has to be loaded first.
    pub fn members(&self, id: &str, group: &str, skip: u64, limit: usize) -> Result<(Vec<Member>, u64), Fault> {
        let Some(Connection { txn, .. }) = self.open(id)? else { return Ok((Vec::new(), 0)) };
        let prefix = layout::members(group);
        let range = layout::under(&prefix);
        let mut need = Need::default();
        let total = need.gather(txn.count(&range.start..&range.end))?;
        let entries = need.gather(txn.scan(&range.start..&range.end, skip, limit, false))?;
        need.settle()?;
        let named = entries.unwrap_or_default().into_iter().map(|(key, value)| {
            let group = json(&value).get("type").and_then(Value::as_str) == Some("Group");
            (layout::tail(&key, &prefix), if group { Kind::Group } else { Kind::User })
        });
        let named: Vec<_> = named.collect();
        let keys: Vec<_> = named.iter().map(|(id, kind)| layout::resource(*kind, id)).collect();
        let stored = txn.get_many(&keys)?;
        let member =
            |((id, kind), stored): (_, Option<Vec<u8>>)| Member { id, kind, stored: json(&stored.unwrap_or_default()) };
        Ok((named.into_iter().zip(stored).map(member).collect(), total.unwrap_or_default()))
    }

    fn of(&self, method: &str, target: &str, body: Option<&Value>) -> Request {
        let kept = ["host", "x-forwarded-proto", "x-forwarded-host", "x-request-id"];
        let kept = self.request.headers.iter().filter(|(name, _)| kept.contains(&name.as_str())).cloned();
        let bearer = ("authorization".to_owned(), format!("Bearer {}", self.credential).into_bytes());
        Request {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: kept.chain([bearer]).collect(),
            body: body.and_then(|body| serde_json::to_vec(body).ok()).unwrap_or_default(),
            source: self.request.source,
        }
    }
}

/// A member of a group.
pub struct Member {
    /// Its id.
    pub id: String,
    /// What it says it is.
    pub kind: Kind,
    /// The resource; null when there is none, for a member need not exist (RFC 7643 section 4.2).
    pub stored: Value,
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

fn parse(response: &Response) -> Result<Value, Fault> {
    if response.status >= 400 {
        return Err(Fault::Refused(response.clone()));
    }
    serde_json::from_slice(&response.body).map_err(|_| Fault::Damaged("an answer of the api".into()))
}

/// A text for a query or a path.
pub fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}
