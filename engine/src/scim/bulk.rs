//! Bulk (RFC 7644 section 3.7): many operations, one commit.
//!
//! Every POST with a `bulkId` is promised its identifier before anything runs, and references to it are replaced by that
//! identifier everywhere: so circular references can be kept. What refers to an operation that failed fails as well; in a
//! [circle](circles) of references, so do all.

mod circles;

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::connections::record::Token;
use crate::error::{Kind as Wrong, ScimError};
use crate::http::Response;
use crate::log;
use crate::scim::access::{self, Access};
use crate::scim::layout::Kind;
use crate::scim::precondition::Conditions;
use crate::scim::query::{expect_schema, member};
use crate::scim::route::Endpoint;
use crate::scim::write::Writer;
use crate::scim::{directory, render};
use crate::store::{Fault, Need};

const BULK_REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const BULK_RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

/// Runs every operation; the body of the response.
pub fn run(writer: &mut Writer<'_, '_>, token: &Token, body: &Value) -> Result<Value, Fault> {
    let (operations, fail_on_errors) = read(writer, body)?;
    let mut bulk = Bulk {
        promised: promise(writer, &operations)?,
        states: vec![State::Waiting; operations.len()],
        operations,
        token,
    };
    let mut need = Need::default();
    for group in circles::groups(bulk.operations.iter().map(|operation| operation.refers.as_slice())) {
        let errors = bulk.states.iter().filter(|state| state.has_failed()).count() as u64;
        if fail_on_errors.is_some_and(|limit| errors >= limit) {
            break;
        }
        // What one operation needs does not keep the next from saying what it needs: all of it is loaded at once, or a long
        // request would be run from its beginning for every page.
        need.gather(bulk.run(writer, &group))?;
    }
    need.settle()?;
    let results: Vec<Value> = bulk.states.into_iter().filter_map(State::result).collect();
    Ok(json!({ "schemas": [BULK_RESPONSE], "Operations": results }))
}

/// One operation as sent.
#[derive(Clone, Debug)]
struct Operation {
    method: String,
    path: String,
    bulk_id: Option<String>,
    version: Option<String>,
    data: Value,
    /// Operations this one refers to.
    refers: Vec<usize>,
}

#[derive(Clone, Debug)]
enum State {
    Waiting,
    Done { result: Value, failed: bool },
}

impl State {
    fn result(self) -> Option<Value> {
        match self {
            Self::Done { result, .. } => Some(result),
            Self::Waiting => None,
        }
    }

    fn has_failed(&self) -> bool {
        matches!(self, Self::Done { failed: true, .. })
    }
}

struct Bulk<'a> {
    operations: Vec<Operation>,
    promised: HashMap<String, String>,
    states: Vec<State>,
    token: &'a Token,
}

fn read(writer: &Writer<'_, '_>, body: &Value) -> Result<(Vec<Operation>, Option<u64>), ScimError> {
    let wrong = |detail: &str| ScimError::new(Wrong::InvalidSyntax, detail);
    let body = body.as_object().ok_or_else(|| wrong("a bulk request is a JSON object"))?;
    expect_schema(body, BULK_REQUEST)?;
    let listed =
        member(body, "Operations").and_then(Value::as_array).ok_or_else(|| wrong("`Operations` is not a list"))?;
    let limit = writer.renderer.limits.bulk_operations;
    if listed.len() > limit {
        return Err(ScimError::new(Wrong::TooLarge, format!("a bulk request has at most {limit} operations")));
    }
    let fail_on_errors = match member(body, "failOnErrors") {
        None => None,
        Some(value) => Some(
            value
                .as_u64()
                .filter(|n| *n > 0)
                .ok_or_else(|| ScimError::new(Wrong::InvalidValue, "`failOnErrors` is not a whole number from 1"))?,
        ),
    };
    let mut operations = listed.iter().map(operation).collect::<Result<Vec<_>, _>>()?;
    link(&mut operations)?;
    Ok((operations, fail_on_errors))
}

fn operation(value: &Value) -> Result<Operation, ScimError> {
    let wrong = |detail: String| ScimError::new(Wrong::InvalidSyntax, detail);
    let operation = value.as_object().ok_or_else(|| wrong("an operation is a JSON object".to_owned()))?;
    let text = |name: &str| member(operation, name).and_then(Value::as_str).map(str::to_owned);
    let method = text("method").ok_or_else(|| wrong("an operation needs a `method`".to_owned()))?.to_uppercase();
    if !["POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()) {
        return Err(wrong(format!("`{method}` is no method of a bulk operation")));
    }
    let path = text("path").ok_or_else(|| wrong("an operation needs a `path`".to_owned()))?;
    let bulk_id = text("bulkId");
    if method == "POST" && bulk_id.is_none() {
        return Err(wrong("a POST in a bulk request needs a `bulkId`".to_owned()));
    }
    let data = member(operation, "data").cloned().unwrap_or_default();
    Ok(Operation { method, path, bulk_id, version: text("version"), data, refers: Vec::new() })
}

/// Finds which operations refer to which, and refuses a `bulkId` that is used twice.
fn link(operations: &mut [Operation]) -> Result<(), ScimError> {
    let mut ids = HashMap::new();
    for (at, operation) in operations.iter().enumerate().filter(|(_, operation)| operation.method == "POST") {
        let Some(id) = &operation.bulk_id else { continue };
        if ids.insert(id.clone(), at).is_some() {
            return Err(ScimError::new(Wrong::InvalidValue, format!("`bulkId` `{id}` is used twice")));
        }
    }
    for operation in operations.iter_mut() {
        let mut names = Vec::new();
        references(&operation.data, &mut names);
        names
            .extend(operation.path.split('/').filter_map(|segment| segment.strip_prefix("bulkId:")).map(str::to_owned));
        operation.refers = names.iter().filter_map(|name| ids.get(name).copied()).collect();
    }
    Ok(())
}

fn references(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::String(text) => names.extend(text.strip_prefix("bulkId:").map(str::to_owned)),
        Value::Array(values) => values.iter().for_each(|value| references(value, names)),
        Value::Object(map) => map.values().for_each(|value| references(value, names)),
        _ => {}
    }
}

/// An identifier for every POST, before any of them runs.
fn promise(writer: &Writer<'_, '_>, operations: &[Operation]) -> Result<HashMap<String, String>, Fault> {
    let version = writer.txn.version();
    let posts = operations.iter().filter(|operation| operation.method == "POST");
    Ok(posts.filter_map(|operation| Some((operation.bulk_id.clone()?, writer.env.uuid_after(version)))).collect())
}

impl Bulk<'_> {
    /// Runs an operation, or those of a circle: all of them are done, or none.
    fn run(&mut self, writer: &mut Writer<'_, '_>, group: &[usize]) -> Result<(), Fault> {
        let (changed, savepoint, noted) = (writer.changed, writer.txn.savepoint(), writer.scribe.noted());
        let promised = self.promises(group);
        self.attempt_all(writer, group)?;
        if group.len() > 1 && promised != self.promises(group) {
            // A user came back under the old id, and some of the circle still refer to the promised one.
            writer.txn.roll_back(savepoint);
            writer.scribe.forget(noted);
            self.attempt_all(writer, group)?;
        }
        let failed = |at: &usize| self.states.get(*at).is_some_and(State::has_failed);
        if group.iter().any(failed) && !group.iter().all(failed) {
            let refusal = broken_reference().response();
            for at in group.iter().filter(|at| !failed(at)).copied().collect::<Vec<_>>() {
                let result = self.operations.get(at).map(|operation| refused(operation, &refusal)).unwrap_or_default();
                self.set(at, State::Done { result, failed: true });
            }
            writer.txn.roll_back(savepoint);
            writer.scribe.take_back(noted, &refusal);
            writer.changed = changed;
        }
        Ok(())
    }

    fn attempt_all(&mut self, writer: &mut Writer<'_, '_>, group: &[usize]) -> Result<(), Fault> {
        group.iter().for_each(|at| self.set(*at, State::Waiting));
        for at in group {
            let Some(operation) = self.operations.get(*at).cloned() else { continue };
            let state = self.attempt(writer, &operation, *at)?;
            self.set(*at, state);
        }
        Ok(())
    }

    fn promises(&self, group: &[usize]) -> Vec<Option<String>> {
        let promise = |at: &usize| self.promised.get(self.operations.get(*at)?.bulk_id.as_ref()?).cloned();
        group.iter().map(promise).collect()
    }

    fn set(&mut self, at: usize, state: State) {
        if let Some(slot) = self.states.get_mut(at) {
            *slot = state;
        }
    }

    /// Runs an operation; a refusal is its result. Whatever it had written is taken back if it fails, or has to be run again.
    fn attempt(&mut self, writer: &mut Writer<'_, '_>, operation: &Operation, at: usize) -> Result<State, Fault> {
        let changed = writer.changed;
        let savepoint = writer.txn.savepoint();
        let (name, number) = (log::operation(&operation.method, &Endpoint::parse(&operation.path)), Some(at + 1));
        match self.perform(writer, operation) {
            Ok(result) => {
                let text = |name: &str| result.get(name).and_then(Value::as_str).unwrap_or_default();
                let id = text("location").rsplit('/').next().unwrap_or_default();
                writer.scribe.done(name, id, text("status").parse().unwrap_or_default(), number);
                Ok(State::Done { result, failed: false })
            }
            Err(fault) => {
                writer.txn.roll_back(savepoint);
                writer.changed = changed;
                let Fault::Refused(response) = fault else { return Err(fault) };
                writer.scribe.refused(name, resource_of(operation), &response, number);
                Ok(State::Done { result: refused(operation, &response), failed: true })
            }
        }
    }

    fn perform(&mut self, writer: &mut Writer<'_, '_>, operation: &Operation) -> Result<Value, Fault> {
        if operation.refers.iter().any(|to| self.states.get(*to).is_some_and(State::has_failed)) {
            return Err(broken_reference().into());
        }
        let data = self.resolve(&operation.data)?;
        let path = self.resolve_path(&operation.path)?;
        let endpoint = Endpoint::parse(&path);
        if let Endpoint::Collection(kind) | Endpoint::Resource(kind, _) = &endpoint {
            access::require(self.token, *kind, Access::Write)?;
        }
        let conditions = Conditions::version(operation.version.as_deref());
        match (operation.method.as_str(), endpoint) {
            ("POST", Endpoint::Collection(kind)) => {
                let promised = operation.bulk_id.as_ref().and_then(|id| self.promised.get_mut(id));
                let id = writer.create(kind, &data, promised.as_deref().map(String::as_str))?;
                // A user who comes back keeps the old id, and what refers to the operation means that one.
                if let Some(promised) = promised {
                    promised.clone_from(&id);
                }
                wrote(writer, operation, "201", kind, &id)
            }
            ("PUT", Endpoint::Resource(kind, id)) => {
                writer.replace(kind, &id, &data, &conditions)?;
                wrote(writer, operation, "200", kind, &id)
            }
            ("PATCH", Endpoint::Resource(kind, id)) => {
                writer.patch(kind, &id, &data, &conditions)?;
                wrote(writer, operation, "200", kind, &id)
            }
            ("DELETE", Endpoint::Resource(kind, id)) => {
                writer.delete(kind, &id, &conditions)?;
                Ok(result(operation, "204", [("location", writer.renderer.location(kind, &id).into())]))
            }
            _ => Err(ScimError::new(Wrong::InvalidValue, "`method` and `path` do not fit together").into()),
        }
    }

    /// Replaces every `bulkId:x` by the identifier promised to it.
    fn resolve(&self, value: &Value) -> Result<Value, ScimError> {
        Ok(match value {
            Value::String(text) => Value::String(match text.strip_prefix("bulkId:") {
                Some(id) => self.promise(id)?,
                None => text.clone(),
            }),
            Value::Array(values) => {
                Value::Array(values.iter().map(|value| self.resolve(value)).collect::<Result<_, _>>()?)
            }
            Value::Object(map) => {
                let entry = |(name, value): (&String, &Value)| Ok::<_, ScimError>((name.clone(), self.resolve(value)?));
                Value::Object(map.iter().map(entry).collect::<Result<Map<_, _>, _>>()?)
            }
            other => other.clone(),
        })
    }

    fn resolve_path(&self, path: &str) -> Result<String, ScimError> {
        let segments = path.split('/').map(|segment| match segment.strip_prefix("bulkId:") {
            Some(id) => self.promise(id),
            None => Ok(segment.to_owned()),
        });
        Ok(segments.collect::<Result<Vec<_>, _>>()?.join("/"))
    }

    fn promise(&self, id: &str) -> Result<String, ScimError> {
        let unknown = || ScimError::new(Wrong::Conflict, format!("no operation has the `bulkId` `{id}`"));
        self.promised.get(id).cloned().ok_or_else(unknown)
    }
}

fn broken_reference() -> ScimError {
    ScimError::new(Wrong::Conflict, "an operation this one refers to has failed")
}

/// Id of the resource an operation names.
fn resource_of(operation: &Operation) -> &str {
    operation.path.rsplit('/').next().unwrap_or_default()
}

fn wrote(writer: &Writer<'_, '_>, operation: &Operation, status: &str, kind: Kind, id: &str) -> Result<Value, Fault> {
    let stored = directory::load(writer.txn, kind, id)?.unwrap_or_default();
    let version = writer.renderer.version(writer.txn, kind, &stored)?;
    let location = writer.renderer.location(kind, &render::id(&stored));
    Ok(result(operation, status, [("location", location.into()), ("version", version.into())]))
}

fn refused(operation: &Operation, response: &Response) -> Value {
    let body = serde_json::from_slice(&response.body).unwrap_or_default();
    result(operation, &response.status.to_string(), [("response", body)])
}

fn result<const N: usize>(operation: &Operation, status: &str, more: [(&str, Value); N]) -> Value {
    let mut result = Map::new();
    result.insert("method".to_owned(), operation.method.as_str().into());
    result.extend(operation.bulk_id.as_ref().map(|id| ("bulkId".to_owned(), Value::from(id.as_str()))));
    result.extend(more.map(|(name, value)| (name.to_owned(), value)));
    result.insert("status".to_owned(), status.into());
    Value::Object(result)
}
