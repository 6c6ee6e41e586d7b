//! Attribute and PATCH paths (RFC 7644 section 3.5.2, figure 7).
//!
//! ```
//! use scim_engine::{env::Limits, path::PatchPath};
//! let path = PatchPath::parse(r#"emails[type eq "work"].value"#, &Limits::default()).unwrap();
//! assert_eq!((path.attribute.name.as_str(), path.sub.as_deref()), ("emails", Some("value")));
//! ```

use std::fmt;

use crate::env::Limits;
use crate::error::{Kind, ScimError};
use crate::filter::Filter;
use crate::filter::parse::Parser;
use crate::schema::{self, Attribute, ResourceType, Schema};

/// `[URN:]name[.sub]`, as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttrPath {
    /// URN in front, without its last colon.
    pub schema: Option<String>,
    /// Attribute.
    pub name: String,
    /// Sub-attribute.
    pub sub: Option<String>,
}

/// `path`, `path[filter]` or `path[filter].sub`.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchPath {
    /// The attribute; with a filter it has no `sub`.
    pub attribute: AttrPath,
    /// Which elements.
    pub filter: Option<Filter>,
    /// Part of the chosen elements.
    pub sub: Option<String>,
}

/// What a path means in a resource type.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The extension it lives in; `None` for the core schema and the common attributes.
    pub extension: Option<&'a Schema>,
    /// The attribute.
    pub attribute: &'a Attribute,
    /// The sub-attribute.
    pub sub: Option<&'a Attribute>,
}

impl<'a> Target<'a> {
    /// The definition the path ends at: the sub-attribute, else the attribute.
    pub fn leaf(&self) -> &'a Attribute {
        self.sub.unwrap_or(self.attribute)
    }
}

impl AttrPath {
    /// Reads an attribute path; anything else is `invalidPath`. Blanks around it are ignored.
    ///
    /// A schema's bare URN gives an empty `name` where its form tells (`…:2.0:User`);
    /// [`extension`](Self::extension) recognises every registered one.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        let text = text.trim();
        let refused = || ScimError::new(Kind::InvalidPath, format!("`{}` is not an attribute path", excerpt(text)));
        if text.is_empty() || !text.chars().all(is_path_char) {
            return Err(refused());
        }
        let bare = || Self { schema: Some(text.into()), name: String::new(), sub: None };
        let (schema, local) = match text.rsplit_once(':') {
            _ if is_bare_schema(text) => return Ok(bare()),
            Some((schema, local)) if is_urn(schema) => (Some(schema.to_owned()), local),
            Some(_) if is_urn(text) => return Ok(bare()),
            Some(_) => return Err(refused()),
            None => (None, text),
        };
        let (name, sub) = local.split_once('.').map_or((local, None), |(name, sub)| (name, Some(sub)));
        if is_name(name) && sub.is_none_or(is_name) {
            Ok(Self { schema, name: name.into(), sub: sub.map(Into::into) })
        } else {
            Err(refused())
        }
    }

    /// What it means, in any case of letters; common attributes (`schemas`, `id`, `externalId`, `meta`) included.
    pub fn resolve<'a>(&self, resource_type: &'a ResourceType) -> Option<Target<'a>> {
        let core = |name: &str| resource_type.schema.attribute(name).or_else(|| schema::common_attribute(name));
        let (extension, attribute) = match self.parts() {
            (None, name) => (None, core(name)?),
            (Some(urn), name) if urn.eq_ignore_ascii_case(&resource_type.schema.id) => (None, core(name)?),
            (Some(urn), name) => {
                let extension = resource_type.find_extension(urn)?;
                (Some(extension), extension.attribute(name)?)
            }
        };
        let sub = match &self.sub {
            Some(name) => Some(attribute.sub(name)?),
            None => None,
        };
        Some(Target { extension, attribute, sub })
    }

    /// URN and name; what looked like a bare URN may after all end in an attribute with a capital letter.
    fn parts(&self) -> (Option<&str>, &str) {
        match &self.schema {
            Some(urn) if self.name.is_empty() => {
                urn.rsplit_once(':').map_or((None, ""), |(urn, name)| (Some(urn), name))
            }
            schema => (schema.as_deref(), &self.name),
        }
    }

    /// The extension whose bare URN the path is, in any case.
    pub fn extension<'a>(&self, resource_type: &'a ResourceType) -> Option<&'a Schema> {
        self.schema.as_ref()?;
        resource_type.find_extension(&self.to_string())
    }
}

impl PatchPath {
    /// Reads a PATCH path; anything else is `invalidPath`, and a wrong filter in it `invalidFilter`.
    /// A bare extension URN is a path with an empty `name`, see [`AttrPath::parse`].
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, ScimError> {
        let refused = |why: &str| Err(ScimError::new(Kind::InvalidPath, why));
        if text.len() > limits.filter_bytes {
            return refused("the path is too long");
        }
        let mut parser = Parser::new(text, limits);
        let attribute = AttrPath::parse(parser.word())?;
        if parser.at_end() {
            return Ok(Self { attribute, filter: None, sub: None });
        }
        if !parser.eat('[') {
            return refused("a path is an attribute, perhaps a filter in brackets and a sub-attribute");
        }
        if attribute.name.is_empty() || attribute.sub.is_some() {
            return refused("a filter in a path follows the name of a multi-valued attribute");
        }
        let filter = Some(parser.element()?);
        let sub = match (parser.at_end(), parser.word().strip_prefix('.')) {
            (true, _) => None,
            (false, Some(name)) if is_name(name) && parser.at_end() => Some(name.to_owned()),
            _ => return refused("only a sub-attribute may follow the filter of a path"),
        };
        Ok(Self { attribute, filter, sub })
    }
}

impl fmt::Display for AttrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.schema.is_some() && !self.name.is_empty() { ":" } else { "" };
        write!(f, "{}{colon}{}", self.schema.as_deref().unwrap_or_default(), self.name)?;
        self.sub.as_ref().map_or(Ok(()), |sub| write!(f, ".{sub}"))
    }
}

impl fmt::Display for PatchPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.attribute)?;
        self.filter.as_ref().map_or(Ok(()), |filter| write!(f, "[{filter}]"))?;
        self.sub.as_ref().map_or(Ok(()), |sub| write!(f, ".{sub}"))
    }
}

/// Whether a character may be part of an attribute path with its URN.
pub(crate) fn is_path_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.:$%".contains(c)
}

/// An attribute's name: the RFC's `ATTRNAME`, and `$ref`.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = name.strip_prefix('$').unwrap_or(name);
    plain.starts_with(|c: char| c.is_ascii_alphabetic())
        && plain.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// `urn:` in any case, then a namespace and something in it.
pub(crate) fn is_urn(text: &str) -> bool {
    let mut parts = text.split(':');
    parts.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn"))
        && parts.next().is_some_and(|namespace| !namespace.is_empty())
        && parts.next().is_some()
        && text.chars().all(is_path_char)
        && !text.ends_with(':')
}

/// Whether a URN can only be a schema's own: it ends in a version, or in a version and a resource type's name.
fn is_bare_schema(text: &str) -> bool {
    let mut parts = text.rsplit(':');
    let (last, before) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let type_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            || ["user", "group"].iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    is_urn(text) && (is_version(last) || (is_version(before) && is_name(last) && type_name(last)))
}

/// `2.0` and the like.
fn is_version(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_digit()) && part.chars().all(|c| c.is_ascii_digit() || c == '.')
}

/// Enough of a client's text to find it again, in one line.
fn excerpt(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
