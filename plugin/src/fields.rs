//! One object of the configuration, taken apart field by field, so that every refusal names the field it is about.
//!
//! A refusal goes to a log. It shows numbers, but never a text that a document holds, for that could be a credential.

use std::fmt;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// Why a configuration is refused: one sentence that names the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place for a remark in every object; JSON has no comments.
const REMARK: &str = "//";

/// An object whose fields are taken one after the other.
pub struct Fields {
    place: String,
    given: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    /// The document itself.
    ///
    /// # Errors
    /// It is no JSON object.
    pub fn parse(document: &[u8]) -> Result<Self, Refused> {
        let value = serde_json::from_slice(document);
        Self::of(value.map_err(|error| Refused(format!("the configuration is no JSON: {error}")))?, String::new())
    }

    fn of(value: Value, place: String) -> Result<Self, Refused> {
        match value {
            Value::Object(given) => Ok(Self { place, given, known: vec![REMARK] }),
            _ if place.is_empty() => Err(Refused("the configuration is no object".to_owned())),
            _ => Err(Refused(format!("`{place}`: expected an object"))),
        }
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.given.remove(name)
    }

    fn place_of(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    /// Whether a field is given.
    pub fn has(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The refusal of this object, for a reason that follows its name.
    pub fn refuse_all(&self, why: impl fmt::Display) -> Refused {
        Refused(format!("`{}`: {why}", self.place))
    }

    /// The refusal of a field, for a reason that follows its name.
    pub fn refuse(&self, name: &str, why: impl fmt::Display) -> Refused {
        Refused(format!("`{}`: {why}", self.place_of(name)))
    }

    /// An object; one that is absent is taken for an empty one.
    ///
    /// # Errors
    /// It is something else.
    pub fn object(&mut self, name: &'static str) -> Result<Self, Refused> {
        let value = self.take(name).unwrap_or_else(|| Value::Object(Map::new()));
        Self::of(value, self.place_of(name))
    }

    /// A list of objects; one that is absent is empty.
    ///
    /// # Errors
    /// It is something else.
    pub fn objects(&mut self, name: &'static str) -> Result<Vec<Self>, Refused> {
        let values = self.values(name)?;
        let place = self.place_of(name);
        values.into_iter().enumerate().map(|(index, value)| Self::of(value, format!("{place}[{index}]"))).collect()
    }

    /// A text that can be part of a header.
    ///
    /// # Errors
    /// It is something else, empty, or has other characters than visible ASCII.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, Refused> {
        match self.take(name) {
            Some(Value::String(text)) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) => {
                Ok(Some(text))
            }
            Some(_) => Err(self.refuse(name, "expected a text of visible ASCII characters")),
            None => Ok(None),
        }
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// As [`text`](Self::text), and if it is absent.
    pub fn required(&mut self, name: &'static str) -> Result<String, Refused> {
        self.text(name)?.ok_or_else(|| self.refuse(name, "is required"))
    }

    /// A list of texts; one that is absent is empty.
    ///
    /// # Errors
    /// It is something else, or a text is empty.
    pub fn texts(&mut self, name: &'static str) -> Result<Vec<String>, Refused> {
        let text =
            |value| if let Value::String(text) = value { Some(text).filter(|text| !text.is_empty()) } else { None };
        let texts = match self.take(name) {
            Some(Value::Array(values)) => values.into_iter().map(text).collect(),
            Some(_) => None,
            None => Some(Vec::new()),
        };
        texts.ok_or_else(|| self.refuse(name, "expected a list of texts"))
    }

    /// Whether something is so; what is absent is not.
    ///
    /// # Errors
    /// It is neither `true` nor `false`.
    pub fn flag(&mut self, name: &'static str) -> Result<bool, Refused> {
        let given = self.take(name).unwrap_or(Value::Bool(false));
        given.as_bool().ok_or_else(|| self.refuse(name, "expected `true` or `false`"))
    }

    /// A list of anything; one that is absent is empty.
    ///
    /// # Errors
    /// It is no list.
    pub fn values(&mut self, name: &'static str) -> Result<Vec<Value>, Refused> {
        match self.take(name) {
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(self.refuse(name, "expected a list")),
            None => Ok(Vec::new()),
        }
    }

    /// One of some words, the first of which stands for none.
    ///
    /// # Errors
    /// It is something else.
    pub fn option<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Result<T, Refused> {
        match choices.first().filter(|_| !self.given.contains_key(name)) {
            Some((_, default)) => {
                self.known.push(name);
                Ok(*default)
            }
            None => self.choice(name, choices),
        }
    }

    /// One of some words.
    ///
    /// # Errors
    /// It is absent or something else.
    pub fn choice<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Result<T, Refused> {
        let given = self.take(name);
        let found = choices.iter().find(|(word, _)| given.as_ref().is_some_and(|given| given == word));
        let words: Vec<_> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
        found.map(|(_, choice)| *choice).ok_or_else(|| self.refuse(name, format!("expected {}", words.join(" or "))))
    }

    /// A whole number in a range.
    ///
    /// # Errors
    /// It is something else.
    pub fn number<N: TryFrom<u64>>(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
        default: N,
    ) -> Result<N, Refused> {
        let Some(given) = self.take(name) else { return Ok(default) };
        let number = given.as_u64().filter(|number| range.contains(number)).and_then(|number| N::try_from(number).ok());
        number.ok_or_else(|| {
            let found = if given.is_number() { format!(", found {given}") } else { String::new() };
            self.refuse(name, format!("expected a whole number from {} to {}{found}", range.start(), range.end()))
        })
    }

    /// Every field has been taken.
    ///
    /// # Errors
    /// One is left over, so nobody knows it.
    pub fn end(mut self) -> Result<(), Refused> {
        self.given.remove(REMARK);
        let Some(unknown) = self.given.keys().next() else { return Ok(()) };
        let known: Vec<_> = self.known.iter().map(|name| format!("`{name}`")).collect();
        Err(self.refuse(unknown, format!("is no field; known are {}", known.join(", "))))
    }
}
