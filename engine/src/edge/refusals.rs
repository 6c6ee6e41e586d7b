//! What edges refuse, told to the origin: the provisioning log of a connection shows failures wherever they happened.
//!
//! `POST /edge/v1/refusals/{directory}` takes a JSON array of log entries. The answer, 204, does not promise that they
//! are kept: the log takes so many a minute and no more.

use crate::connections::record::Record;
use crate::env::Env;
use crate::error::{Kind, ScimError};
use crate::http::{Request, Response};
use crate::log::{self, Entry};
use crate::store::{DirectoryId, Fault, Need, Outcome, View};

/// Entries one request may carry; over it, 413.
pub const MAX_REFUSALS: usize = 32;

/// How far back an entry may lie, in milliseconds: an edge keeps them while it cannot reach its origin.
const OLDEST: u64 = 60 * 60_000;

/// The body of a request about refusals.
pub fn encode_refusals(entries: &[Entry]) -> Vec<u8> {
    serde_json::to_vec(entries).unwrap_or_default()
}

/// Notes refusals in the log of a connection that exists.
pub(super) fn handle(
    request: &Request,
    directory: &DirectoryId,
    view: &View<'_>,
    env: &Env<'_>,
) -> Result<Outcome, Fault> {
    let Some(head) = view.heads.get(directory) else {
        return Err(Fault::Need(Need { heads: vec![directory.clone()], pages: Vec::new() }));
    };
    let record = head.as_deref().and_then(|head| Record::from_bytes(head.record()));
    if !record.is_some_and(|record| record.is_live()) {
        return Err(super::not_found().into());
    }
    let aside = log::aside(view, directory, decode(&request.body, env)?, env);
    Ok(Outcome { response: Response::empty(204), aside, ..Outcome::default() })
}

fn decode(body: &[u8], env: &Env<'_>) -> Result<Vec<Entry>, ScimError> {
    let mut entries: Vec<Entry> = serde_json::from_slice(body)
        .map_err(|error| ScimError::new(Kind::InvalidSyntax, format!("the body is not a list of entries: {error}")))?;
    if entries.len() > MAX_REFUSALS {
        return Err(ScimError::new(Kind::TooLarge, format!("more than {MAX_REFUSALS} refusals at once")));
    }
    if entries.iter().any(Entry::succeeded) {
        return Err(ScimError::new(Kind::InvalidValue, "an edge notes refusals only"));
    }
    let oldest = env.now.0.saturating_sub(OLDEST);
    for entry in &mut entries {
        entry.time.0 = entry.time.0.clamp(oldest, env.now.0);
    }
    Ok(entries)
}
