//! Discovery: what this service provider can do (RFC 7644 section 4, RFC 7643 sections 5 to 7).

use serde_json::{Value, json};

use crate::env::Limits;
use crate::error::{Kind as Wrong, ScimError};
use crate::http::Request;
use crate::schema::{Registry, ResourceType, Schema};
use crate::scim::layout::Kind;
use crate::scim::query::{self, DEFAULT_PAGE};
use crate::scim::render::resource_type;
use crate::scim::route::Endpoint;

const CONFIG: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const LIST_RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// The body of a discovery endpoint; these have no filter (RFC 7644 section 4).
pub fn respond(
    request: &Request,
    endpoint: &Endpoint,
    registry: &Registry,
    base: &str,
    limits: &Limits,
) -> Result<Value, ScimError> {
    if query::parameters(request)?.iter().any(|(name, _)| name.eq_ignore_ascii_case("filter")) {
        return Err(ScimError::new(Wrong::Forbidden, "discovery endpoints cannot be filtered"));
    }
    let types = Kind::ALL.map(|kind| resource_type(registry, kind));
    match endpoint {
        Endpoint::ResourceTypes(None) => Ok(list(types.iter().map(|of| of.to_json(base)).collect())),
        Endpoint::ResourceTypes(Some(name)) => {
            let found = types.iter().find(|of| of.name.eq_ignore_ascii_case(name));
            found.map(|of| of.to_json(base)).ok_or_else(|| missing("resource type"))
        }
        Endpoint::Schemas(None) => Ok(list(schemas(&types).map(|schema| schema.to_json(base)).collect())),
        Endpoint::Schemas(Some(urn)) => {
            let found = schemas(&types).find(|schema| schema.id.eq_ignore_ascii_case(urn));
            found.map(|schema| schema.to_json(base)).ok_or_else(|| missing("schema"))
        }
        _ => Ok(service_provider_config(base, limits)),
    }
}

fn schemas<'a>(types: &'a [&'a ResourceType]) -> impl Iterator<Item = &'a Schema> {
    types.iter().flat_map(|of| std::iter::once(&of.schema).chain(&of.extensions))
}

fn missing(what: &str) -> ScimError {
    ScimError::new(Wrong::NotFound, format!("there is no such {what}"))
}

fn list(resources: Vec<Value>) -> Value {
    json!({
        "schemas": [LIST_RESPONSE],
        "totalResults": resources.len(),
        "startIndex": 1,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

fn service_provider_config(base: &str, limits: &Limits) -> Value {
    json!({
        "schemas": [CONFIG],
        "patch": { "supported": true },
        "bulk": { "supported": true, "maxOperations": limits.bulk_operations, "maxPayloadSize": limits.body },
        "filter": { "supported": true, "maxResults": limits.page },
        "changePassword": { "supported": false },
        "sort": { "supported": true },
        "etag": { "supported": true },
        "pagination": {
            "cursor": true,
            "index": true,
            "defaultPaginationMethod": "index",
            "defaultPageSize": DEFAULT_PAGE,
            "maxPageSize": limits.page,
        },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "The token shown when the connection was created, as `Authorization: Bearer`",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "meta": { "resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig") },
    })
}
