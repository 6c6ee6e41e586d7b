//! What verifies the tokens of customers' users, from Spin's variables: one secret (HS256), a key set, or the URL where an
//! issuer publishes its key set.

mod fetch;
mod published;

use std::cell::OnceCell;
use std::sync::Arc;

use scim_engine::connections::user::{SharedSecret, SignatureCheck};
use scim_engine::env::UserJwt;
use scim_jwks::KeySet;
use scim_spin_kv::settings::variable;

thread_local! {
    static SETTINGS: OnceCell<Settings> = const { OnceCell::new() };
}

#[derive(Clone)]
struct Settings {
    keys: Keys,
    issuer: Option<String>,
    audience: Option<String>,
}

#[derive(Clone)]
enum Keys {
    /// Users are not known.
    Nobody,
    /// The variables hold them.
    Given(Arc<dyn SignatureCheck>),
    /// The issuer publishes them at this URL.
    Published(String),
}

/// What verifies the user who presents a token, or any user; `None` when the variables say nothing, and users are not
/// known. A wrong setting must not lock the vendor out, so it is logged, and users are refused until it is right.
pub async fn known(token: Option<&str>) -> Option<UserJwt> {
    let Settings { keys, issuer, audience } = load().await.unwrap_or_else(|error| {
        eprintln!("{error}");
        Settings { keys: Keys::Nobody, issuer: None, audience: None }
    });
    let signature: Arc<dyn SignatureCheck> = match keys {
        Keys::Nobody => return None,
        Keys::Given(keys) => keys,
        Keys::Published(url) => published::keys(&url, token).await?,
    };
    Some(UserJwt { signature, issuer, audience })
}

/// The settings, read once per instance. The errors are for the log, and hold no secret.
async fn load() -> Result<Settings, String> {
    if let Some(settings) = SETTINGS.with(|cell| cell.get().cloned()) {
        return Ok(settings);
    }
    let (secret, set, url) =
        (variable("user_jwt_secret").await?, variable("user_jwks").await?, variable("user_jwks_url").await?);
    let keys = match (secret, set, url) {
        (None, None, None) => Keys::Nobody,
        (Some(secret), None, None) => {
            let secret = SharedSecret::new(secret).ok_or("variable `user_jwt_secret` is shorter than 32 bytes")?;
            Keys::Given(Arc::new(secret))
        }
        (None, Some(set), None) => {
            let keys = KeySet::parse(&set).map_err(|error| format!("variable `user_jwks`: {error}"))?;
            Keys::Given(Arc::new(keys))
        }
        (None, None, Some(url)) => {
            fetch::check(&url).map_err(|error| format!("variable `user_jwks_url`: {error}"))?;
            Keys::Published(url)
        }
        _ => {
            return Err("variables `user_jwt_secret`, `user_jwks` and `user_jwks_url` exclude each other".to_owned());
        }
    };
    let settings =
        Settings { keys, issuer: variable("user_jwt_issuer").await?, audience: variable("user_jwt_audience").await? };
    Ok(SETTINGS.with(|cell| cell.get_or_init(|| settings).clone()))
}
