//! The key set an issuer publishes: in memory, in the store for other instances, and fetched when it is due.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use scim_jwks::KeySet;
use scim_jwks::published::{Published, Record};
use scim_spin_kv::{LABEL, now};
use spin_sdk::key_value::Store;
use spin_sdk::wasip3::clocks::monotonic_clock::wait_for;

use crate::fetch;

/// Key of the shared record in the store.
const KEY: &str = "jwks";
/// How long a request waits before it looks again whether another has fetched the keys, in nanoseconds.
const PAUSE: u64 = 10_000_000;

thread_local! {
    static KNOWN: RefCell<Option<Published>> = const { RefCell::new(None) };
    static FETCHING: Cell<bool> = const { Cell::new(false) };
}

/// The keys, for the user who presents that token.
pub async fn keys(url: &str, token: Option<&str>) -> Option<Arc<KeySet>> {
    while known(url, |known| known.is_due(token, now())) {
        if !FETCHING.get() {
            let _fetching = Fetching::begin();
            refresh(url, token).await;
            break;
        }
        if known(url, |known| known.serves(token, now())) {
            break;
        }
        // Requests of one instance cannot wake each other.
        wait_for(PAUSE).await;
    }
    known(url, |known| known.keys(now()))
}

/// Learns what other instances know; asks the issuer if that does not do.
async fn refresh(url: &str, token: Option<&str>) {
    let store = Store::open(LABEL).await.inspect_err(|error| eprintln!("key-value store `{LABEL}`: {error}")).ok();
    if let Some(store) = &store
        && let Ok(Some(shared)) = store.get(KEY).await
        && let Ok(shared) = serde_json::from_slice::<Record>(&shared)
    {
        known(url, |known| known.learn(shared));
    }
    if !known(url, |known| known.is_due(token, now())) {
        return;
    }
    let answer = fetch::get(url).await;
    let (noted, record) = known(url, |known| (known.answered(answer, token, now()), known.record().clone()));
    if let Err(reason) = noted {
        eprintln!("{reason}");
    }
    if let (Some(store), Ok(record)) = (store, serde_json::to_vec(&record))
        && let Err(error) = store.set(KEY, record).await
    {
        eprintln!("the key set was not shared: {error}");
    }
}

/// Runs `with` on what this instance knows; never across an `await`.
fn known<T>(url: &str, with: impl FnOnce(&mut Published) -> T) -> T {
    KNOWN.with_borrow_mut(|known| with(known.get_or_insert_with(|| Published::new(url))))
}

/// A fetch under way in this instance; over when dropped, however it ends.
struct Fetching;

impl Fetching {
    fn begin() -> Self {
        FETCHING.set(true);
        Self
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        FETCHING.set(false);
    }
}
