//! The one SCIM error (RFC 7644 section 3.12) and its way to HTTP.

use std::fmt;

use serde_json::json;

use crate::http::Response;

/// Media type of every SCIM answer (RFC 7644 section 8.1).
pub const SCIM_JSON: &str = "application/scim+json";

/// The schema URI of an error body.
pub const ERROR_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// What went wrong; decides status and `scimType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 400 `invalidFilter`
    InvalidFilter,
    /// 400 `tooMany`
    TooMany,
    /// 409 `uniqueness`
    Uniqueness,
    /// 400 `mutability`
    Mutability,
    /// 400 `invalidSyntax`
    InvalidSyntax,
    /// 400 `invalidPath`
    InvalidPath,
    /// 400 `noTarget`
    NoTarget,
    /// 400 `invalidValue`
    InvalidValue,
    /// 400 `invalidVers`
    InvalidVersion,
    /// 403 `sensitive`
    Sensitive,
    /// 400 `invalidCursor` (RFC 9865)
    InvalidCursor,
    /// 400 `expiredCursor` (RFC 9865)
    ExpiredCursor,
    /// 400 `invalidCount` (RFC 9865)
    InvalidCount,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 409 without `scimType`
    Conflict,
    /// 412
    PreconditionFailed,
    /// 413
    TooLarge,
    /// 415
    UnsupportedMediaType,
    /// 429
    TooManyRequests,
    /// 500
    Internal,
    /// 501
    NotImplemented,
    /// 503
    Unavailable,
    /// 507 (RFC 4918 section 11.5)
    InsufficientStorage,
}

impl Kind {
    /// HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidFilter
            | Self::TooMany
            | Self::Mutability
            | Self::InvalidSyntax
            | Self::InvalidPath
            | Self::NoTarget
            | Self::InvalidValue
            | Self::InvalidVersion
            | Self::InvalidCursor
            | Self::ExpiredCursor
            | Self::InvalidCount => 400,
            Self::Unauthorized => 401,
            Self::Sensitive | Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Uniqueness | Self::Conflict => 409,
            Self::PreconditionFailed => 412,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::TooManyRequests => 429,
            Self::Internal => 500,
            Self::NotImplemented => 501,
            Self::Unavailable => 503,
            Self::InsufficientStorage => 507,
        }
    }

    /// `scimType`, where the RFCs define one.
    pub fn scim_type(self) -> Option<&'static str> {
        Some(match self {
            Self::InvalidFilter => "invalidFilter",
            Self::TooMany => "tooMany",
            Self::Uniqueness => "uniqueness",
            Self::Mutability => "mutability",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
            Self::InvalidVersion => "invalidVers",
            Self::Sensitive => "sensitive",
            Self::InvalidCursor => "invalidCursor",
            Self::ExpiredCursor => "expiredCursor",
            Self::InvalidCount => "invalidCount",
            _ => return None,
        })
    }
}

/// A refused SCIM request.
///
/// ```
/// use scim_engine::error::{Kind, ScimError};
/// let response = ScimError::new(Kind::Uniqueness, "`userName` is taken").response();
/// assert_eq!(response.status, 409);
/// assert_eq!(
///     String::from_utf8(response.body).unwrap(),
///     r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"409","scimType":"uniqueness","detail":"`userName` is taken"}"#
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScimError {
    /// What went wrong.
    pub kind: Kind,
    /// For people: lower case, no full stop, input in backticks, never a secret.
    pub detail: String,
}

impl ScimError {
    /// An error of that kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// The JSON body.
    pub fn body(&self) -> serde_json::Value {
        let mut body = json!({ "schemas": [ERROR_SCHEMA], "status": self.kind.status().to_string() });
        if let (Some(map), Some(scim_type)) = (body.as_object_mut(), self.kind.scim_type()) {
            map.insert("scimType".into(), scim_type.into());
        }
        if let Some(map) = body.as_object_mut() {
            map.insert("detail".into(), self.detail.clone().into());
        }
        body
    }

    /// The HTTP answer, with `WWW-Authenticate` on 401 (RFC 6750) and `Retry-After` where a retry helps.
    pub fn response(&self) -> Response {
        let response = Response::json(self.kind.status(), SCIM_JSON, &self.body());
        match self.kind {
            Kind::Unauthorized => response.with("www-authenticate", "Bearer"),
            Kind::Unavailable | Kind::TooManyRequests => response.with("retry-after", "1"),
            _ => response,
        }
    }
}

impl fmt::Display for ScimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for ScimError {}
