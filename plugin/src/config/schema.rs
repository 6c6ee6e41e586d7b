//! `envoy/config.schema.json` says what [`Config::parse`] takes: the same fields, ranges, defaults and requirements.
//!
//! The module for local mode includes this file too: whoever does has a `Config`, and names its modes and its document.

use serde_json::{Value, json};

use super::{Config, MODES, WALKTHROUGH};

const SCHEMA: &str = include_str!("../../../envoy/config.schema.json");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

/// A part of the schema; one that points elsewhere is followed.
fn follow<'a>(schema: &'a Value, part: &'a Value) -> &'a Value {
    match part["$ref"].as_str() {
        Some(reference) => schema.pointer(reference.trim_start_matches('#')).unwrap(),
        None => part,
    }
}

/// Every mode of this module with its smallest document.
fn modes(schema: &Value) -> Vec<(&Value, Value)> {
    let modes = schema["oneOf"].as_array().unwrap().iter().map(|mode| follow(schema, mode));
    let modes = modes.filter(|mode| MODES.contains(&mode["properties"]["mode"]["const"].as_str().unwrap()));
    let modes: Vec<_> = modes.map(|mode| (mode, mode["examples"][0].clone())).collect();
    assert_eq!(modes.len(), MODES.len());
    modes
}

/// Every object below `part` with the JSON pointer of its place in a document.
fn objects<'a>(schema: &'a Value, part: &'a Value, place: String) -> Vec<(String, &'a Value)> {
    let mut found = vec![(place.clone(), part)];
    for (name, property) in part["properties"].as_object().unwrap() {
        let property = follow(schema, property);
        let (inner, inside) = match property["items"].is_null() {
            true => (property, format!("{place}/{name}")),
            false => (follow(schema, &property["items"]), format!("{place}/{name}/0")),
        };
        if inner["properties"].is_object() {
            found.extend(objects(schema, inner, inside));
        }
    }
    found
}

fn set(document: &Value, place: &str, name: &str, value: Value) -> Value {
    let mut document = document.clone();
    let mut at = &mut document;
    for step in place.split('/').skip(1) {
        at = match step.parse::<usize>() {
            Ok(_) => {
                let list = at.as_array_mut().unwrap();
                if list.is_empty() {
                    list.push(json!({}));
                }
                &mut list[0]
            }
            Err(_) => at.as_object_mut().unwrap().entry(step).or_insert_with(|| json!({})),
        };
    }
    at[name] = value;
    document
}

/// How a refusal calls the field.
fn name_of(place: &str, name: &str) -> String {
    let path = format!("{place}/{name}").replace("/0/", "[0]/").trim_start_matches('/').replace('/', ".");
    format!("`{path}`: ")
}

fn parse(document: &Value) -> Result<String, String> {
    let config = Config::parse(document.to_string().as_bytes());
    config.map(|config| format!("{config:?}")).map_err(|refused| refused.to_string())
}

#[test]
fn the_schema_has_the_fields_that_are_read_and_no_others() {
    let schema = schema();
    for (mode, document) in modes(&schema) {
        for (place, object) in objects(&schema, mode, String::new()) {
            assert_eq!(object["additionalProperties"], false, "{place}");
            let refusal = parse(&set(&document, &place, "nobody", json!(1))).unwrap_err();
            let (field, known) = refusal.split_once(": is no field; known are ").expect(&refusal);
            assert_eq!(format!("{field}: "), name_of(&place, "nobody"));
            let mut known: Vec<_> = known.split(", ").map(|name| name.trim_matches('`')).collect();
            let mut named: Vec<_> = object["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            known.sort_unstable();
            named.sort_unstable();
            assert_eq!(known, named, "{place}");
        }
    }
}

#[test]
fn ranges_types_and_defaults_are_those_of_the_schema() {
    let schema = schema();
    for (mode, document) in modes(&schema) {
        let expected = parse(&document).unwrap();
        // The one pair of fields that bound each other, apart, so that each can be taken to its ends.
        let apart = if mode["properties"]["grace_ms"].is_null() {
            document.clone()
        } else {
            set(&set(&document, "", "max_staleness_ms", json!(0)), "", "grace_ms", json!(86_400_000))
        };
        for (place, object) in objects(&schema, mode, String::new()) {
            for (name, property) in object["properties"].as_object().unwrap() {
                let property = follow(&schema, property);
                if name == "//" {
                    continue;
                }
                let field = name_of(&place, name);
                let refused = |value: Value| parse(&set(&apart, &place, name, value)).unwrap_err();
                for (kind, wrong) in [("null", json!(null)), ("boolean", json!(true)), ("array", json!([[]]))] {
                    let right = property["type"] == kind;
                    assert!(right || refused(wrong).contains(field.trim_end_matches("`: ")), "{field}{kind}");
                }
                if let Some(default) = property.get("default") {
                    assert_eq!(parse(&set(&document, &place, name, default.clone())).unwrap(), expected, "{field}");
                }
                let (Some(least), Some(most)) = (property["minimum"].as_i64(), property["maximum"].as_i64()) else {
                    assert_ne!(property["type"], "integer", "{field}has no range");
                    continue;
                };
                for accepted in [least, most] {
                    parse(&set(&apart, &place, name, json!(accepted))).expect(&field);
                }
                for outside in [json!(least - 1), json!(most + 1), json!(1.5), json!("x")] {
                    assert!(refused(outside).starts_with(&field), "{field}");
                }
            }
        }
    }
}

#[test]
fn what_the_schema_requires_is_required() {
    let schema = schema();
    for (mode, document) in modes(&schema) {
        for (place, object) in objects(&schema, mode, String::new()) {
            for name in object["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let mut without = document.clone();
                // An object that is not there is missing all it requires.
                if let Some(object) = without.pointer_mut(&place) {
                    object.as_object_mut().unwrap().remove(name);
                    let refusal = parse(&without).unwrap_err();
                    assert!(refusal.contains(name_of(&place, name).trim_end_matches("`: ")), "{refusal}");
                }
            }
        }
    }
}

#[test]
fn every_field_is_described_and_in_the_walkthrough() {
    let schema = schema();
    for (mode, _) in modes(&schema) {
        for (place, object) in objects(&schema, mode, String::new()) {
            for (name, property) in object["properties"].as_object().unwrap() {
                let described = follow(&schema, property);
                assert!(described["description"].is_string() || described["const"].is_string(), "{place}/{name}");
                let is_leaf = described["properties"].is_null() && described["items"]["$ref"].is_null() && name != "//";
                let path = format!("{place}/{name}").trim_start_matches('/').replace("/0/", "[].").replace('/', ".");
                assert!(!is_leaf || WALKTHROUGH.contains(&format!("`{path}`")), "the walkthrough lacks `{path}`");
            }
        }
    }
}
