//! `PATCH /scim2/{id}`: pause, resume, rename.

use serde_json::Value;

use crate::connections::body::Body;
use crate::connections::caller::Caller;
use crate::connections::connection::find;
use crate::connections::create::release;
use crate::connections::environment::{Entry, Environment};
use crate::connections::error::ApiError;
use crate::connections::record::{MAX_SETTINGS, State};
use crate::env::Env;
use crate::error::ScimError;
use crate::http::{Request, Response};
use crate::schema::Registry;
use crate::store::{DirectoryId, Fault, Outcome, View};

/// Changes what the body names and leaves the rest. A new name is settled in the environment before the connection's
/// own head learns it.
///
/// # Errors
/// 400, 404, 409 for a name that is taken.
pub fn change<'v>(
    id: &DirectoryId,
    request: &Request,
    view: &'v View<'v>,
    mut environment: Environment<'v>,
    caller: &Caller,
    env: &Env<'_>,
) -> Result<Outcome, Fault> {
    let body = Body::parse(request)?;
    let name = body.text("connectionName")?.map(str::to_owned);
    let sync = body.flag("syncToUserManagement")?;
    let settings = body.field("settings").map(|value| Body::of(value.clone())).transpose();
    let settings = settings.map_err(|_| ApiError::invalid("settings", "must be an object"))?.unwrap_or_default();
    let (revive, strict) = (settings.flag("revive")?, settings.flag("strict")?);
    let (users, groups) = (schemas(&settings, "userExtensions")?, schemas(&settings, "groupExtensions")?);

    let (entry, mut connection) = find(view, &environment, caller, id)?;
    if let Some(name) = name.filter(|name| *name != entry.connection_name) {
        let holder = environment.holder(&entry.tenant_id, &name)?.filter(|holder| holder != id.as_str());
        if let Some(holder) = holder
            && !release(view, &mut environment, &holder, env)?
        {
            return Err(ApiError::conflict("connectionName", "is taken in this account").into());
        }
        environment.remove(id.as_str(), &entry);
        environment.insert(id.as_str(), &Entry { connection_name: name.clone(), ..entry });
        connection.record.connection_name = name;
    }
    if let Some(sync) = sync {
        connection.record.state = if sync { State::Active } else { State::Paused };
    }
    let record = &mut connection.record.settings;
    record.revive = revive.unwrap_or(record.revive);
    record.strict = strict.unwrap_or(record.strict);
    record.user_extensions = users.unwrap_or_else(|| std::mem::take(&mut record.user_extensions));
    record.group_extensions = groups.unwrap_or_else(|| std::mem::take(&mut record.group_extensions));
    if serde_json::to_vec(record).map_or(0, |bytes| bytes.len()) > MAX_SETTINGS {
        return Err(ApiError::invalid("settings", &format!("must not be larger than {MAX_SETTINGS} bytes")).into());
    }
    check("userExtensions", &record.user_extensions, &[])?;
    check("groupExtensions", &[], &record.group_extensions)?;
    let commits = environment.commit(env)?.into_iter().chain(connection.commit(env)?).collect();
    Ok(Outcome { response: Response::empty(204), commits, ..Outcome::default() })
}

fn check(name: &str, users: &[Value], groups: &[Value]) -> Result<(), ApiError> {
    let wrong = |error: ScimError| ApiError::invalid(name, &error.detail);
    Registry::with_extensions(users, groups).map(drop).map_err(wrong)
}

/// A list of schemas (RFC 7643 section 7) that may be absent.
fn schemas(settings: &Body, name: &str) -> Result<Option<Vec<Value>>, ApiError> {
    let Some(value) = settings.field(name) else { return Ok(None) };
    value.as_array().cloned().map(Some).ok_or_else(|| ApiError::invalid(name, "must be a list of schemas"))
}
