//! The body of a PATCH request: a list of operations.

use serde_json::{Map, Value};

use crate::env::Limits;
use crate::error::{Kind, ScimError};
use crate::resource::read::{Reader, invalid, is_absent, quote};

/// The schema URI of a PATCH request.
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Remove,
    Replace,
}

/// One operation, as sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation<'b> {
    pub(super) op: Op,
    pub(super) path: Option<&'b str>,
    pub(super) value: Option<&'b Value>,
}

/// Reads the operations, in order.
pub(super) fn parse<'b>(
    reader: &mut Reader,
    body: &'b Value,
    limits: &Limits,
) -> Result<Vec<Operation<'b>>, ScimError> {
    let body = body.as_object().ok_or_else(|| syntax("a PATCH request must be a JSON object"))?;
    check_schemas(reader, body)?;
    let operations = match member(body, "Operations") {
        Some(Value::Array(operations)) => operations.as_slice(),
        Some(single @ Value::Object(_)) => {
            reader.note("single value for a list");
            std::slice::from_ref(single)
        }
        _ => return Err(syntax("a PATCH request must have a list of `Operations`")),
    };
    if operations.is_empty() {
        return Err(syntax("`Operations` is empty"));
    }
    if operations.len() > limits.patch_operations {
        let detail = format!("a PATCH request has at most {} operations", limits.patch_operations);
        return Err(ScimError::new(Kind::TooLarge, detail));
    }
    operations.iter().map(|operation| read(reader, operation)).collect()
}

/// The refusal of an `add` or `replace` that says nothing.
pub(super) fn no_value() -> ScimError {
    invalid("an `add` or `replace` needs a `value`")
}

fn read<'b>(reader: &mut Reader, operation: &'b Value) -> Result<Operation<'b>, ScimError> {
    let operation = operation.as_object().ok_or_else(|| syntax("each of `Operations` must be an object"))?;
    let name = member(operation, "op").and_then(Value::as_str).ok_or_else(|| syntax("an operation needs an `op`"))?;
    let op = [("add", Op::Add), ("remove", Op::Remove), ("replace", Op::Replace)]
        .into_iter()
        .find_map(|(known, op)| known.eq_ignore_ascii_case(name).then_some((known, op)));
    let Some((known, op)) = op else {
        return Err(syntax(format!("`{}` is not an operation: it must be `add`, `remove` or `replace`", quote(name))));
    };
    if known != name {
        reader.note("`op` in capitals");
    }
    let path = match member(operation, "path") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) => Some(path.trim()).filter(|path| !path.is_empty()),
        Some(_) => return Err(ScimError::new(Kind::InvalidPath, "`path` must be a string")),
    };
    Ok(Operation { op, path, value: member(operation, "value") })
}

fn check_schemas(reader: &mut Reader, body: &Map<String, Value>) -> Result<(), ScimError> {
    let given = member(body, "schemas").unwrap_or(&Value::Null);
    if is_absent(given) {
        reader.note("`schemas` missing");
        return Ok(());
    }
    let is_patch = |name: &Value| name.as_str().is_some_and(|name| name.eq_ignore_ascii_case(PATCH_OP));
    let named = given.as_array().map_or_else(|| is_patch(given), |names| names.iter().any(is_patch));
    if named { Ok(()) } else { Err(syntax(format!("`schemas` must name `{PATCH_OP}`"))) }
}

/// A member of an object, in any case of letters.
fn member<'b>(object: &'b Map<String, Value>, name: &str) -> Option<&'b Value> {
    object.get(name).or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

fn syntax(detail: impl Into<String>) -> ScimError {
    ScimError::new(Kind::InvalidSyntax, detail)
}
