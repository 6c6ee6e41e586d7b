//! Schemas and resource types as `/Schemas` and `/ResourceTypes` show them (RFC 7643 sections 6 and 7).

use serde_json::{Map, Value, json};

use super::{Attribute, ResourceType, Schema};

impl Schema {
    /// The resource `/Schemas/{id}`; `base_url` is the SCIM root, without a trailing slash.
    pub fn to_json(&self, base_url: &str) -> Value {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "attributes": self.attributes.iter().map(Attribute::to_json).collect::<Vec<_>>(),
            "meta": { "resourceType": "Schema", "location": format!("{base_url}/Schemas/{}", self.id) },
        })
    }
}

impl Attribute {
    /// The definition with every characteristic spelt out, defaults included.
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        let mut set = |name: &str, value: Value| json.insert(name.into(), value);
        set("name", self.name.as_str().into());
        set("type", self.kind.name().into());
        set("multiValued", self.multi_valued.into());
        set("description", self.description.as_str().into());
        set("required", self.required.into());
        if !self.canonical_values.is_empty() {
            set("canonicalValues", self.canonical_values.clone().into());
        }
        set("caseExact", self.case_exact.into());
        set("mutability", self.mutability.name().into());
        set("returned", self.returned.name().into());
        set("uniqueness", self.uniqueness.name().into());
        if !self.reference_types.is_empty() {
            set("referenceTypes", self.reference_types.clone().into());
        }
        if !self.sub_attributes.is_empty() {
            set("subAttributes", self.sub_attributes.iter().map(Self::to_json).collect());
        }
        Value::Object(json)
    }
}

impl ResourceType {
    /// The resource `/ResourceTypes/{name}`; `base_url` is the SCIM root, without a trailing slash.
    pub fn to_json(&self, base_url: &str) -> Value {
        let extension = |schema: &Schema| json!({ "schema": schema.id, "required": false });
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
            "id": self.name,
            "name": self.name,
            "endpoint": self.endpoint,
            "description": self.description,
            "schema": self.schema.id,
            "schemaExtensions": self.extensions.iter().map(extension).collect::<Vec<_>>(),
            "meta": { "resourceType": "ResourceType", "location": format!("{base_url}/ResourceTypes/{}", self.name) },
        })
    }
}
