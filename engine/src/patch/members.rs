//! Operations on a group's `members`, as changes that need no look at the group.

use serde_json::{Map, Value};

use super::operation::Op;
use super::{MemberChange, Site, mutability};
use crate::error::{Kind, ScimError};
use crate::filter::{Filter, Literal, Operator};
use crate::resource::read::{Reader, invalid, is_absent};

/// The change an operation asks for; `None` when it asks for none.
pub(super) fn change(
    reader: &mut Reader,
    op: Op,
    site: &Site<'_>,
    value: Option<&Value>,
) -> Result<Option<MemberChange>, ScimError> {
    match (&site.filter, site.target.sub) {
        (Some(filter), None) => selected(reader, op, filter, value),
        (Some(filter), Some(sub)) => {
            if op == Op::Remove && sub.name != "value" {
                return Err(mutability("members", "can only be removed as a whole"));
            }
            let part = Map::from_iter([(sub.name.clone(), value.cloned().unwrap_or_default())]);
            selected(reader, op, filter, Some(&Value::Object(part)))
        }
        (None, None) => listed(reader, op, value),
        (None, Some(sub)) if sub.name == "value" && value.is_some() => {
            reader.note("`members.value` for `members`");
            listed(reader, op, value)
        }
        (None, Some(sub)) => {
            let detail = format!("`members.{}` needs a filter that says whose", sub.name);
            Err(ScimError::new(Kind::InvalidPath, detail))
        }
    }
}

/// The member ids a filter of `value eq "id"` names, perhaps several joined by `or`.
pub(super) fn ids(filter: &Filter) -> Option<Vec<String>> {
    match filter {
        Filter::Compare(path, Operator::Eq, Literal::String(id))
            if path.schema.is_none() && path.sub.is_none() && path.name.eq_ignore_ascii_case("value") =>
        {
            Some(vec![id.clone()])
        }
        Filter::Or(left, right) => {
            let mut all = ids(left)?;
            all.extend(ids(right)?);
            Some(all)
        }
        _ => None,
    }
}

fn listed(reader: &mut Reader, op: Op, value: Option<&Value>) -> Result<Option<MemberChange>, ScimError> {
    let value = value.unwrap_or(&Value::Null);
    if op == Op::Remove && value.is_null() {
        return Ok(Some(MemberChange::Replace(Vec::new())));
    }
    let members = reader.members(value)?;
    Ok(match op {
        Op::Replace => Some(MemberChange::Replace(members)),
        _ if members.is_empty() => None,
        Op::Add => Some(MemberChange::Add(members)),
        Op::Remove => {
            reader.note("remove with values");
            let id = |member: &Map<String, Value>| Some(member.get("value")?.as_str()?.to_owned());
            Some(MemberChange::Remove(members.iter().filter_map(id).collect()))
        }
    })
}

fn selected(
    reader: &mut Reader,
    op: Op,
    filter: &Filter,
    value: Option<&Value>,
) -> Result<Option<MemberChange>, ScimError> {
    let ids = ids(filter);
    if op == Op::Remove {
        return Ok(Some(match ids {
            Some(ids) => MemberChange::Remove(ids),
            None => MemberChange::RemoveMatching(filter.clone()),
        }));
    }
    let value = value.unwrap_or(&Value::Null);
    let value = match value.as_array().map(Vec::as_slice) {
        Some([single]) => single,
        _ => value,
    };
    if is_absent(value) {
        return Err(invalid("`members` needs a value to set"));
    }
    let mut parts = reader.member(value)?;
    let id = match ids.as_deref() {
        Some([id]) => Some(id),
        _ => None,
    };
    if let Some(given) = parts.shift_remove("value")
        && given.as_str() != id.map(String::as_str)
    {
        return Err(mutability("members.value", "cannot be changed: remove the member and add another"));
    }
    match id {
        Some(id) if op == Op::Add => {
            let mut member = Map::from_iter([("value".to_owned(), Value::from(id.as_str()))]);
            member.extend(parts);
            Ok(Some(MemberChange::Add(vec![member])))
        }
        _ if parts.is_empty() => Ok(None),
        _ => Ok(Some(MemberChange::Update(filter.clone(), parts))),
    }
}
