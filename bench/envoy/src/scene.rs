//! A directory to ask, and the requests.

use anyhow::{Context, Result, ensure};
use scim_host_tests::deployment::{Connection, Deployment};
use scim_host_tests::message::Request;
use serde_json::{Map, Value, json};

/// Users of the directory.
const USERS: usize = 1000;
/// Groups; each user is in two of them, and all are in one more.
const GROUPS: usize = 20;
/// Operations of one Bulk request.
const BULK: usize = 200;

const BULK_REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// A directory that has been filled.
pub struct Scene {
    /// Its connection.
    pub connection: Connection,
    /// Ids of its users, in order of their numbers.
    pub users: Vec<String>,
}

impl Scene {
    /// Makes a connection and fills its directory.
    ///
    /// # Errors
    /// A request is refused.
    pub fn fill(deployment: &Deployment) -> Result<Self> {
        let connection = deployment.connect(&Map::new())?;
        let users = create(deployment, &connection, "/Users", (0..USERS).map(person))?;
        let members = |group: usize| -> Vec<Value> {
            let inside = |user: &usize| user % GROUPS == group || (user / GROUPS) % GROUPS == group;
            (0..USERS).filter(inside).filter_map(|user| users.get(user)).map(|id| json!({ "value": id })).collect()
        };
        let team =
            |group| json!({ "schemas": [GROUP], "displayName": format!("Team {group}"), "members": members(group) });
        let groups = create(deployment, &connection, "/Groups", (0..GROUPS).map(team))?;
        let all: Vec<Value> = groups.iter().map(|id| json!({ "value": id, "type": "Group" })).collect();
        let everybody = json!({ "schemas": [GROUP], "displayName": "Everybody", "members": all });
        create(deployment, &connection, "/Groups", std::iter::once(everybody))?;
        Ok(Self { connection, users })
    }

    /// What the directory answers to a GET by id.
    ///
    /// # Errors
    /// It does not.
    pub fn user(&self, deployment: &Deployment) -> Result<String> {
        let path = self.by_id().into_iter().next().context("no user")?;
        let answer = deployment.send(&Request::new("GET", &path).bearer(&self.connection.token))?;
        ensure!(answer.status == 200, "{}", answer.brief());
        Ok(String::from_utf8(answer.body)?)
    }

    /// Paths of users.
    pub fn by_id(&self) -> Vec<String> {
        self.users.iter().map(|id| format!("{}/Users/{id}", self.connection.base())).collect()
    }

    /// Paths of lookups by name.
    pub fn by_name(&self) -> Vec<String> {
        let filter = |number| format!("{}/Users?filter=userName%20eq%20%22{}%22", self.connection.base(), name(number));
        (0..USERS).map(filter).collect()
    }

    /// Paths of pages of a hundred.
    pub fn pages(&self) -> Vec<String> {
        let page = |start| format!("{}/Users?startIndex={start}&count=100", self.connection.base());
        (0..USERS).step_by(100).map(|start| page(start + 1)).collect()
    }
}

/// `userName` of a user.
pub fn name(number: usize) -> String {
    format!("user-{number}@example.com")
}

fn person(number: usize) -> Value {
    json!({
        "schemas": [USER, ENTERPRISE],
        "externalId": format!("00u{number:017}"),
        "userName": name(number),
        "name": { "formatted": format!("Given{number} Family{number}"), "givenName": format!("Given{number}"), "familyName": format!("Family{number}") },
        "displayName": format!("Given{number} Family{number}"),
        "title": "Engineer",
        "preferredLanguage": "en-GB",
        "active": true,
        "emails": [{ "value": name(number), "type": "work", "primary": true }],
        "phoneNumbers": [{ "value": format!("+44 20 7946 {number:04}"), "type": "work" }],
        ENTERPRISE: { "employeeNumber": format!("{number:06}"), "department": "Tour Operations", "costCenter": "4130" },
    })
}

/// Creates resources by Bulk requests; their ids.
fn create(
    deployment: &Deployment,
    connection: &Connection,
    path: &str,
    resources: impl Iterator<Item = Value>,
) -> Result<Vec<String>> {
    let operation =
        |(number, data)| json!({ "method": "POST", "path": path, "bulkId": format!("b{number}"), "data": data });
    let operations: Vec<Value> = resources.enumerate().map(operation).collect();
    let mut ids = Vec::new();
    for some in operations.chunks(BULK) {
        let body = json!({ "schemas": [BULK_REQUEST], "Operations": some });
        let request = Request::new("POST", &format!("{}/Bulk", connection.base())).json(&body);
        let answer = deployment.send(&request.bearer(&connection.token))?;
        let done = answer.json();
        for one in done["Operations"].as_array().into_iter().flatten() {
            let id = one["location"].as_str().and_then(|location| location.rsplit('/').next());
            ids.push(id.with_context(|| format!("not created: {one}"))?.to_owned());
        }
    }
    ensure!(ids.len() == operations.len(), "only {} of {} were created", ids.len(), operations.len());
    Ok(ids)
}
