//! One SCIM exchange as operators see it: metrics, fields for the access log, a line at debug level.
//!
//! All of them hold words of this filter, the connection's id and numbers: nothing of tokens, names or resources.

use scim_engine::http::Response;
use scim_engine::scim::Route;
use scim_engine::store::DirectoryId;

use crate::host;
use crate::metrics::{self, Metric};

/// A request and what has become of it so far.
pub struct Exchange {
    connection: DirectoryId,
    operation: &'static str,
    began: u64,
    /// Whether Envoy knows what is asked.
    told: bool,
    /// Status of the answer, once there is one.
    status: Option<u16>,
    /// Whether it is known which error of SCIM it is.
    explained: bool,
}

impl Exchange {
    /// A request's head arrived at `now`.
    pub fn begin(route: Route, method: &str, now: u64) -> Self {
        let operation = metrics::operation(method, &route.endpoint);
        Self { connection: route.connection, operation, began: now, told: false, status: None, explained: false }
    }

    /// Tells Envoy what is asked, if it does not know: to be called before anybody else sees the request.
    pub fn tell(&mut self) {
        if !std::mem::replace(&mut self.told, true) {
            host::tell("scim_connection", self.connection.as_str());
            host::tell("scim_operation", self.operation);
        }
    }

    /// This edge answers at `now`, with this.
    pub fn answer(&mut self, response: &Response, now: u64) {
        self.answered(response.status, "edge", now);
        if response.status >= 400 {
            self.explained(&response.body);
        }
    }

    /// Whether it has its answer.
    pub fn is_answered(&self) -> bool {
        self.status.is_some()
    }

    /// The answer's head leaves at `now`, made by the `edge` or the `origin`.
    pub fn answered(&mut self, status: u16, answered_by: &'static str, now: u64) {
        self.status = Some(status);
        self.tell();
        let outcome = metrics::outcome(status);
        host::tell("scim_outcome", outcome);
        self.count(outcome, answered_by, now);
    }

    /// Whether the answer is an error nobody has explained.
    pub fn is_unexplained(&self) -> bool {
        !self.explained && self.status.is_some_and(|status| status >= 400)
    }

    /// The body of a refusal leaves: it says which error of SCIM it is (RFC 7644 section 3.12).
    pub fn explained(&mut self, body: &[u8]) {
        self.explained = true;
        if let Some(scim_type) = scim_type(body) {
            host::tell("scim_type", scim_type);
        }
    }

    /// The stream ends; without an answer, the client has left.
    pub fn ended(&self) {
        if !self.is_answered() {
            self.count("abandoned", "nobody", host::now());
        }
    }

    fn count(&self, outcome: &'static str, answered_by: &'static str, now: u64) {
        let operation = self.operation;
        log::debug!("connection {}: {operation} {outcome}, answered by {answered_by}", self.connection.as_str());
        host::measure(Metric::Requests { operation, outcome, answered_by }, 1);
        host::measure(Metric::RequestDuration { operation, outcome }, now.saturating_sub(self.began));
    }
}

/// The `scimType` of an error body. Every error names it before the detail, which may repeat what a client sent.
fn scim_type(body: &[u8]) -> Option<&str> {
    let start = b"\"scimType\":\"";
    let at = body.windows(start.len()).position(|window| window == start)?;
    let rest = body.get(at + start.len()..)?;
    let word = rest.get(..rest.iter().position(|byte| *byte == b'"')?)?;
    let is_word = (1..=32).contains(&word.len()) && word.iter().all(u8::is_ascii_alphabetic);
    std::str::from_utf8(word).ok().filter(|_| is_word)
}

#[cfg(test)]
mod tests {
    use scim_engine::error::{Kind, ScimError};

    use super::*;

    #[test]
    fn the_scim_type_is_that_of_the_error_and_never_one_a_client_sent() {
        let body = |kind, detail: &str| ScimError::new(kind, detail).response().body;
        assert_eq!(scim_type(&body(Kind::Uniqueness, "taken")), Some("uniqueness"));
        assert_eq!(scim_type(&body(Kind::InvalidFilter, r#""scimType":"ada""#)), Some("invalidFilter"));
        assert_eq!(scim_type(&body(Kind::NotFound, r#"x","scimType":"ada""#)), None);
        for body in [r#""scimType":"ada@example.com""#, r#""scimType":""#, r#""scimType":"""#, "", "\u{0}"] {
            assert_eq!(scim_type(body.as_bytes()), None, "{body}");
        }
    }
}
