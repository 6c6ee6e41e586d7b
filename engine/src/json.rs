//! Bodies of writes: JSON (RFC 8259) in which no object has a name twice, in any case of letters.
//!
//! JSON leaves open what a second value of a name means, and readers differ: most take the last, some the first. What stands
//! between an identity provider and the directory must not see another user than the directory does, so there is none. Names
//! of attributes are compared without regard to case (RFC 7643 section 2.1), so `userName` and `USERNAME` are one.
//!
//! ```
//! use scim_engine::json;
//! assert_eq!(json::read(br#"{"userName":"ada"}"#).unwrap()["userName"], "ada");
//! let refused = json::read(br#"{"userName":"ada","USERNAME":"eve"}"#).unwrap_err();
//! assert_eq!(refused.to_string(), "`USERNAME` is given twice at line 1 column 28");
//! ```

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::resource::read::quote;

/// Names of an object up to which each is compared with those before it.
const FEW: usize = 16;

/// Reads a body.
///
/// # Errors
/// It is no JSON, or, as an error of the category `Data`, ambiguous.
pub fn read(body: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(body).map(|Unambiguous(value)| value)
}

struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unambiguous(value)) = elements.next_element()? {
            list.push(value);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let (mut object, mut names) = (Map::new(), Map::new());
        while let Some(name) = members.next_key::<String>()? {
            if !is_new(&name, &object, &mut names) {
                return Err(A::Error::custom(format_args!("`{}` is given twice", quote(&name))));
            }
            let Unambiguous(value) = members.next_value()?;
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

/// Whether an object does not have that name yet; `names` holds those it has once they are many.
fn is_new(name: &str, object: &Map<String, Value>, names: &mut Map<String, Value>) -> bool {
    if object.len() < FEW {
        return !object.keys().any(|known| known.eq_ignore_ascii_case(name));
    }
    if names.is_empty() {
        names.extend(object.keys().map(|name| (name.to_ascii_lowercase(), Value::Null)));
    }
    names.insert(name.to_ascii_lowercase(), Value::Null).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unambiguous_is_read_as_any_json() {
        let documents = [
            r#"null"#,
            r#"{"a":[1,-1,1.5,1e3,18446744073709551615,-9223372036854775808,true,"ä\n\u00e9"],"b":{"a":{}}}"#,
            r#"[{"a":1},{"a":2},{"A":3}]"#,
            r#"{"ä":1,"Ä":2}"#,
            r#"1e999"#,
            r#"{"a":1"#,
            r#"{} {}"#,
        ];
        for document in documents {
            let (read, plain) = (read(document.as_bytes()), serde_json::from_str::<Value>(document));
            assert_eq!(read.map_err(|error| error.to_string()), plain.map_err(|error| error.to_string()), "{document}");
        }
        assert!(read("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn a_name_that_comes_twice_is_refused_wherever_it_is_and_among_however_many() {
        for document in [r#"{"a":1,"a":1}"#, r#"{"x":[{"y":{"ab":1,"AB":null}}]}"#, r#"{"a":{},"b":1,"A":[]}"#] {
            assert!(read(document.as_bytes()).unwrap_err().is_data(), "{document}");
        }
        for count in [1, FEW - 1, FEW, FEW + 1, 1000] {
            let many: Vec<String> = (0..count).map(|n| format!(r#""name{n}":{n}"#)).collect();
            let with = |last: &str| format!("{{{},{last}}}", many.join(","));
            assert_eq!(read(with(r#""last":0"#).as_bytes()).unwrap().as_object().map(Map::len), Some(count + 1));
            for twice in [r#""NAME0":0"#.to_owned(), format!(r#""Name{}":0"#, count - 1)] {
                assert!(read(with(&twice).as_bytes()).unwrap_err().is_data(), "{count} {twice}");
            }
        }
    }
}
