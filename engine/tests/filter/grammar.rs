//! What is a filter or a path, and in which form it prints.

use proptest::prelude::*;
use scim_engine::env::Limits;
use scim_engine::error::Kind;
use scim_engine::filter::{Filter, Literal, Operator};
use scim_engine::path::{AttrPath, PatchPath};

use super::parse;

fn prints(text: &str, canonical: &str) {
    let filter = parse(text);
    assert_eq!(filter.to_string(), canonical, "{text}");
    assert_eq!(parse(canonical), filter, "{text}");
}

fn refused(text: &str) {
    let error = Filter::parse(text, &Limits::default()).expect_err(text);
    assert_eq!(error.kind, Kind::InvalidFilter, "{text}: {error}");
}

#[test]
fn a_filter_prints_in_one_canonical_form() {
    prints(r#"userName eq "bjensen""#, r#"userName eq "bjensen""#);
    prints(r#"  name.familyName   CO "O'Malley" "#, r#"name.familyName co "O'Malley""#);
    prints(
        r#"urn:ietf:params:scim:schemas:core:2.0:User:name.familyName sw "J""#,
        r#"urn:ietf:params:scim:schemas:core:2.0:User:name.familyName sw "J""#,
    );
    prints("title PR", "title pr");
    prints("schemas eq \"urn:a:b\"", "schemas eq \"urn:a:b\"");
    prints(r#"title pr and userType eq "Employee""#, r#"title pr and userType eq "Employee""#);
    prints("a pr or b pr and c pr", "a pr or b pr and c pr");
    prints("(a pr or b pr) and c pr", "(a pr or b pr) and c pr");
    prints("((a pr)) OR (b pr and (c pr))", "a pr or b pr and c pr");
    prints("a pr and (b pr and c pr)", "a pr and (b pr and c pr)");
    prints("not a pr and b pr", "not (a pr) and b pr");
    prints("not(a pr or b pr)", "not (a pr or b pr)");
    prints("NOT not (a pr)", "not (not (a pr))");
    prints("order eq 1 or notes eq 2", "order eq 1 or notes eq 2");
    prints(
        r#"emails[type eq "work" and value co "@x]"] or ims[ type eq "xmpp" ]"#,
        r#"emails[type eq "work" and value co "@x]"] or ims[type eq "xmpp"]"#,
    );
    prints(r#"emails[type eq "work"].value eq "a""#, r#"emails[type eq "work" and value eq "a"]"#);
    prints(
        r#"emails[type eq "a" or primary eq TRUE].value pr"#,
        r#"emails[(type eq "a" or primary eq true) and value pr]"#,
    );
    prints(r#"a eq "\u0041\"\\\n\ud83d\ude00""#, "a eq \"A\\\"\\\\\\n😀\"");
    prints(
        "a eq -1.50e3 or b lt 18446744073709551615 or c eq Null",
        "a eq -1500.0 or b lt 18446744073709551615 or c eq null",
    );
    prints("members.$ref pr", "members.$ref pr");
}

#[test]
fn what_is_not_a_filter_is_refused_as_invalid_filter() {
    for text in [
        "",
        " ",
        "a",
        "a eq",
        "a xx \"b\"",
        "a eq b",
        "a eq 'b'",
        "a eq \"b",
        "eq \"b\"",
        "a pr b pr",
        "a pr and",
        "and a pr",
        "a pr or or b pr",
        "(a pr",
        "a pr)",
        "()",
        "not",
        "not ()",
        "a[b pr",
        "a[]",
        "a[b[c pr]]",
        "a[b pr].c",
        "a[b pr] .",
        "a.b.c pr",
        "1a pr",
        "a eq 01",
        "a eq 1e999",
        "a eq +1",
        "a eq \"\\x\"",
        "a eq \"\\ud800\"",
        "a eq \"\u{1}\"",
        "http:a pr",
        "é pr",
        "a eq tru",
        ".a pr",
        "a. pr",
        "urn:a: pr",
        "a eq \"b\" \"c\"",
    ] {
        refused(text);
    }
}

#[test]
fn a_filter_over_a_limit_is_refused_without_exhausting_the_stack() {
    let unbounded =
        Limits { filter_bytes: usize::MAX, filter_depth: usize::MAX, filter_terms: usize::MAX, ..Limits::default() };
    let many = vec!["a pr"; 10_000];
    for text in [
        format!("{}a pr{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("{}a pr", "not ".repeat(100_000)),
        format!("a{}", "[a".repeat(100_000)),
        many.join(" and "),
        many.join(" or "),
    ] {
        refused(&text);
        assert_eq!(Filter::parse(&text, &unbounded).map_err(|error| error.kind), Err(Kind::InvalidFilter));
    }
    let small = Limits { filter_bytes: 10, filter_depth: 2, filter_terms: 2, ..unbounded };
    for (text, accepted) in [("((a pr))", true), ("(((a pr)))", false), ("a pr or b pr", false), ("a pr      ", true)] {
        assert_eq!(Filter::parse(text, &small).is_ok(), accepted, "{text}");
    }
}

#[test]
fn conjuncts_are_the_operands_of_the_outermost_ands() {
    let check = |text: &str, expected: &[&str]| {
        let found: Vec<String> = parse(text).conjuncts().into_iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{text}");
    };
    check("a pr", &["a pr"]);
    check("a pr and (b pr and c pr) and d pr", &["a pr", "b pr", "c pr", "d pr"]);
    check("a pr and (b pr or c pr)", &["a pr", "b pr or c pr"]);
    check("a pr or b pr", &["a pr or b pr"]);
}

#[test]
fn a_patch_path_is_an_attribute_perhaps_a_filter_and_a_sub_attribute() {
    let check = |text: &str, canonical: &str, attribute: (Option<&str>, &str, Option<&str>), sub: Option<&str>| {
        let path = PatchPath::parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let found = (path.attribute.schema.as_deref(), path.attribute.name.as_str(), path.attribute.sub.as_deref());
        assert_eq!((found, path.sub.as_deref()), (attribute, sub), "{text}");
        assert_eq!(path.to_string(), canonical);
    };
    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    check(" members ", "members", (None, "members", None), None);
    check("name.familyName", "name.familyName", (None, "name", Some("familyName")), None);
    check(r#"emails[Type EQ "work"]"#, r#"emails[Type eq "work"]"#, (None, "emails", None), None);
    check(r#"emails[type eq "]"].value "#, r#"emails[type eq "]"].value"#, (None, "emails", None), Some("value"));
    check(ENTERPRISE, ENTERPRISE, (Some(ENTERPRISE), "", None), None);
    let manager = format!("{ENTERPRISE}:manager.value");
    check(&manager, &manager, (Some(ENTERPRISE), "manager", Some("value")), None);
    check("urn:acme:hr", "urn:acme:hr", (Some("urn:acme:hr"), "", None), None);
    check("urn:acme:hr:cost", "urn:acme:hr:cost", (Some("urn:acme:hr"), "cost", None), None);
    check("urn:acme:hr:1.2", "urn:acme:hr:1.2", (Some("urn:acme:hr:1.2"), "", None), None);
}

#[test]
fn what_is_not_a_patch_path_is_refused() {
    for text in [
        "",
        " ",
        "a b",
        "a.b.c",
        "/name",
        "a[b pr]c",
        "a[b pr].c.d",
        "a[b pr].",
        "a.b[c pr]",
        "[a pr]",
        "a]",
        "a\u{0}",
        "näme",
        "1",
        "a:b",
        "urn:",
        "urn:a",
    ] {
        let error = PatchPath::parse(text, &Limits::default()).expect_err(text);
        assert_eq!(error.kind, Kind::InvalidPath, "{text}");
    }
    for text in ["a[b]", "a[", "a[b pr", "a[]", "a[b[c pr]]"] {
        let error = PatchPath::parse(text, &Limits::default()).expect_err(text);
        assert_eq!(error.kind, Kind::InvalidFilter, "{text}");
    }
}

fn paths() -> impl Strategy<Value = AttrPath> {
    let schema = prop_oneof![
        Just("urn:ietf:params:scim:schemas:core:2.0:User".to_owned()),
        "urn:[a-z]{1,5}(:[a-zA-Z0-9.-]{1,5}){0,2}:[a-z]{1,4}"
    ];
    // An attribute behind a version and spelt like a resource type reads as a schema's bare URN.
    let name = "[a-z][a-zA-Z0-9_-]{0,8}"
        .prop_filter("a keyword", |name| !["not", "user", "group"].contains(&&*name.to_lowercase()));
    let sub = prop_oneof![Just("$ref".to_owned()), "[a-zA-Z][a-z]{0,4}"];
    (prop::option::of(schema), name, prop::option::of(sub)).prop_map(|(schema, name, sub)| AttrPath {
        schema,
        name,
        sub,
    })
}

fn literals() -> impl Strategy<Value = Literal> {
    prop_oneof![
        Just(Literal::Null),
        any::<bool>().prop_map(Literal::Bool),
        any::<i64>().prop_map(|n| Literal::Number(n.into())),
        any::<f64>().prop_filter_map("finite", |n| serde_json::Number::from_f64(n).map(Literal::Number)),
        any::<String>().prop_map(Literal::String),
    ]
}

pub(super) fn operators() -> impl Strategy<Value = Operator> {
    prop::sample::select(vec!["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"])
        .prop_map(|name| Operator::named(name).unwrap())
}

pub(super) fn combined(leaf: impl Strategy<Value = Filter> + 'static) -> impl Strategy<Value = Filter> {
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Filter::And(a.into(), b.into())),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Filter::Or(a.into(), b.into())),
            inner.prop_map(|a| Filter::Not(a.into())),
        ]
    })
}

fn filters() -> impl Strategy<Value = Filter> {
    let simple = || {
        prop_oneof![
            (paths(), operators(), literals())
                .prop_map(|(path, operator, literal)| Filter::Compare(path, operator, literal)),
            paths().prop_map(Filter::Present),
        ]
    };
    let element = (paths(), combined(simple())).prop_map(|(path, inner)| Filter::Element(path, inner.into()));
    combined(prop_oneof![3 => simple(), 1 => element])
}

proptest! {
    #[test]
    fn a_printed_filter_reads_back_as_itself(filter in filters()) {
        let limits = Limits { filter_bytes: 1 << 20, ..Limits::default() };
        let text = filter.to_string();
        prop_assert_eq!(Filter::parse(&text, &limits).map_err(|error| error.detail), Ok(filter), "{}", text);
    }

    #[test]
    fn no_text_panics_the_parsers(text in r#"([a-z. :\[\]()"\\0-9é]| eq | and | not |urn:|pr){0,40}"#) {
        if let Ok(filter) = Filter::parse(&text, &Limits::default()) {
            prop_assert_eq!(parse(&filter.to_string()), filter);
        }
        if let Ok(path) = PatchPath::parse(&text, &Limits::default()) {
            prop_assert_eq!(PatchPath::parse(&path.to_string(), &Limits::default()), Ok(path));
        }
    }
}
