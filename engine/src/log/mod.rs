//! The provisioning log: what identity providers asked of a connection, and what came of it.
//!
//! | Request | Where its entry is kept |
//! |---|---|
//! | an accepted write | in the connection's own directory, put there by the write's own commit: no transaction more |
//! | a refusal, and a write that changed nothing | in a directory beside it, `log-{connection}`, by a commit [aside](crate::store::Aside): it is tried once the answer is decided and never changes it |
//!
//! Both are bounded: by count and age ([`Limits`](crate::env::Limits)), and the second by a rate per minute as well,
//! for anybody may have requests refused. The second directory is made with the connection and closed with its content,
//! so no request without a credential ever creates a key. Nothing is noted for a connection that does not exist.
//!
//! Beside the entries each directory counts them by the [hour](tally), for a month.
//!
//! An entry holds names of attributes, never values: see [`redact`].

mod aside;
mod entry;
mod keep;
pub mod read;
pub mod redact;
mod scribe;
pub mod tally;

pub(crate) use aside::{aside, close, directory, open};
pub use entry::Entry;
pub(crate) use keep::{foresee, keep};
pub(crate) use scribe::why;
pub use scribe::{Scribe, operation};
