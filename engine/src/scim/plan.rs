//! Which index answers a filter. An index only proposes candidates: the whole filter is always evaluated on them.

use crate::env::Limits;
use crate::error::{Kind as Wrong, ScimError};
use crate::filter::{Filter, Literal, Operator};
use crate::path::AttrPath;
use crate::schema::ResourceType;
use crate::scim::gather::gather;
use crate::scim::layout::{self, Index, Kind};
use crate::store::{Fault, Txn, distinct};

/// One range of keys that holds every resource a filter can match.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lookup {
    /// This resource, if it exists.
    Id(String),
    /// Entries of an index below a prefix.
    Index(Vec<u8>),
    /// Groups that name a member.
    Belonging(Vec<u8>),
}

/// Identifiers of every resource that can match, in order of creation; `None` when no index helps.
pub fn candidates(
    txn: &Txn<'_>,
    kind: Kind,
    resource_type: &ResourceType,
    filter: &Filter,
    limits: &Limits,
) -> Result<Option<Vec<String>>, Fault> {
    let Some((lookups, cost)) = cheapest(txn, kind, resource_type, filter)? else { return Ok(None) };
    if cost > limits.scan as u64 {
        return Err(too_many(limits).into());
    }
    Ok(Some(distinct(gather(lookups, |lookup| lookup.ids(txn, limits))?.concat())))
}

/// The error of a filter that would visit more than the limit.
pub fn too_many(limits: &Limits) -> ScimError {
    let detail =
        format!("the filter would have to look at more than {} resources; use an indexed attribute", limits.scan);
    ScimError::new(Wrong::TooMany, detail)
}

type Priced = (Vec<Lookup>, u64);

/// The lookups whose union covers the filter, and how many entries they hold.
fn cheapest(txn: &Txn<'_>, kind: Kind, of: &ResourceType, filter: &Filter) -> Result<Option<Priced>, Fault> {
    Ok(match filter {
        Filter::And(left, right) => {
            let both = [cheapest(txn, kind, of, left)?, cheapest(txn, kind, of, right)?];
            both.into_iter().flatten().min_by_key(|(_, cost)| *cost)
        }
        Filter::Or(left, right) => match (cheapest(txn, kind, of, left)?, cheapest(txn, kind, of, right)?) {
            (Some((mut lookups, cost)), Some((more, more_cost))) => {
                lookups.extend(more);
                Some((lookups, cost.saturating_add(more_cost)))
            }
            _ => None,
        },
        Filter::Compare(path, operator, Literal::String(value)) => {
            priced(txn, named(path, of).and_then(|(name, sub)| lookup(kind, &name, sub.as_deref(), *operator, value)))?
        }
        Filter::Element(path, inner) => match named(path, of) {
            Some((name, _)) => element(txn, kind, &name, inner)?,
            None => None,
        },
        Filter::Not(_) | Filter::Present(_) | Filter::Compare(..) => None,
    })
}

/// The same inside `name[...]`, where paths name sub-attributes.
fn element(txn: &Txn<'_>, kind: Kind, name: &str, inner: &Filter) -> Result<Option<Priced>, Fault> {
    Ok(match inner {
        Filter::And(left, right) => {
            let both = [element(txn, kind, name, left)?, element(txn, kind, name, right)?];
            both.into_iter().flatten().min_by_key(|(_, cost)| *cost)
        }
        Filter::Compare(path, operator, Literal::String(value)) => {
            priced(txn, lookup(kind, name, Some(&path.name), *operator, value))?
        }
        _ => None,
    })
}

fn priced(txn: &Txn<'_>, lookup: Option<Lookup>) -> Result<Option<Priced>, Fault> {
    lookup.map(|lookup| lookup.cost(txn).map(|cost| (vec![lookup], cost))).transpose()
}

/// The schema's spelling of a path of the core schema.
fn named(path: &AttrPath, of: &ResourceType) -> Option<(String, Option<String>)> {
    let target = path.resolve(of).filter(|target| target.extension.is_none())?;
    Some((target.attribute.name.clone(), target.sub.map(|sub| sub.name.clone())))
}

fn lookup(kind: Kind, name: &str, sub: Option<&str>, operator: Operator, value: &str) -> Option<Lookup> {
    let sub_is = |wanted: &str| sub.is_none_or(|sub| sub.eq_ignore_ascii_case(wanted));
    match operator {
        Operator::Eq if name == "id" => return Some(Lookup::Id(value.to_owned())),
        Operator::Eq if kind == Kind::Group && name == "members" && sub_is("value") => {
            return Some(Lookup::Belonging(layout::belonging(value)));
        }
        Operator::Eq | Operator::Sw => {}
        _ => return None,
    }
    let index = Index::of(kind).iter().find(|index| {
        let (attribute, part) = index.attribute();
        attribute == name && part.map_or(sub.is_none(), sub_is)
    })?;
    Some(Lookup::Index(if operator == Operator::Eq { index.exactly(value) } else { index.starting(value) }))
}

impl Lookup {
    fn cost(&self, txn: &Txn<'_>) -> Result<u64, Fault> {
        match self {
            Self::Id(_) => Ok(1),
            Self::Index(prefix) | Self::Belonging(prefix) => {
                let range = layout::under(prefix);
                txn.count(&range.start..&range.end)
            }
        }
    }

    fn ids(self, txn: &Txn<'_>, limits: &Limits) -> Result<Vec<String>, Fault> {
        let entries = |prefix: &[u8]| {
            let range = layout::under(prefix);
            txn.scan(&range.start..&range.end, 0, limits.scan, false)
        };
        Ok(match &self {
            Self::Id(id) => vec![id.clone()],
            Self::Index(prefix) => entries(prefix)?.iter().map(|(key, _)| layout::indexed_id(key)).collect(),
            Self::Belonging(prefix) => entries(prefix)?.iter().map(|(key, _)| layout::tail(key, prefix)).collect(),
        })
    }
}
