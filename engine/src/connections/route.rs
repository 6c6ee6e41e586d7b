//! Methods and paths of the management API.

use crate::connections::caller::Demand;
use crate::connections::error::ApiError;
use crate::connections::permission::Permission;
use crate::http::Request;
use crate::store::DirectoryId;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `POST /auth/vendor`
    Login,
    /// `GET /scim2`
    ListConnections,
    /// `POST /scim2`
    CreateConnection,
    /// `GET /scim2/{id}`
    ReadConnection(DirectoryId),
    /// `PATCH /scim2/{id}`
    ChangeConnection(DirectoryId),
    /// `DELETE /scim2/{id}`
    DeleteConnection(DirectoryId),
    /// `GET /scim2/{id}/tokens`
    ListTokens(DirectoryId),
    /// `POST /scim2/{id}/tokens`
    CreateToken(DirectoryId),
    /// `DELETE /scim2/{id}/tokens/{tokenId}`
    DeleteToken(DirectoryId, String),
    /// `GET /scim2/{id}/logs`
    ReadLog(DirectoryId),
    /// `GET /scim2/{id}/residue`
    ReadResidue(DirectoryId),
    /// `DELETE /scim2/{id}/residue`
    RemoveResidue(DirectoryId),
    /// `GET /directory/resources/scim/temp/{id}/Users/count`
    CountUsers(DirectoryId),
    /// `GET /self-service`
    ReadSelfService,
    /// `PUT /self-service`
    SetSelfService,
    /// `GET /identity/resources/roles/v1`
    ListRoles,
    /// `POST /identity/resources/roles/v1`
    CreateRoles,
    /// `PATCH /identity/resources/roles/v1/{id}`
    ChangeRole(String),
    /// `DELETE /identity/resources/roles/v1/{id}`
    DeleteRole(String),
    /// `PUT /identity/resources/roles/v1/{id}/permissions`
    SetRolePermissions(String),
    /// `GET /identity/resources/permissions/v1`
    ListPermissions,
}

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

impl Action {
    /// The action of a request. Every path is known with and without `/frontegg` before it, and with or without a
    /// slash after it.
    ///
    /// # Errors
    /// 404 for an unknown path, 405 with `Allow` for a known one.
    pub fn of(request: &Request) -> Result<Self, ApiError> {
        let path = request.path();
        let path = path.strip_prefix("/frontegg").filter(|rest| rest.starts_with('/')).unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        if let Some(action) = find(&request.method, &segments) {
            return Ok(action);
        }
        let allowed: Vec<_> = METHODS.into_iter().filter(|method| find(method, &segments).is_some()).collect();
        match allowed.is_empty() {
            true => Err(ApiError::not_found("path")),
            false => Err(ApiError::method_not_allowed(allowed.join(", "))),
        }
    }

    /// What it asks of its caller.
    pub fn demand(&self) -> Demand {
        match self {
            Self::ListConnections
            | Self::ReadConnection(_)
            | Self::ListTokens(_)
            | Self::ReadLog(_)
            | Self::CountUsers(_)
            | Self::ReadSelfService => Demand::Permission(Permission::Read),
            Self::CreateConnection | Self::ChangeConnection(_) | Self::CreateToken(_) | Self::DeleteToken(..) => {
                Demand::Permission(Permission::Write)
            }
            Self::DeleteConnection(_) => Demand::Permission(Permission::Delete),
            Self::Login
            | Self::ReadResidue(_)
            | Self::RemoveResidue(_)
            | Self::SetSelfService
            | Self::ListRoles
            | Self::CreateRoles
            | Self::ChangeRole(_)
            | Self::DeleteRole(_)
            | Self::SetRolePermissions(_)
            | Self::ListPermissions => Demand::Vendor,
        }
    }

    /// The connection it is about, whose head it will need.
    pub fn connection(&self) -> Option<&DirectoryId> {
        match self {
            Self::ReadConnection(id)
            | Self::ChangeConnection(id)
            | Self::DeleteConnection(id)
            | Self::ListTokens(id)
            | Self::CreateToken(id)
            | Self::DeleteToken(id, _)
            | Self::ReadLog(id)
            | Self::ReadResidue(id)
            | Self::RemoveResidue(id)
            | Self::CountUsers(id) => Some(id),
            _ => None,
        }
    }
}

fn find(method: &str, segments: &[&str]) -> Option<Action> {
    match segments {
        ["auth", "vendor"] => (method == "POST").then_some(Action::Login),
        ["directory", "resources", "v1", "configurations", rest @ ..] => configuration(method, rest),
        ["directory", "resources", "scim", "temp", id, "Users", "count"] => {
            (method == "GET").then(|| DirectoryId::new(id).map(Action::CountUsers))?
        }
        ["identity", "resources", "roles", "v1", rest @ ..] => role(method, rest),
        ["identity", "resources", "permissions", "v1"] => (method == "GET").then_some(Action::ListPermissions),
        _ => None,
    }
}

fn configuration(method: &str, segments: &[&str]) -> Option<Action> {
    Some(match (method, segments) {
        ("GET", ["scim2"]) => Action::ListConnections,
        ("POST", ["scim2"]) => Action::CreateConnection,
        ("GET", ["scim2", id]) => Action::ReadConnection(DirectoryId::new(id)?),
        ("PATCH", ["scim2", id]) => Action::ChangeConnection(DirectoryId::new(id)?),
        ("DELETE", ["scim2", id]) => Action::DeleteConnection(DirectoryId::new(id)?),
        ("GET", ["scim2", id, "tokens"]) => Action::ListTokens(DirectoryId::new(id)?),
        ("POST", ["scim2", id, "tokens"]) => Action::CreateToken(DirectoryId::new(id)?),
        ("DELETE", ["scim2", id, "tokens", token]) => Action::DeleteToken(DirectoryId::new(id)?, name(token)?),
        ("GET", ["scim2", id, "logs"]) => Action::ReadLog(DirectoryId::new(id)?),
        ("GET", ["scim2", id, "residue"]) => Action::ReadResidue(DirectoryId::new(id)?),
        ("DELETE", ["scim2", id, "residue"]) => Action::RemoveResidue(DirectoryId::new(id)?),
        ("GET", ["self-service"]) => Action::ReadSelfService,
        ("PUT", ["self-service"]) => Action::SetSelfService,
        _ => return None,
    })
}

fn role(method: &str, segments: &[&str]) -> Option<Action> {
    Some(match (method, segments) {
        ("GET", []) => Action::ListRoles,
        ("POST", []) => Action::CreateRoles,
        ("PATCH", [id]) => Action::ChangeRole(name(id)?),
        ("DELETE", [id]) => Action::DeleteRole(name(id)?),
        ("PUT", [id, "permissions"]) => Action::SetRolePermissions(name(id)?),
        _ => return None,
    })
}

/// An id in a path has the same alphabet whatever it names.
fn name(segment: &str) -> Option<String> {
    DirectoryId::new(segment).map(|id| id.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_served_with_and_without_prefix_and_no_other_is() {
        let check = |method: &str, path: &str, expected: Result<Action, u16>| {
            for target in [path.to_owned(), format!("/frontegg{path}"), format!("{path}/"), format!("{path}?id=1")] {
                let request = Request { method: method.into(), target: target.clone(), ..Request::default() };
                let action = Action::of(&request).map_err(|error| error.response().status);
                assert_eq!(action, expected, "{method} {target}");
            }
        };
        let id = || DirectoryId::new("c-1").unwrap();
        let base = "/directory/resources/v1/configurations";
        check("POST", "/auth/vendor", Ok(Action::Login));
        check("GET", &format!("{base}/scim2"), Ok(Action::ListConnections));
        check("PATCH", &format!("{base}/scim2/c-1"), Ok(Action::ChangeConnection(id())));
        check("GET", &format!("{base}/scim2/c-1/logs"), Ok(Action::ReadLog(id())));
        check("DELETE", &format!("{base}/scim2/c-1/tokens/t"), Ok(Action::DeleteToken(id(), "t".into())));
        check("GET", "/directory/resources/scim/temp/c-1/Users/count", Ok(Action::CountUsers(id())));
        check("PUT", &format!("{base}/self-service"), Ok(Action::SetSelfService));
        check("PUT", "/identity/resources/roles/v1/r/permissions", Ok(Action::SetRolePermissions("r".into())));
        check("GET", "/identity/resources/permissions/v1", Ok(Action::ListPermissions));
        check("GET", "/auth/vendor", Err(405));
        check("PUT", &format!("{base}/scim2/c-1"), Err(405));
        check("HEAD", &format!("{base}/scim2"), Err(405));
        for unknown in
            ["", "/x", "/auth", "/auth/vendor/x", "/frontegg/frontegg/auth", "/fronteggauth/vendor", "/directory"]
        {
            check("GET", unknown, Err(404));
        }
        for unknown in ["scim2//", "scim2/a b", "scim2/%2e%2e", "scim2/c-1/tokens/../x", "scim2/c-1/x", "scim3"] {
            check("GET", &format!("{base}/{unknown}"), Err(404));
        }
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let request = Request {
            method: "PUT".into(),
            target: "/directory/resources/v1/configurations/scim2/c".into(),
            ..Request::default()
        };
        let response = Action::of(&request).unwrap_err().response();
        assert_eq!(response.header("allow"), Some("GET, PATCH, DELETE"));
    }
}
