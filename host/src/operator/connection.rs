//! `scim-edge connection`: what a vendor does with its customers' connections.

use std::io::{IsTerminal, Write, stdin, stdout};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use scim_engine::env::Timestamp;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::{Access, shown, table};

const CONNECTIONS: &str = "/directory/resources/v1/configurations/scim2";

/// What to do with connections.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Make a connection, and show its first token: the only time it can be seen
    Create(Create),
    /// List connections, of every account unless one is named
    List(List),
    /// Show a connection and its tokens
    Show(One),
    /// Refuse SCIM writes with a reason; reads go on
    Pause(One),
    /// Take SCIM writes again
    Resume(One),
    /// Make another token and show it once; the old ones go on until they are revoked
    Rotate(Rotate),
    /// Delete a connection, with its users and groups unless they are to be kept
    Delete(Delete),
}

/// Settings of `create`.
#[derive(clap::Args)]
pub struct Create {
    #[command(flatten)]
    access: Access,
    /// Account it is for
    #[arg(long, value_name = "ACCOUNT")]
    tenant: Option<String>,
    /// Its name, unique in the account
    #[arg(long)]
    name: Option<String>,
    /// Where users come from: okta, azure-ad, frontegg or other
    #[arg(long, default_value = "other")]
    source: String,
    /// The exact directory provider, such as onelogin
    #[arg(long)]
    provider: Option<String>,
}

/// Settings of `list`.
#[derive(clap::Args)]
pub struct List {
    #[command(flatten)]
    access: Access,
    /// Those of one account
    #[arg(long, value_name = "ACCOUNT")]
    tenant: Option<String>,
    /// Those of one name, in any case
    #[arg(long)]
    name: Option<String>,
    /// Those of one source
    #[arg(long)]
    source: Option<String>,
    /// Deleted ones that left users and groups, instead of live ones
    #[arg(long)]
    residue: bool,
}

/// One connection.
#[derive(clap::Args)]
pub struct One {
    /// Id of the connection
    id: String,
    #[command(flatten)]
    access: Access,
}

/// Settings of `rotate`.
#[derive(clap::Args)]
pub struct Rotate {
    #[command(flatten)]
    one: One,
    /// A name for the new token
    #[arg(long)]
    name: Option<String>,
    /// When the new token ends: a time such as 2027-01-31T00:00:00Z, or how long from now, such as 90d or 12h
    #[arg(long, value_name = "TIME", value_parser = end)]
    expires: Option<Timestamp>,
    /// Revoke the old tokens at once, without overlap
    #[arg(long, conflicts_with = "finish")]
    revoke_old: bool,
    /// Make no token: revoke all but the newest, once the identity provider has changed over
    #[arg(long, conflicts_with_all = ["name", "expires"])]
    finish: bool,
}

/// Settings of `delete`.
#[derive(clap::Args)]
pub struct Delete {
    #[command(flatten)]
    one: One,
    /// Keep its users and groups as residue
    #[arg(long)]
    keep_users: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Runs a command.
///
/// # Errors
/// The deployment does not answer, or refuses.
pub fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Create(options) => create(options),
        Command::List(options) => list(&options),
        Command::Show(one) => show(&one),
        Command::Pause(one) => synchronise(&one, false),
        Command::Resume(one) => synchronise(&one, true),
        Command::Rotate(options) => rotate(&options),
        Command::Delete(options) => delete(&options),
    }
}

fn create(options: Create) -> anyhow::Result<()> {
    let Create { access, tenant, name, source, provider } = options;
    let mut body = Map::from_iter([("source".to_owned(), Value::from(source))]);
    let given = [("tenantId", tenant), ("connectionName", name), ("provider", provider)];
    body.extend(given.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?.into()))));
    let made = access.log_in()?.call("POST", CONNECTIONS, Some(&body.into()))?;
    let fields = [("id", "id"), ("name", "connectionName"), ("url", "provisioningUrl"), ("token", "token")];
    access.print(&made, || {
        table::fields(&fields, &made) + "\nThe token is shown this once: hand it to the identity provider.\n"
    })
}

fn list(options: &List) -> anyhow::Result<()> {
    let List { access, tenant, name, source, residue } = options;
    let client = access.log_in()?;
    let residue = residue.then(|| "residue".to_owned());
    let given = [("tenantId", tenant), ("connectionName", name), ("source", source), ("state", &residue)];
    let filters: Vec<_> = given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
    let mut rows = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let query: Vec<_> = filters.iter().copied().chain(cursor.as_deref().map(|cursor| ("cursor", cursor))).collect();
        let answer = client.ask("GET", CONNECTIONS, &query, None)?;
        cursor.clone_from(&answer.next);
        let Value::Array(page) = answer.accepted()? else { bail!("the answer is no list: is `--url` right?") };
        rows.extend(page);
        if cursor.is_none() {
            break;
        }
    }
    let last = if residue.is_some() { ("DELETED", "deletedAt") } else { ("LAST SYNC", "lastSync") };
    let columns = [
        ("ID", "id"),
        ("NAME", "connectionName"),
        ("ACCOUNT", "tenantId"),
        ("SOURCE", "source"),
        ("STATUS", "status"),
        last,
    ];
    access.print(&Value::from(rows.clone()), || table::of(&columns, &rows))
}

impl One {
    fn path(&self) -> anyhow::Result<String> {
        let valid = !self.id.is_empty() && self.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        ensure!(valid, "`{}` is no connection id", self.id);
        Ok(format!("{CONNECTIONS}/{}", self.id))
    }
}

fn show(one: &One) -> anyhow::Result<()> {
    let (client, path) = (one.access.log_in()?, one.path()?);
    let mut connection = client.call("GET", &path, None)?;
    let counts = client.call("GET", &format!("{path}/residue"), None)?;
    let tokens = tokens(&client, &path)?;
    for name in ["users", "groups"] {
        connection[name] = counts[name].clone();
    }
    connection["tokens"] = tokens.clone().into();
    let fields = [
        ("id", "id"),
        ("name", "connectionName"),
        ("account", "tenantId"),
        ("source", "source"),
        ("provider", "provider"),
        ("status", "status"),
        ("created", "createdAt"),
        ("last sync", "lastSync"),
        ("url", "provisioningUrl"),
        ("users", "users"),
        ("groups", "groups"),
    ];
    one.access.print(&connection, || format!("{}\n{}", table::fields(&fields, &connection), token_table(&tokens)))
}

fn tokens(client: &Client, path: &str) -> anyhow::Result<Vec<Value>> {
    let tokens = client.call("GET", &format!("{path}/tokens"), None)?;
    tokens.as_array().cloned().context("the answer is no list: is `--url` right?")
}

fn token_table(tokens: &[Value]) -> String {
    let columns = [
        ("TOKEN", "id"),
        ("NAME", "name"),
        ("CREATED", "createdAt"),
        ("EXPIRES", "expiresAt"),
        ("LAST USED", "lastUsedAt"),
        ("SCOPES", "scopes"),
        ("NETWORKS", "cidrs"),
    ];
    table::of(&columns, tokens)
}

fn synchronise(one: &One, on: bool) -> anyhow::Result<()> {
    let (client, path) = (one.access.log_in()?, one.path()?);
    client.call("PATCH", &path, Some(&json!({ "syncToUserManagement": on })))?;
    let connection = client.call("GET", &path, None)?;
    one.access
        .print(&connection, || format!("{} is {}", shown(&connection["connectionName"]), shown(&connection["status"])))
}

/// The new token is shown before an old one is revoked: whatever fails then, nobody is left without.
fn rotate(options: &Rotate) -> anyhow::Result<()> {
    let Rotate { one, name, expires, revoke_old, finish } = options;
    let (client, path) = (one.access.log_in()?, one.path()?);
    let old = tokens(&client, &path)?;
    if *finish {
        let newest =
            old.iter().max_by_key(|token| shown(&token["createdAt"])).context("the connection has no token")?;
        let rest: Vec<_> = old.iter().filter(|token| token["id"] != newest["id"]).cloned().collect();
        revoke(&client, &path, &rest)?;
        let outcome = json!({ "kept": newest["id"], "revoked": ids(&rest) });
        return one.access.print(&outcome, || format!("{} old tokens revoked", rest.len()));
    }
    let given = [("name", name.clone()), ("expiresAt", expires.map(Timestamp::rfc3339))];
    let body: Map<_, _> =
        given.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?.into()))).collect();
    let made = client.call("POST", &format!("{path}/tokens"), Some(&body.into()))?;
    let live = if *revoke_old { Vec::new() } else { ids(&old) };
    let outcome =
        json!({ "id": made["id"], "token": made["token"], "expiresAt": made["expiresAt"], "stillLive": live });
    let next = if *revoke_old {
        "The old tokens are being revoked.".to_owned()
    } else {
        format!("{} old tokens go on: revoke them with `scim-edge connection rotate {} --finish`.", old.len(), one.id)
    };
    one.access.print(&outcome, || {
        let shown = table::fields(&[("id", "id"), ("expires", "expiresAt"), ("token", "token")], &outcome);
        format!("{shown}\nThe token is shown this once: hand it to the identity provider. {next}\n")
    })?;
    stdout().flush()?;
    if *revoke_old { revoke(&client, &path, &old) } else { Ok(()) }
}

/// When a token is to end: a time, or a number of days or hours from now.
fn end(text: &str) -> Result<Timestamp, String> {
    let hours = [("d", 24), ("h", 1)].into_iter().find_map(|(unit, hours)| Some((text.strip_suffix(unit)?, hours)));
    let seconds = hours.and_then(|(number, hours)| number.parse::<u64>().ok()?.checked_mul(hours * 3600));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let later = seconds.map(|seconds| Timestamp(0).plus_seconds(now.saturating_add(seconds)));
    let time = later.or_else(|| Timestamp::parse(text));
    time.ok_or_else(|| "give a time such as 2027-01-31T00:00:00Z, or 90d or 12h from now".to_owned())
}

fn ids(tokens: &[Value]) -> Vec<Value> {
    tokens.iter().map(|token| token["id"].clone()).collect()
}

fn revoke(client: &Client, path: &str, tokens: &[Value]) -> anyhow::Result<()> {
    tokens
        .iter()
        .try_for_each(|token| client.call("DELETE", &format!("{path}/tokens/{}", shown(&token["id"])), None).map(drop))
}

fn delete(options: &Delete) -> anyhow::Result<()> {
    let Delete { one, keep_users, yes } = options;
    let (client, path) = (one.access.log_in()?, one.path()?);
    let connection = client.call("GET", &path, None)?;
    let body = json!({ "deleteAll": !keep_users });
    let counts = client.ask("DELETE", &path, &[("dryRun", "true")], Some(&body))?.accepted()?;
    let name = shown(&connection["connectionName"]);
    let content = format!("{} users, {} groups and {} tokens", counts["users"], counts["groups"], counts["tokens"]);
    let fate = if *keep_users { "its users and groups are kept as residue" } else { "all of it is removed" };
    if !yes {
        confirm(&name, &format!("`{name}` of `{}` has {content}; {fate}.", shown(&connection["tenantId"])))?;
    }
    client.call("DELETE", &path, Some(&body))?;
    let mut outcome = counts.clone();
    outcome["id"] = connection["id"].clone();
    outcome["kept"] = (*keep_users).into();
    one.access.print(&outcome, || format!("`{name}` is deleted; it had {content}, {fate}"))
}

/// Asks a person for the connection's name; without a person there is no asking.
fn confirm(name: &str, what: &str) -> anyhow::Result<()> {
    ensure!(stdin().is_terminal(), "{what} To delete it without being asked, add `--yes`");
    eprint!("{what}\nType its name to delete it: ");
    let mut typed = String::new();
    stdin().read_line(&mut typed)?;
    ensure!(typed.trim() == name, "nothing is deleted");
    Ok(())
}
