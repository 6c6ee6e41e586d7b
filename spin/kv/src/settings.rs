//! Settings of the deployment, from Spin's variables.

use std::cell::OnceCell;
use std::sync::Arc;

use scim_engine::env::{Config, Credential, Limits};
use spin_sdk::variables::{self, Error};

thread_local! {
    static CONFIG: OnceCell<Arc<Config>> = const { OnceCell::new() };
}

/// The settings, read once per instance.
///
/// # Errors
/// A variables provider that does not answer; the text is for the log.
pub async fn load() -> Result<Arc<Config>, String> {
    if let Some(config) = CONFIG.with(|cell| cell.get().cloned()) {
        return Ok(config);
    }
    let (client_id, secret) = (variable("client_id").await?, variable("client_secret").await?);
    let origins = variable("portal_origins").await?.unwrap_or_default();
    let config = Config {
        vendor: client_id.zip(secret).map(|(client_id, secret)| Credential { client_id, secret }),
        edge_secret: variable("edge_secret").await?,
        limits: limits(variable("commit_group").await?)?,
        public_url: variable("public_url").await?.map(|url| url.trim_end_matches('/').to_owned()),
        portal_origins: origins.split_ascii_whitespace().map(str::to_owned).collect(),
        ..Config::default()
    };
    Ok(CONFIG.with(|cell| Arc::clone(cell.get_or_init(|| Arc::new(config)))))
}

fn limits(group: Option<String>) -> Result<Limits, String> {
    let limits = Limits::default();
    let Some(group) = group else { return Ok(limits) };
    let group = group.parse().map_err(|_| "variable `commit_group` is no number")?;
    Ok(Limits { group, ..limits })
}

/// A variable; an empty one counts as unset.
///
/// # Errors
/// A variables provider that does not answer; the text is for the log.
pub async fn variable(name: &str) -> Result<Option<String>, String> {
    match variables::get(name).await {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(Error::Undefined(_)) => Ok(None),
        Err(error) => Err(format!("variable `{name}`: {error}")),
    }
}
