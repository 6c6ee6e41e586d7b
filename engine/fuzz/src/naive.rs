//! A second evaluator of filters, written from RFC 7644 section 3.4.2.2 alone: it looks at the whole resource as a
//! client sees it, gathers every value a path leads to, and asks each the question. Slow, short, no index.

use scim_engine::filter::{Filter, Literal, Operator};
use scim_engine::path::AttrPath;
use scim_engine::schema::{Attribute, ResourceType, Type};
use serde_json::Value;

/// Whether a resource, as it is answered, meets a filter.
pub fn matches(filter: &Filter, of: &ResourceType, resource: &Value) -> bool {
    match filter {
        Filter::And(left, right) => matches(left, of, resource) && matches(right, of, resource),
        Filter::Or(left, right) => matches(left, of, resource) || matches(right, of, resource),
        Filter::Not(inner) => !matches(inner, of, resource),
        Filter::Present(path) => {
            leaf(of, path).is_some_and(|leaf| values(of, path, &leaf, resource).iter().any(|value| full(value)))
        }
        Filter::Compare(path, operator, literal) => {
            let Some(mut found) = leaf(of, path) else { return false };
            if found.attribute.kind == Type::Complex {
                let Some(value) = found.attribute.sub("value") else { return false };
                found = Leaf { names: [found.names, vec![value.name.clone()]].concat(), attribute: value };
            }
            compare(found.attribute, *operator, literal, &values(of, path, &found, resource))
        }
        Filter::Element(path, inner) => {
            let Some(found) = leaf(of, path) else { return false };
            values(of, path, &found, resource).iter().any(|element| element_matches(inner, found.attribute, element))
        }
    }
}

fn element_matches(filter: &Filter, attribute: &Attribute, element: &Value) -> bool {
    let both = |left, right| (element_matches(left, attribute, element), element_matches(right, attribute, element));
    let sub = |path: &AttrPath| {
        let plain = attribute.kind != Type::Complex && path.name.eq_ignore_ascii_case("value");
        let sub = if plain { Some(attribute) } else { attribute.sub(&path.name) }?;
        let value = if plain { Some(element) } else { element.get(&sub.name) };
        Some((sub, value.map(flatten).unwrap_or_default()))
    };
    match filter {
        Filter::And(left, right) => both(left, right) == (true, true),
        Filter::Or(left, right) => both(left, right) != (false, false),
        Filter::Not(inner) => !element_matches(inner, attribute, element),
        Filter::Present(path) => sub(path).is_some_and(|(_, values)| values.into_iter().any(full)),
        Filter::Compare(path, operator, literal) => {
            sub(path).is_some_and(|(sub, values)| compare(sub, *operator, literal, &values))
        }
        Filter::Element(..) => false,
    }
}

struct Leaf<'a> {
    /// Names to follow inside the object of the schema.
    names: Vec<String>,
    attribute: &'a Attribute,
}

fn leaf<'a>(of: &'a ResourceType, path: &AttrPath) -> Option<Leaf<'a>> {
    let target = path.resolve(of)?;
    let names = [Some(target.attribute), target.sub].into_iter().flatten().map(|part| part.name.clone()).collect();
    Some(Leaf { names, attribute: target.sub.unwrap_or(target.attribute) })
}

fn values<'v>(of: &ResourceType, path: &AttrPath, leaf: &Leaf<'_>, resource: &'v Value) -> Vec<&'v Value> {
    let extension = path.resolve(of).and_then(|target| target.extension);
    let holder = match extension {
        Some(extension) => resource.get(&extension.id),
        None => Some(resource),
    };
    let mut found: Vec<&Value> = holder.into_iter().collect();
    for name in &leaf.names {
        found = found.into_iter().filter_map(|value| value.get(name)).flat_map(flatten).collect();
    }
    found
}

fn flatten(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |list| list.iter().collect())
}

fn full(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => list.iter().any(full),
        Value::Object(object) => object.values().any(full),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn compare(attribute: &Attribute, operator: Operator, literal: &Literal, values: &[&Value]) -> bool {
    if operator == Operator::Ne {
        return !compare(attribute, Operator::Eq, literal, values);
    }
    if *literal == Literal::Null {
        return operator == Operator::Eq && !values.iter().any(|value| full(value));
    }
    values.iter().any(|value| {
        match (attribute.kind, value) {
            (Type::Boolean, Value::Bool(value)) => {
                let asked = match literal {
                    Literal::Bool(asked) => Some(*asked),
                    Literal::String(text) => text.to_ascii_lowercase().parse().ok(),
                    _ => None,
                };
                operator == Operator::Eq && asked == Some(*value)
            }
            (Type::Integer | Type::Decimal, Value::Number(value)) => {
                let asked = match literal {
                    Literal::Number(asked) => asked.as_f64(),
                    Literal::String(text) => serde_json::from_str(text).ok(),
                    _ => None,
                };
                // Far numbers are told apart by the engine only; here they are near enough.
                asked.zip(value.as_f64()).is_some_and(|(asked, value)| ordered(operator, value.partial_cmp(&asked)))
            }
            (Type::DateTime, Value::String(value)) => {
                let Literal::String(asked) = literal else { return false };
                let parts = matches!(operator, Operator::Co | Operator::Sw | Operator::Ew);
                match (moment(value), moment(asked)) {
                    (Some(value), Some(asked)) if !parts => ordered(operator, Some(value.cmp(&asked))),
                    _ => text(operator, value, asked),
                }
            }
            (_, Value::String(value)) => {
                let Literal::String(asked) = literal else { return false };
                if attribute.case_exact {
                    text(operator, value, asked)
                } else {
                    text(operator, &value.to_lowercase(), &asked.to_lowercase())
                }
            }
            _ => false,
        }
    })
}

fn text(operator: Operator, value: &str, asked: &str) -> bool {
    match operator {
        Operator::Co => value.contains(asked),
        Operator::Sw => value.starts_with(asked),
        Operator::Ew => value.ends_with(asked),
        _ => ordered(operator, Some(value.cmp(asked))),
    }
}

fn ordered(operator: Operator, order: Option<std::cmp::Ordering>) -> bool {
    order.is_some_and(|order| match operator {
        Operator::Eq => order.is_eq(),
        Operator::Gt => order.is_gt(),
        Operator::Ge => order.is_ge(),
        Operator::Lt => order.is_lt(),
        Operator::Le => order.is_le(),
        _ => false,
    })
}

fn moment(text: &str) -> Option<scim_engine::env::Timestamp> {
    scim_engine::env::Timestamp::parse(text).or_else(|| scim_engine::env::Timestamp::parse(&format!("{text}Z")))
}
