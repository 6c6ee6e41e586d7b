//! What may be said of a request in a log: names of attributes and words of the protocols, no values.
//!
//! Error texts of this crate quote input in backticks and nowhere else. So whatever stands in backticks is looked at, and
//! shown only if it is a name that a schema knows, a word of the protocol, an id of ours, or the name of an attribute by
//! the place it was found in. A request that holds backticks itself could pass a value off as our own words: of the text
//! about it only what comes before the first quotation is shown.

use crate::http::Request;
use crate::path::is_path_char;
use crate::resource::place;
use crate::schema::Registry;

/// Stands for what is not shown.
const HIDDEN: &str = "…";

/// Words that our texts quote and no client has invented.
const WORDS: [&str; 53] = [
    "/Me",
    "2008-01-23T04:56:22Z",
    "DELETE",
    "GET",
    "HEAD",
    "OPTIONS",
    "Operations",
    "PATCH",
    "POST",
    "PUT",
    "add",
    "and",
    "ascending",
    "attributes",
    "bulkId",
    "count",
    "cursor",
    "data",
    "descending",
    "excludedAttributes",
    "failOnErrors",
    "false",
    "filter",
    "groups:read",
    "groups:write",
    "members",
    "members.$ref",
    "members.display",
    "members.type",
    "members.value",
    "method",
    "null",
    "op",
    "or",
    "path",
    "remove",
    "replace",
    "schemas",
    "sortBy",
    "sortOrder",
    "startIndex",
    "true",
    "type",
    "urn:ietf:params:scim:api:messages:2.0:BulkRequest",
    "urn:ietf:params:scim:api:messages:2.0:PatchOp",
    "urn:ietf:params:scim:api:messages:2.0:SearchRequest",
    "users:read",
    "users:write",
    "value",
    "version",
    "primary",
    ")",
    "]",
];

/// What our texts say after something that stood in the place of an attribute's name.
const AFTER_NAME: [&str; 4] = [
    " is not an attribute of this resource",
    " is not a path in this resource",
    " is not an attribute path",
    " is not an attribute",
];

/// An error's detail without values.
pub fn reason(detail: &str, registry: &Registry, request: &Request) -> String {
    let parts: Vec<&str> = detail.split('`').collect();
    if parts.len().is_multiple_of(2) || (parts.len() > 1 && holds_backtick(request)) {
        return format!("{}{HIDDEN}", parts.first().copied().unwrap_or_default());
    }
    let shown = parts.iter().enumerate().map(|(at, part)| {
        if at % 2 == 0 {
            return (*part).to_owned();
        }
        let next = parts.get(at + 1).copied().unwrap_or_default();
        format!("`{}`", quotation(part, next, registry))
    });
    shown.collect()
}

/// A client's name for an attribute, as long as it looks like one.
pub fn name(text: &str) -> String {
    let plain = |text: &str| text.chars().all(|c| is_path_char(c) && c != '%');
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
    if starts && text.len() <= 120 && plain(text) { text.to_owned() } else { HIDDEN.to_owned() }
}

/// Whether a text has the form of the ids this engine gives.
pub fn is_id(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok_and(|id| id.to_string() == text)
}

fn quotation(text: &str, next: &str, registry: &Registry) -> String {
    if WORDS.contains(&text) || is_id(text) || is_version(text) || is_known(text, registry) {
        return text.to_owned();
    }
    if !AFTER_NAME.contains(&next) {
        return HIDDEN.to_owned();
    }
    match (text.split_once('['), text.rsplit_once(']')) {
        (Some((attribute, _)), Some((_, ""))) => format!("{}[{HIDDEN}]", name(attribute)),
        (Some((attribute, _)), Some((_, sub))) => {
            format!("{}[{HIDDEN}].{}", name(attribute), name(sub.trim_start_matches('.')))
        }
        _ => name(text),
    }
}

fn is_known(text: &str, registry: &Registry) -> bool {
    registry.schema(text).is_some() || registry.resource_types().into_iter().any(|of| place::locate(of, text).is_some())
}

/// An entity tag of ours: `W/"12"` or `W/"12-0a1b2c3d"`.
fn is_version(text: &str) -> bool {
    let inner = text.strip_prefix("W/\"").and_then(|rest| rest.strip_suffix('"'));
    inner.is_some_and(|inner| inner.len() <= 40 && inner.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'))
}

/// Whether a value of the request can hold a backtick, in whatever way it is written.
fn holds_backtick(request: &Request) -> bool {
    let body = &request.body;
    request.target.contains('`')
        || request.target.contains("%60")
        || body.contains(&b'`')
        || body.windows(6).any(|window| window == br"\u0060")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(detail: &str, body: &str, expected: &str) {
        let request = Request { body: body.into(), ..Request::default() };
        assert_eq!(reason(detail, Registry::shared(), &request), expected);
    }

    #[test]
    fn names_and_words_stay_and_values_go() {
        check("`userName` `ann@example.com` is already in use", "", "`userName` `…` is already in use");
        check("`name.familyName` must be a string", "", "`name.familyName` must be a string");
        check("`userName` is required", "", "`userName` is required");
        check("there is no user `ann`", "", "there is no user `…`");
        let id = "0190163d-8694-739b-aea5-966c26f8ad91";
        check(&format!("there is no user `{id}`"), "", &format!("there is no user `{id}`"));
        check("the current version is `W/\"12-0a\"`", "", "the current version is `W/\"12-0a\"`");
        check("the token lacks the scope `users:write`", "", "the token lacks the scope `users:write`");
        check("the body is not JSON: expected value", "", "the body is not JSON: expected value");
    }

    #[test]
    fn an_unknown_name_is_shown_where_a_name_stood() {
        check("`favouriteColour` is not an attribute", "", "`favouriteColour` is not an attribute");
        check("`ann@x` is not an attribute", "", "`…` is not an attribute");
        check("`555-1234` is not an attribute", "", "`…` is not an attribute");
        let path = " is not a path in this resource";
        check(&format!("`mails[value eq \"a@b\"].x`{path}"), "", &format!("`mails[…].x`{path}"));
        check(&format!("`mails[value eq \"a@b\"]`{path}"), "", &format!("`mails[…]`{path}"));
        check("`favouriteColour` is already in use", "", "`…` is already in use");
    }

    #[test]
    fn a_backtick_in_a_request_hides_everything_after_the_first_quotation() {
        let detail = "operation 1: `userName` ann `userName` is already in use";
        check(detail, "{\"userName\": \"userName` ann `userName\"}", "operation 1: …");
        check(detail, r#"{"userName": "userName\u0060 ann"}"#, "operation 1: …");
        check("`userName` ann` is taken", "", "…");
        let request = Request { target: "/Users/a%60b".into(), ..Request::default() };
        assert_eq!(reason("there is no user `a`b`", Registry::shared(), &request), "there is no user …");
    }
}
