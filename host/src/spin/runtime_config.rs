//! Spin's runtime configuration: where the stores of an application are.
//!
//! The file is the one `spin up --runtime-config-file` takes. This host acts on `[key_value_store.LABEL]`:
//!
//! | `type` | Other keys | Store |
//! |---|---|---|
//! | `spin` | `path`, relative to the file | SQLite in that file; in memory without a path |
//! | `redis` | `url` | a Redis server |
//!
//! Whatever else Spin knows is refused, never passed over: a store or setting that silently is not what the file says
//! would be found out too late.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::store::redis::Redis;
use super::store::sqlite::{Database, Location};
use super::store::{Store, Stores};

/// The store every Spin application has without any configuration.
const DEFAULT: &str = "default";

/// Where the stores of an application are, by label.
#[derive(Debug, PartialEq, Eq)]
pub struct RuntimeConfig(BTreeMap<String, Place>);

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a SQLite database.
    Sqlite(Location),
    /// In the Redis server of that URL.
    Redis(String),
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    key_value_store: BTreeMap<String, Entry>,
    #[serde(flatten)]
    rest: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct Entry {
    r#type: String,
    path: Option<PathBuf>,
    url: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, IgnoredAny>,
}

impl RuntimeConfig {
    /// What `file` says; without one, or without a word on it, the default store is a SQLite file in `data`.
    ///
    /// # Errors
    /// The file can not be read, is no runtime configuration, or asks for what only Spin itself has.
    pub fn read(file: Option<&Path>, data: &Path) -> anyhow::Result<Self> {
        let mut places = match file {
            None => BTreeMap::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("can not read `{}`: correct `--runtime-config-file`", path.display()))?;
                let base = path.parent().unwrap_or(Path::new(""));
                parse(&text, base).with_context(|| format!("`{}` is refused", path.display()))?
            }
        };
        places.entry(DEFAULT.to_owned()).or_insert_with(|| Place::Sqlite(Location::default_in(data)));
        Ok(Self(places))
    }

    /// Where the default store is.
    pub fn default_store(&self) -> &Place {
        // `read` has put it there.
        self.0.get(DEFAULT).unwrap_or(&Place::Sqlite(Location::Memory))
    }

    /// Opens the default store alone.
    ///
    /// # Errors
    /// As [`RuntimeConfig::open`].
    pub async fn open_default(&self) -> anyhow::Result<Arc<dyn Store>> {
        self.default_store().open(DEFAULT).await
    }

    /// Opens every store.
    ///
    /// # Errors
    /// A file can not be used, a server does not answer.
    pub async fn open(&self) -> anyhow::Result<Stores> {
        let mut stores = Stores::new();
        for (label, place) in &self.0 {
            let store = place.open(label).await.with_context(|| format!("key-value store `{label}`"))?;
            stores.insert(label.clone(), store);
        }
        Ok(stores)
    }
}

impl Place {
    async fn open(&self, label: &str) -> anyhow::Result<Arc<dyn Store>> {
        match self {
            Self::Sqlite(location) => {
                if let Location::File(path) = location
                    && let Some(directory) = path.parent()
                {
                    std::fs::create_dir_all(directory)
                        .with_context(|| format!("can not make `{}`", directory.display()))?;
                }
                Ok(Database::open(location)?.store(label))
            }
            Self::Redis(url) => {
                let redis = Redis::connect(url).await?;
                redis.risks().await.iter().for_each(|risk| eprintln!("scim-edge: {risk}"));
                Ok(Arc::new(redis))
            }
        }
    }
}

fn parse(text: &str, base: &Path) -> anyhow::Result<BTreeMap<String, Place>> {
    let file: File = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        anyhow!("not a runtime configuration: line {line}: {}", error.message())
    })?;
    if let Some(key) = file.rest.keys().next() {
        bail!("`{key}` is for Spin itself: this program knows `key_value_store` only");
    }
    let place = |(label, entry): (String, Entry)| {
        let place = entry.place(base).with_context(|| format!("`key_value_store.{label}`"))?;
        Ok((label, place))
    };
    file.key_value_store.into_iter().map(place).collect()
}

impl Entry {
    fn place(self, base: &Path) -> anyhow::Result<Place> {
        let Self { r#type, path, url, rest } = self;
        let place = match (r#type.as_str(), path, url) {
            ("spin", path, None) => {
                Place::Sqlite(path.map_or(Location::Memory, |path| Location::File(base.join(path))))
            }
            ("redis", None, Some(url)) => Place::Redis(url),
            ("spin", _, Some(_)) => bail!("a store of type `spin` has no `url`"),
            ("redis", Some(_), _) => bail!("a store of type `redis` has no `path`"),
            ("redis", None, None) => bail!("a store of type `redis` needs a `url`"),
            (other, ..) => bail!("a store of type `{other}` takes Spin itself: this program has `spin` and `redis`"),
        };
        match rest.into_keys().next() {
            Some(key) => bail!("a store of type `{}` has no `{key}`", r#type),
            None => Ok(place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<BTreeMap<String, Place>> {
        parse(text, Path::new("/etc/scim"))
    }

    #[track_caller]
    fn check(text: &str, expected: Place) {
        assert_eq!(read(text).unwrap(), BTreeMap::from([("default".to_owned(), expected)]), "{text}");
    }

    #[track_caller]
    fn check_refusal(text: &str, expected: &str) {
        assert_eq!(format!("{:#}", read(text).unwrap_err()), expected);
    }

    #[test]
    fn a_store_is_where_the_file_says() {
        let sqlite = |path: &str| Place::Sqlite(Location::File(path.into()));
        check("[key_value_store.default]\ntype = 'spin'\npath = 'a.db'", sqlite("/etc/scim/a.db"));
        check("[key_value_store.default]\ntype = 'spin'\npath = '/var/a.db'", sqlite("/var/a.db"));
        check("[key_value_store.default]\ntype = 'spin'", Place::Sqlite(Location::Memory));
        let redis = Place::Redis("redis://127.0.0.1:6379".to_owned());
        check("[key_value_store.default]\ntype = 'redis'\nurl = 'redis://127.0.0.1:6379'", redis);
    }

    #[test]
    fn without_a_word_the_default_store_is_in_the_data_directory() {
        let config = RuntimeConfig::read(None, Path::new("/data")).unwrap();
        assert_eq!(*config.default_store(), Place::Sqlite(Location::File("/data/sqlite_key_value.db".into())));
    }

    #[test]
    fn what_only_spin_has_is_refused_by_name() {
        let of = |entry: &str| format!("[key_value_store.default]\n{entry}");
        let only_spin = |kind: &str| {
            format!(
                "`key_value_store.default`: a store of type `{kind}` takes Spin itself: \
                 this program has `spin` and `redis`"
            )
        };
        check_refusal(&of("type = 'azure_cosmos'\naccount = 'a'\nkey = 'k'"), &only_spin("azure_cosmos"));
        check_refusal(&of("type = 'aws_dynamo'\nregion = 'r'\ntable = 't'"), &only_spin("aws_dynamo"));
        check_refusal("state_dir = 'x'", "`state_dir` is for Spin itself: this program knows `key_value_store` only");
        check_refusal(
            &of("type = 'redis'\nurl = 'redis://h'\ndb = 1"),
            "`key_value_store.default`: a store of type `redis` has no `db`",
        );
        check_refusal(&of("type = 'redis'"), "`key_value_store.default`: a store of type `redis` needs a `url`");
    }

    #[test]
    fn the_examples_are_what_they_say() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/spin");
        let read = |name: &str| RuntimeConfig::read(Some(&examples.join(name)), Path::new("/data"));
        assert_eq!(*read("redis.toml").unwrap().default_store(), Place::Redis("redis://127.0.0.1:6379".to_owned()));
        for (name, kind) in [("aws-dynamodb.toml", "aws_dynamo"), ("azure-cosmos.toml", "azure_cosmos")] {
            let refusal = format!("{:#}", read(name).unwrap_err());
            assert!(refusal.contains(&format!("type `{kind}` takes Spin itself")), "{refusal}");
        }
    }
}
