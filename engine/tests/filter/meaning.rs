//! What filters and paths mean in a resource type.

use proptest::prelude::*;
use scim_engine::error::Kind;
use scim_engine::filter::{Filter, Literal, Operator};
use scim_engine::path::AttrPath;
use scim_engine::schema::{ENTERPRISE_USER, Registry};
use serde_json::{Value, json};

use super::grammar::{combined, operators};
use super::{ACME, parse, registry, user};

fn holds(text: &str) -> bool {
    let registry = registry();
    let filter = parse(text);
    filter.check(&registry.user).unwrap_or_else(|error| panic!("{text}: {error}"));
    filter.matches(&registry.user, user().as_object().unwrap())
}

fn check(texts: &[&str], expected: bool) {
    for text in texts {
        let text = text.replace("ACME", ACME).replace("ENTERPRISE", ENTERPRISE_USER);
        assert_eq!(holds(&text), expected, "{text}");
    }
}

#[test]
fn a_text_is_compared_by_the_case_rule_of_its_attribute() {
    check(
        &[
            r#"userName eq "bjensen@example.COM""#,
            r#"USERNAME sw "BJ""#,
            r#"userName ew ".com" and userName co "@""#,
            r#"userName gt "a" and userName lt "c""#,
            r#"urn:ietf:params:scim:schemas:core:2.0:User:userName eq "bjensen@example.com""#,
            "urn:ietf:params:scim:schemas:core:2.0:USER:id pr",
            r#"id eq "2819c223-7f76-453a-919d-413861904646""#,
            r#"externalId eq "Ext-1""#,
            r#"name.familyName ge "JENSEN""#,
            r#"displayName ew "é""#,
            r#"meta.resourceType eq "User""#,
            r#"ENTERPRISE:EMPLOYEENUMBER eq "701984""#,
            r#"ACME:key eq "YWJj""#,
        ],
        true,
    );
    check(
        &[
            r#"userName eq "bjensen""#,
            r#"id eq "2819C223-7F76-453A-919D-413861904646""#,
            r#"externalId eq "ext-1""#,
            r#"meta.resourceType eq "user""#,
            r#"profileUrl eq "https://example.com/b""#,
            r#"ACME:badge eq "abc""#,
            r#"ACME:key eq "ywjj""#,
        ],
        false,
    );
}

#[test]
fn dates_numbers_and_booleans_are_compared_as_such() {
    check(
        &[
            "active eq true",
            r#"active eq "True""#,
            "active ne FALSE",
            "ACME:remote eq False",
            r#"meta.lastModified eq "2011-05-13T06:42:34+02:00""#,
            r#"meta.created lt "2010-01-23T04:56:22.001Z""#,
            r#"meta.lastModified ge "2011-05-13T04:42:34""#,
            r#"meta.created sw "2010-""#,
            r#"ACME:since lt "1955-05-05T00:00:00Z""#,
            "ACME:level eq 9007199254740993",
            "ACME:level gt 9007199254740992",
            "ACME:level lt 1e300",
            "ACME:score eq 20.0",
            "ACME:score lt 1.6",
            "ACME:desk.floor ge 3",
        ],
        true,
    );
    check(
        &[
            "active eq false",
            "ACME:remote eq true",
            r#"meta.created gt "2010-01-23T04:56:22Z""#,
            "ACME:level eq 9007199254740992",
            "ACME:score gt 20",
        ],
        false,
    );
}

#[test]
fn one_element_of_a_multi_valued_attribute_is_enough() {
    check(
        &[
            r#"emails eq "BABS@home.example""#,
            r#"emails.type eq "home""#,
            r#"emails co "example.com""#,
            r#"emails[type eq "work" and value co "@example"]"#,
            r#"emails[type eq "work"].value eq "bjensen@example.com""#,
            r#"emails[not (type eq "work")]"#,
            "emails[primary eq true]",
            r#"emails[primary eq "True"]"#,
            r#"schemas eq "urn:ietf:params:scim:schemas:core:2.0:User""#,
            r#"schemas[value sw "urn:acme"]"#,
            r#"ENTERPRISE:manager eq "26118915""#,
            "ACME:desk[floor eq 3]",
        ],
        true,
    );
    check(
        &[
            r#"emails[type eq "home" and value co "@example"]"#,
            r#"emails[type eq "work"].value eq "babs@home.example""#,
            r#"emails[value pr and type eq "other"]"#,
            r#"phoneNumbers[not (type eq "work")]"#,
        ],
        false,
    );
}

#[test]
fn an_absent_attribute_equals_null_and_differs_from_everything_else() {
    check(
        &[
            "name pr",
            "title eq null",
            "userName ne null",
            r#"title ne "x""#,
            "not (title pr)",
            "title pr or not (title pr) and id pr",
        ],
        true,
    );
    check(
        &[
            "title pr",
            "nickName pr",
            r#"title eq "x""#,
            r#"title lt "x""#,
            "userName eq null",
            "title ne null",
            "not (userName pr)",
            r#"emails.type ne "home""#,
        ],
        false,
    );
}

#[test]
fn a_filter_that_can_never_be_evaluated_is_refused() {
    for text in [
        "nope pr",
        "password pr",
        r#"password eq "x""#,
        r#"title pr or not (password sw "a")"#,
        "name.nope pr",
        r#"name eq "x""#,
        r#"userName[value eq "x"]"#,
        "active gt true",
        r#"active co "t""#,
        r#"active eq "maybe""#,
        "userName eq 5",
        "userName eq true",
        "userName gt null",
        r#"meta.created gt "yesterday""#,
        "meta.created gt 5",
        r#"employeeNumber eq "1""#,
        "urn:x:y:userName pr",
        "ENTERPRISE pr",
        r#"emails[nope eq "x"]"#,
        r#"emails[emails.value eq "x"]"#,
        r#"emails.value[type eq "x"]"#,
        r#"x509Certificates.value gt "a""#,
        r#"schemas[type eq "x"]"#,
        r#"ACME:level eq "x""#,
        "ACME:level co 5",
        "ACME:secret pr",
        "ACME:desk.pin pr",
        "ACME:desk[pin pr]",
        "ACME:remote le false",
        r#"ACME:key ge "a""#,
    ] {
        let text = text.replace("ACME", ACME).replace("ENTERPRISE", ENTERPRISE_USER);
        assert_eq!(
            parse(&text).check(&registry().user).map_err(|error| error.kind),
            Err(Kind::InvalidFilter),
            "{text}"
        );
    }
}

#[test]
fn the_paths_of_an_element_filter_are_relative_to_the_element() {
    let members = Registry::shared().group.schema.attribute("members").unwrap();
    let filter = parse(r#"VALUE eq "1" or type eq "group""#);
    assert_eq!(filter.check_element(members), Ok(()));
    assert!(filter.matches_element(members, &json!({ "value": "1" })));
    assert!(filter.matches_element(members, &json!({ "value": "2", "type": "Group" })));
    assert!(!filter.matches_element(members, &json!({ "value": "2" })));
    assert!(parse("members.value eq \"1\"").check_element(members).is_err());
}

#[test]
fn a_path_means_the_attribute_of_that_name_in_any_case() {
    let registry = registry();
    let check = |text: &str, expected: Option<(Option<&str>, &str, Option<&str>)>| {
        let text = text.replace("ACME", ACME).replace("ENTERPRISE", ENTERPRISE_USER);
        let found = AttrPath::parse(&text).unwrap().resolve(&registry.user).map(|target| {
            let extension = target.extension.map(|extension| extension.id.as_str());
            (extension, target.attribute.name.as_str(), target.sub.map(|sub| sub.name.as_str()))
        });
        assert_eq!(found, expected, "{text}");
    };
    check("USERNAME", Some((None, "userName", None)));
    check("name.FamilyName", Some((None, "name", Some("familyName"))));
    check("META.lastmodified", Some((None, "meta", Some("lastModified"))));
    check("urn:ietf:params:scim:schemas:core:2.0:user:id", Some((None, "id", None)));
    check("ENTERPRISE:manager.$REF", Some((Some(ENTERPRISE_USER), "manager", Some("$ref"))));
    check("ACME:remote", Some((Some(ACME), "Remote", None)));
    check("department", None);
    check("ENTERPRISE:id", None);
    check("ENTERPRISE", None);
    check("name.nope", None);
    check("urn:ietf:params:scim:schemas:core:2.0:Group:displayName", None);
}

#[test]
fn a_bare_urn_is_its_extension_in_any_case() {
    let registry = registry();
    let check = |text: &str, expected: Option<&str>| {
        let path = AttrPath::parse(text).unwrap();
        assert_eq!(path.extension(&registry.user).map(|schema| schema.id.as_str()), expected, "{text}");
    };
    check(&ENTERPRISE_USER.to_lowercase(), Some(ENTERPRISE_USER));
    check(&ACME.to_lowercase(), Some(ACME));
    check(&ACME.to_uppercase(), Some(ACME));
    check("urn:a:b", None);
    check("userName", None);
}

#[test]
fn a_name_that_only_looks_like_a_schema_is_an_attribute() {
    let extension = json!({ "id": "urn:acme:1.0", "attributes": [{ "name": "CostCenter" }] });
    let registry = Registry::with_extensions(&[extension], &[]).unwrap();
    for text in ["urn:acme:1.0:CostCenter", "urn:acme:1.0:costcenter"] {
        let target = AttrPath::parse(text).unwrap().resolve(&registry.user);
        assert_eq!(target.map(|target| target.attribute.name.as_str()), Some("CostCenter"), "{text}");
    }
}

/// Evaluates a filter over `a` (text), `b` (number) and `c` (texts) the slow way, straight from the RFC's words.
fn naive(filter: &Filter, resource: &Value) -> bool {
    match filter {
        Filter::And(left, right) => naive(left, resource) & naive(right, resource),
        Filter::Or(left, right) => naive(left, resource) | naive(right, resource),
        Filter::Not(inner) => !naive(inner, resource),
        Filter::Present(path) => !matches!(&resource[&path.name], Value::Null) && resource[&path.name] != "",
        Filter::Compare(path, Operator::Ne, literal) => {
            !naive(&Filter::Compare(path.clone(), Operator::Eq, literal.clone()), resource)
        }
        Filter::Compare(path, operator, literal) => match &resource[&path.name] {
            Value::Array(values) => values.iter().any(|value| naive_comparison(value, *operator, literal)),
            value => naive_comparison(value, *operator, literal),
        },
        Filter::Element(..) => panic!("not generated"),
    }
}

fn naive_comparison(value: &Value, operator: Operator, literal: &Literal) -> bool {
    match (value, literal) {
        (Value::String(value), Literal::String(literal)) => {
            let (value, literal) = (value.to_lowercase(), literal.to_lowercase());
            match operator {
                Operator::Co => value.contains(&literal),
                Operator::Sw => value.starts_with(&literal),
                Operator::Ew => value.ends_with(&literal),
                _ => naive_order(&value, operator, &literal),
            }
        }
        (Value::Number(value), Literal::Number(literal)) => naive_order(&value.as_i64(), operator, &literal.as_i64()),
        _ => false,
    }
}

fn naive_order<T: Ord>(value: &T, operator: Operator, literal: &T) -> bool {
    match operator {
        Operator::Eq => value == literal,
        Operator::Gt => value > literal,
        Operator::Ge => value >= literal,
        Operator::Lt => value < literal,
        Operator::Le => value <= literal,
        Operator::Ne | Operator::Co | Operator::Sw | Operator::Ew => false,
    }
}

fn abc_filters() -> impl Strategy<Value = Filter> {
    let path = |name: &str| AttrPath { schema: Some("urn:t:t".into()), name: name.into(), sub: None };
    let text = || "[aB]{0,2}".prop_map(Literal::String);
    let number = (0_i64..4).prop_map(|n| Literal::Number(n.into()));
    let compare = move |(name, operator, literal): (&str, _, _)| Filter::Compare(path(name), operator, literal);
    combined(prop_oneof![
        (Just("a"), operators(), text()).prop_map(compare),
        (Just("C"), operators(), text()).prop_map(compare),
        (Just("b"), operators(), number).prop_map(compare),
        prop::sample::select(vec!["a", "b"]).prop_map(move |name| Filter::Present(path(name))),
    ])
}

fn abc_resources() -> impl Strategy<Value = Value> {
    let text = || "[Ab]{0,3}";
    let texts = prop::option::of(prop::collection::vec(text(), 0..3));
    (prop::option::of(text()), prop::option::of(0_i64..4), texts)
        .prop_map(|(a, b, c)| json!({ "a": a, "b": b, "C": c }))
}

proptest! {
    #[test]
    fn a_filter_means_what_a_naive_evaluator_says(filter in abc_filters(), resource in abc_resources()) {
        let attributes = json!([{ "name": "a" }, { "name": "b", "type": "integer" }, { "name": "C", "multiValued": true }]);
        let extension = json!({ "id": "urn:t:t", "attributes": attributes });
        let registry = Registry::with_extensions(&[extension], &[]).unwrap();
        let whole = json!({ "urn:t:t": resource });
        let found = filter.matches(&registry.user, whole.as_object().unwrap());
        prop_assert_eq!(found, naive(&filter, &resource), "{} of {}", filter, resource);
    }
}
