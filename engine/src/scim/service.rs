//! From an admitted request to its answer.

use serde_json::Value;

use crate::connections::record::{Record, Token};
use crate::env::{Env, Timestamp};
use crate::error::{Kind as Wrong, SCIM_JSON, ScimError};
use crate::http::{Request, Response};
use crate::log::{self, Scribe, operation};
use crate::project::Projection;
use crate::schema::Registry;
use crate::scim::access::Entered;
use crate::scim::directory;
use crate::scim::layout::Kind;
use crate::scim::precondition::Conditions;
use crate::scim::query::{self, Query};
use crate::scim::render::{self, Renderer};
use crate::scim::route::{self, Endpoint};
use crate::scim::write::{Writer, not_found};
use crate::scim::{bulk, discovery, list};
use crate::store::{Fault, Outcome, Txn, View};

/// Header of a write's response that tells an edge the version of the directory after it.
pub const VERSION_HEADER: &str = "x-scim-version";

/// How old `lastSync` may grow while an IdP sends only what is known already.
const SYNC_RESOLUTION: u64 = 60;

/// Answers an admitted request.
pub fn serve(request: &Request, view: &View<'_>, entered: Entered<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let base = route::base_url(request, &entered.route, env);
    let custom = registry(&entered.record)?;
    let registry = custom.as_ref().unwrap_or_else(|| Registry::shared());
    let renderer = Renderer { base: &base, registry, limits: &env.config.limits };
    let service = Service { request, view, renderer: &renderer, env };
    let endpoint = &entered.route.endpoint;
    if !endpoint.methods().contains(&request.method.as_str()) {
        return Ok(answer(not_allowed(endpoint)));
    }
    match (request.method.as_str(), endpoint) {
        ("OPTIONS", _) => Ok(answer(Response::empty(204).with("allow", endpoint.methods().join(", ")))),
        (_, Endpoint::Unknown) => Err(ScimError::new(Wrong::NotFound, "there is no such endpoint").into()),
        (_, Endpoint::Me) => {
            Err(ScimError::new(Wrong::NotImplemented, "a provisioning token is not a user: `/Me` has no meaning")
                .into())
        }
        ("GET" | "HEAD", Endpoint::Root) => service.list(&entered.txn, &Kind::ALL),
        ("GET" | "HEAD", Endpoint::Collection(kind)) => service.list(&entered.txn, &[*kind]),
        (_, Endpoint::Search(kind)) => {
            service.search(&entered.txn, kind.as_ref().map_or(&Kind::ALL, std::slice::from_ref))
        }
        ("GET" | "HEAD", Endpoint::Resource(kind, id)) => service.read(&entered.txn, *kind, id),
        ("GET" | "HEAD", _) => {
            let body = discovery::respond(request, endpoint, registry, &base, renderer.limits)?;
            Ok(answer(Response::json(200, SCIM_JSON, &body)))
        }
        _ => service.write(entered),
    }
}

fn answer(response: Response) -> Outcome {
    Outcome { response, ..Outcome::default() }
}

fn not_allowed(endpoint: &Endpoint) -> Response {
    let allowed = endpoint.methods().join(", ");
    let error = ScimError::new(Wrong::MethodNotAllowed, format!("this endpoint answers {allowed}"));
    error.response().with("allow", allowed)
}

/// The connection's own resource types, when it has custom extensions.
pub fn registry(record: &Record) -> Result<Option<Registry>, ScimError> {
    let settings = &record.settings;
    if settings.user_extensions.is_empty() && settings.group_extensions.is_empty() {
        return Ok(None);
    }
    Registry::with_extensions(&settings.user_extensions, &settings.group_extensions).map(Some)
}

struct Service<'a> {
    request: &'a Request,
    view: &'a View<'a>,
    renderer: &'a Renderer<'a>,
    env: &'a Env<'a>,
}

impl Service<'_> {
    fn list(&self, txn: &Txn<'_>, kinds: &[Kind]) -> Result<Outcome, Fault> {
        let query = Query::of_parameters(self.request, self.renderer.limits)?;
        let body = list::respond(txn, self.renderer, kinds, &query)?;
        Ok(answer(Response::json(200, SCIM_JSON, &body)))
    }

    fn search(&self, txn: &Txn<'_>, kinds: &[Kind]) -> Result<Outcome, Fault> {
        let query = Query::of_body(&self.body()?, self.renderer.limits)?;
        let body = list::respond(txn, self.renderer, kinds, &query)?;
        Ok(answer(Response::json(200, SCIM_JSON, &body)))
    }

    fn read(&self, txn: &Txn<'_>, kind: Kind, id: &str) -> Result<Outcome, Fault> {
        let projection = query::projection(self.request)?;
        let response = self.show(txn, 200, kind, id, &projection)?;
        let version = response.header("etag").unwrap_or_default().to_owned();
        if Conditions::of(self.request).unchanged(&version) {
            return Ok(answer(Response::empty(304).with("etag", version)));
        }
        Ok(answer(response))
    }

    fn body(&self) -> Result<Value, ScimError> {
        let limit = self.env.config.limits.body;
        if self.request.body.len() > limit {
            return Err(ScimError::new(Wrong::TooLarge, format!("the body is larger than {limit} bytes")));
        }
        serde_json::from_slice(&self.request.body)
            .map_err(|error| ScimError::new(Wrong::InvalidSyntax, format!("the body is not JSON: {error}")))
    }

    /// A write, its reply, and the commit that makes both true and notes them in the log.
    fn write(&self, entered: Entered<'_>) -> Result<Outcome, Fault> {
        let Entered { route, mut record, token, mut txn } = entered;
        let projection = query::projection(self.request)?;
        let body = if self.request.method == "DELETE" { Value::Null } else { self.body()? };
        let (strict, revive) = (record.settings.strict, record.settings.revive);
        let scribe = Scribe::new(self.request, self.renderer.registry, self.env);
        let mut writer =
            Writer { txn: &mut txn, renderer: self.renderer, env: self.env, strict, revive, changed: false, scribe };
        let Some(done) = self.perform(&mut writer, &route.endpoint, &token, &body)? else {
            return Ok(answer(not_allowed(&route.endpoint)));
        };
        let (changed, entries) = (writer.changed, writer.scribe.entries());
        let response = match done {
            Done::Wrote(status, kind, id) => self.show(&txn, status, kind, &id, &projection)?,
            Done::Deleted => Response::empty(204),
            Done::Bulk(body) => Response::json(200, SCIM_JSON, &body),
        };
        let stale = record.last_sync.is_none_or(|last: Timestamp| last.plus_seconds(SYNC_RESOLUTION) < self.env.now);
        if !changed && !stale {
            let response = response.with(VERSION_HEADER, txn.version().to_string());
            let aside = log::aside(self.view, &route.connection, entries, self.env);
            return Ok(Outcome { response, aside, ..Outcome::default() });
        }
        log::keep(&mut txn, &entries, self.env)?;
        record.note_write(&token.id, self.env.now);
        txn.set_record(record.to_bytes());
        self.commit(txn, response)
    }

    /// Does what the request says; `None` when the endpoint does not take the method.
    fn perform(
        &self,
        writer: &mut Writer<'_, '_>,
        endpoint: &Endpoint,
        token: &Token,
        body: &Value,
    ) -> Result<Option<Done>, Fault> {
        let conditions = Conditions::of(self.request);
        let (done, id) = match (self.request.method.as_str(), endpoint) {
            (_, Endpoint::Bulk) => return Ok(Some(Done::Bulk(bulk::run(writer, token, body)?))),
            ("POST", Endpoint::Collection(kind)) => {
                let id = writer.create(*kind, body, None)?;
                (Done::Wrote(201, *kind, id.clone()), id)
            }
            ("PUT", Endpoint::Resource(kind, id)) => {
                writer.replace(*kind, id, body, &conditions)?;
                (Done::Wrote(200, *kind, id.clone()), id.clone())
            }
            ("PATCH", Endpoint::Resource(kind, id)) => {
                writer.patch(*kind, id, body, &conditions)?;
                (Done::Wrote(200, *kind, id.clone()), id.clone())
            }
            ("DELETE", Endpoint::Resource(kind, id)) => {
                writer.delete(*kind, id, &conditions)?;
                (Done::Deleted, id.clone())
            }
            _ => return Ok(None),
        };
        let status = if let Done::Wrote(status, ..) = done { status } else { 204 };
        writer.scribe.done(operation(&self.request.method, endpoint), &id, status, None);
        Ok(Some(done))
    }

    fn commit(&self, txn: Txn<'_>, response: Response) -> Result<Outcome, Fault> {
        let commit = txn.commit(self.env)?;
        let version = commit.as_ref().map_or(0, |commit| commit.version);
        let response = response.with(VERSION_HEADER, version.to_string());
        Ok(Outcome { response, commits: commit.into_iter().collect(), ..Outcome::default() })
    }

    /// One resource as the client shall see it.
    fn show(&self, txn: &Txn<'_>, status: u16, kind: Kind, id: &str, wanted: &Projection) -> Result<Response, Fault> {
        let stored = directory::load(txn, kind, id)?.ok_or_else(|| not_found(kind, id))?;
        let whole = self.renderer.page(txn, vec![(kind, stored)], wanted)?.into_iter().next().unwrap_or_default();
        let (version, location) = (render::version(&whole), render::location(&whole));
        let shown = self.renderer.project(kind, whole, wanted);
        Ok(Response::json(status, SCIM_JSON, &shown).with("etag", version).with("location", location))
    }
}

/// What a write did.
enum Done {
    Wrote(u16, Kind, String),
    Deleted,
    Bulk(Value),
}
