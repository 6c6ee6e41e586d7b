//! Variables of a case: `${name}` in paths, header fields, bodies and expectations.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

/// Schema URIs every case can name: `${User}`.
const SCHEMAS: &[(&str, &str)] = &[
    ("User", "urn:ietf:params:scim:schemas:core:2.0:User"),
    ("Group", "urn:ietf:params:scim:schemas:core:2.0:Group"),
    ("Enterprise", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"),
    ("ListResponse", "urn:ietf:params:scim:api:messages:2.0:ListResponse"),
    ("SearchRequest", "urn:ietf:params:scim:api:messages:2.0:SearchRequest"),
    ("PatchOp", "urn:ietf:params:scim:api:messages:2.0:PatchOp"),
    ("BulkRequest", "urn:ietf:params:scim:api:messages:2.0:BulkRequest"),
    ("BulkResponse", "urn:ietf:params:scim:api:messages:2.0:BulkResponse"),
    ("Error", "urn:ietf:params:scim:api:messages:2.0:Error"),
];

/// The schema URIs, and what was captured so far.
#[derive(Clone, Debug)]
pub struct Variables(BTreeMap<String, Value>);

impl Default for Variables {
    fn default() -> Self {
        Self(SCHEMAS.iter().map(|(name, uri)| ((*name).to_owned(), Value::from(*uri))).collect())
    }
}

impl Variables {
    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Replaces every `${name}` of a text.
    ///
    /// # Errors
    /// A variable that was never set.
    pub fn text(&self, text: &str) -> Result<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, behind) = after.split_once('}').context("`${` without `}`")?;
            out.push_str(before);
            match self.lookup(name)? {
                Value::String(value) => out.push_str(value),
                other => out.push_str(&other.to_string()),
            }
            rest = behind;
        }
        out.push_str(rest);
        Ok(out)
    }

    /// Replaces every variable of a JSON value; a text that is one variable becomes its value, whatever its type.
    ///
    /// # Errors
    /// A variable that was never set.
    pub fn json(&self, value: &Value) -> Result<Value> {
        Ok(match value {
            Value::String(text) => {
                let whole = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
                match whole.filter(|name| !name.contains("${")) {
                    Some(name) => self.lookup(name)?.clone(),
                    None => Value::String(self.text(text)?),
                }
            }
            Value::Array(items) => items.iter().map(|item| self.json(item)).collect::<Result<_>>()?,
            Value::Object(fields) => {
                let fields = fields.iter().map(|(key, value)| Ok((self.text(key)?, self.json(value)?)));
                Value::Object(fields.collect::<Result<Map<_, _>>>()?)
            }
            other => other.clone(),
        })
    }

    fn lookup(&self, name: &str) -> Result<&Value> {
        self.0.get(name).with_context(|| format!("`{name}` was never captured"))
    }
}
