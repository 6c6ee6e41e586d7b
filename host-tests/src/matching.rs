//! Comparing an answer with what a case expects.
//!
//! An object matches when every field it names matches; anything else must be equal. Texts and one-field objects that
//! begin with `$` are patterns: see this crate's README.

use serde_json::{Map, Value};

/// Compares; `None` when `actual` is as expected, else one line per difference.
pub fn difference(expected: &Value, actual: Option<&Value>) -> Option<String> {
    let mut found = Vec::new();
    compare(expected, actual, "", &mut found);
    (!found.is_empty()).then(|| found.join("\n"))
}

fn compare(expected: &Value, actual: Option<&Value>, at: &str, found: &mut Vec<String>) {
    let matches = match expected {
        Value::String(text) if text.starts_with('$') => word(text, actual),
        Value::Object(fields) => match operator(fields) {
            Some((name, operand)) => operate(name, operand, actual, at, found),
            None => return object(fields, actual, at, found),
        },
        Value::Array(items) => match actual {
            Some(Value::Array(elements)) if elements.len() == items.len() => {
                for (index, (item, element)) in items.iter().zip(elements).enumerate() {
                    compare(item, Some(element), &format!("{at}/{index}"), found);
                }
                return;
            }
            _ => false,
        },
        Value::Number(number) => actual.and_then(Value::as_f64).is_some_and(|value| number.as_f64() == Some(value)),
        other => actual == Some(other),
    };
    if !matches {
        let actual = actual.map_or("nothing".to_owned(), Value::to_string);
        let place = if at.is_empty() { "/" } else { at };
        found.push(format!("at {place}: expected {expected}, got {actual}"));
    }
}

fn object(fields: &Map<String, Value>, actual: Option<&Value>, at: &str, found: &mut Vec<String>) {
    let Some(Value::Object(values)) = actual else {
        let actual = actual.map_or("nothing".to_owned(), Value::to_string);
        found.push(format!("at {at}/: expected an object, got {actual}"));
        return;
    };
    for (key, value) in fields {
        compare(value, values.get(key), &format!("{at}/{key}"), found);
    }
}

/// A one-field object whose name begins with `$`; `$ref` is an attribute of SCIM.
fn operator(fields: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, operand) = fields.iter().next()?;
    (fields.len() == 1 && name.starts_with('$') && name != "$ref").then_some((name, operand))
}

fn word(name: &str, actual: Option<&Value>) -> bool {
    let text = actual.and_then(Value::as_str);
    match name {
        "$absent" => actual.is_none(),
        "$any" => actual.is_some_and(|value| !value.is_null()),
        "$text" => text.is_some_and(|text| !text.is_empty()),
        "$number" => actual.is_some_and(Value::is_number),
        "$uuid" => text.is_some_and(is_uuid),
        "$time" => text.is_some_and(|text| scim_engine::env::Timestamp::parse(text).is_some()),
        "$url" => text.is_some_and(|text| text.starts_with("http://") || text.starts_with("https://")),
        _ => false,
    }
}

fn operate(name: &str, operand: &Value, actual: Option<&Value>, at: &str, found: &mut Vec<String>) -> bool {
    let elements = actual.and_then(Value::as_array);
    let text = actual.and_then(Value::as_str);
    match (name, operand, elements) {
        ("$contains", Value::Array(items), Some(elements)) => {
            items.iter().all(|item| elements.iter().any(|element| is_like(item, element)))
        }
        ("$unordered", Value::Array(items), Some(elements)) => {
            items.len() == elements.len()
                && items.iter().all(|item| elements.iter().any(|element| is_like(item, element)))
                && elements.iter().all(|element| items.iter().any(|item| is_like(item, element)))
        }
        ("$each", pattern, Some(elements)) => {
            for (index, element) in elements.iter().enumerate() {
                compare(pattern, Some(element), &format!("{at}/{index}"), found);
            }
            true
        }
        ("$length", length, Some(elements)) => length.as_u64() == u64::try_from(elements.len()).ok(),
        ("$endsWith", Value::String(end), _) => text.is_some_and(|text| text.ends_with(end.as_str())),
        ("$startsWith", Value::String(start), _) => text.is_some_and(|text| text.starts_with(start.as_str())),
        ("$not", pattern, _) => difference(pattern, actual).is_some(),
        ("$oneOf", Value::Array(patterns), _) => patterns.iter().any(|p| difference(p, actual).is_none()),
        ("$exactly", whole, _) => actual == Some(whole),
        _ => false,
    }
}

fn is_like(pattern: &Value, value: &Value) -> bool {
    difference(pattern, Some(value)).is_none()
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').collect();
    let lengths = groups.iter().map(|group| group.len());
    lengths.eq([8, 4, 4, 4, 12]) && groups.concat().bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::difference;

    #[track_caller]
    fn check(expected: Value, actual: Value, matches: bool) {
        assert_eq!(difference(&expected, Some(&actual)).is_none(), matches, "{expected} against {actual}");
    }

    #[test]
    fn an_object_is_compared_by_the_fields_it_names() {
        check(json!({"a": 1}), json!({"a": 1, "b": 2}), true);
        check(json!({"a": 1, "b": "$absent"}), json!({"a": 1, "b": 2}), false);
        check(json!({"a": {"b": 1}}), json!({"a": null}), false);
        check(json!({"$exactly": {"a": 1}}), json!({"a": 1, "b": 2}), false);
    }

    #[test]
    fn a_list_is_compared_whole_and_in_order() {
        check(json!([1, 2]), json!([1, 2]), true);
        check(json!([1, 2]), json!([2, 1]), false);
        check(json!([1]), json!([1, 2]), false);
    }

    #[test]
    fn list_patterns_look_at_elements() {
        check(json!({"$contains": [{"v": 2}]}), json!([{"v": 1}, {"v": 2, "w": 0}]), true);
        check(json!({"$contains": [3]}), json!([1, 2]), false);
        check(json!({"$unordered": [2, 1]}), json!([1, 2]), true);
        check(json!({"$unordered": [2, 1]}), json!([1, 2, 2, 3]), false);
        check(json!({"$unordered": [1, 1]}), json!([1, 2]), false);
        check(json!({"$length": 2}), json!([1, 2]), true);
        check(json!({"$length": 2}), json!([]), false);
        check(json!({"$each": "$uuid"}), json!(["no"]), false);
    }

    #[test]
    fn words_name_a_kind_of_value() {
        check(json!("$uuid"), json!("0192f0c1-2a3b-7c4d-8e5f-0123456789ab"), true);
        check(json!("$uuid"), json!("0192f0c1"), false);
        check(json!("$time"), json!("2024-01-01T00:00:00.000Z"), true);
        check(json!("$time"), json!("yesterday"), false);
        check(json!("$any"), json!(null), false);
        check(json!("$url"), json!("/Users/1"), false);
    }

    #[test]
    fn an_unknown_pattern_never_matches() {
        check(json!("$nonsense"), json!("$nonsense"), false);
        check(json!({"$nonsense": 1}), json!(1), false);
    }

    #[test]
    fn alternatives_and_negations_hold() {
        check(json!({"$oneOf": [1, "$text"]}), json!("a"), true);
        check(json!({"$not": "a"}), json!("a"), false);
        check(json!({"$endsWith": "c"}), json!("abc"), true);
        check(json!({"$ref": "x"}), json!({"$ref": "x"}), true);
    }
}
