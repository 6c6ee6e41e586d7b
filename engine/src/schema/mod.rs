//! Schemas as data (RFC 7643 section 7): the one source for validation, projection, filters, PATCH and `/Schemas`.

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
}

/// The resource types of one connection: the RFC's own, with its custom extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Users.
    pub user: ResourceType,
    /// Groups.
    pub group: ResourceType,
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// `schemas`, `id`, `externalId` and `meta` (RFC 7643 section 3.1), which every resource has and no schema lists.
#[allow(clippy::todo)]
pub fn common() -> &'static [Attribute] {
    todo!()
}

/// The common attribute of that name, in any case.
pub fn common_attribute(name: &str) -> Option<&'static Attribute> {
    find(common(), name)
}
