//! Answers given again: what one depends on, admission included. While none of it has changed, the request need not be
//! authenticated and answered once more.

use scim_engine::connections::record::Record;
use scim_engine::connections::token;
use scim_engine::env::Timestamp;
use scim_engine::http::Request;
use scim_engine::scim;
use scim_engine::store::Head;

/// Bytes of a key, about.
const KEY: usize = 256;

/// Everything the answer to a read depends on that comes at `now`; `None` for what may be no read.
///
/// The latest commit's nonce stands for the directory, its tokens included. What time does to these is told by how many
/// have ended; and where a client is matters only if the request says so, for it is not found out otherwise. No part of a
/// head holds a line feed, and of a token there is the digest only.
pub fn key(head: &Head, record: &Record, request: &Request, now: Timestamp) -> Option<Vec<u8>> {
    if !matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS") {
        return None;
    }
    let ended = record.tokens.iter().filter(|token| token.is_expired(now)).count();
    let mut key = Vec::with_capacity(KEY);
    key.extend_from_slice(head.recent().first()?);
    key.extend_from_slice(token::hash(request.header_values("authorization").next()?).as_bytes());
    key.push(u8::try_from(ended).ok()?);
    let mut put = |part: &[u8]| {
        key.extend_from_slice(part);
        key.push(b'\n');
    };
    put(request.method.as_bytes());
    put(request.target.as_bytes());
    for (name, value) in request.headers.iter().filter(|(name, _)| scim::VARY.contains(&name.as_str())) {
        put(name.as_bytes());
        put(value);
    }
    if let Some(source) = request.source {
        put(source.to_string().as_bytes());
    }
    Some(key)
}
