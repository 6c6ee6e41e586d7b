//! The `Authorization: Bearer` header (RFC 6750 section 2.1).

use crate::http::Request;

/// The bearer token of a request with exactly one `Authorization` header of at most `limit` bytes.
///
/// The scheme is matched in any case (RFC 9110 section 11.1); the token must be in the form `b64token`.
pub fn token(request: &Request, limit: usize) -> Option<&str> {
    let mut values = request.header_values("authorization");
    let value = values.next()?;
    if values.next().is_some() || value.len() > limit {
        return None;
    }
    let (scheme, token) = std::str::from_utf8(value).ok()?.trim_end_matches(' ').split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && is_b64token(token)).then_some(token)
}

fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}
