//! Writes: what the request says is done, shown and noted in one commit.

use std::sync::Arc;

use serde_json::Value;

use crate::connections::record::{Record, Token};
use crate::env::{Env, Timestamp};
use crate::error::SCIM_JSON;
use crate::http::{Request, Response};
use crate::log::{self, Entry, Scribe, operation};
use crate::project::Projection;
use crate::scim::access::Entered;
use crate::scim::bulk;
use crate::scim::gather::{ahead, gather};
use crate::scim::layout::{self, Kind};
use crate::scim::precondition::Conditions;
use crate::scim::query;
use crate::scim::read::{Reader, not_allowed};
use crate::scim::route::Endpoint;
use crate::scim::write::{Writer, not_found};
use crate::scim::{directory, members};
use crate::store::{Fault, Need, Outcome, Txn, View};

/// Header of a write's response that tells an edge the version of the directory after it.
pub const VERSION_HEADER: &str = "x-scim-version";

/// How old `lastSync` may grow while an IdP sends only what is known already.
const SYNC_RESOLUTION: u64 = 60;

/// Answers an admitted request.
pub fn serve(request: &Request, view: &View<'_>, entered: Entered<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let reader = Reader::new(request, &entered, env)?;
    match reader.answer(&entered)? {
        Some(response) => Ok(answer(response)),
        None => Service { request, view, reader: &reader, env }.write(entered),
    }
}

fn answer(response: Response) -> Outcome {
    Outcome { response, ..Outcome::default() }
}

struct Service<'a> {
    request: &'a Request,
    view: &'a View<'a>,
    reader: &'a Reader<'a>,
    env: &'a Env<'a>,
}

impl Service<'_> {
    /// A write, its reply, and the commit that makes both true and notes them in the log.
    fn write(&self, entered: Entered<'_>) -> Result<Outcome, Fault> {
        let Entered { route, record, token, mut txn } = entered;
        let mut record = Arc::unwrap_or_clone(record);
        let projection = query::projection(self.request)?;
        let body = if self.request.method == "DELETE" { Value::Null } else { self.reader.body()? };
        let (strict, revive) = (record.settings.strict, record.settings.revive);
        let scribe = Scribe::new(self.request, self.reader.registry(), self.env);
        let renderer = self.reader.renderer();
        let dissolving = std::mem::take(&mut record.dissolving);
        let mut writer = Writer {
            txn: &mut txn,
            renderer: &renderer,
            env: self.env,
            strict,
            revive,
            changed: false,
            dissolving,
            scribe,
        };
        let limits = &self.env.config.limits;
        let done = self.perform(&mut writer, &route.endpoint, &token, &body);
        let foreseen = || gather([writer.txn.foresee(limits), log::foresee(writer.txn, self.env)], |one| one);
        let Some(done) = ahead(done, foreseen)? else {
            return Ok(answer(not_allowed(&route.endpoint)));
        };
        let (changed, entries) = (writer.changed, writer.scribe.entries());
        record.dissolving = writer.dissolving;
        let stale = record.last_sync.is_none_or(|last: Timestamp| last.plus_seconds(SYNC_RESOLUTION) < self.env.now);
        let commits = changed || stale;
        let mut need = Need::default();
        if commits {
            need.gather(self.note(&mut txn, &mut record, &entries))?;
        }
        need.gather(txn.foresee(limits))?;
        if !need.is_empty() {
            need.gather(self.foresee(&txn, &done, &projection))?;
            need.settle()?;
        }
        let response = self.reply(&txn, done, &projection)?;
        if !commits {
            let response = response.with(VERSION_HEADER, txn.version().to_string());
            let aside = log::aside(self.view, &route.connection, entries, self.env);
            return Ok(Outcome { response, aside, ..Outcome::default() });
        }
        record.note_write(&token.id, self.env.now);
        txn.set_record(record.to_bytes());
        self.commit(txn, response)
    }

    fn reply(&self, txn: &Txn<'_>, done: Done, wanted: &Projection) -> Result<Response, Fault> {
        match done {
            Done::Wrote(status, kind, id) => self.show(txn, status, kind, &id, wanted),
            Done::Deleted => Ok(Response::empty(204)),
            Done::Bulk(body) => Ok(Response::json(200, SCIM_JSON, &body)),
        }
    }

    /// Whether what the reply shows beside the resource is at hand: a reply is costly to make, and it is not time yet.
    fn foresee(&self, txn: &Txn<'_>, done: &Done, wanted: &Projection) -> Result<(), Fault> {
        match done {
            Done::Wrote(_, Kind::Group, id) if !self.is_brief(txn, Kind::Group, id, wanted)? => {
                directory::entries(txn, &layout::members(id), self.env.config.limits.members).map(drop)
            }
            Done::Wrote(_, Kind::User, id) => directory::entries(txn, &layout::belonging(id), 1).map(drop),
            _ => Ok(()),
        }
    }

    /// What goes along with a change: its entries in the log, and some of what was left for later.
    fn note(&self, txn: &mut Txn<'_>, record: &mut Record, entries: &[Entry]) -> Result<(), Fault> {
        log::keep(txn, entries, self.env)?;
        record.hour.count(txn, entries, self.env)?;
        members::go_on(txn, &mut record.dissolving, &self.env.config.limits)
    }

    /// Whether a PATCH is answered without a body, as RFC 7644 section 3.5.2 allows: of a group with more members than an
    /// answer may carry. Adding one member must not cost reading all.
    fn is_brief(&self, txn: &Txn<'_>, kind: Kind, id: &str, wanted: &Projection) -> Result<bool, Fault> {
        let parameters = self.request.parameters().unwrap_or_default();
        let asked = parameters.iter().any(|(name, _)| name == "attributes");
        Ok(kind == Kind::Group
            && self.request.method == "PATCH"
            && !asked
            && wanted.wants(&self.reader.registry().group, "members")
            && members::count(txn, id)? > self.env.config.limits.members as u64)
    }

    /// The resource after the write.
    fn show(&self, txn: &Txn<'_>, status: u16, kind: Kind, id: &str, wanted: &Projection) -> Result<Response, Fault> {
        if !self.is_brief(txn, kind, id, wanted)? {
            return self.reader.show(txn, status, kind, id, wanted);
        }
        let stored = directory::load(txn, kind, id)?.ok_or_else(|| not_found(kind, id))?;
        let renderer = self.reader.renderer();
        let version = renderer.version(txn, kind, &stored)?;
        Ok(Response::empty(204).with("etag", version).with("location", renderer.location(kind, id)))
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
}

/// What a write did.
enum Done {
    Wrote(u16, Kind, String),
    Deleted,
    Bulk(Value),
}
