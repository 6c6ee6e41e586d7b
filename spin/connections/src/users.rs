//! What verifies the tokens of customers' users, from Spin's variables: one secret (HS256) or a key set.

use std::cell::OnceCell;
use std::sync::Arc;

use scim_engine::connections::user::{SharedSecret, SignatureCheck};
use scim_engine::env::UserJwt;
use scim_jwks::KeySet;
use scim_spin_kv::settings::variable;

thread_local! {
    static USERS: OnceCell<Option<UserJwt>> = const { OnceCell::new() };
}

/// The settings, read once per instance; `None` when there are none, and users are not known.
///
/// # Errors
/// Settings that contradict each other or can not be used; the text is for the log, and holds no secret.
pub async fn load() -> Result<Option<UserJwt>, String> {
    if let Some(users) = USERS.with(|cell| cell.get().cloned()) {
        return Ok(users);
    }
    let signature: Option<Arc<dyn SignatureCheck>> =
        match (variable("user_jwt_secret").await?, variable("user_jwks").await?) {
            (None, None) => None,
            (Some(secret), None) => {
                Some(Arc::new(SharedSecret::new(secret).ok_or("variable `user_jwt_secret` is shorter than 32 bytes")?))
            }
            (None, Some(keys)) => {
                Some(Arc::new(KeySet::parse(&keys).map_err(|error| format!("variable `user_jwks`: {error}"))?))
            }
            (Some(_), Some(_)) => {
                return Err("variables `user_jwt_secret` and `user_jwks` exclude each other".to_owned());
            }
        };
    let (issuer, audience) = (variable("user_jwt_issuer").await?, variable("user_jwt_audience").await?);
    let users = signature.map(|signature| UserJwt { signature, issuer, audience });
    Ok(USERS.with(|cell| cell.get_or_init(|| users).clone()))
}
