//! What is measured: requests, calls to the origin, and the caches.
//!
//! A name carries its labels, `scim_requests_total.operation.read_user.outcome.ok.answered_by.edge`, and the
//! `stats_tags` of `envoy/origin.yaml` make Prometheus labels of them. Labels are words of this module: nothing a
//! client sends becomes one, so the number of metrics is bounded.

use scim_engine::scim::Endpoint;
use scim_engine::scim::layout::Kind as Resource;

/// One counter or histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// SCIM requests that ended.
    Requests {
        /// What was asked for: [`operation`].
        operation: &'static str,
        /// What came of it: [`outcome`], or `abandoned` when the client left first.
        outcome: &'static str,
        /// `edge` or `origin`.
        answered_by: &'static str,
    },
    /// Decisions about users of an application.
    Decisions {
        /// What was decided.
        outcome: &'static str,
    },
    /// Microseconds from a request's head to its answer's.
    RequestDuration {
        /// As above.
        operation: &'static str,
        /// As above.
        outcome: &'static str,
    },
    /// Calls to the origin that ended.
    Calls {
        /// `heads`, `pages` or `refusals`.
        call: &'static str,
        /// What came of it: [`outcome`], or `unanswered`.
        result: &'static str,
    },
    /// Microseconds a call took.
    CallDuration {
        /// As above.
        call: &'static str,
    },
    /// Looks at a cache on behalf of a request.
    Lookups {
        /// `heads` or `pages`: whether a head was fresh, and whether a read found all its pages.
        cache: &'static str,
        /// `hit` or `miss`.
        result: &'static str,
    },
    /// Answers from a head the origin had not confirmed in time.
    StaleAnswers,
    /// Milliseconds since the origin confirmed the head an answer was made from; the greatest of a second.
    AnswerAge,
}

impl Metric {
    /// Its name in Envoy, after `wasmcustom.`
    pub fn name(self) -> String {
        match self {
            Self::Requests { operation, outcome, answered_by } => {
                format!("scim_requests_total.operation.{operation}.outcome.{outcome}.answered_by.{answered_by}")
            }
            Self::Decisions { outcome } => format!("scim_decisions_total.outcome.{outcome}"),
            Self::RequestDuration { operation, outcome } => {
                format!("scim_request_duration_us.operation.{operation}.outcome.{outcome}")
            }
            Self::Calls { call, result } => format!("scim_origin_calls_total.call.{call}.result.{result}"),
            Self::CallDuration { call } => format!("scim_origin_call_duration_us.call.{call}"),
            Self::Lookups { cache, result } => format!("scim_cache_lookups_total.cache.{cache}.result.{result}"),
            Self::StaleAnswers => "scim_stale_answers_total".to_owned(),
            Self::AnswerAge => "scim_answer_age_ms".to_owned(),
        }
    }

    /// Whether it is a histogram, of samples; a counter adds up.
    pub fn is_histogram(self) -> bool {
        matches!(self, Self::RequestDuration { .. } | Self::CallDuration { .. } | Self::AnswerAge)
    }

    /// How a value and the next one become one; `None` where each is a sample of its own.
    pub fn gather(self) -> Option<fn(u64, u64) -> u64> {
        match self {
            Self::RequestDuration { .. } | Self::CallDuration { .. } => None,
            Self::AnswerAge => Some(u64::max),
            _ => Some(u64::saturating_add),
        }
    }
}

/// What a request asks for.
pub fn operation(method: &str, endpoint: &Endpoint) -> &'static str {
    match (method, endpoint) {
        ("POST", Endpoint::Collection(Resource::User)) => "create_user",
        ("POST", Endpoint::Collection(Resource::Group)) => "create_group",
        ("GET" | "HEAD", Endpoint::Collection(Resource::User)) => "list_users",
        ("GET" | "HEAD", Endpoint::Collection(Resource::Group)) => "list_groups",
        ("GET" | "HEAD", Endpoint::Resource(Resource::User, _)) => "read_user",
        ("GET" | "HEAD", Endpoint::Resource(Resource::Group, _)) => "read_group",
        ("PUT", Endpoint::Resource(Resource::User, _)) => "replace_user",
        ("PUT", Endpoint::Resource(Resource::Group, _)) => "replace_group",
        ("PATCH", Endpoint::Resource(Resource::User, _)) => "patch_user",
        ("PATCH", Endpoint::Resource(Resource::Group, _)) => "patch_group",
        ("DELETE", Endpoint::Resource(Resource::User, _)) => "delete_user",
        ("DELETE", Endpoint::Resource(Resource::Group, _)) => "delete_group",
        ("POST", Endpoint::Search(_)) | ("GET" | "HEAD", Endpoint::Root) => "search",
        ("POST", Endpoint::Bulk) => "bulk",
        ("GET" | "HEAD", Endpoint::ServiceProviderConfig | Endpoint::ResourceTypes(_) | Endpoint::Schemas(_)) => {
            "discovery"
        }
        _ => "other",
    }
}

/// What a status means.
pub fn outcome(status: u16) -> &'static str {
    match status {
        ..400 => "ok",
        400 => "invalid",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        405 | 415 | 501 => "unsupported",
        409 => "conflict",
        412 => "precondition_failed",
        413 => "too_large",
        429 => "limited",
        503 | 504 => "unavailable",
        500.. => "failed",
        _ => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_labels() {
        let metric = Metric::Requests { operation: "read_user", outcome: "ok", answered_by: "edge" };
        assert_eq!(metric.name(), "scim_requests_total.operation.read_user.outcome.ok.answered_by.edge");
        assert!(!metric.is_histogram() && Metric::AnswerAge.is_histogram());
    }

    #[test]
    fn every_name_and_every_label_is_in_the_walkthrough() {
        let readme = include_str!("../../envoy/README.md");
        let stats_tags = include_str!("../../envoy/origin.yaml");
        let (operation, outcome, answered_by, call, cache, result) = ("o", "o", "o", "o", "o", "o");
        for metric in [
            Metric::Requests { operation, outcome, answered_by },
            Metric::Decisions { outcome },
            Metric::RequestDuration { operation, outcome },
            Metric::Calls { call, result },
            Metric::CallDuration { call },
            Metric::Lookups { cache, result },
            Metric::StaleAnswers,
            Metric::AnswerAge,
        ] {
            let name = metric.name();
            let mut parts = name.split('.');
            let row = format!("| `{}` |", parts.next().unwrap());
            let row = readme.lines().find(|line| line.starts_with(&row)).expect(&row);
            for label in parts.step_by(2) {
                assert!(row.contains(&format!("`{label}`")), "{row} lacks {label}");
                assert!(stats_tags.contains(&format!("tag_name: {label}, ")), "no tag for {label}");
            }
        }
        let paths = ["", "/Users", "/Groups", "/Users/1", "/Groups/1", "/.search", "/Bulk", "/Me", "/Schemas", "/x"];
        let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let operations = methods.iter().flat_map(|m| paths.iter().map(|p| super::operation(m, &Endpoint::parse(p))));
        for word in operations.chain((200..600).map(super::outcome)) {
            assert!(readme.contains(&format!("`{word}`")), "{word}");
        }
    }

    #[test]
    fn what_a_client_makes_up_is_other() {
        let check = |method: &str, path: &str, expected| {
            assert_eq!(operation(method, &Endpoint::parse(path)), expected, "{method} {path}");
        };
        check("GET", "/Users/ada@example.com", "read_user");
        check("HEAD", "/Groups", "list_groups");
        check("PATCH", "/Groups/1", "patch_group");
        check("POST", "/Groups/.search", "search");
        check("GET", "/Schemas/urn:x", "discovery");
        check("POST", "/Bulk", "bulk");
        check("BREW", "/Users", "other");
        check("GET", "/ada@example.com", "other");
        check("DELETE", "/Users", "other");
    }
}
