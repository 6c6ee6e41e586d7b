//! Routes: what a SCIM path names (RFC 7644 section 3.2).

use std::borrow::Cow;

use crate::env::Env;
use crate::http::{Request, percent_decode};
use crate::scim::layout::Kind;
use crate::store::DirectoryId;

const PREFIXES: [&str; 2] = ["/directory/resources/scim/v2.0/", "/frontegg/directory/resources/scim/v2.0/"];

/// A SCIM path, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Whose directory.
    pub connection: DirectoryId,
    /// What in it.
    pub endpoint: Endpoint,
    /// Path of the connection's SCIM base, as the client wrote it.
    pub base: String,
}

/// An endpoint of RFC 7644 section 3.2, table 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The base itself: a query of all types.
    Root,
    /// `/Users` or `/Groups`
    Collection(Kind),
    /// `/Users/{id}` or `/Groups/{id}`
    Resource(Kind, String),
    /// `/.search`, `/Users/.search` or `/Groups/.search`
    Search(Option<Kind>),
    /// `/Me`
    Me,
    /// `/Bulk`
    Bulk,
    /// `/ServiceProviderConfig`
    ServiceProviderConfig,
    /// `/ResourceTypes` and `/ResourceTypes/{name}`
    ResourceTypes(Option<String>),
    /// `/Schemas` and `/Schemas/{urn}`
    Schemas(Option<String>),
    /// Nothing the RFC knows.
    Unknown,
}

impl Route {
    /// Takes a path apart; `None` when it is not a SCIM path of a well-formed connection id.
    pub fn parse(path: &str) -> Option<Self> {
        let prefix = PREFIXES.iter().find(|prefix| path.starts_with(**prefix))?;
        let rest = path.strip_prefix(prefix)?;
        let (id, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let connection = DirectoryId::new(id).filter(|id| id.as_str() != DirectoryId::ENVIRONMENT)?;
        Some(Self { connection, endpoint: Endpoint::parse(rest), base: [prefix, id].concat() })
    }
}

impl Endpoint {
    /// The endpoint a path below the base names, with or without a slash in front or behind.
    pub fn parse(path: &str) -> Self {
        let decoded: Option<Vec<Cow<'_, str>>> =
            path.trim_matches('/').split('/').map(|segment| percent_decode(segment, false)).collect();
        let Some(decoded) = decoded else { return Self::Unknown };
        let segments: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
        match segments.as_slice() {
            [""] => Self::Root,
            [".search"] => Self::Search(None),
            ["Me", ..] => Self::Me,
            ["Bulk"] => Self::Bulk,
            ["ServiceProviderConfig"] => Self::ServiceProviderConfig,
            ["ResourceTypes"] => Self::ResourceTypes(None),
            ["ResourceTypes", name] => Self::ResourceTypes(Some((*name).to_owned())),
            ["Schemas"] => Self::Schemas(None),
            ["Schemas", urn] => Self::Schemas(Some((*urn).to_owned())),
            [segment] => kind(segment).map_or(Self::Unknown, Self::Collection),
            [segment, ".search"] => kind(segment).map_or(Self::Unknown, |kind| Self::Search(Some(kind))),
            [segment, id] => kind(segment).map_or(Self::Unknown, |kind| Self::Resource(kind, (*id).to_owned())),
            _ => Self::Unknown,
        }
    }

    /// Methods the endpoint answers (RFC 7644 section 3.2, table 1).
    pub fn methods(&self) -> &'static [&'static str] {
        match self {
            Self::Collection(_) => &["GET", "HEAD", "OPTIONS", "POST"],
            Self::Resource(..) => &["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"],
            Self::Search(_) | Self::Bulk => &["OPTIONS", "POST"],
            Self::Me => &["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"],
            Self::Root | Self::ServiceProviderConfig | Self::ResourceTypes(_) | Self::Schemas(_) | Self::Unknown => {
                &["GET", "HEAD", "OPTIONS"]
            }
        }
    }
}

fn kind(segment: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.segment() == segment)
}

/// Absolute URL of the connection's SCIM base, as the client can reach it.
pub fn base_url(request: &Request, route: &Route, env: &Env<'_>) -> String {
    origin(request, env) + &route.base
}

/// Where the client reaches this deployment: the configured public URL, else what the proxies in front say
/// (`x-forwarded-proto`, `x-forwarded-host`), else the request's own host.
pub fn origin(request: &Request, env: &Env<'_>) -> String {
    if let Some(public) = &env.config.public_url {
        return public.clone();
    }
    let forwarded = |name| request.header(name).and_then(|value| value.split(',').next()).map(str::trim);
    let scheme = match forwarded("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    let host = forwarded("x-forwarded-host").filter(|host| is_authority(host));
    let host = host.or_else(|| request.header("host").filter(|host| is_authority(host))).unwrap_or("localhost");
    format!("{scheme}://{host}")
}

/// Whether a client-sent host may be repeated in a response.
fn is_authority(host: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
    !host.is_empty() && host.len() <= 255 && host.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_endpoints() {
        let cases = [
            ("", Endpoint::Root),
            ("/", Endpoint::Root),
            ("Users", Endpoint::Collection(Kind::User)),
            ("Groups/", Endpoint::Collection(Kind::Group)),
            ("Users/a%20b", Endpoint::Resource(Kind::User, "a b".into())),
            ("Users/.search", Endpoint::Search(Some(Kind::User))),
            (".search", Endpoint::Search(None)),
            ("Schemas/urn:x", Endpoint::Schemas(Some("urn:x".into()))),
            ("users", Endpoint::Unknown),
            ("Users/a/b", Endpoint::Unknown),
            ("Users/%zz", Endpoint::Unknown),
        ];
        for (path, endpoint) in cases {
            assert_eq!(Endpoint::parse(path), endpoint, "{path}");
        }
    }

    #[test]
    fn only_scim_paths_of_a_connection_are_routes() {
        for prefix in PREFIXES {
            let route = Route::parse(&format!("{prefix}c-1/Users")).unwrap();
            assert_eq!((route.connection.as_str(), route.base), ("c-1", format!("{prefix}c-1")));
            for bad in ["", "/Users", "a_b/Users", "environment/Users"] {
                assert_eq!(Route::parse(&format!("{prefix}{bad}")), None, "{bad}");
            }
        }
        assert_eq!(Route::parse("/directory/resources/scim/temp/x/Users/count"), None);
    }
}
