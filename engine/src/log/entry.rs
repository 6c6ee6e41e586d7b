//! One entry of the log.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::env::{Env, Timestamp};
use crate::http::Request;

/// What came of one operation. Absent fields take no room where it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    /// When the request arrived.
    pub time: Timestamp,
    /// HTTP method and what it was for, such as `POST User`; see [`operation`](super::operation).
    pub operation: String,
    /// Id of the resource, as far as it is one of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Status of the answer, or of the operation in the answer to a Bulk request.
    pub status: u16,
    /// `scimType` of a refusal (RFC 7644 section 3.12).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scim_type: Option<String>,
    /// Why it was refused, without values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Names of attributes left out because no schema knows them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// Forms of the identity provider that were brought to the RFC's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub normalised: Vec<String>,
    /// Which operation of a Bulk request it was, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bulk: Option<usize>,
    /// The request's `x-request-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Address of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// First word of the `user-agent`, without a version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Whether it is the last of its minute because too many came: later ones are missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub limited: bool,
}

impl Entry {
    /// What every entry of a request shares.
    pub fn of(request: &Request, env: &Env<'_>) -> Self {
        Self {
            time: env.now,
            request_id: request.header("x-request-id").filter(|id| is_request_id(id)).map(str::to_owned),
            source: request.source.map(|source| source.to_canonical().to_string()),
            client: request.header("user-agent").and_then(family),
            ..Self::default()
        }
    }

    /// Whether the operation was accepted.
    pub fn succeeded(&self) -> bool {
        self.status < 400
    }

    /// The form the API shows, with every field.
    pub fn describe(&self, id: &str) -> Value {
        json!({
            "id": id,
            "time": self.time.rfc3339(),
            "operation": self.operation,
            "resource": self.resource,
            "outcome": if self.succeeded() { "success" } else { "failure" },
            "status": self.status,
            "scimType": self.scim_type,
            "reason": self.reason,
            "unknown": self.unknown,
            "normalised": self.normalised,
            "bulk": self.bulk,
            "requestId": self.request_id,
            "source": self.source,
            "client": self.client,
            "limited": self.limited,
        })
    }
}

fn is_request_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(&b))
}

/// `Okta SCIM Client 1.0` is `Okta`, `python-requests/2.31` is `python-requests`.
fn family(agent: &str) -> Option<String> {
    let belongs = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let family: String = agent.chars().take_while(belongs).take(32).collect();
    Some(family).filter(|family| !family.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Config;

    #[test]
    fn what_a_client_says_about_itself_is_bounded_and_plain() {
        let config = Config::default();
        let env = Env::new(Timestamp(1), [0; 32], 0, &config);
        let check = |id: &str, agent: &str, expected: (Option<&str>, Option<&str>)| {
            let headers = vec![("x-request-id".into(), id.into()), ("user-agent".into(), agent.into())];
            let entry = Entry::of(&Request { headers, ..Request::default() }, &env);
            assert_eq!((entry.request_id.as_deref(), entry.client.as_deref()), expected, "{id} {agent}");
        };
        check("a-1:b", "Okta SCIM Client 1.0", (Some("a-1:b"), Some("Okta")));
        check("ann@example.com", "python-requests/2.31", (None, Some("python-requests")));
        check("", "", (None, None));
        check(&"x".repeat(129), &"y".repeat(99), (None, Some(&"y".repeat(32))));
        check("a b", "(compatible)", (None, None));
    }
}
