//! `POST /scim2`: a new connection with its first token.

use serde_json::json;

use crate::connections::body::Body;
use crate::connections::caller::{ACCOUNT_HEADER, Caller};
use crate::connections::connection::{Connection, provider, provisioning_url, source};
use crate::connections::environment::{Entry, Environment, Leftover};
use crate::connections::error::{ApiError, JSON};
use crate::connections::record::{Record, Settings, State, Token};
use crate::connections::token;
use crate::env::Env;
use crate::http::{Request, Response};
use crate::log;
use crate::log::tally::Hour;
use crate::store::{DirectoryId, Fault, Outcome, Txn, View};

/// The account of a connection that the vendor creates without naming one.
pub const DEFAULT_ACCOUNT: &str = "default";

/// Creates a connection. Three commits: the head of its log, its own, then the environment's list, which decides whether the name is free.
///
/// # Errors
/// 400, 403 for another account, 409 for a name that is taken.
pub fn create<'v>(
    request: &Request,
    view: &'v View<'v>,
    mut environment: Environment<'v>,
    caller: &Caller,
    env: &Env<'_>,
) -> Result<Outcome, Fault> {
    let body = Body::parse(request)?;
    let id = env.uuid();
    let directory = DirectoryId::new(&id).ok_or_else(|| Fault::Damaged("a new id".into()))?;
    let source = source(body.required_text("source")?)?;
    let entry = Entry {
        tenant_id: account(caller, &body)?,
        connection_name: match body.text("connectionName")? {
            Some(name) => name.to_owned(),
            None => format!("{source}-{}", id.rsplit('-').next().unwrap_or(&id)),
        },
        source: source.to_owned(),
        created_at: env.now,
    };
    let secret = token::generate(env);
    let provider = body.text("provider")?.map(provider).transpose()?;
    let state = if body.flag("syncToUserManagement")?.unwrap_or(true) { State::Active } else { State::Paused };
    let record = record(&entry, provider, state, vec![Token::new(env.uuid(), &secret, env.now)]);
    // A run after a lost race finds the head that the first run made.
    let made = Connection::open(view, &directory)?;
    if let Err(refusal) = claim(view, &mut environment, &entry, env)? {
        return abandon(made, refusal, env);
    }
    environment.insert(&id, &entry);
    let heads = match made {
        Some(_) => [None, None],
        None => {
            let mut txn = Txn::create(view, &directory);
            txn.set_record(record.to_bytes());
            [log::open(view, &directory, env)?, txn.commit(env)?]
        }
    };
    let response = json!({
        "id": id,
        "connectionName": entry.connection_name,
        "token": secret,
        "tenantId": entry.tenant_id,
        "source": entry.source,
        "provider": record.provider,
        "syncToUserManagement": record.state == State::Active,
        "createdAt": entry.created_at.rfc3339(),
        "provisioningUrl": provisioning_url(&id, request, env),
    });
    let commits = heads.into_iter().flatten().chain(environment.commit(env)?).collect();
    Ok(Outcome { response: Response::json(201, JSON, &response), commits, ..Outcome::default() })
}

/// The record of a connection nothing was sent to yet.
pub(super) fn record(entry: &Entry, provider: Option<&str>, state: State, tokens: Vec<Token>) -> Record {
    Record {
        tenant_id: entry.tenant_id.clone(),
        connection_name: entry.connection_name.clone(),
        source: entry.source.clone(),
        provider: provider.map(str::to_owned),
        state,
        created_at: entry.created_at,
        last_sync: None,
        tokens,
        settings: Settings::default(),
        dissolving: Vec::new(),
        hour: Hour::default(),
    }
}

/// Makes sure that nobody holds the name; an unfinished deletion that still does is finished.
fn claim<'v>(
    view: &'v View<'v>,
    environment: &mut Environment<'v>,
    entry: &Entry,
    env: &Env<'_>,
) -> Result<Result<(), ApiError>, Fault> {
    let Some(holder) = environment.holder(&entry.tenant_id, &entry.connection_name)? else { return Ok(Ok(())) };
    release(view, environment, &holder, env).map(|released| match released {
        true => Ok(()),
        false => Err(ApiError::conflict("connectionName", "is taken in this account")),
    })
}

/// Takes a connection off the list if its head says it is deleted.
pub fn release<'v>(
    view: &'v View<'v>,
    environment: &mut Environment<'v>,
    holder: &str,
    env: &Env<'_>,
) -> Result<bool, Fault> {
    let Some(directory) = DirectoryId::new(holder) else { return Ok(false) };
    let state = Connection::open(view, &directory)?.map(|connection| connection.record.state);
    let removing = match state {
        Some(State::Active | State::Paused) => return Ok(false),
        Some(State::Residue) => false,
        Some(State::Deleting) | None => true,
    };
    if let Some(entry) = environment.entry(holder)? {
        environment.remove(holder, &entry);
        environment.set_leftover(holder, &Leftover { entry, deleted_at: env.now, removing });
    }
    Ok(true)
}

/// Refuses, after an earlier run has made the head: the head is retired, for nobody will ever know its token.
fn abandon(made: Option<Connection<'_>>, refusal: ApiError, env: &Env<'_>) -> Result<Outcome, Fault> {
    let Some(mut made) = made else { return Err(refusal.into()) };
    made.record.retire(State::Deleting);
    Ok(Outcome { response: refusal.response(), commits: made.commit(env)?.into_iter().collect(), ..Outcome::default() })
}

/// The account a new connection belongs to.
fn account(caller: &Caller, body: &Body) -> Result<String, ApiError> {
    let named = body.text("tenantId")?;
    let other = |account: &str| named.is_some_and(|named| named != account);
    match caller {
        Caller::User { account } if other(account) => Err(ApiError::forbidden("the account is another one")),
        Caller::User { account } => Ok(account.clone()),
        Caller::Vendor { account: Some(account) } if other(account) => {
            Err(ApiError::invalid("tenantId", &format!("is another account than `{ACCOUNT_HEADER}` says")))
        }
        Caller::Vendor { account: Some(account) } => Ok(account.clone()),
        Caller::Vendor { account: None } => {
            let account = named.unwrap_or(DEFAULT_ACCOUNT);
            let valid = account.len() <= 128;
            valid.then(|| account.to_owned()).ok_or_else(|| ApiError::invalid("tenantId", "is longer than 128 bytes"))
        }
    }
}
