//! The filter's configuration in local mode: one JSON document, refused with the name of the field that is wrong.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use scim_engine::connections::cidr::Network;
use scim_engine::connections::record::{MAX_TOKENS, Record, Scope, Settings, State, Token};
use scim_engine::connections::token;
use scim_engine::env::{Config as Engine, Limits, Timestamp};
use scim_engine::log::tally::Hour;
use scim_engine::schema::Registry;
use scim_engine::store::DirectoryId;
use scim_filter::config::{Rate, public_url};
use scim_filter::fields::{Fields, Refused};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// What each connection's record says.
    pub connections: HashMap<DirectoryId, Record>,
    /// Sizes in shared data.
    pub slots: Slots,
    /// Requests of one connection.
    pub rate: Rate,
    /// What the engine is told.
    pub engine: Arc<Engine>,
}

/// Sizes in shared data: memory is reserved by use and never exceeds these.
#[derive(Clone, Copy, Debug)]
pub struct Slots {
    /// Connections there may be until Envoy restarts, those no longer configured included.
    pub connections: u32,
    /// Pages kept, by all connections together; each slot holds `limits.page_bytes`.
    pub pages: u32,
    /// Bytes of decoded pages each worker keeps besides.
    pub worker_bytes: usize,
}

impl Config {
    /// Reads and checks the document.
    ///
    /// # Errors
    /// One sentence that names the field.
    pub fn parse(document: &[u8]) -> Result<Self, Refused> {
        let mut fields = Fields::parse(document)?;
        fields.choice("mode", &[("local", ())])?;
        let slots = Slots::of(fields.object("slots")?)?;
        let (rate, limits) = limits(fields.object("limits")?)?;
        let public_url = public_url(&mut fields)?;
        let mut connections = HashMap::new();
        for mut fields in fields.objects("connections")? {
            let id = connection_id(&mut fields)?;
            if connections.contains_key(&id) {
                return Err(fields.refuse("id", "is taken by another connection"));
            }
            connections.insert(id, record(fields)?);
        }
        let most = slots.connections;
        if connections.is_empty() || connections.len() > most as usize {
            return Err(fields.refuse("connections", format!("expected 1 to {most}, which is `slots.connections`")));
        }
        fields.end()?;
        Ok(Self { connections, slots, rate, engine: Arc::new(Engine { public_url, limits, ..Engine::default() }) })
    }
}

impl Slots {
    fn of(mut fields: Fields) -> Result<Self, Refused> {
        let slots = Self {
            connections: fields.number("connections", 1..=1 << 16, 64)?,
            pages: fields.number("pages", 256..=1 << 16, 8192)?,
            worker_bytes: fields.number("worker_bytes", 4 << 20..=512 << 20, 32 << 20)?,
        };
        fields.end().map(|()| slots)
    }
}

/// Bounds on what one request may ask for, and so on how long it may keep its worker.
fn limits(mut fields: Fields) -> Result<(Rate, Limits), Refused> {
    let rate = Rate::of(&mut fields)?;
    let default = Limits::default();
    let limits = Limits {
        body: fields.number("body_bytes", 1..=64 << 20, default.body)?,
        filter_bytes: fields.number("filter_bytes", 1..=1 << 20, default.filter_bytes)?,
        filter_depth: fields.number("filter_depth", 1..=128, default.filter_depth)?,
        filter_terms: fields.number("filter_terms", 1..=10_000, default.filter_terms)?,
        patch_operations: fields.number("patch_operations", 1..=100_000, default.patch_operations)?,
        bulk_operations: fields.number("bulk_operations", 1..=100_000, default.bulk_operations)?,
        page: fields.number("page", 1..=10_000, default.page)?,
        scan: fields.number("scan", 1..=1_000_000, default.scan)?,
        members: fields.number("members", 1..=1_000_000, default.members)?,
        resource: fields.number("resource_bytes", 1..=1 << 20, default.resource)?,
        page_bytes: fields.number("page_bytes", 512..=1 << 20, default.page_bytes)?,
        // The log is read through the management API, which is not here: it would only take room.
        log_entries: 0,
        // A deletion costs little here, and a slot that is not free a lot.
        garbage_pages: 0,
        ..default
    };
    fields.end().map(|()| (rate, limits))
}

fn connection_id(fields: &mut Fields) -> Result<DirectoryId, Refused> {
    let id = DirectoryId::new(&fields.required("id")?).filter(|id| id.as_str() != DirectoryId::ENVIRONMENT);
    id.ok_or_else(|| fields.refuse("id", "expected 1 to 64 letters, digits and `-`, and not `environment`"))
}

/// What a connection's record says, its id apart.
fn record(mut fields: Fields) -> Result<Record, Refused> {
    let state = if fields.flag("paused")? { State::Paused } else { State::Active };
    let tokens = fields.objects("tokens")?;
    if !(1..=MAX_TOKENS).contains(&tokens.len()) {
        return Err(fields.refuse("tokens", format!("expected 1 to {MAX_TOKENS}")));
    }
    let tokens = tokens.into_iter().enumerate().map(|(index, fields)| connection_token(index, fields));
    let record = Record {
        tenant_id: String::new(),
        connection_name: String::new(),
        source: "other".to_owned(),
        provider: None,
        state,
        created_at: Timestamp::default(),
        last_sync: None,
        tokens: tokens.collect::<Result<_, _>>()?,
        settings: settings(fields.object("settings")?)?,
        dissolving: Vec::new(),
        hour: Hour::default(),
    };
    fields.end().map(|()| record)
}

fn settings(mut fields: Fields) -> Result<Settings, Refused> {
    let settings = Settings {
        revive: fields.flag("revive")?,
        strict: fields.flag("strict")?,
        user_extensions: fields.values("user_extensions")?,
        group_extensions: fields.values("group_extensions")?,
    };
    Registry::with_extensions(&settings.user_extensions, &settings.group_extensions)
        .map_err(|error| fields.refuse_all(error))?;
    fields.end().map(|()| settings)
}

fn connection_token(index: usize, mut fields: Fields) -> Result<Token, Refused> {
    let hash = match (fields.text("token")?, fields.text("sha256")?) {
        (Some(text), None) => token::hash(text.as_bytes()),
        (None, Some(hex)) => {
            let bytes = from_hex(&hex).filter(|bytes| bytes.len() == 32);
            URL_SAFE_NO_PAD.encode(bytes.ok_or_else(|| fields.refuse("sha256", "expected 64 hexadecimal digits"))?)
        }
        _ => return Err(fields.refuse_all("expected either `token` or `sha256`")),
    };
    let limited = fields.has("scopes");
    let scopes = Some(fields.texts("scopes")?).filter(|_| limited);
    let scopes = scopes.map(|names| names.iter().map(|name| Scope::of_name(name)).collect::<Option<_>>());
    let scopes = match scopes {
        Some(None) => return Err(fields.refuse("scopes", "expected scopes such as `users:read`")),
        Some(scopes) => scopes,
        None => None,
    };
    let cidrs = fields.texts("cidrs")?;
    if cidrs.iter().any(|cidr| cidr.parse::<Network>().is_err()) {
        return Err(fields.refuse("cidrs", "expected networks such as `10.0.0.0/8`"));
    }
    let expires_at = match fields.text("expires_at")?.map(|text| Timestamp::parse(&text)) {
        Some(None) => return Err(fields.refuse("expires_at", "expected a time such as `2030-01-31T00:00:00Z`")),
        time => time.flatten(),
    };
    let now = Timestamp::default();
    let token = Token { hash, scopes, cidrs, expires_at, ..Token::new(index.to_string(), "", now) };
    fields.end().map(|()| token)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? * 16 + digit(low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
const MODES: &[&str] = &["local"];
#[cfg(test)]
const WALKTHROUGH: &str = include_str!("../../../envoy/local.md");
#[cfg(test)]
#[path = "../../src/config/schema.rs"]
mod schema;

#[cfg(test)]
mod tests {
    use super::*;

    fn with(extra: &str) -> String {
        format!(r#"{{"mode":"local","connections":[{{"id":"c","tokens":[{{"token":"hunter2"}}]}}]{extra}}}"#)
    }

    fn connection(inner: &str) -> String {
        format!(r#"{{"mode":"local","connections":[{{{inner}}}]}}"#)
    }

    #[test]
    fn a_token_is_the_same_in_plain_and_as_its_hash() {
        let hash = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";
        let hashed = connection(&format!(r#""id":"c","tokens":[{{"sha256":"{hash}"}}]"#));
        let (plain, hashed) = (Config::parse(with("").as_bytes()).unwrap(), Config::parse(hashed.as_bytes()).unwrap());
        let token = |config: &Config| config.connections[&DirectoryId::new("c").unwrap()].tokens.clone();
        assert_eq!(token(&plain), token(&hashed));
        assert!(!format!("{plain:?}").contains("hunter2"));
    }

    #[test]
    fn the_example_is_a_configuration() {
        let example = include_str!("../../../envoy/local.yaml");
        let document = example.split_once("value: |").unwrap().1.split_once("- name: envoy").unwrap().0;
        let config = Config::parse(document.as_bytes()).unwrap();
        let tokens = &config.connections[&DirectoryId::new("okta-test").unwrap()].tokens;
        assert_eq!(tokens[0].hash, token::hash(b"for-development-only"));
        assert_eq!(tokens[1].hash, token::hash(b"read-only-token"));
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let config = Config::parse(with(r#","limits":{"page":50},"slots":{"pages":999},"//":"x""#).as_bytes()).unwrap();
        let Slots { connections, pages, .. } = config.slots;
        assert_eq!((config.engine.limits.page, pages, connections), (50, 999, 64));
        assert_eq!(config.engine.limits.body, Limits::default().body);
        assert_eq!(config.engine.limits.log_entries, 0);
    }

    #[test]
    fn a_refusal_names_the_field_and_never_the_token() {
        let token = r#""tokens":[{"token":"hunter2"}]"#;
        let cases = [
            (String::new(), "EOF"),
            (r#"{"mode":"origin","connections":[]}"#.into(), "`mode`"),
            (r#"{"mode":"local"}"#.into(), "connections"),
            (r#"{"mode":"local","connections":[]}"#.into(), "connections"),
            (with(r#","origin":{}"#), "origin"),
            (with(r#","slots":{"pages":1}"#), "slots.pages"),
            (with(r#","slots":{"heads":1}"#), "heads"),
            (with(r#","limits":{"in_flight":1}"#), "in_flight"),
            (with(r#","limits":{"burst":0}"#), "limits.burst"),
            (with(r#","limits":{"bulk_operations":0}"#), "limits.bulk_operations"),
            (with(r#","public_url":"x""#), "public_url"),
            (connection(r#""id":"c""#), "connections[0].tokens"),
            (connection(&format!(r#""id":"c",{token},"pasued":true"#)), "connections[0].pasued"),
            (connection(r#""id":"c","tokens":[{"token":"hunter2","text":1}]"#), "connections[0].tokens[0].text"),
            (connection(r#""id":"c","tokens":["hunter2"]"#), "connections[0].tokens[0]"),
            (connection(r#""id":"c","tokens":[]"#), "connections[0].tokens"),
            (connection(r#""id":"c","tokens":[{}]"#), "connections[0].tokens[0]"),
            (connection(r#""id":"c","tokens":[{"token":"hunter2","sha256":"00"}]"#), "connections[0].tokens[0]"),
            (connection(r#""id":"c","tokens":[{"token":"hunter2 "}]"#), "tokens[0].token"),
            (connection(r#""id":"c","tokens":[{"sha256":"00"}]"#), "tokens[0].sha256"),
            (connection(r#""id":"c","tokens":[{"token":"hunter2","cidrs":["x"]}]"#), "tokens[0].cidrs"),
            (connection(r#""id":"c","tokens":[{"token":"hunter2","expires_at":"x"}]"#), "tokens[0].expires_at"),
            (connection(r#""id":"c","tokens":[{"token":"hunter2","scopes":["all"]}]"#), "tokens[0].scopes"),
            (connection(&format!(r#""id":"a_b",{token}"#)), "connections[0].id"),
            (connection(&format!(r#""id":"environment",{token}"#)), "connections[0].id"),
            (
                connection(&format!(r#""id":"c",{token},"settings":{{"user_extensions":[{{}}]}}"#)),
                "connections[0].settings",
            ),
            (connection(&format!(r#""id":"c",{token}}},{{"id":"c",{token}"#)), "connections[1].id"),
        ];
        for (document, field) in cases {
            let refusal = Config::parse(document.as_bytes()).map(|_| String::new()).unwrap_or_else(|r| r.to_string());
            assert!(refusal.contains(field) && !refusal.contains("hunter2"), "{document}: {refusal}");
        }
    }
}
