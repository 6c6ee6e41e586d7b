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
use rsa::signature::Verifier;
use rsa::{BigUint, RsaPublicKey, pkcs1v15, sha2};
use scim_engine::connections::user::SignatureCheck;
use serde::Deserialize;

/// Shortest and longest RSA modulus, in bits (RFC 7518 section 3.3; beyond, checking one token would take too long).
const RSA_BITS: (usize, usize) = (2048, 8192);

/// What keys are good for.
const ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

/// Public keys that verify users' tokens.
#[derive(Clone)]
pub struct KeySet(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: Option<String>,
    public: Public,
}

/// A public key, which is good for one algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Clone)]
enum Public {
    Rs256(pkcs1v15::VerifyingKey<sha2::Sha256>),
    Es256(p256::ecdsa::VerifyingKey),
    EdDsa(ed25519_dalek::VerifyingKey),
}

/// The members of a JSON Web Key that matter here (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Jwk {
    kty: String,
    crv: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    n: String,
    e: String,
    x: String,
    y: String,
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
        let keys: Vec<_> = set.keys.into_iter().filter_map(|key| Key::new(serde_json::from_value(key).ok()?)).collect();
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

    /// Whether a token names a key that is not here, or names none and is signed by none of these: perhaps its issuer has
    /// rolled over to a new one.
    pub fn lacks_key_of(&self, token: &str) -> bool {
        match Header::of(token) {
            Some(Header { kid: Some(id), .. }) => !self.0.iter().any(|key| key.id.as_ref() == Some(&id)),
            Some(Header { alg, .. }) => ALGORITHMS.contains(&alg.as_str()) && self.payload(token).is_none(),
            None => false,
        }
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
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let named = |key: &&Key| header.kid.is_none() || header.kid == key.id;
        let mut keys = self.0.iter().filter(named).filter(|key| header.alg == key.public.algorithm());
        keys.any(|key| key.public.signed(signed.as_bytes(), &signature))
            .then(|| URL_SAFE_NO_PAD.decode(payload).ok())?
    }
}

impl Key {
    fn new(key: Jwk) -> Option<Self> {
        let public = Public::of(&key)?;
        let meant = key.alg.is_none_or(|meant| meant == public.algorithm());
        let signs = key.purpose.is_none_or(|purpose| purpose == "sig");
        (meant && signs).then_some(Self { id: key.kid, public })
    }
}

impl Public {
    fn of(key: &Jwk) -> Option<Self> {
        let number = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        match (key.kty.as_str(), key.crv.as_str()) {
            ("RSA", _) => {
                let (n, e) = (BigUint::from_bytes_be(&number(&key.n)?), BigUint::from_bytes_be(&number(&key.e)?));
                let (shortest, longest) = RSA_BITS;
                // Full bytes count: a modulus of 2,048 bits may begin with a zero bit.
                let long_enough = n.bits().div_ceil(8) * 8 >= shortest;
                let key = RsaPublicKey::new_with_max_size(n, e, longest).ok().filter(|_| long_enough)?;
                Some(Self::Rs256(pkcs1v15::VerifyingKey::new(key)))
            }
            ("EC", "P-256") => {
                let (x, y) = (number(&key.x)?, number(&key.y)?);
                let point = [&[4][..], &x, &y].concat();
                let whole = x.len() == 32 && y.len() == 32;
                p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok().filter(|_| whole).map(Self::Es256)
            }
            ("OKP", "Ed25519") => {
                let key = number(&key.x)?.try_into().ok()?;
                ed25519_dalek::VerifyingKey::from_bytes(&key).ok().map(Self::EdDsa)
            }
            _ => None,
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rs256(_) => "RS256",
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rs256(key) => {
                pkcs1v15::Signature::try_from(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            Self::Es256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::EdDsa(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
        }
    }
}

impl Header {
    fn of(token: &str) -> Option<Self> {
        let (header, _) = token.split_once('.')?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
    }
}

#[cfg(test)]
mod tests;
