//! The filter's configuration: one JSON document, refused with the name of the field that is wrong.
//!
//! `envoy/config.schema.json` describes the same fields for people and editors; a test compares the two.

use std::fmt;

use scim_engine::env::{Config as Engine, Limits};

pub use crate::fields::Refused;

use crate::decision::Rules;
use crate::fields::Fields;

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
    /// How to decide about the users of an application; without it, SCIM is served.
    pub decision: Option<Rules>,
}

/// Where heads and pages come from.
#[derive(Clone)]
pub struct Origin {
    /// Name of the Envoy cluster.
    pub cluster: String,
    /// The `:authority` of the filter's own calls.
    pub authority: String,
    /// What the filter presents under `/edge/v1/`.
    pub credential: String,
    /// How long one call may take, in milliseconds.
    pub timeout_ms: u64,
}

/// Sizes of the caches: all but keys takes memory by use, and never exceeds these.
#[derive(Clone, Copy, Debug)]
pub struct Slots {
    /// Directories kept at once, by every worker together.
    pub heads: u32,
    /// Pages kept at once, by every worker together.
    pub pages: u32,
    /// Bytes of the largest page that all workers keep together; a larger one, of one large resource, each keeps alone.
    pub page_bytes: usize,
    /// Bytes of decoded pages each worker keeps besides; one fetch has to fit.
    pub worker_bytes: usize,
    /// Bytes of answers each worker keeps, to give them again while nothing has changed.
    pub answer_bytes: usize,
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
    /// Requests of one connection.
    pub rate: Rate,
}

/// How often something may happen.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Times a second in the long run; 0 for no limit.
    pub per_second: u32,
    /// Times at once after a pause.
    pub burst: u32,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, authority, credential: _, timeout_ms } = self;
        f.debug_struct("Origin")
            .field("cluster", cluster)
            .field("authority", authority)
            .field("timeout_ms", timeout_ms)
            .finish_non_exhaustive()
    }
}

/// What the filter is for.
#[derive(Clone, Copy)]
enum Mode {
    /// SCIM, in front of an origin.
    Origin,
    /// Decisions about the users of an application.
    Decision,
}

const DAY_MS: u64 = 86_400_000;

impl Config {
    /// Reads and checks the document.
    ///
    /// # Errors
    /// One sentence that names the field.
    pub fn parse(document: &[u8]) -> Result<Self, Refused> {
        let mut fields = Fields::parse(document)?;
        let mode = fields.choice("mode", &[("origin", Mode::Origin), ("decision", Mode::Decision)])?;
        let origin = Origin::of(fields.object("origin")?)?;
        let max_staleness_ms = fields.number("max_staleness_ms", 0..=DAY_MS, 1000)?;
        let grace_ms = fields.number("grace_ms", 0..=DAY_MS, 60_000)?;
        if grace_ms < max_staleness_ms {
            return Err(fields.refuse("grace_ms", "must not be less than `max_staleness_ms`"));
        }
        let slots = Slots::of(fields.object("slots")?)?;
        let (bounds, limits) = limits(fields.object("limits")?)?;
        let (public_url, decision) = match mode {
            Mode::Origin => (public_url(&mut fields)?, None),
            Mode::Decision => (None, Some(Rules::of(fields.object("decision")?)?)),
        };
        fields.end()?;
        Ok(Self {
            origin,
            max_staleness: max_staleness_ms * 1000,
            grace: grace_ms * 1000,
            slots,
            bounds,
            engine: Engine { public_url, limits, ..Engine::default() },
            decision,
        })
    }
}

impl Origin {
    fn of(mut fields: Fields) -> Result<Self, Refused> {
        let origin = Self {
            cluster: fields.required("cluster")?,
            authority: fields.text("authority")?.unwrap_or_else(|| "origin".to_owned()),
            credential: fields.required("credential")?,
            timeout_ms: fields.number("timeout_ms", 1..=60_000, 2000)?,
        };
        fields.end().map(|()| origin)
    }
}

impl Slots {
    fn of(mut fields: Fields) -> Result<Self, Refused> {
        let slots = Self {
            heads: fields.number("heads", 1..=1 << 20, 1024)?,
            pages: fields.number("pages", 1..=1 << 20, 8192)?,
            page_bytes: fields.number("page_bytes", 1 << 10..=16 << 20, 16 << 10)?,
            worker_bytes: fields.number("worker_bytes", 4 << 20..=512 << 20, 32 << 20)?,
            answer_bytes: fields.number("answer_bytes", 0..=512 << 20, 8 << 20)?,
        };
        fields.end().map(|()| slots)
    }
}

impl Rate {
    /// The fields of `limits` that set it.
    ///
    /// # Errors
    /// One is no number in its range.
    pub fn of(limits: &mut Fields) -> Result<Self, Refused> {
        Ok(Self {
            per_second: limits.number("requests_per_second", 0..=1_000_000, 1000)?,
            burst: limits.number("burst", 1..=1_000_000, 5000)?,
        })
    }
}

/// What this filter and the engine bound. What is left out of the engine's keeps its default.
fn limits(mut fields: Fields) -> Result<(Bounds, Limits), Refused> {
    let bounds = Bounds {
        in_flight: fields.number("in_flight", 1..=1024, 256)?,
        lookups: fields.number("lookups_per_second", 1..=1_000_000, 200)?,
        rechecks: fields.number("rechecks_per_second", 1..=1_000_000, 20)?,
        rate: Rate::of(&mut fields)?,
    };
    let default = Limits::default();
    let limits = Limits {
        body: fields.number("body_bytes", 1..=64 << 20, default.body)?,
        filter_bytes: fields.number("filter_bytes", 1..=1 << 20, default.filter_bytes)?,
        filter_depth: fields.number("filter_depth", 1..=128, default.filter_depth)?,
        filter_terms: fields.number("filter_terms", 1..=10_000, default.filter_terms)?,
        page: fields.number("page", 1..=10_000, default.page)?,
        scan: fields.number("scan", 1..=1_000_000, default.scan)?,
        members: fields.number("members", 1..=1_000_000, default.members)?,
        ..default
    };
    fields.end().map(|()| (bounds, limits))
}

/// The field `public_url`.
///
/// # Errors
/// It is no URL to put paths after.
pub fn public_url(fields: &mut Fields) -> Result<Option<String>, Refused> {
    let url = fields.text("public_url")?;
    match url.as_deref() {
        Some(text) if !text.starts_with("https://") && !text.starts_with("http://") => {
            Err(fields.refuse("public_url", "expected an http or https URL"))
        }
        Some(text) if text.ends_with('/') => Err(fields.refuse("public_url", "must not end in a slash")),
        _ => Ok(url),
    }
}

#[cfg(test)]
const MODES: &[&str] = &["origin", "decision"];
#[cfg(test)]
const WALKTHROUGH: &str = include_str!("../../envoy/README.md");
#[cfg(test)]
mod schema;

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(document: &str) -> String {
        Config::parse(document.as_bytes()).map(|_| String::new()).unwrap_or_else(|refused| refused.to_string())
    }

    fn with(extra: &str) -> String {
        format!(r#"{{"mode":"origin","origin":{{"cluster":"o","credential":"hunter2"}}{extra}}}"#)
    }

    fn deciding(extra: &str) -> String {
        format!(r#"{{"mode":"decision","origin":{{"cluster":"o","credential":"hunter2"}}{extra}}}"#)
    }

    /// Wrong rules, and the field each refusal names.
    const RULES: [(&str, &str); 12] = [
        (r#""subject":{"header":"x"},"match":"id""#, ".connection"),
        (r#""connection":"hunter/2","subject":{"header":"x"},"match":"id""#, ".connection"),
        (r#""connection":"environment","subject":{"header":"x"},"match":"id""#, ".connection"),
        (
            r#""connection":"c","connections":[{"tenant":"a","connection":"c"}],"subject":{"header":"x"},"match":"id""#,
            ".connections",
        ),
        (
            r#""connections":[{"tenant":"a","connection":"/"}],"subject":{"header":"x"},"match":"id""#,
            ".connections[0].connection",
        ),
        (r#""connections":[{"tenant":"a","connection":"c"}],"subject":{"header":"x"},"match":"id""#, ".tenant"),
        (r#""connection":"c","match":"id""#, ".subject"),
        (r#""connection":"c","subject":{"header":"x","claim":["jwt","sub"]},"match":"id""#, ".subject"),
        (r#""connection":"c","subject":{"header":"X-User"},"match":"id""#, ".subject.header"),
        (r#""connection":"c","subject":{"header":"x-scim-groups"},"match":"id""#, ".subject.header"),
        (r#""connection":"c","subject":{"claim":["hunter2"]},"match":"id""#, ".subject.claim"),
        (r#""connection":"c","subject":{"header":"x"},"match":"hunter2""#, ".match"),
    ];

    #[test]
    fn what_is_left_out_has_a_default() {
        let config = Config::parse(with("").as_bytes()).unwrap();
        assert_eq!((config.max_staleness, config.grace), (1_000_000, 60_000_000));
        assert_eq!((config.slots.heads, config.slots.pages), (1024, 8192));
        assert_eq!(config.engine.limits.page, Limits::default().page);
        let config =
            Config::parse(with(r#","limits":{"page":50},"slots":{"pages":8},"//":"remark""#).as_bytes()).unwrap();
        assert_eq!((config.engine.limits.page, config.slots.pages, config.slots.heads), (50, 8, 1024));
    }

    #[test]
    fn a_refusal_names_the_field_and_never_shows_a_text() {
        let cases = [
            (with(r#","max_stalenes_ms":1"#), "max_stalenes_ms"),
            (with(r#","slots":{"page":1}"#), "slots.page"),
            (with(r#","slots":{"pages":0}"#), "slots.pages"),
            (with(r#","slots":{"pages":"hunter2"}"#), "slots.pages"),
            (with(r#","slots":["hunter2"]"#), "slots"),
            (with(r#","limits":{"burst":0}"#), "limits.burst"),
            (with(r#","grace_ms":1"#), "grace_ms"),
            (with(r#","grace_ms":null"#), "grace_ms"),
            (with(r#","limits":{"page":0}"#), "limits.page"),
            (with(r#","limits":{"filter_depth":4000}"#), "limits.filter_depth"),
            (with(r#","public_url":"x""#), "public_url"),
            (with(r#","public_url":"http://x/""#), "public_url"),
            (r#"{"mode":"hunter2","origin":{"cluster":"o","credential":"hunter2"}}"#.into(), "mode"),
            (r#"{"origin":{"cluster":"o","credential":"hunter2"}}"#.into(), "mode"),
            (r#"{"mode":"origin"}"#.into(), "origin.cluster"),
            (r#"{"mode":"origin","origin":{"cluster":"o"}}"#.into(), "origin.credential"),
            (r#"{"mode":"origin","origin":{"cluster":"","credential":"hunter2"}}"#.into(), "origin.cluster"),
            (r#"{"mode":"origin","origin":{"cluster":"o","credential":"hunter2\r\n"}}"#.into(), "origin.credential"),
        ];
        for (document, field) in cases {
            let refusal = refusal(&document);
            assert!(
                refusal.starts_with(&format!("`{field}`: ")) && !refusal.contains("hunter2"),
                "{document}: {refusal}"
            );
        }
        for (rules, field) in RULES {
            let document = deciding(&format!(r#","decision":{{{rules}}}"#));
            let refusal = refusal(&document);
            assert!(refusal.starts_with(&format!("`decision{field}`: ")), "{document}: {refusal}");
            assert!(!refusal.contains("hunter2"), "{refusal}");
        }
        for document in ["", "[]", "hunter2", r#"{"mode":"hunter2"#] {
            let refusal = refusal(document);
            assert!(!refusal.is_empty() && !refusal.contains("hunter2"), "{document}: {refusal}");
        }
        assert!(!format!("{:?}", Config::parse(with("").as_bytes()).unwrap()).contains("hunter2"));
    }
}
