//! What a step may know besides its request: time, entropy and settings.

use std::cell::Cell;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::connections::user::SignatureCheck;

/// A point in time: milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The `xsd:dateTime` form SCIM and the management API use (RFC 3339, UTC, milliseconds).
    ///
    /// ```
    /// use scim_engine::env::Timestamp;
    /// assert_eq!(Timestamp(1_700_000_000_123).rfc3339(), "2023-11-14T22:13:20.123Z");
    /// ```
    pub fn rfc3339(self) -> String {
        let whole = i64::try_from(self.0 / 1000).unwrap_or(0);
        let Ok(date) = OffsetDateTime::from_unix_timestamp(whole) else { return String::new() };
        let seconds = date.format(&Rfc3339).unwrap_or_default();
        format!("{}.{:03}Z", seconds.trim_end_matches('Z'), self.0 % 1000)
    }

    /// Reads any RFC 3339 form; `None` when the text is not a date-time.
    pub fn parse(text: &str) -> Option<Self> {
        let date = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        u64::try_from(date.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }

    /// This time and `seconds` more.
    pub fn plus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }
}

/// Time, entropy and settings of one step.
///
/// The same seed gives the same identifiers in the same order, so a step that is run again, because a page
/// was missing or a race was lost, makes the same resource.
#[derive(Debug)]
pub struct Env<'a> {
    /// When the request arrived.
    pub now: Timestamp,
    /// Settings of this deployment.
    pub config: &'a Config,
    /// How often this request has lost a commit race: part of a commit's nonce, not of identifiers.
    pub attempt: u32,
    seed: [u8; 32],
    drawn: Cell<u32>,
}

impl<'a> Env<'a> {
    /// An environment for one run of a step. `seed` must come from the host's secure generator, once per request.
    pub fn new(now: Timestamp, seed: [u8; 32], attempt: u32, config: &'a Config) -> Self {
        Self { now, config, attempt, seed, drawn: Cell::new(0) }
    }

    /// 32 fresh bytes: each call in a step gives others, each run of the step gives the same.
    pub fn entropy(&self) -> [u8; 32] {
        let drawn = self.drawn.get();
        self.drawn.set(drawn.wrapping_add(1));
        Sha256::new().chain_update(b"id").chain_update(self.seed).chain_update(drawn.to_be_bytes()).finalize().into()
    }

    /// A fresh UUIDv7.
    pub fn uuid(&self) -> String {
        self.uuid_from(self.random())
    }

    /// A fresh UUIDv7 that sorts by time, then by the version of the directory it is made in, then by its place in the
    /// step: resources created within one millisecond still lie in order of creation (RFC 9562 section 6.2, method 1).
    pub fn uuid_after(&self, version: u64) -> String {
        let place = self.drawn.get().to_be_bytes();
        let mut bytes = self.random();
        // 12 bits of the version, then 14 bits of the place; 48 random bits remain.
        let ([.., high, low], [.., first, second]) = (version.to_be_bytes(), place);
        let [a, b, c, d, ..] = &mut bytes;
        (*a, *b, *c, *d) = (high, low, first, second);
        self.uuid_from(bytes)
    }

    fn random(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        for (to, from) in bytes.iter_mut().zip(self.entropy()) {
            *to = from;
        }
        bytes
    }

    fn uuid_from(&self, bytes: [u8; 10]) -> String {
        uuid::Builder::from_unix_timestamp_millis(self.now.0, &bytes).into_uuid().to_string()
    }

    /// Entropy for the commit of this attempt; another one after every lost race.
    pub fn nonce(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(b"nonce")
            .chain_update(self.seed)
            .chain_update(self.attempt.to_be_bytes())
            .finalize()
            .into()
    }
}

/// Settings of a deployment, the same for every request.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The vendor's credential for the management API; without one, `/auth/vendor/` answers 401.
    pub vendor: Option<Credential>,
    /// How tokens of customers' users are verified; without it, only the vendor manages connections.
    pub user_jwt: Option<UserJwt>,
    /// The secret edges present under `/edge/v1/`; without one, the edge API answers 401.
    pub edge_secret: Option<String>,
    /// Base URL to put in `meta.location` instead of the one the request came by, without a trailing slash.
    pub public_url: Option<String>,
    /// Origins whose pages may show the self-service portal in a frame.
    pub portal_origins: Vec<String>,
    /// Bounds on what one request may ask for.
    pub limits: Limits,
}

/// How tokens of customers' users are verified.
#[derive(Clone, Debug)]
pub struct UserJwt {
    /// Checks signatures.
    pub signature: Arc<dyn SignatureCheck>,
    /// What `iss` must be, if it matters.
    pub issuer: Option<String>,
    /// What `aud` must name, if it matters.
    pub audience: Option<String>,
}

/// A client id and its secret.
#[derive(Clone)]
pub struct Credential {
    /// Public name of the client.
    pub client_id: String,
    /// What proves it.
    pub secret: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// Bounds on what one request may ask for; over a bound is a SCIM error, never a silent cut.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request body; over it, 413.
    pub body: usize,
    /// Bytes of a filter or path expression; over it, 400 `invalidFilter` or `invalidPath`.
    pub filter_bytes: usize,
    /// Nesting of a filter; over it, 400 `invalidFilter`.
    pub filter_depth: usize,
    /// Terms of a filter; over it, 400 `invalidFilter`.
    pub filter_terms: usize,
    /// Operations of one PATCH; over it, 413.
    pub patch_operations: usize,
    /// Operations of one Bulk request; over it, 413.
    pub bulk_operations: usize,
    /// Resources of one page of a list; a larger `count` is lowered to it (RFC 7644 section 3.4.2.4).
    pub page: usize,
    /// Resources one filter without an index may visit; over it, 400 `tooMany`.
    pub scan: usize,
    /// Bytes of one stored resource, members not counted; over it, 413.
    pub resource: usize,
    /// Members one response carries inline; a larger group is answered 400 `tooMany` unless `members` is excluded.
    pub members: usize,
    /// Bytes of a stored page; a larger entry gets a page of its own.
    pub page_bytes: usize,
    /// Writes a head keeps before they are merged into pages.
    pub pending_entries: usize,
    /// Bytes of keys and values a head keeps before they are merged into pages.
    pub pending_bytes: usize,
    /// Replaced pages a head remembers before they are deleted; with 0, the next merge deletes them.
    pub garbage_pages: usize,
    /// Commits of one process that share a swap at most, up to 16; with 1, none do.
    pub group: usize,
    /// Entries of the provisioning log a connection keeps, of writes and of what is noted aside each, to within a hundred;
    /// 0 keeps no log.
    pub log_entries: usize,
    /// Days an entry of the provisioning log is kept.
    pub log_days: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 1 << 20,
            filter_bytes: 8 << 10,
            filter_depth: 32,
            filter_terms: 200,
            patch_operations: 1000,
            bulk_operations: 1000,
            page: 200,
            scan: 20_000,
            resource: 256 << 10,
            members: 10_000,
            page_bytes: 8 << 10,
            pending_entries: 64,
            pending_bytes: 8 << 10,
            garbage_pages: 100,
            group: 16,
            log_entries: 10_000,
            log_days: 30,
        }
    }
}
