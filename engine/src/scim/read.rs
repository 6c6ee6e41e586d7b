//! Requests that change nothing: resources, lists, searches, discovery.

use serde_json::Value;

use crate::connections::record::Record;
use crate::env::{Env, Limits};
use crate::error::{Kind as Wrong, SCIM_JSON, ScimError};
use crate::http::{Request, Response};
use crate::json;
use crate::project::Projection;
use crate::schema::Registry;
use crate::scim::access::Entered;
use crate::scim::directory;
use crate::scim::gather::ahead;
use crate::scim::layout::Kind;
use crate::scim::precondition::Conditions;
use crate::scim::query::{self, Query};
use crate::scim::render::{self, Found, Renderer, Stored};
use crate::scim::route::{self, Endpoint};
use crate::scim::write::not_found;
use crate::scim::{discovery, list};
use crate::store::{Fault, Txn};

/// Header fields of a request that the answer to a read can depend on, besides its credential.
pub const VARY: [&str; 6] =
    ["host", "x-forwarded-host", "x-forwarded-proto", "if-match", "if-none-match", "content-encoding"];

/// What answering an admitted request takes.
pub struct Reader<'a> {
    request: &'a Request,
    env: &'a Env<'a>,
    base: String,
    custom: Option<Registry>,
}

impl<'a> Reader<'a> {
    /// A reader for one admitted request.
    pub fn new(request: &'a Request, entered: &Entered<'_>, env: &'a Env<'a>) -> Result<Self, ScimError> {
        let base = route::base_url(request, &entered.route, env);
        Ok(Self { request, env, base, custom: custom(&entered.record)? })
    }

    /// How this request's resources are shown.
    pub fn renderer(&self) -> Renderer<'_> {
        Renderer { base: &self.base, registry: self.registry(), limits: self.limits() }
    }

    /// The connection's resource types.
    pub fn registry(&self) -> &Registry {
        self.custom.as_ref().unwrap_or_else(|| Registry::shared())
    }

    fn limits(&self) -> &Limits {
        &self.env.config.limits
    }

    /// The answer; `None` for a write.
    pub fn answer(&self, entered: &Entered<'_>) -> Result<Option<Response>, Fault> {
        let endpoint = &entered.route.endpoint;
        if !endpoint.methods().contains(&self.request.method.as_str()) {
            return Ok(Some(not_allowed(endpoint)));
        }
        match (self.request.method.as_str(), endpoint) {
            ("OPTIONS", _) => Ok(Response::empty(204).with("allow", endpoint.methods().join(", "))),
            (_, Endpoint::Unknown) => Err(ScimError::new(Wrong::NotFound, "there is no such endpoint").into()),
            (_, Endpoint::Me) => {
                let detail = "a provisioning token is not a user: `/Me` has no meaning";
                Err(ScimError::new(Wrong::NotImplemented, detail).into())
            }
            ("GET" | "HEAD", Endpoint::Root) => self.list(&entered.txn, &Kind::ALL),
            ("GET" | "HEAD", Endpoint::Collection(kind)) => self.list(&entered.txn, &[*kind]),
            (_, Endpoint::Search(kind)) => {
                self.search(&entered.txn, kind.as_ref().map_or(&Kind::ALL, std::slice::from_ref))
            }
            ("GET" | "HEAD", Endpoint::Resource(kind, id)) => self.resource(&entered.txn, *kind, id),
            ("GET" | "HEAD", _) => {
                let body = discovery::respond(self.request, endpoint, self.registry(), &self.base, self.limits())?;
                Ok(Response::json(200, SCIM_JSON, &body))
            }
            _ => return Ok(None),
        }
        .map(Some)
    }

    fn list(&self, txn: &Txn<'_>, kinds: &[Kind]) -> Result<Response, Fault> {
        let query = Query::of_parameters(self.request, self.limits())?;
        let body = list::respond(txn, &self.renderer(), kinds, &query)?;
        Ok(Response::json(200, SCIM_JSON, &body))
    }

    fn search(&self, txn: &Txn<'_>, kinds: &[Kind]) -> Result<Response, Fault> {
        let query = Query::of_body(&self.body()?, self.limits())?;
        let body = list::respond(txn, &self.renderer(), kinds, &query)?;
        Ok(Response::json(200, SCIM_JSON, &body))
    }

    fn resource(&self, txn: &Txn<'_>, kind: Kind, id: &str) -> Result<Response, Fault> {
        let projection = query::projection(self.request)?;
        let response = self.show(txn, 200, kind, id, &projection)?;
        let version = response.header("etag").unwrap_or_default().to_owned();
        if Conditions::of(self.request).unchanged(&version) {
            return Ok(Response::empty(304).with("etag", version));
        }
        Ok(response)
    }

    /// The request's body, as `read` reads it.
    pub fn body(&self) -> Result<Value, ScimError> {
        let limit = self.env.config.limits.body;
        if self.request.body.len() > limit {
            return Err(ScimError::new(Wrong::TooLarge, format!("the body is larger than {limit} bytes")));
        }
        json::read(&self.request.body).map_err(|error| {
            let what = if error.is_data() { "ambiguous" } else { "not JSON" };
            ScimError::new(Wrong::InvalidSyntax, format!("the body is {what}: {error}"))
        })
    }

    /// One resource as the client shall see it.
    pub fn show(
        &self,
        txn: &Txn<'_>,
        status: u16,
        kind: Kind,
        id: &str,
        wanted: &Projection,
    ) -> Result<Response, Fault> {
        let renderer = self.renderer();
        let next = || renderer.groups(txn, kind, &[id.to_owned()]);
        let bytes = ahead(directory::find(txn, kind, id), next)?.ok_or_else(|| not_found(kind, id))?;
        let found = Found { kind, id: id.to_owned(), stored: Stored::Bytes(bytes) };
        let whole = renderer.page(txn, vec![found], wanted)?.into_iter().next().unwrap_or_default();
        let (version, location) = (render::version(&whole), render::location(&whole));
        let shown = renderer.project(kind, whole, wanted);
        Ok(Response::json(status, SCIM_JSON, &shown).with("etag", version).with("location", location))
    }
}

/// The answer to a method the endpoint does not take.
pub fn not_allowed(endpoint: &Endpoint) -> Response {
    let allowed = endpoint.methods().join(", ");
    let error = ScimError::new(Wrong::MethodNotAllowed, format!("this endpoint answers {allowed}"));
    error.response().with("allow", allowed)
}

/// The connection's own resource types, when it has custom extensions.
pub fn custom(record: &Record) -> Result<Option<Registry>, ScimError> {
    let settings = &record.settings;
    if settings.user_extensions.is_empty() && settings.group_extensions.is_empty() {
        return Ok(None);
    }
    Registry::with_extensions(&settings.user_extensions, &settings.group_extensions).map(Some)
}
