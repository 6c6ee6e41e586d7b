//! Conditional requests: `If-Match` and `If-None-Match` (RFC 7644 section 3.14, RFC 9110 section 13).

use crate::error::{Kind, ScimError};
use crate::http::Request;

/// What a request says about the version it expects.
#[derive(Debug, Default)]
pub struct Conditions {
    if_match: Option<String>,
    if_none_match: Option<String>,
}

impl Conditions {
    /// From the headers of a request.
    pub fn of(request: &Request) -> Self {
        let header = |name| request.header(name).map(str::to_owned);
        Self { if_match: header("if-match"), if_none_match: header("if-none-match") }
    }

    /// From the `version` of a Bulk operation (RFC 7644 section 3.7).
    pub fn version(version: Option<&str>) -> Self {
        Self { if_match: version.map(str::to_owned), if_none_match: None }
    }

    /// Whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    /// Refuses a write whose conditions do not hold for the current version.
    pub fn check(&self, version: &str) -> Result<(), ScimError> {
        let fails = |tags: &Option<String>, wanted| tags.as_ref().is_some_and(|tags| names(tags, version) != wanted);
        if fails(&self.if_match, true) || fails(&self.if_none_match, false) {
            return Err(ScimError::new(Kind::PreconditionFailed, format!("the current version is `{version}`")));
        }
        Ok(())
    }

    /// Whether a read may be answered 304.
    pub fn unchanged(&self, version: &str) -> bool {
        self.if_none_match.as_ref().is_some_and(|tags| names(tags, version))
    }
}

/// Whether a list of entity tags names a version, by weak comparison: every version of ours is weak.
fn names(tags: &str, version: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    let version = opaque(version);
    tags.split(',').any(|tag| tag.trim() == "*" || opaque(tag) == version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        for tags in ["*", "W/\"7\"", "\"7\"", "\"1\", W/\"7\"", "7"] {
            assert!(names(tags, "W/\"7\""), "{tags}");
        }
        assert!(!names("W/\"8\", \"77\"", "W/\"7\""));
    }
}
