//! Methods and paths of the management API: one table, which requests are found in, and which the description of the API
//! and the tests of who may do what are held against.

use crate::connections::caller::Demand;
use crate::connections::error::ApiError;
use crate::connections::permission::Permission;
use crate::http::Request;
use crate::store::DirectoryId;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// `GET /openapi.json`
    Describe,
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

/// A row of the table.
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Path, without the prefix `/frontegg`; a name in braces stands for an id.
    pub path: &'static str,
    /// What it asks of its caller.
    pub demand: Demand,
    action: fn(&[DirectoryId]) -> Option<Action>,
}

const READ: Demand = Demand::Permission(Permission::Read);
const WRITE: Demand = Demand::Permission(Permission::Write);
const DELETE: Demand = Demand::Permission(Permission::Delete);

/// Every route there is.
pub const ROUTES: [Route; 22] = [
    row("GET", "/openapi.json", Demand::Nothing, |_| Some(Action::Describe)),
    row("POST", "/auth/vendor", Demand::Nothing, |_| Some(Action::Login)),
    row("GET", "/directory/resources/v1/configurations/scim2", READ, |_| Some(Action::ListConnections)),
    row("POST", "/directory/resources/v1/configurations/scim2", WRITE, |_| Some(Action::CreateConnection)),
    row("GET", "/directory/resources/v1/configurations/scim2/{id}", READ, |ids| one(ids, Action::ReadConnection)),
    row("PATCH", "/directory/resources/v1/configurations/scim2/{id}", WRITE, |ids| one(ids, Action::ChangeConnection)),
    row("DELETE", "/directory/resources/v1/configurations/scim2/{id}", DELETE, |ids| {
        one(ids, Action::DeleteConnection)
    }),
    row("GET", "/directory/resources/v1/configurations/scim2/{id}/tokens", READ, |ids| one(ids, Action::ListTokens)),
    row("POST", "/directory/resources/v1/configurations/scim2/{id}/tokens", WRITE, |ids| one(ids, Action::CreateToken)),
    row("DELETE", "/directory/resources/v1/configurations/scim2/{id}/tokens/{tokenId}", WRITE, |ids| {
        Some(Action::DeleteToken(ids.first()?.clone(), ids.get(1)?.as_str().to_owned()))
    }),
    row("GET", "/directory/resources/v1/configurations/scim2/{id}/logs", READ, |ids| one(ids, Action::ReadLog)),
    row("GET", "/directory/resources/v1/configurations/scim2/{id}/residue", Demand::Vendor, |ids| {
        one(ids, Action::ReadResidue)
    }),
    row("DELETE", "/directory/resources/v1/configurations/scim2/{id}/residue", Demand::Vendor, |ids| {
        one(ids, Action::RemoveResidue)
    }),
    row("GET", "/directory/resources/scim/temp/{id}/Users/count", READ, |ids| one(ids, Action::CountUsers)),
    row("GET", "/directory/resources/v1/configurations/self-service", READ, |_| Some(Action::ReadSelfService)),
    row("PUT", "/directory/resources/v1/configurations/self-service", Demand::Vendor, |_| Some(Action::SetSelfService)),
    row("GET", "/identity/resources/roles/v1", Demand::Vendor, |_| Some(Action::ListRoles)),
    row("POST", "/identity/resources/roles/v1", Demand::Vendor, |_| Some(Action::CreateRoles)),
    row("PATCH", "/identity/resources/roles/v1/{id}", Demand::Vendor, |ids| named(ids, Action::ChangeRole)),
    row("DELETE", "/identity/resources/roles/v1/{id}", Demand::Vendor, |ids| named(ids, Action::DeleteRole)),
    row("PUT", "/identity/resources/roles/v1/{id}/permissions", Demand::Vendor, |ids| {
        named(ids, Action::SetRolePermissions)
    }),
    row("GET", "/identity/resources/permissions/v1", Demand::Vendor, |_| Some(Action::ListPermissions)),
];

const fn row(
    method: &'static str,
    path: &'static str,
    demand: Demand,
    action: fn(&[DirectoryId]) -> Option<Action>,
) -> Route {
    Route { method, path, demand, action }
}

fn one(ids: &[DirectoryId], action: fn(DirectoryId) -> Action) -> Option<Action> {
    ids.first().cloned().map(action)
}

fn named(ids: &[DirectoryId], action: fn(String) -> Action) -> Option<Action> {
    ids.first().map(|id| action(id.as_str().to_owned()))
}

impl Route {
    /// The row of a request, and the action with what its path names. Every path is known with and without `/frontegg`
    /// before it, and with or without a slash after it.
    ///
    /// # Errors
    /// 404 for an unknown path, 405 with `Allow` for a known one.
    pub fn of(request: &Request) -> Result<(&'static Self, Action), ApiError> {
        let path = request.path();
        let path = path.strip_prefix("/frontegg").filter(|rest| rest.starts_with('/')).unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let known: Vec<_> = ROUTES.iter().filter_map(|route| Some((route, route.ids(path)?))).collect();
        let mut asked = known.iter().filter(|(route, _)| route.method == request.method);
        if let Some((route, action)) = asked.find_map(|(route, ids)| Some((*route, (route.action)(ids)?))) {
            return Ok((route, action));
        }
        let allowed: Vec<_> = known.iter().map(|(route, _)| route.method).collect();
        match allowed.is_empty() {
            true => Err(ApiError::not_found("path")),
            false => Err(ApiError::method_not_allowed(allowed.join(", "))),
        }
    }

    /// The ids in a path of this row's form; all have one alphabet, whatever they name.
    fn ids(&self, path: &str) -> Option<Vec<DirectoryId>> {
        if path.split('/').count() != self.path.split('/').count() {
            return None;
        }
        let mut ids = Vec::new();
        for (given, form) in path.split('/').zip(self.path.split('/')) {
            if form.starts_with('{') {
                ids.push(DirectoryId::new(given)?);
            } else if given != form {
                return None;
            }
        }
        Some(ids)
    }
}

impl Action {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_served_with_and_without_prefix_and_no_other_is() {
        let check = |method: &str, path: &str, expected: Result<Action, u16>| {
            for target in [path.to_owned(), format!("/frontegg{path}"), format!("{path}/"), format!("{path}?id=1")] {
                let request = Request { method: method.into(), target: target.clone(), ..Request::default() };
                let action = Route::of(&request).map(|(_, action)| action).map_err(|error| error.response().status);
                assert_eq!(action, expected, "{method} {target}");
            }
        };
        let id = || DirectoryId::new("c-1").unwrap();
        let base = "/directory/resources/v1/configurations";
        check("GET", "/openapi.json", Ok(Action::Describe));
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
    fn every_row_leads_to_an_action_of_its_own() {
        let mut actions = Vec::new();
        for row in &ROUTES {
            let target = row.path.replace(['{', '}'], "");
            let request = Request { method: row.method.into(), target, ..Request::default() };
            let (found, action) = Route::of(&request).unwrap();
            assert_eq!((found.method, found.path), (row.method, row.path));
            assert!(!actions.contains(&action), "{action:?}");
            actions.push(action);
        }
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let request = Request {
            method: "PUT".into(),
            target: "/directory/resources/v1/configurations/scim2/c".into(),
            ..Request::default()
        };
        let response = Route::of(&request).map(|(_, action)| action).unwrap_err().response();
        assert_eq!(response.header("allow"), Some("GET, PATCH, DELETE"));
    }
}
