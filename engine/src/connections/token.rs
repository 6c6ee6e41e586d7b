//! Connection tokens: made, hashed and checked.

use crate::connections::record::{Record, Token};
use crate::env::Env;
use crate::error::ScimError;
use crate::http::Request;

/// Finds the token a SCIM request presents among those of a connection; `record` is `None` for an unknown
/// connection, which costs the same time and gives the same 401.
///
/// Exactly one `Authorization: Bearer` header of at most 512 bytes is required (RFC 6750 section 2.1).
#[allow(unused_variables, clippy::todo, clippy::missing_errors_doc)]
pub fn authenticate<'r>(request: &Request, record: Option<&'r Record>, env: &Env<'_>) -> Result<&'r Token, ScimError> {
    todo!()
}
