//! Lists: filter, order, page (RFC 7644 section 3.4.2, cursors of RFC 9865).

use std::cmp::Ordering;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::env::Limits;
use crate::error::{Kind as Wrong, ScimError};
use crate::filter::{Filter, Literal, Operator};
use crate::path::AttrPath;
use crate::project::Projection;
use crate::schema::ResourceType;
use crate::scim::directory::{self, Resource};
use crate::scim::gather::{ahead, gather};
use crate::scim::layout::{self, Index, Kind};
use crate::scim::members;
use crate::scim::plan;
use crate::scim::query::{Page, Query, Sort};
use crate::scim::render::{Found, Renderer, Stored, id, resource_type};
use crate::store::{Fault, Txn};

/// URN of a list body.
const LIST_RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// The body of a list response.
pub fn respond(txn: &Txn<'_>, renderer: &Renderer<'_>, kinds: &[Kind], query: &Query) -> Result<Value, Fault> {
    let lister = Lister { txn, renderer, limits: renderer.limits, kinds, query };
    let start = lister.start()?;
    let listed = lister.page(&start)?;
    let next = lister.next(&start, &listed);
    let kinds_listed: Vec<Kind> = listed.found.iter().map(|one| one.kind).collect();
    let rendered = renderer.page(txn, listed.found, &query.projection)?;
    let resources: Vec<Value> = kinds_listed
        .into_iter()
        .zip(rendered)
        .map(|(kind, resource)| Value::Object(renderer.project(kind, resource, &query.projection)))
        .collect();
    let mut body = Map::new();
    body.insert("schemas".to_owned(), json!([LIST_RESPONSE]));
    body.insert("totalResults".to_owned(), listed.total.into());
    if let Page::Index(index) = query.page {
        body.insert("startIndex".to_owned(), index.into());
    }
    body.insert("itemsPerPage".to_owned(), resources.len().into());
    body.extend(next.map(|cursor| ("nextCursor".to_owned(), cursor.into())));
    body.insert("Resources".to_owned(), resources.into());
    Ok(Value::Object(body))
}

/// Where a page starts.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    /// After so many resources.
    Skip(u64),
    /// After this resource, in order of creation: stable while resources come and go.
    After(Kind, String),
}

/// A page and the number of resources on all pages.
struct Listed {
    found: Vec<Found>,
    total: u64,
    more: bool,
}

struct Lister<'a> {
    txn: &'a Txn<'a>,
    renderer: &'a Renderer<'a>,
    limits: &'a Limits,
    kinds: &'a [Kind],
    query: &'a Query,
}

impl Lister<'_> {
    fn page(&self, start: &Start) -> Result<Listed, Fault> {
        self.check()?;
        match (&self.query.filter, &self.query.sort) {
            (None, None) => self.all(start),
            (filter, Some(sort)) => match self.ordered(filter.as_ref(), sort) {
                Some(range) => self.walk(&range, sort.descending, start),
                None => self.matching(start),
            },
            (Some(_), None) => self.matching(start),
        }
    }

    /// Refuses a filter or order that no listed type understands. What only some of them know is without a value in the
    /// others (RFC 7644 section 3.4.2.1).
    fn check(&self) -> Result<(), ScimError> {
        let mut open: Vec<&Filter> = self.query.filter.iter().collect();
        while let Some(filter) = open.pop() {
            match filter {
                Filter::And(left, right) | Filter::Or(left, right) => open.extend([&**right, &**left]),
                Filter::Not(inner) => open.push(inner),
                Filter::Compare(..) | Filter::Present(_) | Filter::Element(..) => self.check_term(filter)?,
            }
        }
        self.check_order()
    }

    fn check_term(&self, term: &Filter) -> Result<(), ScimError> {
        let mut refused = Ok(());
        for kind in self.kinds {
            match term.check(self.of(*kind)) {
                Ok(()) => return Ok(()),
                Err(error) => refused = refused.and(Err(error)),
            }
        }
        refused
    }

    fn check_order(&self) -> Result<(), ScimError> {
        let Some(sort) = &self.query.sort else { return Ok(()) };
        if self.kinds.iter().any(|kind| sort.by.resolve(self.of(*kind)).is_some()) {
            return Ok(());
        }
        Err(ScimError::new(Wrong::InvalidValue, format!("`sortBy` names no attribute: `{}`", sort.by)))
    }

    fn of(&self, kind: Kind) -> &ResourceType {
        resource_type(self.renderer.registry, kind)
    }

    /// A page of everything, in order of creation: O(log n) whatever the page.
    fn all(&self, start: &Start) -> Result<Listed, Fault> {
        let counts = gather(self.kinds, |kind| directory::count(self.txn, &layout::resources(*kind)));
        let counts = ahead(counts, || self.first(start))?;
        let mut skip = if let Start::Skip(skip) = start { *skip } else { 0 };
        let mut found = Vec::new();
        for (kind, count) in self.kinds.iter().zip(&counts) {
            let Some(range) = self.rest(*kind, start) else { continue };
            // One more than the page holds tells whether another page follows.
            let wanted = (self.query.count + 1).saturating_sub(found.len());
            if skip < *count && wanted > 0 {
                let entries = self.txn.scan(&range.start..&range.end, skip, wanted, false)?;
                found.extend(entries.into_iter().map(|(key, value)| Found {
                    kind: *kind,
                    id: layout::tail(&key, &layout::resources(*kind)),
                    stored: Stored::Bytes(value),
                }));
            }
            skip = skip.saturating_sub(*count);
        }
        let more = found.len() > self.query.count && self.query.count > 0;
        found.truncate(self.query.count);
        Ok(Listed { found, total: counts.iter().sum(), more })
    }

    /// The entries a page begins with, for all that is known before anything is counted.
    fn first(&self, start: &Start) -> Result<(), Fault> {
        let (kind, skip) = match (self.kinds, start) {
            ([first, ..], Start::Skip(skip)) if *skip == 0 || self.kinds.len() == 1 => (*first, *skip),
            (_, Start::After(kind, _)) => (*kind, 0),
            _ => return Ok(()),
        };
        let Some(range) = self.rest(kind, start) else { return Ok(()) };
        self.txn.scan(&range.start..&range.end, skip, self.query.count + 1, false).map(drop)
    }

    /// The keys of a kind that come after the start of the page; `None` when all of them lie before it.
    fn rest(&self, kind: Kind, start: &Start) -> Option<Range<Vec<u8>>> {
        let all = layout::under(&layout::resources(kind));
        let Start::After(last, id) = start else { return Some(all) };
        let place = |kind: Kind| self.kinds.iter().position(|k| *k == kind);
        match place(kind).cmp(&place(*last)) {
            Ordering::Less => None,
            Ordering::Equal => Some([layout::resource(kind, id), vec![0]].concat()..all.end),
            Ordering::Greater => Some(all),
        }
    }

    /// The keys of an index that are the list asked for, in its order: of everything, by a unique index, for that of a
    /// required attribute misses nobody; or of what begins with a text.
    fn ordered(&self, filter: Option<&Filter>, sort: &Sort) -> Option<Range<Vec<u8>>> {
        let [kind] = self.kinds else { return None };
        let name = self.single(*kind, &sort.by)?;
        let index = Index::of(*kind).iter().copied().find(|index| index.attribute() == (name, None))?;
        match filter {
            None => index.unique().then(|| layout::under(&index.all())),
            Some(Filter::Compare(path, Operator::Sw, Literal::String(start))) => {
                let exact = self.single(*kind, path) == Some(name) && index.keeps(start);
                exact.then(|| layout::under(&index.starting(start)))
            }
            Some(_) => None,
        }
    }

    /// The name of a core attribute that a path names as a whole.
    fn single(&self, kind: Kind, path: &AttrPath) -> Option<&str> {
        let target = path.resolve(self.of(kind))?;
        (target.extension.is_none() && target.sub.is_none()).then_some(target.attribute.name.as_str())
    }

    fn walk(&self, range: &Range<Vec<u8>>, descending: bool, start: &Start) -> Result<Listed, Fault> {
        let kind = self.kinds.first().copied().unwrap_or(Kind::User);
        let skip = if let Start::Skip(skip) = start { *skip } else { 0 };
        let scan = || self.txn.scan(&range.start..&range.end, skip, self.query.count, descending);
        let total = ahead(self.txn.count(&range.start..&range.end), scan)?;
        let entries = scan()?;
        let ids: Vec<String> = entries.iter().map(|(key, _)| layout::indexed_id(key)).collect();
        let groups = || self.renderer.groups(self.txn, kind, &ids);
        let stored = ahead(directory::find_many(self.txn, kind, &ids), groups)?;
        let stored = ids.into_iter().zip(stored).filter_map(|(id, bytes)| Some((id, Stored::Bytes(bytes?))));
        let found: Vec<_> = stored.map(|(id, stored)| Found { kind, id, stored }).collect();
        let more = skip.saturating_add(found.len() as u64) < total;
        Ok(Listed { found, total, more })
    }

    /// A page of what the filter matches, or of everything in an order no index has: every candidate is looked at.
    fn matching(&self, start: &Start) -> Result<Listed, Fault> {
        let mut found = gather(self.kinds, |kind| self.matches(*kind))?.concat();
        if let Some(sort) = &self.query.sort {
            self.sort(&mut found, sort);
        }
        let total = found.len() as u64;
        let skip = match start {
            Start::Skip(skip) => usize::try_from(*skip).unwrap_or(usize::MAX),
            Start::After(kind, after) => {
                let place = |kind: Kind| self.kinds.iter().position(|k| *k == kind);
                found.iter().take_while(|(k, r)| (place(*k), id(r)) <= (place(*kind), after.clone())).count()
            }
        };
        let more = skip.saturating_add(self.query.count) < found.len();
        let found = found.into_iter().skip(skip).take(self.query.count).map(|(kind, resource)| read(kind, resource));
        Ok(Listed { found: found.collect(), total, more })
    }

    fn matches(&self, kind: Kind) -> Result<Vec<(Kind, Resource)>, Fault> {
        let of = self.of(kind);
        let filter = self.query.filter.as_ref();
        let candidates = match filter {
            Some(filter) => plan::candidates(self.txn, kind, of, filter, self.limits)?,
            None => None,
        };
        let mut resources = match candidates {
            Some(ids) => {
                // Of more, most are not on the page.
                let shown = if ids.len() <= self.query.count { ids.as_slice() } else { &[] };
                ahead(directory::load_many(self.txn, kind, &ids), || self.renderer.groups(self.txn, kind, shown))?
            }
            None => self.scan(kind)?,
        };
        if let Some(filter) = filter {
            let mut whole = self.whole(kind, filter, &resources)?.map(Vec::into_iter);
            resources.retain(|stored| match whole.as_mut().and_then(Iterator::next) {
                Some(whole) => filter.matches(of, &whole),
                None => filter.matches(of, stored),
            });
        }
        Ok(resources.into_iter().map(|resource| (kind, resource)).collect())
    }

    fn scan(&self, kind: Kind) -> Result<Vec<Resource>, Fault> {
        let prefix = layout::resources(kind);
        if directory::count(self.txn, &prefix)? > self.limits.scan as u64 {
            return Err(plan::too_many(self.limits).into());
        }
        directory::entries(self.txn, &prefix, self.limits.scan)?
            .iter()
            .map(|(_, value)| directory::decode(value))
            .collect()
    }

    /// Resources as the client sees them, when the filter looks at what is not stored with them.
    fn whole(&self, kind: Kind, filter: &Filter, resources: &[Resource]) -> Result<Option<Vec<Resource>>, Fault> {
        let members = looks_at(filter, &|path| path.name.eq_ignore_ascii_case("members"));
        if !members && !looks_at(filter, &is_derived) {
            return Ok(None);
        }
        let mut named = Vec::new();
        let by_name = kind == Kind::Group && members_by_name(filter, &mut named);
        let left_out = if members && !by_name { Vec::new() } else { vec!["members".to_owned()] };
        let wanted = Projection::new(&[], &left_out)?;
        let stored = resources.iter().map(|resource| read(kind, resource.clone())).collect();
        let mut whole = self.renderer.page(self.txn, stored, &wanted)?;
        if by_name {
            let found = gather(resources, |group| members::of_group_named(self.txn, &id(group), &named))?;
            for (group, members) in whole.iter_mut().zip(found) {
                group.insert("members".to_owned(), members.into_iter().map(Value::Object).collect());
            }
        }
        Ok(Some(whole))
    }

    /// Resources without the attribute come last when ascending, first when descending (RFC 7644 section 3.4.2.3).
    fn sort(&self, found: &mut [(Kind, Resource)], sort: &Sort) {
        found.sort_by(|(left_kind, left), (right_kind, right)| {
            let left = sort_key(self.of(*left_kind), left, &sort.by);
            let right = sort_key(self.of(*right_kind), right, &sort.by);
            let order = match (&left, &right) {
                (Some(left), Some(right)) => left.compare(right),
                (left, right) => right.is_some().cmp(&left.is_some()),
            };
            if sort.descending { order.reverse() } else { order }
        });
    }

    fn start(&self) -> Result<Start, ScimError> {
        match &self.query.page {
            Page::Index(index) => Ok(Start::Skip(index - 1)),
            Page::Cursor(cursor) if cursor.is_empty() => Ok(Start::Skip(0)),
            Page::Cursor(cursor) => self.read_cursor(cursor).ok_or_else(|| {
                ScimError::new(Wrong::InvalidCursor, "the cursor is not one this query was answered with")
            }),
        }
    }

    fn next(&self, start: &Start, listed: &Listed) -> Option<String> {
        if !matches!(self.query.page, Page::Cursor(_)) || !listed.more {
            return None;
        }
        let position = match (&self.query.sort, listed.found.last(), start) {
            (None, Some(last), _) => format!("{}:{}", last.kind.name(), last.id),
            (_, _, Start::Skip(skip)) => format!("{}", skip.saturating_add(listed.found.len() as u64)),
            _ => return None,
        };
        Some(URL_SAFE_NO_PAD.encode(format!("{:08x}.{position}", self.fingerprint())))
    }

    fn read_cursor(&self, cursor: &str) -> Option<Start> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (fingerprint, position) = text.split_once('.')?;
        if fingerprint != format!("{:08x}", self.fingerprint()) {
            return None;
        }
        match position.split_once(':') {
            Some((name, id)) => {
                let kind = self.kinds.iter().find(|kind| kind.name() == name)?;
                Some(Start::After(*kind, id.to_owned()))
            }
            None => position.parse().ok().map(Start::Skip),
        }
    }

    /// Ties a cursor to its query: another filter or order has no such page.
    fn fingerprint(&self) -> u32 {
        let mut text = format!("{:?}", self.kinds);
        if let Some(filter) = &self.query.filter {
            text.push_str(&filter.to_string());
        }
        if let Some(sort) = &self.query.sort {
            text.push_str(&format!("\n{} {}", sort.by, sort.descending));
        }
        crc32fast::hash(text.as_bytes())
    }
}

fn read(kind: Kind, resource: Resource) -> Found {
    Found { kind, id: id(&resource), stored: Stored::Read(resource) }
}

/// Whether a filter looks at such an attribute.
fn looks_at(filter: &Filter, wanted: &impl Fn(&AttrPath) -> bool) -> bool {
    match filter {
        Filter::And(left, right) | Filter::Or(left, right) => looks_at(left, wanted) || looks_at(right, wanted),
        Filter::Not(inner) => looks_at(inner, wanted),
        Filter::Compare(path, ..) | Filter::Present(path) | Filter::Element(path, _) => wanted(path),
    }
}

/// Whether all that a filter asks of a group's members is if they are these, which it names: then no other decides.
fn members_by_name<'f>(filter: &'f Filter, named: &mut Vec<&'f str>) -> bool {
    match filter {
        Filter::And(left, right) | Filter::Or(left, right) => {
            members_by_name(left, named) && members_by_name(right, named)
        }
        Filter::Not(inner) => members_by_name(inner, named),
        Filter::Compare(path, ..) | Filter::Present(path) | Filter::Element(path, _)
            if !path.name.eq_ignore_ascii_case("members") =>
        {
            true
        }
        Filter::Compare(path, Operator::Eq, Literal::String(id)) => {
            named.push(id);
            path.sub.as_ref().is_none_or(|sub| sub.eq_ignore_ascii_case("value"))
        }
        Filter::Element(_, inner) => match &**inner {
            Filter::Compare(path, Operator::Eq, Literal::String(id)) => {
                named.push(id);
                path.name.eq_ignore_ascii_case("value")
            }
            _ => false,
        },
        Filter::Compare(..) | Filter::Present(_) => false,
    }
}

/// Whether an attribute is made up when a resource is shown: `groups`, and of `meta` what is no date.
fn is_derived(path: &AttrPath) -> bool {
    let dates = ["created", "lastModified"];
    let dated = path.sub.as_ref().is_some_and(|sub| dates.iter().any(|date| date.eq_ignore_ascii_case(sub)));
    path.name.eq_ignore_ascii_case("groups") || (path.name.eq_ignore_ascii_case("meta") && !dated)
}

/// A value to order by.
enum SortKey {
    Number(f64),
    Text(String),
}

impl SortKey {
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => left.total_cmp(right),
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

/// The value a resource is ordered by; of a multi-valued attribute the primary one, else the first.
fn sort_key(of: &ResourceType, resource: &Resource, by: &AttrPath) -> Option<SortKey> {
    let target = by.resolve(of)?;
    let holder = match target.extension {
        Some(extension) => resource.get(&extension.id)?.as_object()?,
        None => resource,
    };
    let mut value = holder.get(&target.attribute.name)?;
    if let Value::Array(elements) = value {
        let primary = elements.iter().find(|element| element.get("primary").and_then(Value::as_bool) == Some(true));
        value = primary.or_else(|| elements.first())?;
    }
    let leaf = target.sub.unwrap_or(target.attribute);
    if value.is_object() {
        value = value.get(target.sub.map_or("value", |sub| sub.name.as_str()))?;
    }
    match value {
        Value::String(text) if leaf.case_exact => Some(SortKey::Text(text.clone())),
        Value::String(text) => Some(SortKey::Text(text.to_lowercase())),
        Value::Number(number) => number.as_f64().map(SortKey::Number),
        Value::Bool(flag) => Some(SortKey::Number(f64::from(u8::from(*flag)))),
        _ => None,
    }
}
