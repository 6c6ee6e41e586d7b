//! Which index answers a filter. An index only proposes candidates: the whole filter is always evaluated on them.

use crate::env::Limits;
use crate::error::{Kind as Wrong, ScimError};
use crate::filter::{Filter, Literal, Operator};
use crate::path::AttrPath;
use crate::schema::ResourceType;
use crate::scim::directory;
use crate::scim::gather::gather;
use crate::scim::layout::{self, Index, Kind};
use crate::store::{Fault, Txn, distinct};

/// One range of keys that holds every resource a filter can match.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lookup {
    /// This resource, if it exists.
    Id(String),
    /// Entries of an index of exactly one value, which only one resource has if it is unique.
    Equal { prefix: Vec<u8>, unique: bool },
    /// Entries of an index whose values start so.
    Starting(Vec<u8>),
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
    let Some(Way { lookups, .. }) = cheapest(txn, kind, resource_type, filter)? else { return Ok(None) };
    let ids = gather(lookups, |lookup| lookup.ids(txn, limits))?.concat();
    if ids.len() > limits.scan {
        return Err(too_many(limits).into());
    }
    Ok(Some(distinct(ids)))
}

/// The error of a filter that would visit more than the limit.
pub fn too_many(limits: &Limits) -> ScimError {
    let detail =
        format!("the filter would have to look at more than {} resources; use an indexed attribute", limits.scan);
    ScimError::new(Wrong::TooMany, detail)
}

/// Lookups whose union covers a filter, and how many entries they hold, if that was counted.
struct Way {
    lookups: Vec<Lookup>,
    cost: Option<u64>,
}

/// The cheapest way to answer a filter.
fn cheapest(txn: &Txn<'_>, kind: Kind, of: &ResourceType, filter: &Filter) -> Result<Option<Way>, Fault> {
    match filter {
        Filter::And(left, right) => cheaper(txn, cheapest(txn, kind, of, left)?, cheapest(txn, kind, of, right)?),
        Filter::Or(left, right) => {
            let both = cheapest(txn, kind, of, left)?.zip(cheapest(txn, kind, of, right)?);
            Ok(both.map(|(left, right)| Way { lookups: [left.lookups, right.lookups].concat(), cost: None }))
        }
        Filter::Compare(path, operator, Literal::String(value)) => {
            let lookup = named(path, of).and_then(|(name, sub)| lookup(kind, &name, sub.as_deref(), *operator, value));
            Ok(lookup.map(Way::of))
        }
        Filter::Element(path, inner) => match named(path, of) {
            Some((name, _)) => element(txn, kind, &name, inner),
            None => Ok(None),
        },
        Filter::Not(_) | Filter::Present(_) | Filter::Compare(..) => Ok(None),
    }
}

/// The same inside `name[...]`, where paths name sub-attributes.
fn element(txn: &Txn<'_>, kind: Kind, name: &str, inner: &Filter) -> Result<Option<Way>, Fault> {
    match inner {
        Filter::And(left, right) => cheaper(txn, element(txn, kind, name, left)?, element(txn, kind, name, right)?),
        Filter::Compare(path, operator, Literal::String(value)) => {
            Ok(lookup(kind, name, Some(&path.name), *operator, value).map(Way::of))
        }
        _ => Ok(None),
    }
}

/// Of two ways, that with fewer entries; nothing is counted where there is no choice.
fn cheaper(txn: &Txn<'_>, left: Option<Way>, right: Option<Way>) -> Result<Option<Way>, Fault> {
    let (left, right) = match (left, right) {
        (Some(left), Some(right)) => (left, right),
        (left, right) => return Ok(left.or(right)),
    };
    let costs = gather([&left, &right], |way| way.cost(txn))?;
    let (way, cost) = if costs.is_sorted() { (left, costs.first()) } else { (right, costs.last()) };
    Ok(Some(Way { cost: cost.copied(), ..way }))
}

impl Way {
    fn of(lookup: Lookup) -> Self {
        Self { lookups: vec![lookup], cost: None }
    }

    fn cost(&self, txn: &Txn<'_>) -> Result<u64, Fault> {
        match self.cost {
            Some(cost) => Ok(cost),
            None => Ok(gather(&self.lookups, |lookup| lookup.cost(txn))?.into_iter().fold(0, u64::saturating_add)),
        }
    }
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
    Some(match operator {
        Operator::Eq => Lookup::Equal { prefix: index.exactly(value), unique: index.unique() },
        _ => Lookup::Starting(index.starting(value)),
    })
}

impl Lookup {
    fn cost(&self, txn: &Txn<'_>) -> Result<u64, Fault> {
        match self {
            Self::Id(_) | Self::Equal { unique: true, .. } => Ok(1),
            Self::Equal { prefix, .. } | Self::Starting(prefix) | Self::Belonging(prefix) => {
                directory::count(txn, prefix)
            }
        }
    }

    fn ids(self, txn: &Txn<'_>, limits: &Limits) -> Result<Vec<String>, Fault> {
        // What starts with a letter may be the whole directory: that is refused before any of it is read.
        if matches!(self, Self::Starting(_)) && self.cost(txn)? > limits.scan as u64 {
            return Err(too_many(limits).into());
        }
        let entries = |prefix: &[u8]| directory::entries(txn, prefix, limits.scan.saturating_add(1));
        Ok(match &self {
            Self::Id(id) => vec![id.clone()],
            Self::Equal { prefix, .. } | Self::Starting(prefix) => {
                entries(prefix)?.iter().map(|(key, _)| layout::indexed_id(key)).collect()
            }
            Self::Belonging(prefix) => entries(prefix)?.iter().map(|(key, _)| layout::tail(key, prefix)).collect(),
        })
    }
}
