//! Schemas as data (RFC 7643 section 7): the one source for validation, projection, filters, PATCH and `/Schemas`.

mod custom;
mod json;
mod standard;

use std::sync::OnceLock;

use serde_json::Value;

use crate::error::{Kind, ScimError};
pub use custom::custom;

/// URN of the core User schema.
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// URN of the core Group schema.
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// URN of the enterprise User extension.
pub const ENTERPRISE_USER: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Data type of an attribute (RFC 7643 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Text.
    String,
    /// `true` or `false`.
    Boolean,
    /// Number with a fraction.
    Decimal,
    /// Whole number.
    Integer,
    /// `xsd:dateTime`.
    DateTime,
    /// Base64 text.
    Binary,
    /// URI of something.
    Reference,
    /// An object of sub-attributes.
    Complex,
}

/// Who may write an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutability {
    /// Only the server; what a client sends is ignored, a PATCH of it is refused.
    ReadOnly,
    /// The client, at any time.
    ReadWrite,
    /// The client, once.
    Immutable,
    /// The client; never comes back.
    WriteOnly,
}

/// When an attribute is part of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// In every one.
    Always,
    /// In none.
    Never,
    /// Unless asked otherwise.
    Default,
    /// Only when asked for.
    Request,
}

/// How far a value must be unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uniqueness {
    /// Not at all.
    None,
    /// Within its connection.
    Server,
    /// Everywhere.
    Global,
}

/// The names RFC 7643 section 7 gives the values of a characteristic.
macro_rules! names {
    ($characteristic:ident { $first:ident = $first_name:literal $(, $variant:ident = $name:literal)* }) => {
        impl $characteristic {
            /// All names, for an error text.
            pub(crate) const NAMES: &str = concat!("`", $first_name, "`" $(, ", `", $name, "`")*);

            /// Its name in a schema.
            pub fn name(self) -> &'static str {
                match self {
                    Self::$first => $first_name,
                    $(Self::$variant => $name),*
                }
            }

            /// The value of that name, in any case.
            pub fn named(name: &str) -> Option<Self> {
                [($first_name, Self::$first) $(, ($name, Self::$variant))*]
                    .into_iter()
                    .find_map(|(known, value)| known.eq_ignore_ascii_case(name).then_some(value))
            }
        }
    };
}

names!(Type {
    String = "string", Boolean = "boolean", Decimal = "decimal", Integer = "integer",
    DateTime = "dateTime", Binary = "binary", Reference = "reference", Complex = "complex"
});
names!(Mutability { ReadOnly = "readOnly", ReadWrite = "readWrite", Immutable = "immutable", WriteOnly = "writeOnly" });
names!(Returned { Always = "always", Never = "never", Default = "default", Request = "request" });
names!(Uniqueness { None = "none", Server = "server", Global = "global" });

/// One attribute definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Name as RFC 7643 spells it; matched in any case.
    pub name: String,
    /// Data type.
    pub kind: Type,
    /// Whether the value is a list.
    pub multi_valued: bool,
    /// For people.
    pub description: String,
    /// Whether a resource must have it.
    pub required: bool,
    /// Suggested values.
    pub canonical_values: Vec<String>,
    /// Whether comparisons heed case.
    pub case_exact: bool,
    /// Who may write it.
    pub mutability: Mutability,
    /// When it is returned.
    pub returned: Returned,
    /// How far it is unique.
    pub uniqueness: Uniqueness,
    /// What a reference may point to.
    pub reference_types: Vec<String>,
    /// Parts of a complex attribute.
    pub sub_attributes: Vec<Attribute>,
}

impl Attribute {
    /// The sub-attribute of that name, in any case.
    pub fn sub(&self, name: &str) -> Option<&Attribute> {
        find(&self.sub_attributes, name)
    }
}

/// A schema: a URN and its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// URN.
    pub id: String,
    /// Short name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Attributes, without the common `schemas`, `id`, `externalId` and `meta`.
    pub attributes: Vec<Attribute>,
}

impl Schema {
    /// The attribute of that name, in any case.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        find(&self.attributes, name)
    }
}

/// A resource type: endpoint, core schema, extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceType {
    /// `User` or `Group`.
    pub name: String,
    /// `/Users` or `/Groups`.
    pub endpoint: String,
    /// For people.
    pub description: String,
    /// Core schema.
    pub schema: Schema,
    /// Extensions, all optional.
    pub extensions: Vec<Schema>,
}

impl ResourceType {
    /// The extension of that URN, in any case.
    pub fn find_extension(&self, urn: &str) -> Option<&Schema> {
        self.extensions.iter().find(|extension| extension.id.eq_ignore_ascii_case(urn))
    }

    fn extend(&mut self, extensions: &[Value]) -> Result<(), ScimError> {
        for extension in extensions {
            let schema = custom(extension)?;
            if self.find_extension(&schema.id).is_some() {
                return Err(ScimError::new(Kind::InvalidValue, format!("extension `{}` is defined twice", schema.id)));
            }
            self.extensions.push(schema);
        }
        Ok(())
    }
}

/// The resource types of one connection: the RFC's own, with its custom extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Users.
    pub user: ResourceType,
    /// Groups.
    pub group: ResourceType,
}

impl Registry {
    /// Users with the enterprise extension, and groups, as RFC 7643 defines them.
    pub fn standard() -> Self {
        Self { user: standard::user(), group: standard::group() }
    }

    /// The [`standard`](Self::standard) registry, built once.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Registry> = OnceLock::new();
        SHARED.get_or_init(Self::standard)
    }

    /// The standard registry with custom extensions of users and of groups, in the JSON form of RFC 7643 section 7.
    ///
    /// # Errors
    /// `invalidValue` for a wrong schema, a URN given twice, and one the standard already has.
    pub fn with_extensions(user: &[Value], group: &[Value]) -> Result<Self, ScimError> {
        let mut registry = Self::standard();
        registry.user.extend(user)?;
        registry.group.extend(group)?;
        Ok(registry)
    }

    /// Both resource types.
    pub fn resource_types(&self) -> [&ResourceType; 2] {
        [&self.user, &self.group]
    }

    /// The resource type of that name, `User` or `Group`, in any case.
    pub fn by_name(&self, name: &str) -> Option<&ResourceType> {
        self.resource_types().into_iter().find(|resource_type| resource_type.name.eq_ignore_ascii_case(name))
    }

    /// Every schema once, core schemas first.
    pub fn schemas(&self) -> Vec<&Schema> {
        let types = self.resource_types();
        let extensions = types.iter().flat_map(|resource_type| &resource_type.extensions);
        let mut found: Vec<&Schema> = types.iter().map(|resource_type| &resource_type.schema).collect();
        for extension in extensions {
            if !found.iter().any(|schema| schema.id.eq_ignore_ascii_case(&extension.id)) {
                found.push(extension);
            }
        }
        found
    }

    /// The schema of that URN, in any case.
    pub fn schema(&self, urn: &str) -> Option<&Schema> {
        self.schemas().into_iter().find(|schema| schema.id.eq_ignore_ascii_case(urn))
    }
}

/// `schemas`, `id`, `externalId` and `meta` (RFC 7643 section 3.1): every resource has them, no schema lists them.
pub fn common() -> &'static [Attribute] {
    static COMMON: OnceLock<Vec<Attribute>> = OnceLock::new();
    COMMON.get_or_init(standard::common)
}

/// The common attribute of that name, in any case.
pub fn common_attribute(name: &str) -> Option<&'static Attribute> {
    find(common(), name)
}

/// The form in which texts are compared where case does not matter (`caseExact` false): in filters, unique
/// indexes and sorting alike.
pub fn fold(text: &str) -> String {
    text.to_lowercase()
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}
