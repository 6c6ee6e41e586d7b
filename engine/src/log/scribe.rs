//! Writing down what a request does, operation by operation.

use serde_json::Value;

use super::Entry;
use super::redact;
use crate::env::Env;
use crate::http::{Request, Response};
use crate::schema::Registry;
use crate::scim::Endpoint;

/// Names of unknown attributes one entry holds.
const MOST_NAMES: usize = 16;

/// Takes notes during one request.
pub struct Scribe<'a> {
    request: &'a Request,
    registry: &'a Registry,
    common: Entry,
    unknown: Vec<String>,
    normalised: Vec<&'static str>,
    entries: Vec<Entry>,
}

impl<'a> Scribe<'a> {
    /// A scribe without notes. Names the registry knows are not personal data.
    pub fn new(request: &'a Request, registry: &'a Registry, env: &Env<'_>) -> Self {
        let common = Entry::of(request, env);
        Self { request, registry, common, unknown: Vec::new(), normalised: Vec::new(), entries: Vec::new() }
    }

    /// Notes how the body of the operation at hand was read.
    pub fn read(&mut self, unknown: Vec<String>, normalised: Vec<&'static str>) {
        self.unknown.extend(unknown);
        self.normalised.extend(normalised);
    }

    /// The operation at hand is done; `bulk` is its number in a Bulk request.
    pub fn done(&mut self, operation: String, resource: &str, status: u16, bulk: Option<usize>) {
        let mut unknown: Vec<String> = self.unknown.drain(..).map(|name| redact::name(&name)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown.truncate(MOST_NAMES);
        let normalised = self.normalised.drain(..).map(str::to_owned).collect();
        self.entries.push(Entry {
            operation,
            resource: Some(resource.to_owned()).filter(|id| redact::is_id(id)),
            status,
            unknown,
            normalised,
            bulk,
            ..self.common.clone()
        });
    }

    /// The operation at hand is refused.
    pub fn refused(&mut self, operation: String, resource: &str, response: &Response, bulk: Option<usize>) {
        self.unknown.clear();
        self.normalised.clear();
        self.done(operation, resource, response.status, bulk);
        let (scim_type, reason) = why(response, self.registry, self.request);
        if let Some(entry) = self.entries.last_mut() {
            (entry.scim_type, entry.reason) = (scim_type, reason);
        }
    }

    /// How many entries there are.
    pub fn noted(&self) -> usize {
        self.entries.len()
    }

    /// Drops the entries after the first `noted`: their operations run again.
    pub fn forget(&mut self, noted: usize) {
        self.entries.truncate(noted);
    }

    /// What was done after the first `noted` entries is taken back, and each of those operations refused like this.
    pub fn take_back(&mut self, noted: usize, response: &Response) {
        let (scim_type, reason) = why(response, self.registry, self.request);
        for entry in self.entries.iter_mut().skip(noted).filter(|entry| entry.succeeded()) {
            *entry = Entry {
                operation: std::mem::take(&mut entry.operation),
                status: response.status,
                scim_type: scim_type.clone(),
                reason: reason.clone(),
                bulk: entry.bulk,
                ..self.common.clone()
            };
        }
    }

    /// The entries, in order.
    pub fn entries(self) -> Vec<Entry> {
        self.entries
    }
}

/// The `scimType` of a refusal, and its reason without values.
pub(crate) fn why(response: &Response, registry: &Registry, request: &Request) -> (Option<String>, Option<String>) {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let reason = text("detail").map(|detail| redact::reason(detail, registry, request));
    (text("scimType").map(str::to_owned), reason)
}

/// Names an operation by its method and what it is for.
///
/// ```
/// use scim_engine::{log::operation, scim::Endpoint};
/// assert_eq!(operation("PATCH", &Endpoint::parse("/Users/17")), "PATCH User");
/// assert_eq!(operation("POST", &Endpoint::parse("/Users/.search")), "POST User/.search");
/// assert_eq!(operation("BREW", &Endpoint::parse("/Coffee")), "other unknown");
/// ```
pub fn operation(method: &str, endpoint: &Endpoint) -> String {
    const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
    let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
    let (object, suffix) = match endpoint {
        Endpoint::Root => ("all", ""),
        Endpoint::Collection(kind) | Endpoint::Resource(kind, _) => (kind.name(), ""),
        Endpoint::Search(Some(kind)) => (kind.name(), "/.search"),
        Endpoint::Search(None) => ("all", "/.search"),
        Endpoint::Me => ("Me", ""),
        Endpoint::Bulk => ("Bulk", ""),
        Endpoint::ServiceProviderConfig => ("ServiceProviderConfig", ""),
        Endpoint::ResourceTypes(_) => ("ResourceType", ""),
        Endpoint::Schemas(_) => ("Schema", ""),
        Endpoint::Unknown => ("unknown", ""),
    };
    format!("{method} {object}{suffix}")
}
