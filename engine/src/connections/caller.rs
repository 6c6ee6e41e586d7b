//! Who makes a management request, and what that allows.

use crate::connections::bearer;
use crate::connections::environment::Environment;
use crate::connections::error::ApiError;
use crate::connections::permission::{Grants, Permission};
use crate::connections::user::Claims;
use crate::connections::vendor;
use crate::env::Env;
use crate::http::Request;
use crate::store::Fault;

/// Longest `Authorization` header of a management request, in bytes: a user's token carries its permissions.
const HEADER_BYTES: usize = 16 << 10;

/// The header in which Frontegg's own server-side client sends an environment token.
const TOKEN_HEADER: &str = "x-access-token";

/// The header that names an account.
pub const ACCOUNT_HEADER: &str = "frontegg-tenant-id";

/// A proven credential, before any stored role is looked at.
#[derive(Debug)]
pub enum Credential {
    /// An environment token.
    Vendor,
    /// A user's token.
    User(Claims),
}

/// Someone who may make management requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The vendor: everything, in the account it chose or else in all of them.
    Vendor {
        /// The account chosen by the header.
        account: Option<String>,
    },
    /// A customer's user: its own account, its permissions.
    User {
        /// The user's account.
        account: String,
    },
}

/// What a credential is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// The account it is confined to; `None` is the vendor's, every account.
    pub account: Option<String>,
    /// Its permissions.
    pub grants: Grants,
    /// Whether customers' users may manage connections at present.
    pub self_service: bool,
}

/// What an action asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing: anybody may.
    Nothing,
    /// Only the vendor may.
    Vendor,
    /// A user with this permission may, too.
    Permission(Permission),
}

impl Credential {
    /// Proves the credential of a request, without any stored state.
    ///
    /// # Errors
    /// 401
    pub fn prove(request: &Request, env: &Env<'_>) -> Result<Self, ApiError> {
        if is_vendor_by_header(request, env) {
            return Ok(Self::Vendor);
        }
        let token = bearer::token(request, HEADER_BYTES).ok_or_else(ApiError::unauthorized)?;
        if vendor::verify(token, env) {
            return Ok(Self::Vendor);
        }
        let settings = env.config.user_jwt.as_ref().ok_or_else(ApiError::unauthorized)?;
        Claims::verify(token, settings, env.now).map(Self::User).ok_or_else(ApiError::unauthorized)
    }

    /// What the credential is good for, whatever is asked: for pages that show only what can be done.
    ///
    /// # Errors
    /// Pages may have to be loaded first.
    pub fn rights(&self, environment: &Environment<'_>) -> Result<Rights, Fault> {
        let self_service = environment.settings().self_service;
        let Self::User(claims) = self else {
            return Ok(Rights { account: None, grants: Permission::ALL.into_iter().collect(), self_service });
        };
        let own: Grants = claims.permissions.iter().map(String::as_str).collect();
        let grants = own.or(environment.grants_of_roles(&claims.roles)?);
        Ok(Rights { account: Some(claims.tenant_id.clone()), grants, self_service })
    }

    /// The caller, if the credential allows this action: for a user the self-service toggle must be on, the
    /// permission granted, and no other account named.
    ///
    /// # Errors
    /// 403; 400 for an account header that names no possible account.
    pub fn admit(self, demand: Demand, request: &Request, environment: &Environment<'_>) -> Result<Caller, Fault> {
        let named = account_header(request)?;
        let claims = match self {
            Self::Vendor => return Ok(Caller::Vendor { account: named.map(str::to_owned) }),
            Self::User(claims) => claims,
        };
        if !environment.settings().self_service {
            return Err(ApiError::forbidden("self-service is off").into());
        }
        let Demand::Permission(needed) = demand else {
            return Err(ApiError::forbidden("only the vendor may do this").into());
        };
        let own: Grants = claims.permissions.iter().map(String::as_str).collect();
        if !own.includes(needed) && !environment.grants_of_roles(&claims.roles)?.includes(needed) {
            return Err(ApiError::forbidden(&format!("the permission `{}` is missing", needed.key())).into());
        }
        if named.is_some_and(|named| named != claims.tenant_id) {
            return Err(ApiError::forbidden("the account is another one").into());
        }
        Ok(Caller::User { account: claims.tenant_id })
    }
}

/// The token of a customer's user, as far as its form tells: a JWT has three parts.
pub fn user_token(request: &Request) -> Option<&str> {
    bearer::token(request, HEADER_BYTES).filter(|token| token.split('.').count() == 3)
}

/// Whether the request carries a live environment token where Frontegg's server-side client puts it.
fn is_vendor_by_header(request: &Request, env: &Env<'_>) -> bool {
    let bare = request.header_values("authorization").next().is_none();
    bare && request.header(TOKEN_HEADER).is_some_and(|token| vendor::verify(token, env))
}

impl Caller {
    /// The account this caller is confined to; `None` is every account.
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::Vendor { account } => account.as_deref(),
            Self::User { account } => Some(account),
        }
    }

    /// Whether that account is in reach.
    pub fn reaches(&self, tenant_id: &str) -> bool {
        self.account().is_none_or(|account| account == tenant_id)
    }

    /// Whether it is the vendor.
    pub fn is_vendor(&self) -> bool {
        matches!(self, Self::Vendor { .. })
    }
}

/// The account a request names; an empty header names none.
fn account_header(request: &Request) -> Result<Option<&str>, ApiError> {
    let mut values = request.header_values(ACCOUNT_HEADER);
    let Some(value) = values.next() else { return Ok(None) };
    let invalid = || ApiError::invalid(ACCOUNT_HEADER, "must be one account id of at most 128 bytes");
    let name = std::str::from_utf8(value).map_err(|_| invalid())?.trim();
    let valid = values.next().is_none() && name.len() <= 128 && !name.chars().any(char::is_control);
    if valid { Ok(Some(name).filter(|name| !name.is_empty())) } else { Err(invalid()) }
}
