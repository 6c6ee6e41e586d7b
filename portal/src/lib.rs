//! The pages people use: the vendor's dashboard (`/dashboard`) and the customer's self-service portal (`/portal`).
//!
//! Every page is a client of the management API, in the same process: it makes the request an API client would make,
//! with the credential of its session, and shows the answer. So a page can never do what the API would refuse, and no
//! rule is written twice. Like the engine, nothing here performs I/O: [`handle`] is a handler as the engine's are.
//!
//! | Module | Idea |
//! |---|---|
//! | [`session`] | cookies, and the proof that a form is ours |
//! | `api` | requests of the management API, made on behalf of a page |
//! | `page` | what every page shares: frame, headers, notices |
//! | `shown`, `moment`, `chart` | connections, times and charts as pages show them |
//! | `dashboard`, `connections`, `connection`, `directory`, `log`, `roles` | the pages themselves |
//! | `filters` | how templates write values |
//! | `guide` | what to do at each identity provider, as data |

mod api;
mod assets;
mod chart;
mod connection;
mod connections;
mod dashboard;
mod directory;
mod filters;
mod form;
mod guide;
mod log;
mod moment;
mod page;
mod portal;
mod roles;
pub mod session;
mod shown;

use std::borrow::Cow;

use scim_engine::env::Env;
use scim_engine::http::{Request, percent_decode};
use scim_engine::store::{Fault, Outcome, View};

/// The token of the customer's user who makes a request: what proves it may have to be fetched first.
pub fn user_token(request: &Request) -> Option<String> {
    match request.path().trim_end_matches('/') {
        "/portal/session" => Some(portal::presented(request)),
        path if path.starts_with("/portal") => session::Session::of(request).map(|session| session.credential),
        _ => None,
    }
}

/// One request of a person's browser.
///
/// # Errors
/// Heads and pages to be loaded first. What the API refuses becomes a page that says so.
pub fn handle(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let path = request.path().trim_end_matches('/');
    let decoded: Option<Vec<Cow<'_, str>>> = path.split('/').skip(1).map(|part| percent_decode(part, false)).collect();
    let decoded = decoded.unwrap_or_default();
    let segments: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
    match segments.as_slice() {
        ["assets", ..] => Ok(page::answer(assets::serve(path))),
        ["dashboard", rest @ ..] => dashboard::handle(rest, request, view, env),
        ["portal", rest @ ..] => portal::handle(rest, request, view, env),
        _ => Ok(page::answer(page::plain(404, "There is no such page."))),
    }
}
