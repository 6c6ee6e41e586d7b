//! Where a forwarded request comes from. The origin sees the address of an edge; so the edge says its client's, and
//! proves with its credential that it is an edge.
//!
//! ```text
//! x-scim-client: ADDRESS TIME PROOF
//! ```
//!
//! ADDRESS is `unknown` when the edge cannot tell (the word of RFC 7239 section 6.2), TIME counts milliseconds since the
//! epoch, PROOF is the HMAC-SHA-256 of both and of the request's `Authorization`, keyed with the edge credential. So the
//! credential itself does not travel with clients' requests, and a header that somebody finds in a log is good for one
//! token and a few minutes.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::env::{Config, Timestamp};
use crate::http::Request;

/// The header in which an edge says where its client is.
pub const CLIENT_HEADER: &str = "x-scim-client";

const UNKNOWN: &str = "unknown";

/// Milliseconds by which the clocks of an edge and its origin may differ, the way of the request included.
const TOLERANCE: u64 = 5 * 60_000;

/// What an edge says of the client of a request that it forwards; `None` for a credential that can be none.
pub fn introduce(request: &Request, credential: &str, now: Timestamp) -> Option<String> {
    let address = request.source.map_or_else(|| UNKNOWN.to_owned(), |source| source.to_string());
    let claim = format!("{address} {}", now.0);
    let proof = signer(&claim, request, credential)?.finalize().into_bytes();
    Some(format!("{claim} {}", URL_SAFE_NO_PAD.encode(proof)))
}

/// Puts the client an edge has introduced in the place of the edge. The header is taken away in any case: what proves
/// nothing says nothing.
pub fn recognise(request: &mut Request, now: Timestamp, config: &Config) {
    let values: Vec<_> = request.headers.extract_if(.., |(name, _)| name == CLIENT_HEADER).collect();
    let [(_, value)] = values.as_slice() else { return };
    let credential = config.edge_secret.as_deref().unwrap_or_default();
    if let Some(source) = std::str::from_utf8(value).ok().and_then(|value| proven(value, request, credential, now)) {
        request.source = source;
    }
}

/// The address of a header that an edge made; the inner `None` is one the edge could not tell.
fn proven(value: &str, request: &Request, credential: &str, now: Timestamp) -> Option<Option<IpAddr>> {
    let (claim, proof) = value.rsplit_once(' ')?;
    let (address, time) = claim.split_once(' ')?;
    let proof = URL_SAFE_NO_PAD.decode(proof).ok()?;
    signer(claim, request, credential)?.verify_slice(&proof).ok()?;
    let fresh = time.parse().is_ok_and(|time: u64| now.0.abs_diff(time) <= TOLERANCE);
    if !fresh {
        return None;
    }
    if address == UNKNOWN { Some(None) } else { address.parse().ok().map(Some) }
}

/// Without a credential nobody proves anything.
fn signer(claim: &str, request: &Request, credential: &str) -> Option<Hmac<Sha256>> {
    let mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(credential.as_bytes()).ok().filter(|_| !credential.is_empty())?;
    let mac = mac.chain_update(b"client\n").chain_update(claim).chain_update(b"\n");
    Some(request.header_values("authorization").fold(mac, |mac, value| mac.chain_update(value).chain_update(b"\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);
    const EDGE: &str = "10.0.0.5";

    fn request(source: Option<&str>, token: &str) -> Request {
        Request {
            headers: vec![("authorization".into(), format!("Bearer {token}").into_bytes())],
            source: source.map(|source| source.parse().unwrap()),
            ..Request::default()
        }
    }

    /// The source of a request that reaches the origin from an edge with these headers of that name.
    fn seen(headers: &[&str], token: &str, secret: Option<&str>, now: Timestamp) -> Option<String> {
        let mut request = request(Some(EDGE), token);
        request.headers.extend(headers.iter().map(|value| (CLIENT_HEADER.to_owned(), value.as_bytes().to_vec())));
        recognise(&mut request, now, &Config { edge_secret: secret.map(str::to_owned), ..Config::default() });
        assert!(request.header(CLIENT_HEADER).is_none());
        assert!(request.header("authorization").is_some());
        request.source.map(|source| source.to_string())
    }

    #[test]
    fn the_origin_sees_the_client_an_edge_introduces() {
        for (source, expected) in
            [(Some("203.0.113.7"), Some("203.0.113.7")), (Some("2001:db8::1"), Some("2001:db8::1")), (None, None)]
        {
            let introduced = introduce(&request(source, "t"), "secret", NOW).unwrap();
            for now in [NOW, Timestamp(NOW.0 + TOLERANCE), Timestamp(NOW.0 - TOLERANCE)] {
                assert_eq!(seen(&[&introduced], "t", Some("secret"), now).as_deref(), expected);
            }
        }
    }

    #[test]
    fn what_proves_nothing_says_nothing() {
        let right = introduce(&request(Some("203.0.113.7"), "t"), "secret", NOW).unwrap();
        let check = |headers: &[&str], token: &str, secret: Option<&str>, now: u64| {
            assert_eq!(seen(headers, token, secret, Timestamp(now)).as_deref(), Some(EDGE), "{headers:?}");
        };
        check(&[], "t", Some("secret"), NOW.0);
        check(&[&right], "another", Some("secret"), NOW.0);
        check(&[&right], "t", Some("another"), NOW.0);
        check(&[&right], "t", None, NOW.0);
        check(&[&right], "t", Some(""), NOW.0);
        check(&[&right, &right], "t", Some("secret"), NOW.0);
        check(&[&right], "t", Some("secret"), NOW.0 + TOLERANCE + 1);
        check(&[&right], "t", Some("secret"), NOW.0 - TOLERANCE - 1);
        check(&[&right.replace("203.0.113.7", "203.0.113.8")], "t", Some("secret"), NOW.0);
        check(&[&right.replace("203.0.113.7", "unknown")], "t", Some("secret"), NOW.0);
        for wrong in ["", " ", "  ", "203.0.113.7", "203.0.113.7 1800000000000 ", "unknown 1800000000000 AAAA"] {
            check(&[wrong], "t", Some("secret"), NOW.0);
        }
        assert_eq!(introduce(&request(None, "t"), "", NOW), None);
    }
}
