//! Connection tokens: made, hashed and checked.
//!
//! A token is `scim_`, 32 random bytes in unpadded URL-safe base64, and the CRC-32 of all of that in the same
//! alphabet: 54 characters which secret scanners recognise, and can tell from a mistyped one, without a look-up.
//! Only its SHA-256 is ever stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::connections::bearer;
use crate::connections::cidr::Network;
use crate::connections::record::{MAX_TOKENS, Record, Token};
use crate::env::Env;
use crate::error::{Kind, ScimError};
use crate::http::Request;

/// How every token begins.
pub const PREFIX: &str = "scim_";

/// Longest `Authorization` header of a SCIM request, in bytes.
const HEADER_BYTES: usize = 512;

/// The text of a new token: shown once, never stored.
pub fn generate(env: &Env<'_>) -> String {
    let body = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(env.entropy()));
    let checksum = URL_SAFE_NO_PAD.encode(crc32fast::hash(body.as_bytes()).to_be_bytes());
    body + &checksum
}

/// Whether a text has the form of a token, checksum included.
pub fn well_formed(text: &str) -> bool {
    let Some((body, checksum)) = text.split_at_checked(PREFIX.len() + 43) else { return false };
    let Some(secret) = body.strip_prefix(PREFIX) else { return false };
    URL_SAFE_NO_PAD.decode(secret).is_ok_and(|bytes| bytes.len() == 32)
        && checksum == URL_SAFE_NO_PAD.encode(crc32fast::hash(body.as_bytes()).to_be_bytes())
}

/// What is stored of a token.
pub fn hash(text: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

/// Finds the token a SCIM request presents among those of a connection; `record` is `None` for an unknown
/// connection, which costs the same time and gives the same 401.
///
/// Exactly one `Authorization: Bearer` header of at most 512 bytes is required (RFC 6750 section 2.1).
///
/// # Errors
/// 401, always the same, whatever was wrong.
pub fn authenticate<'r>(request: &Request, record: Option<&'r Record>, env: &Env<'_>) -> Result<&'r Token, ScimError> {
    let presented = bearer::token(request, HEADER_BYTES).ok_or_else(refusal)?;
    let presented = hash(presented.as_bytes());
    let tokens = record.filter(|record| record.is_live()).map_or(&[][..], |record| &record.tokens);
    matching(&presented, tokens).filter(|token| usable(token, request, env)).ok_or_else(refusal)
}

/// The token of that hash. A connection always costs `MAX_TOKENS` comparisons, however many tokens it has.
fn matching<'r>(presented: &str, tokens: &'r [Token]) -> Option<&'r Token> {
    const NOBODY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let mut found = None;
    for slot in 0..MAX_TOKENS.max(tokens.len()) {
        let token = tokens.get(slot);
        let stored = token.map_or(NOBODY, |token| &token.hash);
        if bool::from(same(stored, presented)) {
            found = token;
        }
    }
    found
}

/// Whether two texts are equal, in a time that depends on their lengths only. What differs is gathered by words and
/// looked at once: byte by byte, as `subtle` compares slices, this took a tenth of a request's time.
fn same(one: &str, other: &str) -> Choice {
    let (words, rest) = one.as_bytes().as_chunks();
    let (other_words, other_rest) = other.as_bytes().as_chunks();
    let pairs = words.iter().zip(other_words).map(|(a, b)| u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b));
    let rest_pairs = rest.iter().zip(other_rest).map(|(a, b)| u64::from(a ^ b));
    let difference = pairs.chain(rest_pairs).fold(0, |gathered, difference| gathered | difference);
    one.len().ct_eq(&other.len()) & difference.ct_eq(&0)
}

fn usable(token: &Token, request: &Request, env: &Env<'_>) -> bool {
    !token.is_expired(env.now) && (token.cidrs.is_empty() || from_allowed_network(token, request))
}

/// A host that cannot vouch for the client's address cannot satisfy a network limit.
fn from_allowed_network(token: &Token, request: &Request) -> bool {
    let Some(source) = request.source else { return false };
    token.cidrs.iter().filter_map(|cidr| cidr.parse::<Network>().ok()).any(|network| network.contains(source))
}

fn refusal() -> ScimError {
    ScimError::new(Kind::Unauthorized, "the bearer token is missing or not valid for this connection")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connections::record::{Scope, Settings, State};
    use crate::env::{Config, Timestamp};
    use crate::log::tally::Hour;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn record(state: State, tokens: Vec<Token>) -> Record {
        Record {
            tenant_id: "acme".into(),
            connection_name: "okta".into(),
            source: "okta".into(),
            provider: None,
            state,
            created_at: NOW,
            last_sync: None,
            tokens,
            settings: Settings::default(),
            dissolving: Vec::new(),
            hour: Hour::default(),
        }
    }

    fn token(text: &str) -> Token {
        Token {
            id: text.into(),
            hash: hash(text.as_bytes()),
            name: None,
            created_at: NOW,
            expires_at: None,
            scopes: None,
            cidrs: Vec::new(),
            last_used: None,
        }
    }

    #[test]
    fn every_byte_of_a_hash_counts_and_so_does_its_length() {
        let one = hash(b"token");
        assert!(bool::from(same(&one, &one.clone())));
        for at in 0..one.len() {
            let mut other = one.clone().into_bytes();
            other[at] ^= 1;
            assert!(!bool::from(same(&one, std::str::from_utf8(&other).unwrap())), "{at}");
            assert!(!bool::from(same(&one, one.get(..at).unwrap())), "{at}");
        }
    }

    fn check(headers: &[&str], source: Option<&str>, record: Option<&Record>, found: Option<&str>) {
        let request = Request {
            headers: headers.iter().map(|value| ("authorization".into(), value.as_bytes().to_vec())).collect(),
            source: source.map(|source| source.parse().unwrap()),
            ..Request::default()
        };
        let config = Config::default();
        let env = Env::new(NOW, [1; 32], 0, &config);
        let answer = authenticate(&request, record, &env);
        assert_eq!(answer.as_ref().ok().map(|token| token.id.as_str()), found, "{headers:?} {source:?}");
        if let Err(error) = answer {
            assert_eq!(error, refusal(), "every refusal is the same");
        }
    }

    #[test]
    fn a_generated_token_is_well_formed_and_any_change_to_it_is_noticed() {
        let config = Config::default();
        let env = Env::new(NOW, [7; 32], 0, &config);
        let text = generate(&env);
        assert_eq!(text.len(), 54);
        assert!(well_formed(&text));
        assert_ne!(text, generate(&env));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert!(!well_formed(std::str::from_utf8(&bytes).unwrap()), "byte {at}");
        }
        assert!(!well_formed("") && !well_formed("scim_") && !well_formed(text.split_at(53).0));
    }

    #[test]
    fn exactly_one_bearer_header_of_a_known_token_is_admitted() {
        let live = record(State::Active, vec![token("one"), token("two")]);
        let long = format!("Bearer {}", "a".repeat(506));
        check(&["Bearer one"], None, Some(&live), Some("one"));
        check(&["bearer two"], None, Some(&live), Some("two"));
        check(&["BEARER   two"], None, Some(&live), Some("two"));
        check(&["Bearer one"], None, Some(&record(State::Paused, vec![token("one")])), Some("one"));
        for headers in
            [&[][..], &["Bearer one", "Bearer one"], &["Bearer one", ""], &["one"], &["Bearer"], &["Bearer "]]
        {
            check(headers, None, Some(&live), None);
        }
        for headers in
            [["Basic one"], ["Bearer ONE"], ["Bearer one two"], ["Bearer one, Bearer one"], [&long], ["Bearer\tone"]]
        {
            check(&headers, None, Some(&live), None);
        }
        check(&["Bearer one"], None, None, None);
        check(&["Bearer one"], None, Some(&record(State::Residue, vec![token("one")])), None);
        check(&["Bearer one"], None, Some(&record(State::Deleting, vec![token("one")])), None);
        check(&["Bearer one"], None, Some(&record(State::Active, Vec::new())), None);
    }

    #[test]
    fn an_expired_token_or_one_from_elsewhere_is_refused() {
        let mut expired = token("one");
        expired.expires_at = Some(NOW);
        check(&["Bearer one"], None, Some(&record(State::Active, vec![expired.clone()])), None);
        expired.expires_at = Some(Timestamp(NOW.0 + 1));
        check(&["Bearer one"], None, Some(&record(State::Active, vec![expired])), Some("one"));
        let mut bound = token("one");
        bound.cidrs = vec!["192.0.2.0/24".into(), "2001:db8::/32".into()];
        let bound = record(State::Active, vec![bound]);
        check(&["Bearer one"], Some("192.0.2.9"), Some(&bound), Some("one"));
        check(&["Bearer one"], Some("::ffff:192.0.2.9"), Some(&bound), Some("one"));
        check(&["Bearer one"], Some("2001:db8::9"), Some(&bound), Some("one"));
        check(&["Bearer one"], Some("192.0.3.9"), Some(&bound), None);
        check(&["Bearer one"], None, Some(&bound), None);
    }

    #[test]
    fn a_token_allows_its_scopes_and_without_any_everything() {
        let mut limited = token("one");
        assert!(limited.allows(Scope::GroupsWrite));
        limited.scopes = Some(vec![Scope::UsersRead]);
        assert!(limited.allows(Scope::UsersRead) && !limited.allows(Scope::UsersWrite));
        limited.scopes = Some(Vec::new());
        assert!(!limited.allows(Scope::UsersRead));
    }
}
