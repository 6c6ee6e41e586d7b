//! Tokens of a connection: listed, made and revoked. Several live tokens let an IdP change over without a gap.

use serde_json::{Value, json};

use crate::connections::body::Body;
use crate::connections::cidr::Network;
use crate::connections::connection::Connection;
use crate::connections::error::{ApiError, JSON};
use crate::connections::record::{MAX_TOKENS, Scope, Token};
use crate::connections::token;
use crate::env::{Env, Timestamp};
use crate::http::{Request, Response};
use crate::store::{Fault, Outcome};

/// Most networks of one token.
const MAX_CIDRS: usize = 32;

/// `GET /scim2/{id}/tokens`
pub fn list(connection: &Connection<'_>, env: &Env<'_>) -> Response {
    let tokens = connection.record.tokens.iter().filter(|token| !token.is_expired(env.now));
    Response::json(200, JSON, &tokens.map(describe).collect::<Vec<_>>())
}

/// `POST /scim2/{id}/tokens`: `name`, `expiresAt` (RFC 3339), `scopes`, `cidrs`, all optional. The answer is the only
/// place where the token is ever shown.
///
/// # Errors
/// 400, 409 when there are too many live tokens.
pub fn create(request: &Request, mut connection: Connection<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let body = Body::parse_optional(request)?;
    let secret = token::generate(env);
    let new = Token {
        name: body.text("name")?.map(str::to_owned),
        expires_at: expiry(&body, env)?,
        scopes: scopes(&body)?,
        cidrs: cidrs(&body)?,
        ..Token::new(env.uuid(), &secret, env.now)
    };
    let tokens = &mut connection.record.tokens;
    tokens.retain(|token| !token.is_expired(env.now));
    if tokens.len() >= MAX_TOKENS {
        return Err(ApiError::conflict("tokens", &format!("has {MAX_TOKENS} live tokens, revoke one first")).into());
    }
    let mut shown = describe(&new);
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("token".into(), secret.into());
    }
    tokens.push(new);
    let commits = connection.commit(env)?.into_iter().collect();
    Ok(Outcome { response: Response::json(201, JSON, &shown), commits, ..Outcome::default() })
}

/// `DELETE /scim2/{id}/tokens/{tokenId}`: the token is refused from the next request on.
///
/// # Errors
/// 404
pub fn delete(id: &str, mut connection: Connection<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let tokens = &mut connection.record.tokens;
    let before = tokens.len();
    tokens.retain(|token| token.id != id);
    if tokens.len() == before {
        return Err(ApiError::not_found("token").into());
    }
    let commits = connection.commit(env)?.into_iter().collect();
    Ok(Outcome { response: Response::empty(204), commits, ..Outcome::default() })
}

fn describe(token: &Token) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "createdAt": token.created_at.rfc3339(),
        "expiresAt": token.expires_at.map(Timestamp::rfc3339),
        "scopes": token.scopes.as_deref().unwrap_or(&Scope::ALL),
        "cidrs": token.cidrs,
        "lastUsedAt": token.last_used.map(Timestamp::rfc3339),
    })
}

fn expiry(body: &Body, env: &Env<'_>) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = body.text("expiresAt")? else { return Ok(None) };
    let end = Timestamp::parse(text).ok_or_else(|| ApiError::invalid("expiresAt", "must be an rfc 3339 date-time"))?;
    if end <= env.now { Err(ApiError::invalid("expiresAt", "must be in the future")) } else { Ok(Some(end)) }
}

fn scopes(body: &Body) -> Result<Option<Vec<Scope>>, ApiError> {
    let Some(names) = body.texts("scopes")? else { return Ok(None) };
    let wrong =
        || ApiError::invalid("scopes", "must be some of `users:read`, `users:write`, `groups:read`, `groups:write`");
    if names.is_empty() || names.iter().any(|name| Scope::of_name(name).is_none()) {
        return Err(wrong());
    }
    Ok(Some(Scope::ALL.into_iter().filter(|scope| names.contains(&scope.name())).collect()))
}

fn cidrs(body: &Body) -> Result<Vec<String>, ApiError> {
    let texts = body.texts("cidrs")?.unwrap_or_default();
    if texts.len() > MAX_CIDRS {
        return Err(ApiError::invalid("cidrs", &format!("has more than {MAX_CIDRS} entries")));
    }
    let parse = |text: &str| text.parse::<Network>().map(|network| network.to_string());
    let wrong = |_| ApiError::invalid("cidrs", "must be networks such as `192.0.2.0/24` or `2001:db8::/32`");
    texts.into_iter().map(parse).collect::<Result<_, _>>().map_err(wrong)
}
