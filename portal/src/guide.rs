//! What to do at each identity provider, as data.

/// How one provider is connected.
#[derive(Debug, Default)]
pub struct Guide {
    /// Its id in the API.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The letter that stands for it.
    pub mark: &'static str,
    /// The API's `source`.
    pub source: &'static str,
    /// The field that takes the provisioning URL, as the provider names it.
    pub url_field: &'static str,
    /// The field that takes the token.
    pub token_field: &'static str,
    /// Other fields, and what to put there.
    pub also: &'static [(&'static str, &'static str)],
    /// What to do, in order: a heading and how.
    pub steps: &'static [(&'static str, &'static str)],
    /// Attributes of the provider, and where they belong.
    pub mappings: &'static [(&'static str, &'static str)],
}

impl Default for &'static Guide {
    fn default() -> Self {
        &GENERIC
    }
}

/// The guide of a provider; the generic one for any other.
pub fn of(id: &str) -> &'static Guide {
    ALL.iter().copied().find(|guide| guide.id == id).unwrap_or_default()
}

/// Every guide, in the order in which they are offered.
pub static ALL: [&Guide; 8] = [&OKTA, &ENTRA, &ONELOGIN, &JUMPCLOUD, &GOOGLE, &PINGONE, &RIPPLING, &GENERIC];

const USUAL: &[(&str, &str)] = &[
    ("Username or email", "userName"),
    ("First name", "name.givenName"),
    ("Last name", "name.familyName"),
    ("Email", "emails[type eq \"work\"].value"),
    ("Active", "active"),
];

static OKTA: Guide = Guide {
    id: "okta",
    name: "Okta",
    mark: "O",
    source: "okta",
    url_field: "SCIM connector base URL",
    token_field: "Authorization",
    also: &[("Unique identifier field for users", "userName"), ("Authentication mode", "HTTP Header")],
    steps: &[
        (
            "Open your app integration",
            "In the Okta Admin Console go to Applications, choose the app, and open the General tab. Under App Settings select Edit, tick SCIM for Provisioning, and save.",
        ),
        (
            "Enter the connection",
            "Open the Provisioning tab and select Integration, then Edit. Paste the provisioning URL into SCIM connector base URL, and enter userName as the unique identifier field for users.",
        ),
        (
            "Choose the actions",
            "Tick Push New Users, Push Profile Updates and Push Groups. As authentication mode choose HTTP Header and paste the token as Authorization.",
        ),
        ("Test and save", "Select Test Connector Configuration. When every action shows a tick, save."),
        (
            "Switch on provisioning",
            "Under To App select Edit and enable Create Users, Update User Attributes and Deactivate Users. Then assign people and groups on the Assignments and Push Groups tabs.",
        ),
    ],
    mappings: &[
        ("userName", "userName"),
        ("givenName", "name.givenName"),
        ("familyName", "name.familyName"),
        ("email", "emails[type eq \"work\"].value"),
        ("displayName", "displayName"),
    ],
};

static ENTRA: Guide = Guide {
    id: "entra-id",
    name: "Microsoft Entra ID",
    mark: "M",
    source: "azure-ad",
    url_field: "Tenant URL",
    token_field: "Secret token",
    also: &[("Authentication method", "Bearer authentication")],
    steps: &[
        (
            "Create an application",
            "In the Entra admin center go to Enterprise applications, New application, Create your own application, and choose the option that integrates an app not found in the gallery.",
        ),
        (
            "Open provisioning",
            "Select Provisioning in the menu, then New configuration. As authentication method choose Bearer authentication.",
        ),
        (
            "Enter the connection",
            "Paste the provisioning URL as Tenant URL, and the token as Secret token. Select Test connection, then Create.",
        ),
        (
            "Check the mappings",
            "Under Attribute mapping open Provision Microsoft Entra ID Users. Make sure userPrincipalName maps to userName and is used to match objects.",
        ),
        (
            "Assign and start",
            "Under Users and groups assign who shall be provisioned. Then return to the overview and select Start provisioning. The first cycle can take up to 40 minutes; Provision on demand is immediate.",
        ),
    ],
    mappings: &[
        ("userPrincipalName", "userName"),
        ("Switch([IsSoftDeleted], …)", "active"),
        ("mail", "emails[type eq \"work\"].value"),
        ("givenName", "name.givenName"),
        ("surname", "name.familyName"),
        ("mailNickname or objectId", "externalId"),
    ],
};

static ONELOGIN: Guide = Guide {
    id: "onelogin",
    name: "OneLogin",
    mark: "1",
    source: "other",
    url_field: "SCIM Base URL",
    token_field: "SCIM Bearer Token",
    also: &[],
    steps: &[
        (
            "Add the app",
            "In OneLogin Administration go to Applications, Add App, and choose SCIM Provisioner with SAML (SCIM v2 Enterprise).",
        ),
        (
            "Enter the connection",
            "On the Configuration tab paste the provisioning URL as SCIM Base URL and the token as SCIM Bearer Token. Under API Connection select Enable.",
        ),
        (
            "Switch on provisioning",
            "On the Provisioning tab tick Enable provisioning, and choose what happens when users are deleted or suspended.",
        ),
        (
            "Assign people",
            "Assign the app to roles or users. Under Users approve pending provisioning events, if you require approval.",
        ),
    ],
    mappings: USUAL,
};

static JUMPCLOUD: Guide = Guide {
    id: "jumpcloud",
    name: "JumpCloud",
    mark: "J",
    source: "other",
    url_field: "Base URL",
    token_field: "Token Key",
    also: &[("API type", "SCIM API"), ("SCIM version", "SCIM 2.0")],
    steps: &[
        (
            "Open the application",
            "In the JumpCloud Admin Portal go to SSO Applications and choose or add the custom application.",
        ),
        (
            "Enter the connection",
            "On the Identity Management tab choose SCIM API and SCIM 2.0. Paste the provisioning URL as Base URL and the token as Token Key, and enter a test user's email.",
        ),
        (
            "Test and activate",
            "Select Test Connection, then Activate. Enable group management if you want groups to be sent.",
        ),
        ("Assign groups", "On the User Groups tab select the groups whose members shall be provisioned, and save."),
    ],
    mappings: USUAL,
};

static GOOGLE: Guide = Guide {
    id: "google-workspace",
    name: "Google Workspace",
    mark: "G",
    source: "other",
    url_field: "Endpoint URL",
    token_field: "Access token",
    also: &[],
    steps: &[
        (
            "Open the app",
            "In the Google Admin console go to Apps, Web and mobile apps, and choose the SAML app that supports automatic provisioning.",
        ),
        (
            "Configure provisioning",
            "Open Autoprovisioning and select Configure autoprovisioning. Paste the token as access token, then the provisioning URL as endpoint URL.",
        ),
        ("Map attributes", "Check the attribute mapping. Username and both names are required."),
        (
            "Choose the scope",
            "Select the groups whose members shall be provisioned, and how quickly people who leave lose access.",
        ),
        ("Switch it on", "Finish, then turn Autoprovisioning on."),
    ],
    mappings: USUAL,
};

static PINGONE: Guide = Guide {
    id: "pingone",
    name: "PingOne",
    mark: "P",
    source: "other",
    url_field: "SCIM Base URL",
    token_field: "OAuth Access Token",
    also: &[
        ("Authentication method", "OAuth 2 Bearer Token"),
        ("User identifier", "userName"),
        ("User filter expression", "userName Eq \"%s\""),
    ],
    steps: &[
        (
            "Create a connection",
            "In the PingOne console go to Integrations, Provisioning, and add a new connection. Choose Identity Store, then SCIM Outbound.",
        ),
        (
            "Enter the connection",
            "Paste the provisioning URL as SCIM Base URL. Choose OAuth 2 Bearer Token as authentication method and paste the token. Keep the default user and group resources, then test the connection.",
        ),
        ("Set preferences", "Choose userName as user identifier and filter expression userName Eq \"%s\"."),
        (
            "Add a rule",
            "Create an outbound rule for the connection with the population that shall be provisioned. Turn on both the rule and the connection.",
        ),
    ],
    mappings: USUAL,
};

static RIPPLING: Guide = Guide {
    id: "rippling",
    name: "Rippling",
    mark: "R",
    source: "other",
    url_field: "SCIM base URL",
    token_field: "Bearer token",
    also: &[],
    steps: &[
        (
            "Add a custom integration",
            "In Rippling go to IT Management, Custom App, create the app and choose SCIM as its provisioning.",
        ),
        (
            "Enter the connection",
            "Paste the provisioning URL as SCIM base URL, choose Bearer token, and paste the token.",
        ),
        ("Choose who gets access", "Set the access rules and when accounts are created and removed."),
        ("Match existing accounts", "Review the suggested matches, then finish."),
    ],
    mappings: USUAL,
};

static GENERIC: Guide = Guide {
    id: "generic",
    name: "Generic SCIM 2.0",
    mark: "S",
    source: "other",
    url_field: "the base URL",
    token_field: "the bearer token",
    also: &[("Matching attribute", "userName")],
    steps: &[
        (
            "Open SCIM provisioning",
            "In your identity provider open the application and its SCIM 2.0 provisioning settings.",
        ),
        (
            "Enter the connection",
            "Paste the provisioning URL as base URL. Choose bearer token (OAuth bearer, HTTP header) as authentication and paste the token.",
        ),
        ("Map attributes", "Map at least a unique userName. Use userName as the matching attribute."),
        ("Test and start", "Run the connection test, assign users and groups, and start provisioning."),
    ],
    mappings: USUAL,
};
