//! The filter's configuration: one JSON document, refused with the name of the field that is wrong.

use std::fmt;

use scim_engine::env::{Config as Engine, Limits};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who owns the directories.
    pub origin: Origin,
    /// How old a head may be that answers a request, in microseconds.
    pub max_staleness: u64,
    /// How old it may be while the origin does not answer, in microseconds.
    pub grace: u64,
    /// Sizes of the shared caches.
    pub slots: Slots,
    /// Bounds of this filter.
    pub bounds: Bounds,
    /// What the engine is told.
    pub engine: Engine,
}

/// Where heads and pages come from.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Name of the Envoy cluster.
    pub cluster: String,
    /// The `:authority` of the filter's own calls.
    #[serde(default = "Origin::default_authority")]
    pub authority: String,
    /// What the filter presents under `/edge/v1/`.
    pub credential: String,
    /// How long one call may take, in milliseconds.
    #[serde(default = "Origin::default_timeout")]
    pub timeout_ms: u64,
}

/// Sizes of the caches: memory is reserved by use and never exceeds these.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Slots {
    /// Directories kept at once, by every worker together.
    pub heads: u32,
    /// Pages kept at once, by every worker together; a page is 16 KiB unless the origin says otherwise.
    pub pages: u32,
    /// Bytes of decoded pages each worker keeps besides; one fetch has to fit.
    pub worker_bytes: usize,
}

/// Bounds of this filter, besides those of the engine.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Calls to the origin in flight at once, per worker.
    pub in_flight: usize,
    /// Directories not yet known that may be looked up per second, per worker.
    pub lookups: u32,
    /// Refused tokens that may be checked again with the origin per second, per worker.
    pub rechecks: u32,
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Origin {
    fn default_authority() -> String {
        "origin".to_owned()
    }
    fn default_timeout() -> u64 {
        2000
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Default for Slots {
    fn default() -> Self {
        Self { heads: 1024, pages: 4096, worker_bytes: 32 << 20 }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    mode: Mode,
    origin: Origin,
    #[serde(default = "Document::default_staleness")]
    max_staleness_ms: u64,
    #[serde(default = "Document::default_grace")]
    grace_ms: u64,
    #[serde(default)]
    slots: Slots,
    #[serde(default)]
    limits: LimitsDocument,
    #[serde(default)]
    public_url: Option<String>,
    /// A place for a remark; JSON has no comments.
    #[serde(default, rename = "//")]
    _comment: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Origin,
}

/// Every limit is optional: what is left out keeps its default.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsDocument {
    in_flight: Option<usize>,
    lookups_per_second: Option<u32>,
    rechecks_per_second: Option<u32>,
    body_bytes: Option<usize>,
    filter_bytes: Option<usize>,
    filter_depth: Option<usize>,
    filter_terms: Option<usize>,
    page: Option<usize>,
    scan: Option<usize>,
    members: Option<usize>,
}

impl Document {
    fn default_staleness() -> u64 {
        1000
    }
    fn default_grace() -> u64 {
        60_000
    }
}

impl Config {
    /// Reads and checks the document.
    ///
    /// # Errors
    /// One sentence that names the field.
    pub fn parse(document: &[u8]) -> Result<Self, Refused> {
        let document: Document = serde_json::from_slice(document).map_err(|error| Refused(error.to_string()))?;
        document.check()?;
        let bounds = Bounds {
            in_flight: document.limits.in_flight.unwrap_or(256),
            lookups: document.limits.lookups_per_second.unwrap_or(200),
            rechecks: document.limits.rechecks_per_second.unwrap_or(20),
        };
        let engine =
            Engine { public_url: document.public_url, limits: document.limits.of_engine(), ..Engine::default() };
        Ok(Self {
            origin: document.origin,
            max_staleness: document.max_staleness_ms * 1000,
            grace: document.grace_ms * 1000,
            slots: document.slots,
            bounds,
            engine,
        })
    }
}

impl LimitsDocument {
    fn of_engine(&self) -> Limits {
        let default = Limits::default();
        Limits {
            body: self.body_bytes.unwrap_or(default.body),
            filter_bytes: self.filter_bytes.unwrap_or(default.filter_bytes),
            filter_depth: self.filter_depth.unwrap_or(default.filter_depth),
            filter_terms: self.filter_terms.unwrap_or(default.filter_terms),
            page: self.page.unwrap_or(default.page),
            scan: self.scan.unwrap_or(default.scan),
            members: self.members.unwrap_or(default.members),
            ..default
        }
    }
}

impl Document {
    fn check(&self) -> Result<(), Refused> {
        let Mode::Origin = self.mode;
        let day = 86_400_000;
        visible("origin.cluster", &self.origin.cluster)?;
        visible("origin.authority", &self.origin.authority)?;
        visible("origin.credential", &self.origin.credential)?;
        within("origin.timeout_ms", self.origin.timeout_ms, 1, 60_000)?;
        within("max_staleness_ms", self.max_staleness_ms, 0, day)?;
        within("grace_ms", self.grace_ms, self.max_staleness_ms, day)?;
        within("slots.heads", self.slots.heads.into(), 1, 1 << 20)?;
        within("slots.pages", self.slots.pages.into(), 1, 1 << 24)?;
        within("slots.worker_bytes", self.slots.worker_bytes as u64, 4 << 20, 512 << 20)?;
        let limits = &self.limits;
        within("limits.in_flight", limits.in_flight.map_or(1, |n| n as u64), 1, 1024)?;
        within("limits.lookups_per_second", limits.lookups_per_second.map_or(1, u64::from), 1, 1_000_000)?;
        within("limits.rechecks_per_second", limits.rechecks_per_second.map_or(1, u64::from), 1, 1_000_000)?;
        within("limits.body_bytes", limits.body_bytes.map_or(1, |n| n as u64), 1, 64 << 20)?;
        within("limits.page", limits.page.map_or(1, |n| n as u64), 1, 10_000)?;
        within("limits.filter_depth", limits.filter_depth.map_or(1, |n| n as u64), 1, 128)?;
        match self.public_url.as_deref() {
            Some(url) if !url.starts_with("https://") && !url.starts_with("http://") => {
                Err(Refused("`public_url`: expected an http or https URL".to_owned()))
            }
            Some(url) if url.ends_with('/') => Err(Refused("`public_url`: must not end in a slash".to_owned())),
            Some(url) => visible("public_url", url),
            None => Ok(()),
        }
    }
}

fn within(field: &str, value: u64, least: u64, most: u64) -> Result<(), Refused> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Refused(format!("`{field}`: expected {least} to {most}, found `{value}`")))
}

/// A text that can be part of a header.
fn visible(field: &str, text: &str) -> Result<(), Refused> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Refused(format!("`{field}`: expected visible ASCII characters")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(document: &str) -> String {
        Config::parse(document.as_bytes()).map(|_| String::new()).unwrap_or_else(|refused| refused.to_string())
    }

    fn with(extra: &str) -> String {
        format!(r#"{{"mode":"origin","origin":{{"cluster":"o","credential":"hunter2"}}{extra}}}"#)
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let config = Config::parse(with("").as_bytes()).unwrap();
        assert_eq!((config.max_staleness, config.grace), (1_000_000, 60_000_000));
        assert_eq!((config.slots.heads, config.slots.pages), (1024, 4096));
        assert_eq!(config.engine.limits.page, Limits::default().page);
        let config =
            Config::parse(with(r#","limits":{"page":50},"slots":{"pages":8},"//":"remark""#).as_bytes()).unwrap();
        assert_eq!((config.engine.limits.page, config.slots.pages, config.slots.heads), (50, 8, 1024));
    }

    #[test]
    fn a_refusal_names_the_field_and_never_the_credential() {
        let cases = [
            (with(r#","max_stalenes_ms":1"#), "max_stalenes_ms"),
            (with(r#","slots":{"page":1}"#), "page"),
            (with(r#","slots":{"pages":0}"#), "slots.pages"),
            (with(r#","grace_ms":1"#), "grace_ms"),
            (with(r#","limits":{"page":0}"#), "limits.page"),
            (with(r#","limits":{"filter_depth":4000}"#), "limits.filter_depth"),
            (with(r#","public_url":"x""#), "public_url"),
            (with(r#","public_url":"http://x/""#), "public_url"),
            (r#"{"mode":"elsewhere","origin":{"cluster":"o","credential":"hunter2"}}"#.into(), "elsewhere"),
            (r#"{"mode":"origin"}"#.into(), "origin"),
            (r#"{"mode":"origin","origin":{"cluster":"o"}}"#.into(), "credential"),
            (r#"{"mode":"origin","origin":{"cluster":"","credential":"hunter2"}}"#.into(), "origin.cluster"),
            (r#"{"mode":"origin","origin":{"cluster":"o","credential":"hunter2\r\n"}}"#.into(), "origin.credential"),
            (String::new(), "EOF"),
        ];
        for (document, field) in cases {
            let refusal = refusal(&document);
            assert!(refusal.contains(field) && !refusal.contains("hunter2"), "{document}: {refusal}");
        }
        assert!(!format!("{:?}", Config::parse(with("").as_bytes()).unwrap()).contains("hunter2"));
    }
}
