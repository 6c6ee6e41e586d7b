//! The standard schemas, custom ones, and their published form.

use scim_engine::error::Kind;
use scim_engine::schema::{self, ENTERPRISE_USER, Mutability, Registry, Returned, Uniqueness};
use serde_json::{Value, json};

use super::{ACME, registry};

#[test]
fn the_standard_schemas_have_the_attributes_of_the_rfc() {
    let names = |attributes: &[schema::Attribute]| {
        attributes.iter().map(|attribute| attribute.name.clone()).collect::<Vec<_>>().join(" ")
    };
    let registry = Registry::shared();
    assert_eq!(
        names(&registry.user.schema.attributes),
        "userName name displayName nickName profileUrl title userType preferredLanguage locale timezone active \
         password emails phoneNumbers ims photos addresses groups entitlements roles x509Certificates"
    );
    assert_eq!(names(&registry.group.schema.attributes), "displayName members");
    assert_eq!(
        names(&registry.user.extensions[0].attributes),
        "employeeNumber costCenter organization division department manager"
    );
    assert_eq!(names(schema::common()), "schemas id externalId meta");
    assert_eq!(registry.by_name("group").unwrap().endpoint, "/Groups");
}

#[test]
fn the_standard_attributes_have_the_characteristics_of_the_rfc() {
    let registry = Registry::shared();
    let (user, group) = (&registry.user.schema, &registry.group.schema);
    let password = user.attribute("password").unwrap();
    assert_eq!((password.mutability, password.returned), (Mutability::WriteOnly, Returned::Never));
    let name = user.attribute("userName").unwrap();
    assert_eq!((name.required, name.case_exact, name.uniqueness), (true, false, Uniqueness::Server));
    assert_eq!(group.attribute("displayName").unwrap().uniqueness, Uniqueness::Server);
    assert_eq!(user.attribute("groups").unwrap().mutability, Mutability::ReadOnly);
    assert_eq!(group.attribute("members").unwrap().sub("value").unwrap().mutability, Mutability::Immutable);
    let id = schema::common_attribute("ID").unwrap();
    assert_eq!((id.returned, id.case_exact, id.mutability), (Returned::Always, true, Mutability::ReadOnly));
}

#[test]
fn schemas_and_resource_types_are_published_with_their_place() {
    let (registry, base) = (Registry::shared(), "https://example.com/scim");
    let group = registry.group.schema.to_json(base);
    let location = format!("{base}/Schemas/{}", schema::GROUP);
    assert_eq!(group["meta"], json!({ "resourceType": "Schema", "location": location }));
    assert_eq!(
        group["attributes"][1]["subAttributes"][1],
        json!({
            "name": "$ref", "type": "reference",
            "multiValued": false, "description": "URL of the member", "required": false, "caseExact": true,
            "mutability": "immutable", "returned": "default", "uniqueness": "none", "referenceTypes": ["User", "Group"]
        })
    );
    let user = registry.user.to_json(base);
    assert_eq!(user["schemaExtensions"], json!([{ "schema": ENTERPRISE_USER, "required": false }]));
    assert_eq!(user["meta"]["location"], "https://example.com/scim/ResourceTypes/User");
}

#[test]
fn a_published_schema_reads_back_as_itself() {
    let registry = registry();
    for extension in &registry.user.extensions {
        assert_eq!(schema::custom(&extension.to_json("")), Ok(extension.clone()));
    }
    assert_eq!(registry.schemas().len(), 4);
    assert_eq!(registry.schema(&ACME.to_lowercase()).map(|schema| schema.name.as_str()), Some("Employee"));
}

#[test]
fn a_wrong_custom_schema_is_refused_by_the_name_of_its_field() {
    let check = |schema: Value, field: &str| {
        let error = schema::custom(&schema).expect_err(field);
        assert_eq!(error.kind, Kind::InvalidValue);
        assert!(error.detail.starts_with(&format!("`{field}`")), "{field}: {error}");
    };
    check(json!([]), "a schema");
    check(json!({ "attributes": [] }), "id");
    check(json!({ "id": "x" }), "id");
    check(json!({ "id": schema::USER }), "id");
    check(json!({ "id": "urn:a:b" }), "attributes");
    check(json!({ "id": "urn:a:b", "attributes": {} }), "attributes");
    let check = |second: Value, field: &str| {
        check(json!({ "id": "urn:a:b", "attributes": [{ "name": "a" }, second] }), &format!("attributes[1]{field}"));
    };
    check(json!(1), "");
    check(json!({}), ".name");
    check(json!({ "name": "A" }), ".name");
    check(json!({ "name": "b c" }), ".name");
    check(json!({ "name": "b", "type": "text" }), ".type");
    check(json!({ "name": "b", "required": "yes" }), ".required");
    check(json!({ "name": "b", "canonicalValues": [1] }), ".canonicalValues");
    check(json!({ "name": "b", "mutability": "writeOnly" }), ".returned");
    check(json!({ "name": "b", "type": "complex" }), ".subAttributes");
    let nested = json!([{ "name": "c", "type": "complex" }]);
    check(json!({ "name": "b", "type": "complex", "subAttributes": nested }), ".subAttributes[0].type");
}

#[test]
fn an_extension_is_registered_once() {
    let extension = |id: &str| json!({ "id": id, "attributes": [{ "name": "a" }] });
    assert!(Registry::with_extensions(&[extension(ENTERPRISE_USER)], &[]).is_err());
    assert!(Registry::with_extensions(&[extension("urn:a:b"), extension("URN:A:B")], &[]).is_err());
    assert!(Registry::with_extensions(&[extension("urn:a:b")], &[extension("urn:a:b")]).is_ok());
}
