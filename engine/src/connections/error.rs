//! A refused management request and its way to HTTP.

use serde_json::{Value, json};

use crate::error::SCIM_JSON;
use crate::http::Response;
use crate::store::Fault;

/// Media type of every management answer.
pub const JSON: &str = "application/json";

/// A refused management request.
///
/// ```
/// use scim_engine::connections::error::ApiError;
/// let response = ApiError::invalid("source", "must be a text").response();
/// assert_eq!(response.status, 400);
/// assert_eq!(
///     String::from_utf8(response.body).unwrap(),
///     r#"{"errors":["`source` must be a text"],"statusCode":400,"message":"`source` must be a text"}"#
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: u16,
    errors: Vec<String>,
    header: Option<(&'static str, String)>,
}

impl ApiError {
    fn new(status: u16, error: impl Into<String>) -> Self {
        Self { status, errors: vec![error.into()], header: None }
    }

    /// 400 for a field of the body, the query or the header.
    pub fn invalid(field: &str, why: &str) -> Self {
        Self::new(400, format!("`{field}` {why}"))
    }

    /// 400 for a request that is wrong as a whole.
    pub fn malformed(why: &str) -> Self {
        Self::new(400, why)
    }

    /// 401; the same for every reason.
    pub fn unauthorized() -> Self {
        let challenge = ("www-authenticate", "Bearer".to_owned());
        Self { header: Some(challenge), ..Self::new(401, "the credential is missing or not valid") }
    }

    /// 403
    pub fn forbidden(why: &str) -> Self {
        Self::new(403, why)
    }

    /// 404
    pub fn not_found(what: &str) -> Self {
        Self::new(404, format!("no such {what}"))
    }

    /// 405 with the methods that would do.
    pub fn method_not_allowed(allow: String) -> Self {
        Self { header: Some(("allow", allow)), ..Self::new(405, "the method is not allowed here") }
    }

    /// 409
    pub fn conflict(field: &str, why: &str) -> Self {
        Self::new(409, format!("`{field}` {why}"))
    }

    /// The HTTP answer.
    pub fn response(&self) -> Response {
        let message = self.errors.join(", ");
        let body = json!({ "errors": self.errors, "statusCode": self.status, "message": message });
        let response = Response::json(self.status, JSON, &body).with("cache-control", "no-store");
        match &self.header {
            Some((name, value)) => response.with(name, value.clone()),
            None => response,
        }
    }
}

/// An answer in the form of this API. What a host refuses by itself, for the store is away or a body too large, it
/// refuses in SCIM's form.
pub fn in_form(response: Response) -> Response {
    if response.header("content-type") != Some(SCIM_JSON) {
        return response;
    }
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let detail = body.get("detail").and_then(Value::as_str).unwrap_or("the request failed");
    let retry = response.header("retry-after").map(|seconds| ("retry-after", seconds.to_owned()));
    ApiError { header: retry, ..ApiError::new(response.status, detail) }.response()
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        Self::Refused(error.response())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Kind, ScimError};

    #[test]
    fn a_refusal_of_the_host_is_put_into_the_form_of_the_api() {
        let response = in_form(ScimError::new(Kind::Unavailable, "try again").response());
        assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
        assert_eq!(response.header("content-type"), Some(JSON));
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(body, json!({ "errors": ["try again"], "statusCode": 503, "message": "try again" }));
        let own = ApiError::not_found("role").response();
        assert_eq!(in_form(own.clone()), own);
    }
}
