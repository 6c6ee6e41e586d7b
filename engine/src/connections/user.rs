//! A customer's user and its JSON Web Token (RFC 7519).
//!
//! The signature is checked behind [`SignatureCheck`]: HS256 is here, asymmetric algorithms come with a host. What
//! the claims must say is decided here for all of them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::env::{Timestamp, UserJwt};

/// How far a token's `nbf` may lie in the future, in seconds: clocks differ.
const SKEW: f64 = 60.0;

/// Checks the signature of a compact JWS (RFC 7515): a port, for asymmetric algorithms need a library.
///
/// An implementer decides by its own keys which algorithm it accepts, never by the token's header alone: `none`
/// and an algorithm of another key type are refused. A header with `crit` is refused too.
pub trait SignatureCheck: fmt::Debug + Send + Sync {
    /// The payload of a token whose signature holds; `None` for any other text.
    fn payload(&self, token: &str) -> Option<Vec<u8>>;
}

/// HS256 with one shared secret.
#[derive(Clone)]
pub struct SharedSecret(Vec<u8>);

impl SharedSecret {
    /// Takes the secret; `None` when it is shorter than the 32 bytes RFC 7518 section 3.2 asks for.
    pub fn new(secret: impl Into<Vec<u8>>) -> Option<Self> {
        let secret = secret.into();
        (secret.len() >= 32).then_some(Self(secret))
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret")
    }
}

impl SignatureCheck for SharedSecret {
    fn payload(&self, token: &str) -> Option<Vec<u8>> {
        #[derive(Deserialize)]
        struct Header {
            alg: String,
            crit: Option<serde_json::Value>,
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.alg != "HS256" || header.crit.is_some() {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.chain_update(signed).verify_slice(&signature).ok()?;
        URL_SAFE_NO_PAD.decode(payload).ok()
    }
}

/// What a user's token says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// The user's account.
    pub tenant_id: String,
    /// Names and wildcards of permissions.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// Ids or keys of roles.
    #[serde(default)]
    pub roles: Vec<String>,
    /// RFC 7519 allows fractions of seconds.
    exp: f64,
    nbf: Option<f64>,
    iss: Option<String>,
    aud: Option<Audience>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Claims {
    /// The claims of a user's token; `None` when its signature, time, issuer or audience is wrong.
    pub fn verify(token: &str, settings: &UserJwt, now: Timestamp) -> Option<Self> {
        let claims: Self = serde_json::from_slice(&settings.signature.payload(token)?).ok()?;
        let now = (now.0 / 1000) as f64;
        let timely = now < claims.exp && claims.nbf.is_none_or(|start| start <= now + SKEW);
        let issued = settings.issuer.is_none() || settings.issuer == claims.iss;
        let addressed = settings.audience.as_ref().is_none_or(|name| claims.is_for(name));
        let named = !claims.sub.is_empty() && is_account(&claims.tenant_id);
        (timely && issued && addressed && named).then_some(claims)
    }

    fn is_for(&self, audience: &str) -> bool {
        match &self.aud {
            None => false,
            Some(Audience::One(name)) => name == audience,
            Some(Audience::Many(names)) => names.iter().any(|name| name == audience),
        }
    }
}

/// Whether a text can be the id of an account.
pub fn is_account(text: &str) -> bool {
    (1..=128).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const NOW: u64 = 1_700_000_000;

    fn sign(header: &Value, claims: &Value, secret: &str) -> String {
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(&signed).finalize();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.into_bytes()))
    }

    fn claims(change: Value) -> Value {
        let mut claims =
            json!({ "sub": "ann", "tenantId": "acme", "exp": NOW + 60, "iss": "https://id.test", "aud": ["api", "x"] });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    fn check(token: &str, valid: bool) {
        let settings = UserJwt {
            signature: Arc::new(SharedSecret::new(SECRET).unwrap()),
            issuer: Some("https://id.test".into()),
            audience: Some("api".into()),
        };
        assert_eq!(Claims::verify(token, &settings, Timestamp(NOW * 1000)).is_some(), valid, "{token}");
    }

    #[test]
    fn claims_count_only_in_their_time_from_their_issuer_to_their_audience() {
        let signed = |change| sign(&json!({"alg": "HS256"}), &claims(change), SECRET);
        check(&signed(json!({})), true);
        check(&signed(json!({"aud": "api"})), true);
        check(&signed(json!({"exp": NOW as f64 + 0.5})), true);
        check(&signed(json!({"exp": NOW})), false);
        check(&signed(json!({"exp": "later"})), false);
        check(&signed(json!({"exp": null})), false);
        check(&signed(json!({"nbf": NOW + 60})), true);
        check(&signed(json!({"nbf": NOW + 61})), false);
        check(&signed(json!({"iss": "https://other.test"})), false);
        check(&signed(json!({"iss": null})), false);
        check(&signed(json!({"aud": ["x"]})), false);
        check(&signed(json!({"aud": null})), false);
        check(&signed(json!({"sub": ""})), false);
        check(&signed(json!({"tenantId": ""})), false);
        check(&signed(json!({"tenantId": 7})), false);
        check(&signed(json!({"tenantId": "a\u{0}b"})), false);
        check(&signed(json!({"permissions": "fe.secure.*"})), false);
    }

    #[test]
    fn only_hs256_with_the_secret_is_a_signature() {
        let good = sign(&json!({"alg": "HS256"}), &claims(json!({})), SECRET);
        for alg in ["none", "None", "hs256", "HS384", "HS512", "RS256", "ES256", "EdDSA", ""] {
            check(&sign(&json!({"alg": alg}), &claims(json!({})), SECRET), false);
        }
        check(&sign(&json!({"alg": "HS256", "crit": ["b64"], "b64": false}), &claims(json!({})), SECRET), false);
        check(&sign(&json!({"typ": "JWT"}), &claims(json!({})), SECRET), false);
        check(&sign(&json!({"alg": "HS256"}), &claims(json!({})), "fedcba9876543210fedcba9876543210"), false);
        let unsigned = good.rsplit_once('.').unwrap().0;
        for wrong in
            ["", ".", "..", "a.b.c", unsigned, &format!("{unsigned}."), &format!("{good}."), &format!("{good}=")]
        {
            check(wrong, false);
        }
        check(&good, true);
    }

    #[test]
    fn a_short_secret_is_not_taken() {
        assert!(SharedSecret::new("short").is_none());
    }
}
