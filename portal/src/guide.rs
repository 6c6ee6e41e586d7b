//! What to do at each identity provider, as data. The words are those of the providers' own pages, as their documentation
//! had them in November 2026.

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
            "In the Okta Admin Console go to Applications and choose the app, or create one with SAML or SWA sign-on: Okta adds SCIM to no other kind. On the General tab select Edit under App Settings, choose SCIM as provisioning, and save.",
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
        ("Username, on the Sign On tab", "userName"),
        ("user.firstName", "name.givenName"),
        ("user.lastName", "name.familyName"),
        ("user.email", "emails[type eq \"work\"].value"),
        ("user.displayName", "displayName"),
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
            "In the Entra admin center go to Enterprise apps, New application, Create your own application, and choose the option that integrates an app not found in the gallery.",
        ),
        (
            "Open provisioning",
            "Select Provisioning in the menu, then New configuration. If it asks for an authentication method, choose Bearer authentication.",
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
            "Under Users and groups assign who shall be provisioned. Then return to the overview and select Start provisioning. Entra ID sends changes about every 40 minutes; Provision on demand is immediate.",
        ),
    ],
    mappings: &[
        ("userPrincipalName", "userName"),
        ("Switch([IsSoftDeleted], …)", "active"),
        ("displayName", "displayName"),
        ("mail", "emails[type eq \"work\"].value"),
        ("givenName", "name.givenName"),
        ("surname", "name.familyName"),
        ("mailNickname or objectId", "externalId"),
    ],
};

/// What OneLogin makes a user of. It fills in what stands in braces.
const ONELOGIN_TEMPLATE: &str = r#"{
  "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
  "userName": "{$parameters.scimusername}",
  "displayName": "{$user.display_name}",
  "name": {
    "givenName": "{$user.firstname}",
    "familyName": "{$user.lastname}"
  },
  "emails": [{
    "value": "{$user.email}",
    "type": "work",
    "primary": true
  }]
}"#;

static ONELOGIN: Guide = Guide {
    id: "onelogin",
    name: "OneLogin",
    mark: "1",
    source: "other",
    url_field: "SCIM Base URL",
    token_field: "SCIM Bearer Token",
    also: &[("SCIM JSON Template", ONELOGIN_TEMPLATE)],
    steps: &[
        (
            "Add the app",
            "In OneLogin Administration go to Applications, Add App, and choose SCIM Provisioner with SAML (SCIM v2 Enterprise). Save it under a name of your own.",
        ),
        (
            "Enter the connection",
            "On the Configuration tab paste the provisioning URL as SCIM Base URL, the token as SCIM Bearer Token, and the template as SCIM JSON Template. Save, then select Enable under API Status.",
        ),
        (
            "Choose the user name",
            "On the Parameters tab set SCIM Username to Email. To send groups, open the parameter Groups and tick Include in User Provisioning.",
        ),
        (
            "Switch on provisioning",
            "On the Provisioning tab tick Enable provisioning, and choose what happens when users are deleted or suspended.",
        ),
        (
            "Assign people",
            "Assign the app to roles or users. If you require approval, approve what is pending on the app's Users tab.",
        ),
    ],
    mappings: &[
        ("SCIM Username", "userName"),
        ("First Name", "name.givenName"),
        ("Last Name", "name.familyName"),
        ("Email", "emails[type eq \"work\"].value"),
        ("Display name", "displayName"),
        ("Status", "active"),
    ],
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
            "In the JumpCloud Admin Portal go to SSO Applications. Choose your application, or Add New Application, Custom Application with Export users to this app (Identity Management).",
        ),
        (
            "Enter the connection",
            "On the Identity Management tab choose SCIM API and SCIM 2.0. Paste the provisioning URL as Base URL and the token as Token Key, and enter the email of one of your users as Test User Email.",
        ),
        (
            "Test and activate",
            "Tick Enable management of User Groups and Group Membership if you want groups to be sent. Select Test Connection, then Activate, and save.",
        ),
        ("Assign groups", "On the User Groups tab select the groups whose members shall be provisioned, and save."),
    ],
    mappings: &[
        ("username", "userName"),
        ("firstname", "name.givenName"),
        ("lastname", "name.familyName"),
        ("email", "emails[type eq \"work\"].value"),
        ("User state", "active"),
    ],
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
            "In the Google Admin console go to Apps, Web and mobile apps, and choose an app of Google's catalog that supports automatic provisioning. Google offers it for those alone, not for custom SAML apps, and sends users but no groups.",
        ),
        (
            "Configure provisioning",
            "Open Autoprovisioning and select Configure autoprovisioning. Paste the token as access token, then the provisioning URL as endpoint URL.",
        ),
        ("Map attributes", "Check the attribute mapping. Username and both names are required."),
        (
            "Choose the scope",
            "Select the groups whose members shall be provisioned, and how soon people who leave lose access.",
        ),
        ("Switch it on", "Finish, then turn Autoprovisioning on. Google sends changes every few hours."),
    ],
    mappings: &[
        ("Basic information > Primary email", "userName"),
        ("Basic information > First name", "name.givenName"),
        ("Basic information > Last name", "name.familyName"),
        ("Basic information > Primary email", "emails[type eq \"work\"].value"),
    ],
};

static PINGONE: Guide = Guide {
    id: "pingone",
    name: "PingOne",
    mark: "P",
    source: "other",
    url_field: "SCIM base URL",
    token_field: "OAuth Access Token",
    also: &[
        ("Users resource", "/Users"),
        ("Groups resource", "/Groups"),
        ("SCIM version", "2.0"),
        ("Authentication method", "OAuth 2 Bearer Token"),
        ("Auth type header", "Bearer"),
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
            "Paste the provisioning URL as SCIM base URL. Choose OAuth 2 Bearer Token as authentication method and paste the token as OAuth Access Token. Then test the connection.",
        ),
        (
            "Set preferences",
            "Choose userName as user identifier, enter the filter expression userName Eq \"%s\", and choose what happens to people who leave.",
        ),
        (
            "Add a rule",
            "Create a rule for the connection, set its user filter to those who shall be provisioned, and check its attribute mapping. Turn on both the rule and the connection.",
        ),
    ],
    mappings: &[
        ("Username", "userName"),
        ("Given Name", "name.givenName"),
        ("Family Name", "name.familyName"),
        ("Email Address", "emails[type eq \"work\"].value"),
        ("Enabled", "active"),
    ],
};

static RIPPLING: Guide = Guide {
    id: "rippling",
    name: "Rippling",
    mark: "R",
    source: "other",
    url_field: "SCIM base URL",
    token_field: "Bearer token",
    also: &[("SCIM version", "2.0"), ("SCIM authorization method", "Bearer Token")],
    steps: &[
        (
            "Add a custom integration",
            "In Rippling go to IT, Third-Party Access, Add Integration, Create New Custom Integration. Give it a name and tick User Management via SCIM.",
        ),
        (
            "Describe the service",
            "Choose SCIM version 2.0, paste the provisioning URL as SCIM base URL, and choose Bearer Token as authorization method. Tick Supports Groups, Supports Pagination, Create & Delete Groups and Use PATCH to edit Groups.",
        ),
        (
            "Name the attributes",
            "Under Supported SCIM Attributes add externalId, emails.primary, name.givenName and name.familyName. Then install the integration.",
        ),
        (
            "Enter the token",
            "Paste the token as bearer token. Set who gets access, and when accounts are made and removed.",
        ),
        ("Match existing accounts", "Review the suggested matches, then finish."),
    ],
    mappings: &[
        ("Work email", "userName"),
        ("emails.primary", "emails[type eq \"work\"].value"),
        ("name.givenName", "name.givenName"),
        ("name.familyName", "name.familyName"),
        ("externalId", "externalId"),
    ],
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
    mappings: &[
        ("Username or email", "userName"),
        ("First name", "name.givenName"),
        ("Last name", "name.familyName"),
        ("Email", "emails[type eq \"work\"].value"),
        ("Active", "active"),
    ],
};
