//! Every endpoint with every credential, account, permission and toggle.

use std::collections::BTreeSet;

use super::*;
use crate::connections::caller::Demand;
use crate::connections::route::ROUTES;

/// What an endpoint asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Read,
    Write,
    Delete,
    Vendor,
}

/// Whose call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    Garbage,
    ConnectionToken,
    ForgedUser,
    ExpiredUser,
    Vendor,
    VendorByHeader,
    VendorFor(&'static str),
    UserByHeader,
    User(&'static str),
    UserNaming(&'static str, &'static str),
}

const OWNER: &str = "acme";
const STRANGER: &str = "globex";

/// Method, path and body of every endpoint, what it needs, whether it is about one connection, and what it answers when
/// all is well. `{id}`, `{token}` and `{role}` stand for those of the owner.
const ENDPOINTS: [(&str, &str, &str, Needs, bool, u16); 21] = [
    ("GET", "/directory/resources/v1/configurations/scim2", "", Needs::Read, false, 200),
    (
        "POST",
        "/directory/resources/v1/configurations/scim2",
        r#"{"source":"okta","connectionName":"new"}"#,
        Needs::Write,
        false,
        201,
    ),
    ("GET", "/directory/resources/v1/configurations/scim2/{id}", "", Needs::Read, true, 200),
    (
        "PATCH",
        "/directory/resources/v1/configurations/scim2/{id}",
        r#"{"syncToUserManagement":false}"#,
        Needs::Write,
        true,
        204,
    ),
    ("DELETE", "/directory/resources/v1/configurations/scim2/{id}", r#"{"deleteAll":true}"#, Needs::Delete, true, 204),
    ("DELETE", "/directory/resources/v1/configurations/scim2/{id}?dryRun=true", "", Needs::Delete, true, 200),
    ("GET", "/directory/resources/v1/configurations/scim2/{id}/tokens", "", Needs::Read, true, 200),
    ("POST", "/directory/resources/v1/configurations/scim2/{id}/tokens", "{}", Needs::Write, true, 201),
    ("DELETE", "/directory/resources/v1/configurations/scim2/{id}/tokens/{token}", "", Needs::Write, true, 204),
    ("GET", "/directory/resources/v1/configurations/scim2/{id}/logs", "", Needs::Read, true, 200),
    ("GET", "/directory/resources/v1/configurations/scim2/{id}/residue", "", Needs::Vendor, true, 200),
    ("DELETE", "/directory/resources/v1/configurations/scim2/{id}/residue", "", Needs::Vendor, true, 409),
    ("GET", "/directory/resources/scim/temp/{id}/Users/count", "", Needs::Read, true, 200),
    ("GET", "/directory/resources/v1/configurations/self-service", "", Needs::Read, false, 200),
    ("PUT", "/directory/resources/v1/configurations/self-service", r#"{"enabled":true}"#, Needs::Vendor, false, 200),
    ("GET", "/identity/resources/roles/v1", "", Needs::Vendor, false, 200),
    ("POST", "/identity/resources/roles/v1", r#"{"name":"new"}"#, Needs::Vendor, false, 201),
    ("PATCH", "/identity/resources/roles/v1/{role}", r#"{"name":"x"}"#, Needs::Vendor, false, 200),
    ("PUT", "/identity/resources/roles/v1/{role}/permissions", r#"{"permissionIds":[]}"#, Needs::Vendor, false, 200),
    ("DELETE", "/identity/resources/roles/v1/{role}", "", Needs::Vendor, false, 204),
    ("GET", "/identity/resources/permissions/v1", "", Needs::Vendor, false, 200),
];

const PERMISSIONS: [&[&str]; 9] = [
    &[],
    &["fe.other.*", "*"],
    &[READ],
    &[WRITE],
    &[DELETE],
    &["fe.secure.read.*"],
    &["fe.secure.write.*"],
    &["fe.secure.delete.*"],
    &["fe.secure.*"],
];

const WHO: [Who; 13] = [
    Who::Nobody,
    Who::Garbage,
    Who::ConnectionToken,
    Who::ForgedUser,
    Who::ExpiredUser,
    Who::Vendor,
    Who::VendorByHeader,
    Who::UserByHeader,
    Who::VendorFor(OWNER),
    Who::VendorFor(STRANGER),
    Who::User(OWNER),
    Who::User(STRANGER),
    Who::UserNaming(OWNER, STRANGER),
];

/// The rule, said once more and in other words than the code's.
fn expected(who: Who, permissions: &[&str], toggle: bool, needs: Needs, about_one: bool, well: u16) -> u16 {
    let has = |verb: &str| {
        let names = [
            "fe.secure.*".to_owned(),
            format!("fe.secure.{verb}.*"),
            format!("fe.secure.{verb}.provisioningConfiguration"),
        ];
        permissions.iter().any(|permission| names.iter().any(|name| name == permission))
    };
    let allowed = match needs {
        Needs::Read => has("read"),
        Needs::Write => has("write"),
        Needs::Delete => has("delete"),
        Needs::Vendor => false,
    };
    match who {
        Who::Nobody | Who::Garbage | Who::ConnectionToken | Who::ForgedUser | Who::ExpiredUser | Who::UserByHeader => {
            401
        }
        Who::Vendor | Who::VendorByHeader | Who::VendorFor(OWNER) => well,
        Who::VendorFor(_) => {
            if about_one {
                404
            } else {
                well
            }
        }
        Who::User(_) | Who::UserNaming(..) if !toggle || !allowed => 403,
        Who::UserNaming(..) => 403,
        Who::User(OWNER) => well,
        Who::User(_) => {
            if about_one {
                404
            } else {
                well
            }
        }
    }
}

struct World {
    deployment: Deployment,
    fill: [(&'static str, String); 3],
    secret: String,
    clean: Vec<(String, Vec<u8>)>,
}

impl World {
    fn new(toggle: bool) -> Self {
        let deployment = Deployment::new();
        deployment.vendor("PUT", &format!("{BASE}/self-service"), json!({"enabled": toggle}));
        let (id, secret) = deployment.create(OWNER, "theirs");
        deployment.populate(&id, 1, 1);
        let role = deployment.vendor("POST", "/identity/resources/roles/v1", json!({"name": "r"})).body;
        let tokens = deployment.vendor("GET", &format!("{CONNECTIONS}/{id}/tokens"), Value::Null).body;
        let text = |value: &Value| value["id"].as_str().unwrap().to_owned();
        let fill = [("{id}", id), ("{token}", text(&tokens[0])), ("{role}", text(&role))];
        let clean = deployment.stored();
        Self { deployment, fill, secret, clean }
    }

    fn restore(&self) {
        let mut values = self.deployment.store.values();
        values.clear();
        values.extend(self.clean.iter().cloned());
    }

    fn request(&self, who: Who, permissions: &[&str], method: &str, path: &str, body: &str) -> Request {
        let target = self.fill.iter().fold(path.to_owned(), |path, (mark, value)| path.replace(mark, value));
        let token = match who {
            Who::Nobody | Who::VendorByHeader | Who::UserByHeader => String::new(),
            Who::Garbage => "nonsense".into(),
            Who::ConnectionToken => self.secret.clone(),
            Who::ForgedUser => user_token(OWNER, permissions, &[]) + "A",
            Who::ExpiredUser => {
                signed(&json!({"sub": "a", "tenantId": OWNER, "permissions": permissions, "exp": 1_600_000_000}))
            }
            Who::Vendor | Who::VendorFor(_) => self.deployment.environment_token(),
            Who::User(tenant) | Who::UserNaming(tenant, _) => user_token(tenant, permissions, &[]),
        };
        let mut request = Request { body: body.into(), ..request(method, &target, &token, &Value::Null) };
        match who {
            Who::VendorFor(account) | Who::UserNaming(_, account) => {
                request.headers.push(("frontegg-tenant-id".into(), account.into()));
            }
            Who::VendorByHeader => {
                request.headers.push(("x-access-token".into(), self.deployment.environment_token().into()));
            }
            Who::UserByHeader => {
                request.headers.push(("x-access-token".into(), user_token(OWNER, permissions, &[]).into()));
            }
            _ => {}
        }
        request
    }
}

#[test]
fn every_route_that_asks_for_a_credential_has_its_row() {
    let named = |(method, path, ..): &(&str, &str, &str, Needs, bool, u16)| {
        let request =
            Request { method: (*method).to_owned(), target: path.replace(['{', '}'], ""), ..Request::default() };
        let (route, _) = Route::of(&request).unwrap();
        (route.path, route.method)
    };
    let rows: BTreeSet<_> = ENDPOINTS.iter().map(named).collect();
    let asking = ROUTES.iter().filter(|route| route.demand != Demand::Nothing);
    assert_eq!(rows, asking.map(|route| (route.path, route.method)).collect());
}

#[test]
fn every_cell_of_endpoint_credential_account_permission_and_toggle_is_as_the_rule_says() {
    let mut cells = 0;
    for toggle in [false, true] {
        let world = World::new(toggle);
        for (method, path, body, needs, about_one, well) in ENDPOINTS {
            for who in WHO {
                for permissions in PERMISSIONS {
                    world.restore();
                    let request = world.request(who, permissions, method, path, body);
                    let answer = world.deployment.send(request);
                    let cell = format!("{method} {path} {who:?} {permissions:?} {toggle}");
                    let status = expected(who, permissions, toggle, needs, about_one, well);
                    assert_eq!(answer.status, status, "{cell}: {:?}", answer.body);
                    check_effect(&world, &answer, who, &cell);
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, 2 * ENDPOINTS.len() * WHO.len() * PERMISSIONS.len());
}

/// A refused call changes nothing, and nobody sees or makes anything in an account that is not theirs.
fn check_effect(world: &World, answer: &Answer, who: Who, cell: &str) {
    if answer.status >= 400 {
        assert!(world.deployment.stored() == world.clean, "{cell}: a refused call changed something");
        assert_eq!(answer.body["statusCode"], answer.status, "{cell}");
    }
    if matches!(who, Who::User(STRANGER) | Who::VendorFor(STRANGER)) {
        let theirs = &world.fill[0].1;
        assert!(
            !String::from_utf8_lossy(&answer.response.body).contains(theirs.as_str()),
            "{cell}: it saw the owner's"
        );
        if answer.body["tenantId"].is_string() {
            assert_eq!(answer.body["tenantId"], STRANGER, "{cell}: it made a connection of the owner's");
        }
    }
}
