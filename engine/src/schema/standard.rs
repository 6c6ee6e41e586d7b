//! The tables of RFC 7643: common attributes (section 3.1), User (4.1), Group (4.2), enterprise User (4.3).

use super::{Attribute, ENTERPRISE_USER, GROUP, Mutability, ResourceType, Returned, Schema, Type, USER, Uniqueness};

pub(super) fn common() -> Vec<Attribute> {
    vec![
        reference("schemas", &["uri"], "URNs of the schemas the resource uses")
            .many()
            .required()
            .returned(Returned::Always),
        text("id", "identifier, chosen by the server and never used again")
            .exact()
            .unique()
            .read_only()
            .returned(Returned::Always),
        text("externalId", "identifier of the resource at the client that provisions it").exact(),
        complex(
            "meta",
            "facts the server keeps about the resource",
            vec![
                text("resourceType", "name of the resource type").exact().read_only(),
                of(Type::DateTime, "created", "when the resource was made").exact().read_only(),
                of(Type::DateTime, "lastModified", "when the resource last changed").exact().read_only(),
                reference("location", &["uri"], "URL of the resource").read_only(),
                text("version", "entity tag of the resource").exact().read_only(),
            ],
        )
        .read_only(),
    ]
}

pub(super) fn user() -> ResourceType {
    ResourceType {
        name: "User".into(),
        endpoint: "/Users".into(),
        description: "User account".into(),
        schema: Schema {
            id: USER.into(),
            name: "User".into(),
            description: "User account".into(),
            attributes: user_attributes(),
        },
        extensions: vec![enterprise_user()],
    }
}

pub(super) fn group() -> ResourceType {
    ResourceType {
        name: "Group".into(),
        endpoint: "/Groups".into(),
        description: "Group of users and groups".into(),
        schema: Schema {
            id: GROUP.into(),
            name: "Group".into(),
            description: "Group of users and groups".into(),
            attributes: group_attributes(),
        },
        extensions: Vec::new(),
    }
}

fn user_attributes() -> Vec<Attribute> {
    vec![
        text("userName", "name the user signs in with, unique among users").required().unique(),
        name(),
        text("displayName", "name shown to people"),
        text("nickName", "casual name"),
        reference("profileUrl", &["external"], "URL of the user's profile page"),
        text("title", "job title"),
        text("userType", "relation to the organisation, such as employee or contractor"),
        text("preferredLanguage", "preferred languages, as in the header Accept-Language"),
        text("locale", "place, for formats of dates, numbers and currency"),
        text("timezone", "time zone, as in `Europe/Paris`"),
        of(Type::Boolean, "active", "whether the account may be used"),
        text("password", "secret, accepted but never returned").exact().write_only().returned(Returned::Never),
        plural("emails", "e-mail addresses", text("value", "e-mail address"), &["work", "home", "other"]),
        plural(
            "phoneNumbers",
            "telephone numbers",
            text("value", "telephone number"),
            &["work", "home", "mobile", "fax", "pager", "other"],
        ),
        plural(
            "ims",
            "instant messaging addresses",
            text("value", "instant messaging address"),
            &["aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"],
        ),
        plural(
            "photos",
            "pictures of the user",
            reference("value", &["external"], "URL of a picture"),
            &["photo", "thumbnail"],
        ),
        addresses(),
        groups(),
        plural("entitlements", "things the user may have", text("value", "entitlement"), &[]),
        plural("roles", "roles the user has", text("value", "role"), &[]),
        plural(
            "x509Certificates",
            "certificates issued to the user",
            of(Type::Binary, "value", "DER-encoded X.509 certificate").exact(),
            &[],
        ),
    ]
}

fn name() -> Attribute {
    complex(
        "name",
        "parts of the user's name",
        vec![
            text("formatted", "whole name, ready to show"),
            text("familyName", "family name"),
            text("givenName", "given name"),
            text("middleName", "middle names"),
            text("honorificPrefix", "title before the name"),
            text("honorificSuffix", "suffix after the name"),
        ],
    )
}

fn addresses() -> Attribute {
    complex(
        "addresses",
        "postal addresses",
        vec![
            text("formatted", "whole address, ready to show or print"),
            text("streetAddress", "street, house number, post box"),
            text("locality", "city"),
            text("region", "state or region"),
            text("postalCode", "postal code"),
            text("country", "country, as an ISO 3166-1 alpha-2 code"),
            text("type", "what the address is for").canonical(&["work", "home", "other"]),
            // Not in the RFC's table, but among the default sub-attributes of its section 2.4, and sent by IdPs.
            of(Type::Boolean, "primary", "whether this is the preferred address"),
        ],
    )
    .many()
}

fn groups() -> Attribute {
    complex(
        "groups",
        "groups the user is a member of, itself or through another group",
        vec![
            text("value", "id of the group").exact().read_only(),
            reference("$ref", &["User", "Group"], "URL of the group").read_only(),
            text("display", "name of the group").read_only(),
            text("type", "how the user is a member").canonical(&["direct", "indirect"]).read_only(),
        ],
    )
    .many()
    .read_only()
}

fn group_attributes() -> Vec<Attribute> {
    vec![
        text("displayName", "name of the group, unique among groups").required().unique(),
        complex(
            "members",
            "members of the group",
            vec![
                text("value", "id of the member").exact().immutable(),
                reference("$ref", &["User", "Group"], "URL of the member").immutable(),
                text("type", "resource type of the member").canonical(&["User", "Group"]).immutable(),
                text("display", "name of the member"),
            ],
        )
        .many(),
    ]
}

fn enterprise_user() -> Schema {
    Schema {
        id: ENTERPRISE_USER.into(),
        name: "EnterpriseUser".into(),
        description: "Enterprise User".into(),
        attributes: vec![
            text("employeeNumber", "number the organisation gave the user"),
            text("costCenter", "cost centre"),
            text("organization", "organisation"),
            text("division", "division"),
            text("department", "department"),
            complex(
                "manager",
                "the user's manager",
                vec![
                    text("value", "id of the manager").exact(),
                    reference("$ref", &["User"], "URL of the manager"),
                    text("displayName", "name of the manager").read_only(),
                ],
            ),
        ],
    }
}

/// A multi-valued attribute with the sub-attributes of RFC 7643 section 2.4.
fn plural(name: &str, description: &str, value: Attribute, types: &[&str]) -> Attribute {
    let parts = vec![
        value,
        text("display", "name shown to people"),
        text("type", "what the value is for").canonical(types),
        of(Type::Boolean, "primary", "whether this is the preferred value"),
    ];
    complex(name, description, parts).many()
}

fn of(kind: Type, name: &str, description: &str) -> Attribute {
    Attribute {
        name: name.into(),
        kind,
        multi_valued: false,
        description: description.into(),
        required: false,
        canonical_values: Vec::new(),
        case_exact: false,
        mutability: Mutability::ReadWrite,
        returned: Returned::Default,
        uniqueness: Uniqueness::None,
        reference_types: Vec::new(),
        sub_attributes: Vec::new(),
    }
}

fn text(name: &str, description: &str) -> Attribute {
    of(Type::String, name, description)
}

/// References heed case (RFC 7643 section 2.3.7).
fn reference(name: &str, types: &[&str], description: &str) -> Attribute {
    let reference_types = types.iter().map(|&name| name.into()).collect();
    Attribute { reference_types, ..of(Type::Reference, name, description) }.exact()
}

fn complex(name: &str, description: &str, sub_attributes: Vec<Attribute>) -> Attribute {
    Attribute { sub_attributes, ..of(Type::Complex, name, description) }
}

impl Attribute {
    fn many(self) -> Self {
        Self { multi_valued: true, ..self }
    }
    fn required(self) -> Self {
        Self { required: true, ..self }
    }
    fn exact(self) -> Self {
        Self { case_exact: true, ..self }
    }
    fn unique(self) -> Self {
        Self { uniqueness: Uniqueness::Server, ..self }
    }
    fn read_only(self) -> Self {
        Self { mutability: Mutability::ReadOnly, ..self }
    }
    fn immutable(self) -> Self {
        Self { mutability: Mutability::Immutable, ..self }
    }
    fn write_only(self) -> Self {
        Self { mutability: Mutability::WriteOnly, ..self }
    }
    fn returned(self, returned: Returned) -> Self {
        Self { returned, ..self }
    }
    fn canonical(self, values: &[&str]) -> Self {
        Self { canonical_values: values.iter().map(|&value| value.into()).collect(), ..self }
    }
}
