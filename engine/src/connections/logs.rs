//! `GET /scim2/{id}/logs`: the provisioning log of a connection, newest first.
//!
//! Query: `limit` (1 to 1,000, else 100), `cursor`, and the filters `outcome` (`success` or `failure`), `resource` (an id)
//! and `operation` (such as `PATCH User`, in any case). The answer is `{"items": [...], "nextCursor": ...}`; the cursor
//! is null at the end. A filtered page looks at so many entries and no more: it may be short, and yet not the last.
//!
//! | Field of an item | Meaning |
//! |---|---|
//! | `id` | names the entry |
//! | `time` | when the request arrived |
//! | `operation` | HTTP method and `User`, `Group`, `Bulk`, ...; each operation of a Bulk request has an entry of its own |
//! | `resource` | id of the resource, or null |
//! | `outcome`, `status` | `success` below status 400, else `failure` |
//! | `scimType`, `reason` | of a refusal, without values; else null |
//! | `unknown` | names of attributes that were left out because no schema knows them |
//! | `normalised` | forms of the identity provider that were brought to the RFC's |
//! | `bulk` | number of the operation in a Bulk request, from 1, or null |
//! | `requestId`, `source`, `client` | `x-request-id`, address and kind of the client, as far as known |
//! | `limited` | true on the last entry of a minute in which more was refused than the log takes |

use serde_json::json;

use crate::connections::connection::Connection;
use crate::connections::error::{ApiError, JSON};
use crate::env::Env;
use crate::http::{Request, Response};
use crate::log::tally::{self, Hour};
use crate::log::{self, read};
use crate::store::{Fault, Txn, View};

/// Entries of a page unless the query says otherwise.
const PAGE: usize = 100;
/// Most entries of a page.
const MOST: usize = 1000;

/// A page of the log.
///
/// # Errors
/// 400 for a wrong query.
pub fn list(request: &Request, view: &View<'_>, connection: &Connection<'_>, env: &Env<'_>) -> Result<Response, Fault> {
    let query = parse(request)?;
    let noted = log::directory(&connection.id).map(|log| Txn::open(view, &log)).transpose()?.flatten();
    let page = read::page(&connection.txn, noted.as_ref(), &query, env)?;
    let next = page.next.map(|cursor| cursor.text());
    Ok(Response::json(200, JSON, &json!({ "items": page.items, "nextCursor": next })))
}

/// What a connection has taken and refused in each of the last so many hours, the latest first.
///
/// # Errors
/// Heads and pages may have to be loaded first.
pub fn activity(view: &View<'_>, connection: &Connection<'_>, hours: u64, env: &Env<'_>) -> Result<Vec<Hour>, Fault> {
    let noted = log::directory(&connection.id).map(|log| Txn::open(view, &log)).transpose()?.flatten();
    tally::recent(&connection.txn, connection.record.hour, noted.as_ref(), hours, env)
}

fn parse(request: &Request) -> Result<read::Query, ApiError> {
    let parameters = request.parameters().ok_or_else(|| ApiError::malformed("the query is not percent-encoded"))?;
    let mut query = read::Query { limit: PAGE, ..read::Query::default() };
    for (name, value) in parameters.into_iter().filter(|(_, value)| !value.is_empty()) {
        match name.as_str() {
            "limit" => query.limit = limit(&value)?,
            "cursor" => query.cursor = Some(cursor(&value)?),
            "outcome" => query.success = Some(success(&value)?),
            "resource" => query.resource = Some(value),
            "operation" => query.operation = Some(value),
            _ => {}
        }
    }
    Ok(query)
}

fn limit(text: &str) -> Result<usize, ApiError> {
    let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
    limit.ok_or_else(|| ApiError::invalid("limit", &format!("must be a number from 1 to {MOST}")))
}

fn cursor(text: &str) -> Result<read::Cursor, ApiError> {
    read::Cursor::parse(text).ok_or_else(|| ApiError::invalid("cursor", "is not one this list gave out"))
}

fn success(text: &str) -> Result<bool, ApiError> {
    match text {
        "success" => Ok(true),
        "failure" => Ok(false),
        _ => Err(ApiError::invalid("outcome", "must be `success` or `failure`")),
    }
}
