//! The directory as a decision point: what an application learns of the user who asks, and who is turned away.
//!
//! Envoy has authenticated the *subject*; the directory says whether it is an active user, and in which groups. The
//! application, and the filters between, read that from request headers and filter state:
//!
//! | Request header | Filter state | Value |
//! |---|---|---|
//! | `x-scim-user-id` | `wasm.scim_user_id` | id of the user |
//! | `x-scim-groups` | `wasm.scim_groups` | groups, separated by commas; the filter state has one at either end too |
//! | | `wasm.scim_decision` | what was decided, by [`Outcome::name`] |
//!
//! Bytes of a group's name other than visible ASCII, and `,` and `%`, are percent-encoded: no name splits a header or
//! passes for two.

use std::collections::HashMap;

use scim_engine::http::Response;
use scim_engine::scim::{Decision, MatchedBy, Membership};
use scim_engine::store::DirectoryId;
use serde_json::json;

use crate::fields::{Fields, Refused};

/// Header that carries the user's id.
pub const USER_HEADER: &str = "x-scim-user-id";
/// Header that carries the user's groups.
pub const GROUPS_HEADER: &str = "x-scim-groups";

/// Bytes of a subject, at most.
const SUBJECT_BYTES: usize = 1024;

/// Names of the attributes a subject can be matched with.
const MATCHED_BY: [(&str, MatchedBy); 4] = [
    ("userName", MatchedBy::UserName),
    ("externalId", MatchedBy::ExternalId),
    ("emails.value", MatchedBy::Email),
    ("id", MatchedBy::Id),
];

/// How to decide; the part `decision` of the configuration.
#[derive(Clone, Debug)]
pub struct Rules {
    connection: Connection,
    /// Who asks.
    subject: Source,
    /// The attribute of a user that holds the subject.
    pub matched_by: MatchedBy,
    groups: GroupName,
    /// Bytes of all groups together; over it, the request is forbidden: half of a user's groups is a wrong answer.
    groups_bytes: usize,
    anonymous: Policy,
    unknown: Policy,
    deactivated: Policy,
    unavailable: Policy,
}

/// Where a text about the caller is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A claim that `jwt_authn` has verified: the name of its `payload_in_metadata`, then the path of the claim.
    Claim(Vec<String>),
    /// A property of the request, such as `["filter_state", "user"]`.
    Property(Vec<String>),
    /// A header that something trusted sets. Sent more than once, it says nothing.
    Header(String),
}

/// The connection whose directory is asked.
#[derive(Clone, Debug)]
enum Connection {
    /// Always the same.
    Fixed(DirectoryId),
    /// That of the caller's tenant.
    OfTenant(Source, HashMap<String, DirectoryId>),
}

/// What stands for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GroupName {
    DisplayName,
    Id,
}

/// What becomes of a request that has no active user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    /// 403
    Forbidden,
    /// 401
    Unauthorized,
    /// 503
    Unavailable,
    /// It goes on, without a user.
    Allow,
}

/// A question for a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The directory.
    pub directory: DirectoryId,
    /// Whom it is asked about.
    pub subject: String,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An active user.
    Active,
    /// A user with more groups than a header may carry.
    Overloaded,
    /// A deactivated user.
    Deactivated,
    /// The directory knows no such user, or nothing says which directory it is.
    Unknown,
    /// There was no subject.
    Anonymous,
    /// The directory could not be asked.
    Unavailable,
}

/// How a request goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// What was decided.
    pub outcome: Outcome,
    /// The user, where there is an active one.
    pub user: Option<User>,
    /// The answer, unless the request goes on.
    pub refusal: Option<Response>,
}

/// A user as headers show one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id.
    pub id: String,
    /// Groups, encoded and separated by commas.
    pub groups: String,
}

impl Source {
    /// The path of the property, for a source that is one.
    pub fn property(&self) -> Option<Vec<&str>> {
        match self {
            Self::Claim(path) => {
                let metadata = ["metadata", "filter_metadata", "envoy.filters.http.jwt_authn"];
                Some(metadata.into_iter().chain(path.iter().map(String::as_str)).collect())
            }
            Self::Property(path) => Some(path.iter().map(String::as_str).collect()),
            Self::Header(_) => None,
        }
    }

    /// The one value of a header, where the source is one and the header was sent once.
    pub fn in_headers(&self, headers: &[(String, Vec<u8>)]) -> Option<Vec<u8>> {
        let Self::Header(wanted) = self else { return None };
        let mut values = headers.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value);
        values.next().filter(|_| values.next().is_none()).cloned()
    }

    fn of(mut fields: Fields) -> Result<Self, Refused> {
        let (claim, property) = (fields.texts("claim")?, fields.texts("property")?);
        let header = fields.text("header")?;
        let source = match (claim.as_slice(), property.as_slice(), header) {
            ([_], [], None) => {
                return Err(fields.refuse("claim", "expected the name of `payload_in_metadata` and a path"));
            }
            ([_, ..], [], None) => Self::Claim(claim),
            ([], [_, ..], None) => Self::Property(property),
            ([], [], Some(header)) if is_foreign_header(&header) => Self::Header(header),
            ([], [], Some(_)) => {
                return Err(fields.refuse("header", "expected a name in lower case, and none that this filter sets"));
            }
            _ => return Err(fields.refuse_all("expected one of `claim`, `property` and `header`")),
        };
        fields.end().map(|()| source)
    }
}

/// A header's name that this filter does not set itself.
fn is_foreign_header(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    name.bytes().all(token) && ![USER_HEADER, GROUPS_HEADER].contains(&name)
}

impl Connection {
    fn of(fields: &mut Fields) -> Result<Self, Refused> {
        let has = |name| fields.has(name);
        let (is_fixed, has_tenant) = (has("connection"), has("tenant"));
        let fixed = if is_fixed { Some(connection_id(fields)?) } else { fields.text("connection")?.and(None) };
        let (tenant, connections) = (fields.object("tenant")?, fields.objects("connections")?);
        match fixed {
            Some(_) if has_tenant || !connections.is_empty() => {
                Err(fields.refuse("connections", "is for requests of several connections: leave out `connection`"))
            }
            Some(id) => Ok(Self::Fixed(id)),
            None if connections.is_empty() && !has_tenant => Err(fields.refuse("connection", "is required")),
            None => {
                let map = connections.into_iter().map(|mut fields| {
                    let (tenant, id) = (fields.required("tenant")?, connection_id(&mut fields)?);
                    fields.end().map(|()| (tenant, id))
                });
                let map = map.collect::<Result<_, _>>()?;
                Ok(Self::OfTenant(Source::of(tenant)?, map))
            }
        }
    }
}

impl Rules {
    /// Reads and checks the part of the configuration.
    ///
    /// # Errors
    /// One sentence that names the field.
    pub fn of(mut fields: Fields) -> Result<Self, Refused> {
        let (forbidden, unauthorized) = (("forbidden", Policy::Forbidden), ("unauthorized", Policy::Unauthorized));
        let (allow, unavailable) = (("allow", Policy::Allow), ("deny", Policy::Unavailable));
        let rules = Self {
            connection: Connection::of(&mut fields)?,
            subject: Source::of(fields.object("subject")?)?,
            matched_by: fields.choice("match", &MATCHED_BY)?,
            groups: fields.option("groups", &[("displayName", GroupName::DisplayName), ("id", GroupName::Id)])?,
            groups_bytes: fields.number("groups_bytes", 1..=32 << 10, 8 << 10)?,
            anonymous: fields.option("anonymous", &[unauthorized, forbidden, allow])?,
            unknown: fields.option("unknown", &[forbidden, unauthorized, allow])?,
            deactivated: fields.option("deactivated", &[forbidden, unauthorized])?,
            unavailable: fields.option("unavailable", &[unavailable, allow])?,
        };
        fields.end().map(|()| rules)
    }

    /// Whether a header is looked at.
    pub fn reads_headers(&self) -> bool {
        let tenant = if let Connection::OfTenant(source, _) = &self.connection { Some(source) } else { None };
        tenant.into_iter().chain([&self.subject]).any(|source| matches!(source, Source::Header(_)))
    }

    /// The question a request asks; `find` looks a source up.
    ///
    /// # Errors
    /// The ruling, where there is nothing to ask.
    pub fn question(&self, find: impl Fn(&Source) -> Option<Vec<u8>>) -> Result<Question, Box<Ruling>> {
        let told = |source| find(source).and_then(text);
        let Some(subject) = told(&self.subject) else { return Err(Box::new(self.without(Outcome::Anonymous))) };
        let directory = match &self.connection {
            Connection::Fixed(id) => Some(id),
            Connection::OfTenant(source, map) => told(source).and_then(|tenant| map.get(&tenant)),
        };
        let directory = directory.ok_or_else(|| Box::new(self.without(Outcome::Unknown)))?.clone();
        Ok(Question { directory, subject })
    }

    /// What follows from a decision.
    pub fn ruling(&self, decision: Decision) -> Ruling {
        let Decision::Active { id, groups } = decision else {
            let deactivated = matches!(decision, Decision::Deactivated { .. });
            return self.without(if deactivated { Outcome::Deactivated } else { Outcome::Unknown });
        };
        let groups = self.groups(&groups);
        if groups.len() > self.groups_bytes {
            return self.without(Outcome::Overloaded);
        }
        Ruling { outcome: Outcome::Active, user: Some(User { id, groups }), refusal: None }
    }

    /// What follows when there is no user.
    pub fn without(&self, outcome: Outcome) -> Ruling {
        let policy = match outcome {
            Outcome::Active => Policy::Allow,
            Outcome::Overloaded => Policy::Forbidden,
            Outcome::Deactivated => self.deactivated,
            Outcome::Unknown => self.unknown,
            Outcome::Anonymous => self.anonymous,
            Outcome::Unavailable => self.unavailable,
        };
        Ruling { outcome, user: None, refusal: policy.refusal(outcome) }
    }

    fn groups(&self, groups: &[Membership]) -> String {
        let names = groups.iter().filter_map(|group| match self.groups {
            GroupName::Id => Some(group.group.as_str()),
            GroupName::DisplayName => group.display.as_deref(),
        });
        names.map(encoded).collect::<Vec<_>>().join(",")
    }
}

impl Policy {
    fn refusal(self, outcome: Outcome) -> Option<Response> {
        match self {
            Self::Forbidden => Some(problem(403, "Forbidden", outcome)),
            // A 401 needs a challenge (RFC 9110 section 15.5.2).
            Self::Unauthorized => Some(problem(401, "Unauthorized", outcome).with("www-authenticate", "Bearer")),
            Self::Unavailable => Some(problem(503, "Service Unavailable", outcome).with("retry-after", "1")),
            Self::Allow => None,
        }
    }
}

impl Outcome {
    /// Its name in filter state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Overloaded => "overloaded",
            Self::Deactivated => "deactivated",
            Self::Unknown => "unknown",
            Self::Anonymous => "anonymous",
            Self::Unavailable => "unavailable",
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::Active => "the user is active",
            Self::Overloaded => "the user is in more groups than can be passed on",
            Self::Deactivated => "the user is deactivated",
            Self::Unknown => "the user is not known here",
            Self::Anonymous => "the request does not say who it is from",
            Self::Unavailable => "it can not be decided now who this is: try again",
        }
    }
}

/// A refusal in the form of RFC 9457: the route is not SCIM.
fn problem(status: u16, title: &str, outcome: Outcome) -> Response {
    let body = json!({ "title": title, "status": status, "detail": outcome.detail() });
    Response::json(status, "application/problem+json", &body).with("cache-control", "no-store")
}

/// A value that can be a name: a number of JSON, for one, arrives as eight bytes that are none.
fn text(value: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(value).ok()?;
    ((1..=SUBJECT_BYTES).contains(&text.len()) && !text.contains(char::is_control)).then_some(text)
}

fn connection_id(fields: &mut Fields) -> Result<DirectoryId, Refused> {
    let id = DirectoryId::new(&fields.required("connection")?).filter(|id| id.as_str() != DirectoryId::ENVIRONMENT);
    id.ok_or_else(|| fields.refuse("connection", "expected the id of a connection"))
}

/// A name of which any text can be made again, and that is one element of a list and one line whatever it holds.
fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_graphic() && !b",%".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(more: &str) -> Rules {
        let document = format!(r#"{{"subject":{{"header":"x-user"}},"match":"userName"{more}}}"#);
        Rules::of(Fields::parse(document.as_bytes()).unwrap()).unwrap()
    }

    fn membership(display: &str) -> Membership {
        Membership { group: format!("id of {display}"), display: Some(display.to_owned()), direct: true }
    }

    fn groups(rules: &Rules, names: &[&str]) -> Option<String> {
        let groups = names.iter().map(|name| membership(name)).collect();
        rules.ruling(Decision::Active { id: "1".to_owned(), groups }).user.map(|user| user.groups)
    }

    #[test]
    fn no_name_of_a_group_splits_a_header_or_passes_for_two() {
        let by_name = rules(r#","connection":"c""#);
        let check = |names: &[&str], header: &str| assert_eq!(groups(&by_name, names).as_deref(), Some(header));
        check(&[], "");
        check(&["Admins", "team-1"], "Admins,team-1");
        check(&["a,b", "100%"], "a%2Cb,100%25");
        check(&["All Staff", "a\r\nx: y\0"], "All%20Staff,a%0D%0Ax:%20y%00");
        check(&["Zürich"], "Z%C3%BCrich");
        let by_id = rules(r#","connection":"c","groups":"id""#);
        assert_eq!(groups(&by_id, &["a"]).as_deref(), Some("id%20of%20a"));
    }

    #[test]
    fn a_user_with_more_groups_than_fit_is_refused_rather_than_shown_with_some() {
        let rules = rules(r#","connection":"c","groups_bytes":11"#);
        assert_eq!(groups(&rules, &["12345", "12345"]).as_deref(), Some("12345,12345"));
        assert_eq!(groups(&rules, &["12345", "123456"]), None);
        let refused = rules.ruling(Decision::Active { id: "1".to_owned(), groups: vec![membership("123456789012")] });
        assert_eq!(refused.refusal.map(|refusal| refusal.status), Some(403));
    }

    #[test]
    fn a_request_without_exactly_one_usable_subject_is_anonymous() {
        let rules = rules(r#","connection":"c""#);
        let ask = |headers: &[(&str, &[u8])]| {
            let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
            rules.question(|source| source.in_headers(&headers)).map(|question| question.subject)
        };
        assert_eq!(ask(&[("x-user", b"ann"), ("x-other", b"bob")]).unwrap(), "ann");
        let wrong: [&[(&str, &[u8])]; 6] = [
            &[],
            &[("x-user", b"ann"), ("x-user", b"ann")],
            &[("x-user", b"")],
            &[("x-user", b"\xff")],
            // What the number 42 is in a property.
            &[("x-user", b"\0\0\0\0\0\0E@")],
            &[("x-user", &[b'a'; 1025])],
        ];
        for headers in wrong {
            let ruling = ask(headers).unwrap_err();
            let response = ruling.refusal.unwrap();
            assert_eq!((ruling.outcome, response.status), (Outcome::Anonymous, 401), "{headers:?}");
            assert_eq!(response.header("www-authenticate"), Some("Bearer"));
        }
    }

    #[test]
    fn a_tenant_leads_to_its_own_connection_and_any_other_to_none() {
        let rules =
            rules(r#","tenant":{"claim":["jwt","tenant"]},"connections":[{"tenant":"acme","connection":"c-1"}]"#);
        let ask = |tenant: Option<&str>| {
            let find = |source: &Source| match source {
                Source::Claim(path) if path == &["jwt", "tenant"] => tenant.map(|tenant| tenant.as_bytes().to_vec()),
                _ => Some(b"ann".to_vec()),
            };
            rules.question(find).map(|question| question.directory.as_str().to_owned()).map_err(|ruling| ruling.outcome)
        };
        assert_eq!(ask(Some("acme")).as_deref(), Ok("c-1"));
        assert_eq!(ask(Some("Acme")), Err(Outcome::Unknown));
        assert_eq!(ask(None), Err(Outcome::Unknown));
    }

    #[test]
    fn policies_turn_outcomes_into_statuses() {
        let status = |rules: &Rules, outcome| rules.without(outcome).refusal.map(|refusal| refusal.status);
        let all = [Outcome::Deactivated, Outcome::Unknown, Outcome::Anonymous, Outcome::Unavailable];
        let statuses = |more: &str| all.map(|outcome| status(&rules(&format!(r#","connection":"c"{more}"#)), outcome));
        assert_eq!(statuses(""), [Some(403), Some(403), Some(401), Some(503)]);
        let other = r#","deactivated":"unauthorized","unknown":"unauthorized","anonymous":"forbidden""#;
        assert_eq!(statuses(other), [Some(401), Some(401), Some(403), Some(503)]);
        let open = r#","unknown":"allow","anonymous":"allow","unavailable":"allow""#;
        assert_eq!(statuses(open), [Some(403), None, None, None]);
    }

    #[test]
    fn a_claim_is_found_where_jwt_authn_puts_it() {
        let claim = Source::Claim(vec!["jwt".to_owned(), "sub".to_owned()]);
        let path = ["metadata", "filter_metadata", "envoy.filters.http.jwt_authn", "jwt", "sub"];
        assert_eq!(claim.property().as_deref(), Some(path.as_slice()));
    }
}
