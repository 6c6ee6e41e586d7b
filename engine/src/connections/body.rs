//! JSON bodies of the management API, read field by field so that an error can name the field.

use serde_json::{Map, Value};

use crate::connections::error::ApiError;
use crate::http::Request;
use crate::json;

/// The JSON a client sent.
///
/// # Errors
/// 400 when it is none, or gives a name twice.
pub fn json(request: &Request) -> Result<Value, ApiError> {
    json::read(&request.body).map_err(|error| {
        let ambiguous = format!("the body is ambiguous: {error}");
        ApiError::malformed(if error.is_data() { &ambiguous } else { "the body is not json" })
    })
}

/// A JSON object a client sent. Fields nobody asks for are left alone: real clients send more than the contract.
#[derive(Debug, Default)]
pub struct Body(Map<String, Value>);

impl Body {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// 400 when it is not a JSON object.
    pub fn parse(request: &Request) -> Result<Self, ApiError> {
        Self::of(json(request)?)
    }

    /// Reads the body of a request that may come without one.
    ///
    /// # Errors
    /// 400 when there is one and it is not a JSON object.
    pub fn parse_optional(request: &Request) -> Result<Self, ApiError> {
        if request.body.iter().all(u8::is_ascii_whitespace) { Ok(Self::default()) } else { Self::parse(request) }
    }

    /// Takes a JSON value for a body.
    ///
    /// # Errors
    /// 400 when it is not an object.
    pub fn of(value: Value) -> Result<Self, ApiError> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            _ => Err(ApiError::malformed("the body must be a json object")),
        }
    }

    /// A field, where null counts as absent.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text that may be absent; empty and blank count as absent, for real clients send empty fields.
    ///
    /// # Errors
    /// 400 when it is not a text, is longer than 256 bytes or holds control characters.
    pub fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let Some(value) = self.field(name) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| ApiError::invalid(name, "must be a text"))?.trim();
        if text.len() > 256 {
            return Err(ApiError::invalid(name, "is longer than 256 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(ApiError::invalid(name, "must not hold control characters"));
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// 400 when it is absent, empty, or as for [`Body::text`].
    pub fn required_text(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name)?.ok_or_else(|| ApiError::invalid(name, "is required"))
    }

    /// A text that must be there, taken as it is: a secret is not a name.
    ///
    /// # Errors
    /// 400 when it is absent or not a text.
    pub fn verbatim(&self, name: &str) -> Result<&str, ApiError> {
        let value = self.field(name).ok_or_else(|| ApiError::invalid(name, "is required"))?;
        value.as_str().ok_or_else(|| ApiError::invalid(name, "must be a text"))
    }

    /// A truth value that may be absent.
    ///
    /// # Errors
    /// 400 when it is something else.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let Some(value) = self.field(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| ApiError::invalid(name, "must be true or false"))
    }

    /// A list of texts that may be absent.
    ///
    /// # Errors
    /// 400 when it is something else, or has more than 64 entries.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<&str>>, ApiError> {
        let Some(value) = self.field(name) else { return Ok(None) };
        let texts = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        let texts = texts.ok_or_else(|| ApiError::invalid(name, "must be a list of texts"))?;
        if texts.len() > 64 { Err(ApiError::invalid(name, "has more than 64 entries")) } else { Ok(Some(texts)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_says_one_thing_twice_is_refused_by_name() {
        let why = |body: &str| {
            let request = Request { body: body.into(), ..Request::default() };
            let response = Body::parse(&request).unwrap_err().response();
            assert_eq!(response.status, 400, "{body}");
            String::from_utf8(response.body).unwrap()
        };
        assert!(why(r#"{"source":"okta","source":"azure-ad"}"#).contains("`source` is given twice"));
        assert!(why(r#"{"source":"#).contains("not json"));
        assert!(why("[]").contains("must be a json object"));
    }
}
