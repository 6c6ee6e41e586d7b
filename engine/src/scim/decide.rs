//! Decisions for whoever lets people in: is this subject an active user, and in which groups.

use std::slice;

use serde::Deserialize;

use crate::connections::record::Record;
use crate::env::Env;
use crate::scim::directory;
use crate::scim::layout::{self, Index, Kind};
use crate::scim::members::{self, Membership};
use crate::store::{DirectoryId, Fault, Txn, View};

/// The attribute of a user that names a subject. Each has an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchedBy {
    /// `id`
    Id,
    /// `userName`, in any case of ASCII letters.
    UserName,
    /// `externalId`
    ExternalId,
    /// `emails.value`, in any case of ASCII letters; an address that several users have names nobody.
    Email,
}

/// What a directory says of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// An active user.
    Active {
        /// Id of the user.
        id: String,
        /// The user's groups, nested ones included.
        groups: Vec<Membership>,
    },
    /// A user whose `active` is false.
    Deactivated {
        /// Id of the user.
        id: String,
    },
    /// No user, more than one, or no such directory.
    Unknown,
}

/// Decides about a subject whom somebody else has authenticated.
///
/// # Errors
///
/// [`Fault::Need`] names what to load before the next try.
pub fn decide(
    directory: &DirectoryId,
    by: MatchedBy,
    subject: &str,
    view: &View<'_>,
    env: &Env<'_>,
) -> Result<Decision, Fault> {
    let Some(txn) = Txn::open(view, directory)? else { return Ok(Decision::Unknown) };
    if !Record::of(&txn).is_some_and(|record| record.is_live()) {
        return Ok(Decision::Unknown);
    }
    let Some(id) = find(&txn, by, subject)? else { return Ok(Decision::Unknown) };
    let Some(person) = load(&txn, &id)?.filter(|person| person.is_named(by, &id, subject)) else {
        return Ok(Decision::Unknown);
    };
    if person.active == Some(false) {
        return Ok(Decision::Deactivated { id });
    }
    let groups = members::groups_of(&txn, slice::from_ref(&id), &env.config.limits)?.concat();
    Ok(Decision::Active { id, groups })
}

/// The one user whom an index names.
fn find(txn: &Txn<'_>, by: MatchedBy, subject: &str) -> Result<Option<String>, Fault> {
    let index = match by {
        MatchedBy::Id => return Ok(Some(subject.to_owned())),
        MatchedBy::UserName => Index::UserName,
        MatchedBy::ExternalId => Index::UserExternalId,
        MatchedBy::Email => Index::Email,
    };
    let entries = directory::entries(txn, &index.exactly(subject), 2)?;
    Ok(if let [(key, _)] = entries.as_slice() { Some(layout::indexed_id(key)) } else { None })
}

fn load(txn: &Txn<'_>, id: &str) -> Result<Option<Person>, Fault> {
    let stored = txn.get(&layout::resource(Kind::User, id))?;
    let person = stored.map(|bytes| serde_json::from_slice(&bytes));
    person.transpose().map_err(|_| Fault::Damaged("a stored user is not JSON".to_owned()))
}

/// What matters of a stored user.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Person {
    active: Option<bool>,
    user_name: Option<String>,
    external_id: Option<String>,
    #[serde(default)]
    emails: Vec<Email>,
}

#[derive(Deserialize)]
struct Email {
    value: Option<String>,
}

impl Person {
    /// Whether this is the subject. An index folds more than the case of ASCII letters: with it alone, who may call
    /// himself `\u{212a}im` elsewhere, with the sign for kelvin, would be `kim` here.
    fn is_named(&self, by: MatchedBy, id: &str, subject: &str) -> bool {
        let is = |value: &Option<String>| value.as_ref().is_some_and(|value| value.eq_ignore_ascii_case(subject));
        match by {
            MatchedBy::Id => id == subject,
            MatchedBy::UserName => is(&self.user_name),
            MatchedBy::ExternalId => self.external_id.as_deref() == Some(subject),
            MatchedBy::Email => self.emails.iter().any(|email| is(&email.value)),
        }
    }
}
