//! What a client asks of a list: parameters of a GET or the body of a `.search` (RFC 7644 sections 3.4.2 and 3.4.3).

use serde_json::{Map, Value};

use crate::env::Limits;
use crate::error::{Kind, ScimError};
use crate::filter::Filter;
use crate::http::Request;
use crate::path::AttrPath;
use crate::project::Projection;

/// URN of a `.search` body.
const SEARCH_REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// Resources of a page when the client names no number.
pub const DEFAULT_PAGE: usize = 100;

/// A list request.
#[derive(Debug, Default)]
pub struct Query {
    /// Which resources.
    pub filter: Option<Filter>,
    /// Ordered by what; the order of creation when absent.
    pub sort: Option<Sort>,
    /// Which page.
    pub page: Page,
    /// Most resources of the page; already within the limit.
    pub count: usize,
    /// Which attributes.
    pub projection: Projection,
}

/// An order.
#[derive(Debug)]
pub struct Sort {
    /// By this attribute.
    pub by: AttrPath,
    /// From the greatest.
    pub descending: bool,
}

/// The start of a page.
#[derive(Debug, PartialEq, Eq)]
pub enum Page {
    /// `startIndex`, from 1.
    Index(u64),
    /// `cursor` (RFC 9865); empty for the first page.
    Cursor(String),
}

impl Default for Page {
    fn default() -> Self {
        Self::Index(1)
    }
}

impl Query {
    /// Reads the parameters of a GET.
    pub fn of_parameters(request: &Request, limits: &Limits) -> Result<Self, ScimError> {
        let parameters = parameters(request)?;
        let text = |name: &str| parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
        let count = text("count").map(|value| number(value, "count")).transpose()?;
        let index = text("startIndex").map(|value| number(value, "startIndex")).transpose()?;
        let raw = Raw {
            filter: text("filter"),
            sort_by: text("sortBy"),
            sort_order: text("sortOrder"),
            cursor: text("cursor"),
            index,
            count,
        };
        raw.query(projection_of(&parameters)?, limits)
    }

    /// Reads the body of a `.search`.
    pub fn of_body(body: &Value, limits: &Limits) -> Result<Self, ScimError> {
        let Some(body) = body.as_object() else {
            return Err(ScimError::new(Kind::InvalidSyntax, "a search request is a JSON object"));
        };
        expect_schema(body, SEARCH_REQUEST)?;
        let raw = Raw {
            filter: text(body, "filter")?,
            sort_by: text(body, "sortBy")?,
            sort_order: text(body, "sortOrder")?,
            cursor: text(body, "cursor")?,
            index: integer(body, "startIndex")?,
            count: integer(body, "count")?,
        };
        let projection = Projection::new(&texts(body, "attributes")?, &texts(body, "excludedAttributes")?)?;
        raw.query(projection, limits)
    }
}

/// The projection a request asks for by its parameters, whatever its method.
pub fn projection(request: &Request) -> Result<Projection, ScimError> {
    projection_of(&parameters(request)?)
}

/// Every query parameter, or 400.
pub fn parameters(request: &Request) -> Result<Vec<(String, String)>, ScimError> {
    request
        .parameters()
        .ok_or_else(|| ScimError::new(Kind::InvalidValue, "the query string is not percent-encoded UTF-8"))
}

fn projection_of(parameters: &[(String, String)]) -> Result<Projection, ScimError> {
    let listed = |name: &str| -> Vec<String> {
        let values = parameters.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        values
            .flat_map(|value| value.split(','))
            .map(|path| path.trim().to_owned())
            .filter(|path| !path.is_empty())
            .collect()
    };
    Projection::new(&listed("attributes"), &listed("excludedAttributes"))
}

/// The members of a request, before they mean anything.
struct Raw<'a> {
    filter: Option<&'a str>,
    sort_by: Option<&'a str>,
    sort_order: Option<&'a str>,
    cursor: Option<&'a str>,
    index: Option<i64>,
    count: Option<i64>,
}

impl Raw<'_> {
    fn query(self, projection: Projection, limits: &Limits) -> Result<Query, ScimError> {
        let page = match self.cursor {
            Some(_) if self.index.is_some() => {
                return Err(ScimError::new(Kind::InvalidValue, "`cursor` and `startIndex` exclude each other"));
            }
            Some(_) if self.count.is_some_and(|count| count < 0) => {
                return Err(ScimError::new(Kind::InvalidCount, "`count` is negative"));
            }
            Some(cursor) => Page::Cursor(cursor.to_owned()),
            // Anything below 1 is 1 (RFC 7644 section 3.4.2.4).
            None => Page::Index(self.index.and_then(|index| u64::try_from(index).ok()).unwrap_or(1).max(1)),
        };
        // A negative count is 0, a great one is lowered (RFC 7644 section 3.4.2.4).
        let count = self.count.map_or(DEFAULT_PAGE, |count| usize::try_from(count).unwrap_or(0)).min(limits.page);
        let filter = self.filter.map(|text| Filter::parse(text, limits)).transpose()?;
        Ok(Query { filter, sort: sort(self.sort_by, self.sort_order)?, page, count, projection })
    }
}

fn sort(by: Option<&str>, order: Option<&str>) -> Result<Option<Sort>, ScimError> {
    let descending = match order {
        None => false,
        Some(order) if order.eq_ignore_ascii_case("ascending") => false,
        Some(order) if order.eq_ignore_ascii_case("descending") => true,
        Some(_) => return Err(ScimError::new(Kind::InvalidValue, "`sortOrder` is `ascending` or `descending`")),
    };
    by.filter(|by| !by.is_empty()).map(|by| Ok(Sort { by: AttrPath::parse(by)?, descending })).transpose()
}

fn number(text: &str, name: &str) -> Result<i64, ScimError> {
    text.trim().parse().map_err(|_| ScimError::new(Kind::InvalidValue, format!("`{name}` is not a whole number")))
}

/// Refuses a message body that says it is something else; silence is taken for consent.
pub fn expect_schema(body: &Map<String, Value>, urn: &str) -> Result<(), ScimError> {
    let schemas = member(body, "schemas").and_then(Value::as_array);
    let says = |schemas: &Vec<Value>| schemas.iter().any(|s| s.as_str().is_some_and(|s| s.eq_ignore_ascii_case(urn)));
    match schemas {
        Some(schemas) if !schemas.is_empty() && !says(schemas) => {
            Err(ScimError::new(Kind::InvalidSyntax, format!("`schemas` must be `{urn}`")))
        }
        _ => Ok(()),
    }
}

/// A member of a message, in any case of letters; null is absent.
pub fn member<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let exact = body.get(name);
    exact.or_else(|| body.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)).filter(|v| !v.is_null())
}

fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, ScimError> {
    let Some(value) = member(body, name) else { return Ok(None) };
    value.as_str().map(Some).ok_or_else(|| ScimError::new(Kind::InvalidSyntax, format!("`{name}` is not a string")))
}

fn integer(body: &Map<String, Value>, name: &str) -> Result<Option<i64>, ScimError> {
    match member(body, name) {
        None => Ok(None),
        Some(Value::String(text)) => number(text, name).map(Some),
        Some(value) => value
            .as_i64()
            .map(Some)
            .ok_or_else(|| ScimError::new(Kind::InvalidValue, format!("`{name}` is not a whole number"))),
    }
}

fn texts(body: &Map<String, Value>, name: &str) -> Result<Vec<String>, ScimError> {
    let wrong = || ScimError::new(Kind::InvalidSyntax, format!("`{name}` is not a list of strings"));
    match member(body, name) {
        None => Ok(Vec::new()),
        Some(Value::String(list)) => Ok(list.split(',').map(|path| path.trim().to_owned()).collect()),
        Some(Value::Array(list)) => {
            list.iter().map(|path| path.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}
