//! Signatures of users' tokens, checked against a JSON Web Key Set (RFC 7517): RS256, ES256 and EdDSA.
//!
//! Which algorithm a key is good for follows from the key alone. A token's header can only agree with it, so neither
//! `none` nor HMAC with a public key as its secret is ever tried.
//!
//! ```
//! use scim_jwks::KeySet;
//! let keys = KeySet::parse(r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#);
//! assert_eq!(keys.map(|keys| keys.len()), Ok(1));
//! assert!(KeySet::parse(r#"{"keys":[]}"#).is_err());
//! ```

pub mod published;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use scim_engine::connections::user::SignatureCheck;
use serde::Deserialize;

/// Shortest RSA modulus, in bytes (RFC 7518 section 3.3).
const RSA_BYTES: usize = 256;

/// Public keys that verify users' tokens.
#[derive(Clone)]
pub struct KeySet(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

impl KeySet {
    /// Reads a key set. Keys for other purposes or algorithms are left out: providers publish them side by side.
    ///
    /// # Errors
    /// The text is no key set, or none of its keys will do; the message is for the operator.
    pub fn parse(json: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_str(json).map_err(|error| format!("not a json web key set: {error}"))?;
        let keys: Vec<_> =
            set.keys.into_iter().filter_map(|key| Key::new(&serde_json::from_value(key).ok()?)).collect();
        if keys.is_empty() {
            return Err("the key set holds no key for rs256, es256 or eddsa".to_owned());
        }
        Ok(Self(keys))
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it holds none; never so after [`Self::parse`].
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a token names a key that is not here: perhaps its issuer has rolled over to a new one.
    pub fn lacks_key_of(&self, token: &str) -> bool {
        let id = Header::of(token).and_then(|header| header.kid);
        id.is_some_and(|id| !self.0.iter().any(|key| key.id.as_ref() == Some(&id)))
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

impl SignatureCheck for KeySet {
    fn payload(&self, token: &str) -> Option<Vec<u8>> {
        let header = Header::of(token).filter(|header| header.crit.is_none())?;
        let (signed, signature) = token.rsplit_once('.')?;
        let (_, payload) = signed.split_once('.')?;
        let named = |key: &&Key| header.kid.is_none() || header.kid == key.id;
        let signs = |key: &Key| {
            jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key.key, key.algorithm).unwrap_or(false)
        };
        let mut keys = self.0.iter().filter(named).filter(|key| header.alg == name(key.algorithm));
        keys.any(signs).then(|| URL_SAFE_NO_PAD.decode(payload).ok())?
    }
}

impl Key {
    fn new(key: &Jwk) -> Option<Self> {
        let algorithm = match &key.algorithm {
            AlgorithmParameters::RSA(rsa) => {
                let modulus = URL_SAFE_NO_PAD.decode(&rsa.n).ok()?;
                let significant = modulus.iter().skip_while(|byte| **byte == 0).count();
                (significant >= RSA_BYTES).then_some(Algorithm::RS256)?
            }
            AlgorithmParameters::EllipticCurve(curve) => {
                (curve.curve == EllipticCurve::P256).then_some(Algorithm::ES256)?
            }
            AlgorithmParameters::OctetKeyPair(pair) => {
                (pair.curve == EllipticCurve::Ed25519).then_some(Algorithm::EdDSA)?
            }
            _ => return None,
        };
        let common = &key.common;
        let meant = common.key_algorithm.is_none_or(|meant| meant.to_string() == name(algorithm));
        let signs = common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
        let decoding = DecodingKey::from_jwk(key).ok()?;
        (meant && signs).then(|| Self { id: common.key_id.clone(), algorithm, key: decoding })
    }
}

impl Header {
    fn of(token: &str) -> Option<Self> {
        let (header, _) = token.split_once('.')?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
    }
}

/// The name of an algorithm in a token's header (RFC 7518 section 3.1, RFC 8037 section 3.1).
fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RS256 => "RS256",
        Algorithm::ES256 => "ES256",
        Algorithm::EdDSA => "EdDSA",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
