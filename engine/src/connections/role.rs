//! Roles: named sets of the provisioning permissions, and their endpoints.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::connections::body::{self, Body};
use crate::connections::environment::{Environment, decode, end, key, start};
use crate::connections::error::{ApiError, JSON};
use crate::connections::permission::{Grants, Permission};
use crate::env::{Env, Timestamp};
use crate::http::{Request, Response};
use crate::store::Fault;

/// Most roles of an environment.
const MAX_ROLES: usize = 500;

/// A role. Users carry its key or id in their token; what it grants is looked up with every request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// Its id.
    pub id: String,
    /// Its name in a token, unique.
    pub key: String,
    /// Its name for people.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Ids of its permissions.
    pub permissions: Vec<String>,
    /// When it was created.
    pub created_at: Timestamp,
}

impl Role {
    fn grants(&self) -> Grants {
        self.permissions.iter().filter_map(|id| Permission::of_id(id)).collect()
    }

    fn describe(&self) -> Value {
        json!({
            "id": self.id, "key": self.key, "name": self.name, "description": self.description,
            "permissions": self.permissions, "createdAt": self.created_at.rfc3339(),
        })
    }
}

impl Environment<'_> {
    /// What a token's roles grant together; a role that does not exist grants nothing.
    ///
    /// # Errors
    /// Pages may have to be loaded first.
    pub fn grants_of_roles(&self, names: &[String]) -> Result<Grants, Fault> {
        let keys: Vec<_> = names.iter().map(|name| key(b'k', &[name])).collect();
        let ids = self.txn.get_many(&keys)?;
        let ids = ids.into_iter().zip(names).map(|(id, name)| match id {
            Some(id) => decode::<String>(&id),
            None => Ok(name.clone()),
        });
        let keys = ids.map(|id| Ok(key(b'r', &[&id?]))).collect::<Result<Vec<_>, Fault>>()?;
        let roles = self.txn.get_many(&keys)?;
        let grants = roles.iter().flatten().map(|role| Ok(decode::<Role>(role)?.grants()));
        grants.collect::<Result<Vec<_>, Fault>>().map(|all| all.into_iter().fold(Grants::default(), Grants::or))
    }

    fn role(&self, id: &str) -> Result<Role, Fault> {
        self.read(&key(b'r', &[id]))?.ok_or_else(|| ApiError::not_found("role").into())
    }

    fn put_role(&mut self, role: &Role) {
        self.write(key(b'k', &[&role.key]), &role.id);
        self.write(key(b'r', &[&role.id]), role);
    }

    fn roles(&self) -> Result<Vec<Role>, Fault> {
        let (start, end) = (start(b'r', &[], None), end(b'r', &[]));
        let roles = self.txn.scan(&start[..]..&end[..], 0, MAX_ROLES, false)?;
        roles.iter().map(|(_, role)| decode(role)).collect()
    }
}

/// `GET /identity/resources/permissions/v1`
pub fn permissions() -> Response {
    Response::json(200, JSON, &Permission::ALL.map(Permission::describe))
}

/// `GET /identity/resources/roles/v1`
///
/// # Errors
/// Pages may have to be loaded first.
pub fn list(environment: &Environment<'_>) -> Result<Response, Fault> {
    let roles: Vec<_> = environment.roles()?.iter().map(Role::describe).collect();
    Ok(Response::json(200, JSON, &roles))
}

/// `POST /identity/resources/roles/v1`: one role, or a list of them as Frontegg's clients send it; the answer has
/// the form of the question.
///
/// # Errors
/// 400, 409 for a key that is taken.
pub fn create(request: &Request, environment: &mut Environment<'_>, env: &Env<'_>) -> Result<Response, Fault> {
    let answer = match body::json(request)? {
        Value::Array(bodies) if bodies.is_empty() => Err(ApiError::malformed("the list holds no role"))?,
        Value::Array(bodies) if bodies.len() > MAX_ROLES => Err(ApiError::malformed("too many roles"))?,
        Value::Array(bodies) => {
            bodies.into_iter().map(|body| add(Body::of(body)?, environment, env)).collect::<Result<_, _>>()?
        }
        body => add(Body::of(body)?, environment, env)?,
    };
    Ok(Response::json(201, JSON, &answer))
}

fn add(body: Body, environment: &mut Environment<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let name = body.required_text("name")?;
    let role = Role {
        id: env.uuid(),
        key: body.text("key")?.unwrap_or(name).to_owned(),
        name: name.to_owned(),
        description: body.text("description")?.map(str::to_owned),
        permissions: permission_ids(&body)?.unwrap_or_default(),
        created_at: env.now,
    };
    free(&role.key, environment)?;
    if environment.roles()?.len() >= MAX_ROLES {
        return Err(ApiError::malformed("too many roles").into());
    }
    environment.put_role(&role);
    Ok(role.describe())
}

/// `PATCH /identity/resources/roles/v1/{id}`: `name`, `key`, `description`.
///
/// # Errors
/// 400, 404, 409 for a key that is taken.
pub fn change(id: &str, request: &Request, environment: &mut Environment<'_>) -> Result<Response, Fault> {
    let body = Body::parse(request)?;
    let mut role = environment.role(id)?;
    if let Some(name) = body.text("name")? {
        role.name = name.to_owned();
    }
    if let Some(description) = body.text("description")? {
        role.description = Some(description.to_owned());
    }
    if let Some(new) = body.text("key")?.filter(|new| *new != role.key) {
        free(new, environment)?;
        environment.erase(key(b'k', &[&role.key]));
        role.key = new.to_owned();
    }
    environment.put_role(&role);
    Ok(Response::json(200, JSON, &role.describe()))
}

/// `PUT /identity/resources/roles/v1/{id}/permissions`
///
/// # Errors
/// 400 for an unknown permission, 404.
pub fn set_permissions(id: &str, request: &Request, environment: &mut Environment<'_>) -> Result<Response, Fault> {
    let body = Body::parse(request)?;
    let mut role = environment.role(id)?;
    role.permissions = permission_ids(&body)?.ok_or_else(|| ApiError::invalid("permissionIds", "is required"))?;
    environment.put_role(&role);
    Ok(Response::json(200, JSON, &role.describe()))
}

/// `DELETE /identity/resources/roles/v1/{id}`
///
/// # Errors
/// 404
pub fn delete(id: &str, environment: &mut Environment<'_>) -> Result<Response, Fault> {
    let role = environment.role(id)?;
    environment.erase(key(b'k', &[&role.key]));
    environment.erase(key(b'r', &[id]));
    Ok(Response::empty(204))
}

fn free(role_key: &str, environment: &Environment<'_>) -> Result<(), Fault> {
    match environment.read::<String>(&key(b'k', &[role_key]))? {
        Some(_) => Err(ApiError::conflict("key", "is taken").into()),
        None => Ok(()),
    }
}

/// The ids of known permissions that a body names, each once.
fn permission_ids(body: &Body) -> Result<Option<Vec<String>>, ApiError> {
    let Some(ids) = body.texts("permissionIds")? else { return Ok(None) };
    if let Some(unknown) = ids.iter().find(|id| Permission::of_id(id).is_none()) {
        return Err(ApiError::invalid(
            "permissionIds",
            &format!("names no permission: `{}`", unknown.escape_default()),
        ));
    }
    let held = Permission::ALL.iter().map(|permission| permission.id()).filter(|id| ids.contains(id));
    Ok(Some(held.map(str::to_owned).collect()))
}
