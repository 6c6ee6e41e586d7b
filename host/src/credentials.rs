//! The secrets of one data directory, made at its first start.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

const FILE: &str = "credentials.json";

/// `credentials.json`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The vendor's client id.
    pub client_id: String,
    /// What proves it.
    pub client_secret: String,
    /// What edges present to their origin.
    pub edge_secret: String,
}

impl Credentials {
    /// The credentials of `data`, made when there are none yet; readable by their owner only.
    ///
    /// # Errors
    /// The file can not be read, understood or written.
    pub fn of(data: &Path) -> anyhow::Result<Self> {
        if let Some(present) = Self::present(data)? {
            return Ok(present);
        }
        let path = data.join(FILE);
        let made = Self { client_id: random(16)?, client_secret: random(32)?, edge_secret: random(32)? };
        made.write(&path).with_context(|| format!("can not write `{}`", path.display()))?;
        Ok(made)
    }

    /// The credentials of `data`; `None` when there are none yet.
    ///
    /// # Errors
    /// The file can not be read or understood.
    pub fn present(data: &Path) -> anyhow::Result<Option<Self>> {
        let path = data.join(FILE);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .with_context(|| format!("`{}` is damaged: remove it to get new credentials", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("can not read `{}`", path.display())),
        }
    }

    /// Written aside and renamed, so that a crash leaves all of it or nothing.
    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let aside = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        std::fs::rename(aside, path)?;
        Ok(())
    }
}

fn random(bytes: usize) -> anyhow::Result<String> {
    let mut buffer = vec![0; bytes];
    getrandom::fill(&mut buffer)?;
    Ok(buffer.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn credentials_are_made_once_and_kept_private() {
        let data = tempfile::tempdir().unwrap();
        let first = Credentials::of(data.path()).unwrap();
        let second = Credentials::of(data.path()).unwrap();
        assert_eq!(first.client_secret, second.client_secret);
        assert_eq!(first.client_secret.len(), 64);
        let mode = std::fs::metadata(data.path().join("credentials.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
