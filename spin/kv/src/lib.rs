//! What both Spin components share: a request is read, a [`Session`] of the engine is driven over Spin's key-value
//! store, and its answer is sent.
//!
//! Spin gives one component instance up to 16 requests at once. Everything an instance keeps between requests, settings
//! and pages, is therefore either immutable or borrowed for the length of one call, never across an `await`. Requests
//! that write to one directory at the same time share a commit.

mod bell;
mod bucket;
pub mod message;
pub mod settings;

use std::future::poll_fn;
use std::sync::{Arc, LazyLock};
use std::task::Poll;

use scim_engine::edge;
use scim_engine::env::{Config, Timestamp, UserJwt};
use scim_engine::http::{Request, Response};
use scim_engine::store::{GroupCommit, Handler, PageCache, Session, Turn};
use spin_sdk::wasip3::clocks::system_clock;
use spin_sdk::wasip3::http::types;
use spin_sdk::wasip3::random::random;

use bucket::Bucket;

/// Bytes of pages an instance keeps between requests.
const CACHED_BYTES: usize = 32 << 20;

static PAGES: LazyLock<PageCache> = LazyLock::new(|| PageCache::new(CACHED_BYTES));

static COMMITS: LazyLock<Arc<GroupCommit>> = LazyLock::new(Arc::default);

pub use bucket::LABEL;

/// Serves one request with one of the engine's handlers.
///
/// # Errors
/// What Spin should answer when not even an error response could be made.
pub async fn serve(request: types::Request, handler: Handler) -> Result<types::Response, types::ErrorCode> {
    Service { handler, users: async |_: &Request| None, form: std::convert::identity }.serve(request).await
}

/// A handler with what its component knows of users, and how it puts refusals.
pub struct Service<U> {
    /// Answers requests.
    pub handler: Handler,
    /// Finds what verifies the token of the user who makes a request.
    pub users: U,
    /// Puts an answer into the form of the component's API: a host's own refusals are SCIM's.
    pub form: fn(Response) -> Response,
}

impl<U: AsyncFn(&Request) -> Option<UserJwt>> Service<U> {
    /// Serves one request.
    ///
    /// # Errors
    /// As [`serve`].
    pub async fn serve(self, request: types::Request) -> Result<types::Response, types::ErrorCode> {
        let bodiless = matches!(request.get_method(), types::Method::Head);
        let response = self.answer(request).await;
        message::send((self.form)(response), bodiless)
    }

    async fn answer(&self, request: types::Request) -> Response {
        let (config, bucket) = match futures::try_join!(settings::load(), Bucket::open()) {
            Ok(opened) => opened,
            Err(reason) => return message::unavailable(&reason),
        };
        let now = now();
        let mut request = match message::read(request, config.limits.body).await {
            Ok(request) => request,
            Err(refusal) => return refusal.response(),
        };
        edge::recognise(&mut request, now, &config);
        let config = match (self.users)(&request).await {
            Some(users) => Arc::new(Config { user_jwt: Some(users), ..(*config).clone() }),
            None => config,
        };
        let session = Session::new(self.handler, request, seed(), now, config).committing_with(&COMMITS);
        drive(session, &bucket).await
    }
}

async fn drive(mut session: Session, bucket: &Bucket) -> Response {
    let mut reply = None;
    loop {
        match session.turn(&PAGES, reply.take()) {
            Turn::Call(call) => reply = Some(bucket.perform(call).await),
            Turn::Wait => {
                stand_back().await;
                bell::until(|cx| session.poll_ready(cx)).await;
            }
            Turn::Done(response) => {
                if let Some(incident) = session.incident() {
                    eprintln!("{incident}");
                }
                return response;
            }
        }
    }
}

/// Lets requests run that have arrived. While one computes, Spin gives an instance no other; once it has yielded, the next
/// one, which runs before a second yield returns.
async fn stand_back() {
    for _ in 0..2 {
        let mut yielded = false;
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// The time.
pub fn now() -> Timestamp {
    let now = system_clock::now();
    let whole = u64::try_from(now.seconds).unwrap_or(0).saturating_mul(1000);
    Timestamp(whole.saturating_add(u64::from(now.nanoseconds / 1_000_000)))
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    for (to, from) in seed.iter_mut().zip(random::get_random_bytes(32)) {
        *to = from;
    }
    seed
}
