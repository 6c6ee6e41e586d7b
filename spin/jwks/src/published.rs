//! A key set that its issuer publishes at a URL: how long it is good, and when to ask for it again.
//!
//! | Situation | What happens |
//! |---|---|
//! | the keys are younger than the issuer's `max-age` says | nothing is asked |
//! | they are older | they are asked for again |
//! | a token names a key that is not among them, or names none and none of them has signed it | they are asked for again, for the issuer may have rolled over; so many times a minute and no more, for anybody can name a key |
//! | the issuer cannot be reached, or answers nonsense | the keys at hand go on for [a day](STALE), and it is asked again after [a while](RETRY) |
//!
//! Like the engine, nothing here performs I/O. A host keeps [`Record`] where its instances share it.
//!
//! ```
//! use scim_engine::env::Timestamp;
//! use scim_jwks::published::{Published, Record};
//! let mut published = Published::new("https://id.example/jwks");
//! assert!(published.is_due(None, Timestamp(60_000)) && published.keys(Timestamp(60_000)).is_none());
//! let keys = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
//! published.answered(Ok((keys.to_owned(), None)), None, Timestamp(60_000)).unwrap();
//! assert!(!published.is_due(None, Timestamp(60_001)) && published.keys(Timestamp(60_001)).is_some());
//! ```

use std::sync::Arc;

use scim_engine::env::Timestamp;
use serde::{Deserialize, Serialize};

use crate::KeySet;

/// How long keys are good when the issuer does not say, in seconds.
const LIFETIME: u64 = 600;
/// The least and the most that an issuer's word counts, in seconds.
const LIFETIMES: (u64, u64) = (60, 24 * 60 * 60);
/// How long after the issuer last answered its keys are still taken, in seconds.
pub const STALE: u64 = 24 * 60 * 60;
/// How long after a failure the issuer is left alone, in seconds.
pub const RETRY: u64 = 5;
/// How long after one was sought in vain no other unknown key is looked for, in seconds.
pub const SEEK: u64 = 30;

/// What is known of a published key set.
#[derive(Clone, Debug)]
pub struct Published {
    record: Record,
    keys: Option<Arc<KeySet>>,
}

/// The part of it that instances share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Where it is published.
    url: String,
    /// The key set; empty before the first answer.
    keys: String,
    /// When the issuer last gave it.
    fetched: Timestamp,
    /// How long it is good then, in seconds.
    lifetime: u64,
    /// When the issuer last gave none; the epoch when it did since.
    failed: Timestamp,
    /// When it was last asked for because of an unknown key.
    sought: Timestamp,
}

impl Published {
    /// Nothing is known yet.
    pub fn new(url: &str) -> Self {
        Self { record: Record { url: url.to_owned(), ..Record::default() }, keys: None }
    }

    /// The keys, unless they are too old to be trusted.
    pub fn keys(&self, now: Timestamp) -> Option<Arc<KeySet>> {
        self.keys.clone().filter(|_| now < self.record.fetched.plus_seconds(STALE))
    }

    /// Whether the keys at hand do for the user who presents that token.
    pub fn serves(&self, token: Option<&str>, now: Timestamp) -> bool {
        self.keys(now).is_some() && !self.is_unknown(token)
    }

    /// Whether to ask the issuer, for a user who presents that token.
    pub fn is_due(&self, token: Option<&str>, now: Timestamp) -> bool {
        let Record { fetched, lifetime, failed, .. } = self.record;
        let old = self.keys.is_none() || now >= fetched.plus_seconds(lifetime);
        let rested = now >= failed.plus_seconds(RETRY);
        rested && (old || now >= self.record.sought.plus_seconds(SEEK) && self.is_unknown(token))
    }

    /// Takes note of what the issuer gave: a key set and the answer's `cache-control`, or the reason why not.
    ///
    /// # Errors
    /// Why the keys are still the old ones; the text is for the log.
    pub fn answered(
        &mut self,
        answer: Result<(String, Option<String>), String>,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<(), String> {
        let unknown = self.keys.is_some() && self.is_unknown(token);
        let parsed = answer.and_then(|(text, control)| Ok((KeySet::parse(&text)?, text, control)));
        let record = &mut self.record;
        if unknown {
            record.sought = now;
        }
        match parsed {
            Ok((keys, text, control)) => {
                let lifetime = control.as_deref().and_then(max_age).unwrap_or(LIFETIME);
                record.lifetime = lifetime.clamp(LIFETIMES.0, LIFETIMES.1);
                (record.keys, record.fetched, record.failed) = (text, now, Timestamp(0));
                self.keys = Some(Arc::new(keys));
                Ok(())
            }
            Err(reason) => {
                record.failed = now;
                Err(format!("the key set at `{}` could not be had: {reason}", record.url))
            }
        }
    }

    /// Takes over what another instance has learned since.
    pub fn learn(&mut self, record: Record) {
        if record.url != self.record.url {
            return;
        }
        if record.fetched > self.record.fetched
            && let Ok(keys) = KeySet::parse(&record.keys)
        {
            self.keys = Some(Arc::new(keys));
            (self.record.keys, self.record.fetched) = (record.keys, record.fetched);
            self.record.lifetime = record.lifetime;
        }
        self.record.failed = self.record.failed.max(record.failed);
        self.record.sought = self.record.sought.max(record.sought);
    }

    /// What other instances may learn.
    pub fn record(&self) -> &Record {
        &self.record
    }

    fn is_unknown(&self, token: Option<&str>) -> bool {
        let keys = self.keys.as_ref();
        token.is_some_and(|token| keys.is_none_or(|keys| keys.lacks_key_of(token)))
    }
}

/// `max-age` of a `cache-control` (RFC 9111 section 5.2.2.1), in seconds.
fn max_age(control: &str) -> Option<u64> {
    let directives = control.split(',').filter_map(|directive| directive.trim().split_once('='));
    let mut age = directives.filter(|(name, _)| name.eq_ignore_ascii_case("max-age")).map(|(_, age)| age);
    age.next_back()?.trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://id.test/jwks";
    /// A token's header that names the key `b`, and one that names `a`.
    const NAMES_B: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6ImIifQ.e30.x";
    const NAMES_A: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.e30.x";
    /// One that names no key, and that none has signed; and one of no algorithm that a key is good for.
    const NAMES_NONE: &str = "eyJhbGciOiJFZERTQSJ9.e30.x";
    const UNSIGNED: &str = "eyJhbGciOiJub25lIn0.e30.";

    fn set(kid: &str) -> String {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"{x}"}}]}}"#)
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp(1_700_000_000_000).plus_seconds(seconds)
    }

    /// A published set `a`, fetched at 0.
    fn fetched(control: Option<&str>) -> Published {
        let mut published = Published::new(URL);
        published.answered(Ok((set("a"), control.map(str::to_owned))), None, at(0)).unwrap();
        published
    }

    #[test]
    fn keys_are_asked_for_when_their_time_is_over() {
        let check = |control: Option<&str>, seconds: u64| {
            let published = fetched(control);
            assert!(!published.is_due(None, at(seconds - 1)), "{control:?}");
            assert!(published.is_due(None, at(seconds)), "{control:?}");
        };
        check(None, 600);
        check(Some("max-age=3600"), 3600);
        check(Some("public, Max-Age=120, must-revalidate"), 120);
        check(Some("max-age=1"), 60);
        check(Some("no-store"), 600);
        check(Some("max-age=99999999999"), 86_400);
        check(Some("max-age=soon"), 600);
    }

    #[test]
    fn an_unknown_key_is_sought_at_once_and_then_not_for_a_while() {
        let mut published = fetched(None);
        assert!(!published.is_due(Some(NAMES_A), at(1)));
        assert!(!published.is_due(Some("nonsense"), at(1)));
        assert!(!published.is_due(Some(UNSIGNED), at(1)));
        assert!(published.is_due(Some(NAMES_NONE), at(1)));
        assert!(published.is_due(Some(NAMES_B), at(1)));
        published.answered(Ok((set("a"), None)), Some(NAMES_B), at(1)).unwrap();
        assert!(!published.is_due(Some(NAMES_B), at(SEEK)));
        assert!(!published.is_due(Some(NAMES_NONE), at(SEEK)));
        assert!(published.is_due(Some(NAMES_B), at(SEEK + 1)));
        published.answered(Ok((set("b"), None)), Some(NAMES_B), at(SEEK + 1)).unwrap();
        assert!(!published.is_due(Some(NAMES_B), at(SEEK + 2)));
        assert!(!published.keys(at(SEEK + 2)).unwrap().lacks_key_of(NAMES_B));
        assert!(published.keys(at(SEEK + 2)).unwrap().lacks_key_of(NAMES_A), "a key that is gone counts no more");
    }

    #[test]
    fn keys_outlive_an_issuer_that_is_down_by_a_day() {
        let mut published = fetched(None);
        for answer in
            [Err("no answer".to_owned()), Ok(("nonsense".to_owned(), None)), Ok((r#"{"keys":[]}"#.into(), None))]
        {
            let refused = published.answered(answer, None, at(700)).unwrap_err();
            assert!(refused.starts_with("the key set at `https://id.test/jwks` could not be had"), "{refused}");
        }
        assert!(!published.is_due(Some(NAMES_B), at(700 + RETRY - 1)), "a failing issuer is left alone");
        assert!(published.is_due(None, at(700 + RETRY)));
        assert!(published.keys(at(STALE - 1)).is_some());
        assert!(published.keys(at(STALE)).is_none());
        published.answered(Ok((set("a"), None)), None, at(STALE + 1)).unwrap();
        assert!(published.keys(at(STALE + 1)).is_some());
    }

    #[test]
    fn an_instance_learns_what_another_fetched_or_tried() {
        let mut fresh = Published::new(URL);
        fresh.learn(fetched(None).record().clone());
        assert!(!fresh.is_due(Some(NAMES_A), at(1)) && fresh.keys(at(1)).is_some());
        let mut other = fetched(None);
        other.answered(Err("no answer".into()), Some(NAMES_B), at(10)).unwrap_err();
        fresh.learn(other.record().clone());
        assert!(!fresh.is_due(Some(NAMES_B), at(11)), "it was sought in vain a second ago");
        let mut elsewhere = Published::new("https://other.test/jwks");
        elsewhere.learn(other.record().clone());
        assert!(elsewhere.keys(at(11)).is_none(), "those are the keys of another issuer");
        let text = serde_json::to_string(other.record()).unwrap();
        assert_eq!(&serde_json::from_str::<Record>(&text).unwrap(), other.record());
    }
}
