//! `GET /scim2`: the connections a caller may see, as a bare array.
//!
//! A page holds at most 1,000. When more follow, the answer's header `link` (RFC 8288) leads to them, and
//! `x-next-cursor` holds the cursor alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::connections::caller::{Caller, Credential};
use crate::connections::connection::{Connection, describe, source};
use crate::connections::environment::{Environment, Filter};
use crate::connections::error::{ApiError, JSON};
use crate::env::Env;
use crate::http::{Request, Response};
use crate::store::{DirectoryId, Fault, Need, View};

/// Most connections of one page.
const PAGE: usize = 1000;

/// What the query asks for.
#[derive(Debug, Default)]
struct Query {
    tenant_id: Option<String>,
    connection_name: Option<String>,
    source: Option<&'static str>,
    id: Option<String>,
    limit: usize,
    after: Option<String>,
    residue: bool,
}

/// Lists connections, or with `state=residue` (vendor only) deleted ones that left something.
///
/// # Errors
/// 400 for a wrong query, 403.
pub fn list(
    request: &Request,
    view: &View<'_>,
    environment: &Environment<'_>,
    caller: &Caller,
    env: &Env<'_>,
) -> Result<Response, Fault> {
    let query = Query::parse(request)?;
    let unreachable = query.tenant_id.as_deref().is_some_and(|tenant| !caller.reaches(tenant));
    if unreachable {
        return Ok(Response::json(200, JSON, &json!([])));
    }
    if query.residue {
        return residue(&query, request, environment, caller);
    }
    let filter = Filter {
        tenant_id: caller.account().or(query.tenant_id.as_deref()),
        connection_name: query.connection_name.as_deref(),
        source: query.source,
        id: query.id.as_deref(),
    };
    let mut entries = environment.list(&filter, query.after.as_deref(), query.limit + 1)?;
    let next = cut(&mut entries, query.limit);
    let mut need = Need::default();
    let mut shown = Vec::new();
    for (id, entry) in &entries {
        let Some(directory) = DirectoryId::new(id) else { continue };
        let connection = need.gather(Connection::open(view, &directory))?.flatten();
        if let Some(connection) = connection.filter(|connection| connection.record.is_live()) {
            shown.push(describe(id, entry, &connection.record, request, env));
        }
    }
    need.settle()?;
    Ok(page(&shown, next.as_deref(), request))
}

/// Accounts with connections, after that one, at most `limit`, in order, each with how many it has; for the vendor only.
///
/// # Errors
/// 401, or what has to be loaded first.
pub fn accounts(
    request: &Request,
    view: &View<'_>,
    env: &Env<'_>,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, u64)>, Fault> {
    of_vendor(request, view, env)?.accounts(after, limit)
}

/// How many connections all accounts have together; for the vendor only.
///
/// # Errors
/// As [`accounts`].
pub fn count(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<u64, Fault> {
    of_vendor(request, view, env)?.count()
}

fn of_vendor<'v>(request: &Request, view: &'v View<'v>, env: &Env<'_>) -> Result<Environment<'v>, Fault> {
    match Credential::prove(request, env)? {
        Credential::Vendor => Environment::open(view),
        Credential::User(_) => Err(ApiError::unauthorized().into()),
    }
}

fn residue(
    query: &Query,
    request: &Request,
    environment: &Environment<'_>,
    caller: &Caller,
) -> Result<Response, Fault> {
    if !caller.is_vendor() {
        return Err(ApiError::forbidden("only the vendor may do this").into());
    }
    let mut leftovers = match &query.id {
        Some(id) => environment.leftover(id)?.map(|leftover| (id.clone(), leftover)).into_iter().collect(),
        None => environment.leftovers(query.after.as_deref(), query.limit + 1)?,
    };
    let next = cut(&mut leftovers, query.limit);
    leftovers.retain(|(_, leftover)| {
        let tenant = &leftover.entry.tenant_id;
        caller.reaches(tenant) && query.tenant_id.as_ref().is_none_or(|wanted| wanted == tenant)
    });
    let describe = |(id, leftover): &(String, super::environment::Leftover)| {
        json!({
            "id": id,
            "tenantId": leftover.entry.tenant_id,
            "connectionName": leftover.entry.connection_name,
            "source": leftover.entry.source,
            "createdAt": leftover.entry.created_at.rfc3339(),
            "deletedAt": leftover.deleted_at.rfc3339(),
            "status": if leftover.removing { "deleting" } else { "residue" },
        })
    };
    Ok(page(&leftovers.iter().map(describe).collect::<Vec<_>>(), next.as_deref(), request))
}

/// Keeps `limit` entries, and gives the id to go on after when there were more.
fn cut<T>(entries: &mut Vec<(String, T)>, limit: usize) -> Option<String> {
    let more = entries.len() > limit;
    entries.truncate(limit);
    if more { entries.last().map(|(id, _)| id.clone()) } else { None }
}

fn page(shown: &[Value], next: Option<&str>, request: &Request) -> Response {
    let response = Response::json(200, JSON, &shown);
    let Some(next) = next else { return response };
    let cursor = URL_SAFE_NO_PAD.encode(next);
    let kept = request.query().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let query: Vec<_> = kept.map(str::to_owned).chain([format!("cursor={cursor}")]).collect();
    let link = format!("<{}?{}>; rel=\"next\"", request.path(), query.join("&"));
    response.with("link", link).with("x-next-cursor", cursor)
}

impl Query {
    fn parse(request: &Request) -> Result<Self, ApiError> {
        let parameters = request.parameters().ok_or_else(|| ApiError::malformed("the query is not percent-encoded"))?;
        let mut query = Self { limit: PAGE, ..Self::default() };
        for (name, value) in parameters.into_iter().filter(|(_, value)| !value.is_empty()) {
            match name.as_str() {
                "tenantId" => query.tenant_id = Some(value),
                "connectionName" => query.connection_name = Some(value),
                "source" => query.source = Some(source(&value)?),
                "id" => query.id = Some(value),
                "limit" => query.limit = limit(&value)?,
                "cursor" => query.after = Some(after(&value)?),
                "state" if value == "residue" => query.residue = true,
                "state" => return Err(ApiError::invalid("state", "must be `residue`")),
                _ => {}
            }
        }
        Ok(query)
    }
}

fn limit(text: &str) -> Result<usize, ApiError> {
    let limit = text.parse().ok().filter(|limit| (1..=PAGE).contains(limit));
    limit.ok_or_else(|| ApiError::invalid("limit", &format!("must be a number from 1 to {PAGE}")))
}

fn after(cursor: &str) -> Result<String, ApiError> {
    let id = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let id = id.filter(|id| DirectoryId::new(id).is_some());
    id.ok_or_else(|| ApiError::invalid("cursor", "is not one this list gave out"))
}
