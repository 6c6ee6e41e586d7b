//! The vendor's environment token: given for a client id and secret, checked without any stored state.
//!
//! A token is `payload.mac`, both unpadded URL-safe base64. The key of the HMAC is derived from the vendor's
//! secret, so changing the secret ends every token at once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::connections::body::Body;
use crate::connections::error::{ApiError, JSON};
use crate::env::{Credential, Env};
use crate::http::{Request, Response};

/// How long an environment token lives, in seconds.
pub const LIFETIME: u64 = 3600;

#[derive(Serialize, Deserialize)]
struct Payload {
    sub: String,
    /// Seconds since the epoch.
    exp: u64,
}

/// `POST /auth/vendor`: a token for the vendor's client id and secret.
///
/// # Errors
/// 400 for a body that is not of the form, 401 for a wrong credential.
pub fn login(request: &Request, env: &Env<'_>) -> Result<Response, ApiError> {
    let body = Body::parse(request)?;
    let token = exchange(body.verbatim("clientId")?, body.verbatim("secret")?, env)?;
    // Ours: who may log in may know what is running.
    let version = env!("CARGO_PKG_VERSION");
    Ok(Response::json(200, JSON, &json!({ "token": token, "expiresIn": LIFETIME, "version": version })))
}

/// An environment token for the vendor's client id and secret.
///
/// # Errors
/// 401
pub fn exchange(client_id: &str, secret: &str, env: &Env<'_>) -> Result<String, ApiError> {
    let vendor = env.config.vendor.as_ref().ok_or_else(ApiError::unauthorized)?;
    let right = same(client_id, &vendor.client_id) & same(secret, &vendor.secret);
    if !bool::from(right) {
        return Err(ApiError::unauthorized());
    }
    issue(vendor, env)
}

/// A fresh token for one that is still live.
pub fn renew(token: &str, env: &Env<'_>) -> Option<String> {
    let vendor = env.config.vendor.as_ref().filter(|_| verify(token, env))?;
    issue(vendor, env).ok()
}

fn issue(vendor: &Credential, env: &Env<'_>) -> Result<String, ApiError> {
    let payload = Payload { sub: vendor.client_id.clone(), exp: env.now.0 / 1000 + LIFETIME };
    let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&payload).unwrap_or_default());
    let mac = signer(vendor).ok_or_else(ApiError::unauthorized)?.chain_update(&payload).finalize().into_bytes();
    Ok(format!("{payload}.{}", URL_SAFE_NO_PAD.encode(mac)))
}

/// Whether a text is a live environment token.
pub fn verify(token: &str, env: &Env<'_>) -> bool {
    let checked = || {
        let vendor = env.config.vendor.as_ref()?;
        let (payload, mac) = token.split_once('.')?;
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        signer(vendor)?.chain_update(payload).verify_slice(&mac).ok()?;
        let payload: Payload = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        Some(payload.sub == vendor.client_id && env.now.0 / 1000 < payload.exp)
    };
    checked().unwrap_or(false)
}

/// Compares digests, so that neither content nor length of the right value shows in the time.
fn same(given: &str, right: &str) -> subtle::Choice {
    Sha256::digest(given).ct_eq(&Sha256::digest(right))
}

fn signer(vendor: &Credential) -> Option<Hmac<Sha256>> {
    let derive = Hmac::<Sha256>::new_from_slice(vendor.secret.as_bytes()).ok()?;
    let key = derive.chain_update("scim-edge environment token 1").chain_update(&vendor.client_id).finalize();
    Hmac::new_from_slice(&key.into_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Config, Timestamp};

    fn config(secret: &str) -> Config {
        let vendor = Credential { client_id: "vendor".into(), secret: secret.into() };
        Config { vendor: Some(vendor), ..Config::default() }
    }

    fn token(config: &Config) -> String {
        let request = Request { body: br#"{"clientId":"vendor","secret":"s3cret"}"#.to_vec(), ..Request::default() };
        let response = login(&request, &Env::new(Timestamp(1_000_000), [0; 32], 0, config)).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(body["expiresIn"], LIFETIME);
        body["token"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_token_is_good_until_it_expires_or_the_secret_changes() {
        let (good, other) = (config("s3cret"), config("changed"));
        let token = token(&good);
        let check = |config: &Config, token: &str, now: u64, valid: bool| {
            assert_eq!(verify(token, &Env::new(Timestamp(now), [0; 32], 0, config)), valid, "{token} {now}");
        };
        check(&good, &token, 1_000_000, true);
        check(&good, &token, 1_000_000 + LIFETIME * 1000 - 1, true);
        check(&good, &token, 1_000_000 + LIFETIME * 1000, false);
        check(&other, &token, 1_000_000, false);
        check(&Config::default(), &token, 1_000_000, false);
        for wrong in ["", ".", "a.b", token.split_once('.').unwrap().0, &format!("{token}A"), token.split_at(1).1] {
            check(&good, wrong, 1_000_000, false);
        }
    }

    #[test]
    fn a_token_with_any_character_changed_is_refused() {
        let good = config("s3cret");
        let token = token(&good);
        // The last character carries unused bits; a strict decoder refuses those too.
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(!verify(&changed, &Env::new(Timestamp(1_000_000), [0; 32], 0, &good)), "{at}");
        }
    }
}
