//! The self-service portal: a customer's own connections, within the permissions of the user.
//!
//! The vendor's application opens it by a form that posts the user's token to `/portal/session`, from its own page, with
//! the frame as target. The token becomes the session and ends it too.

use askama::Template;
use scim_engine::env::Env;
use scim_engine::http::{Request, Response};
use scim_engine::scim;
use scim_engine::store::{Fault, Outcome, View};

use crate::api::Api;
use crate::form::Form;
use crate::page::{self, Frame, Visit, answer};
use crate::session::{Area, Session};
use crate::{connection, connections};

/// How long the browser may keep the session, in seconds; the token inside usually ends sooner.
const AGE: u64 = 12 * 3600;
/// Longest token a cookie holds.
const TOKEN_BYTES: usize = 3800;

/// One request below `/portal`.
pub fn handle(segments: &[&str], request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let shown = route(segments, request, view, env);
    match shown {
        Err(Fault::Refused(refusal)) => Ok(answer(page::error(Area::Portal, &refusal, request, view, env))),
        other => other,
    }
}

fn route(segments: &[&str], request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    if let ["session"] = segments {
        return if request.method == "POST" { enter(request, view, env) } else { Err(unknown()) };
    }
    let session = Session::of(request).ok_or_else(|| Fault::Refused(Response::empty(401)))?;
    let visit = Visit::open(Area::Portal, &session, request, view, env)?;
    match (request.method.as_str(), segments) {
        ("GET", []) => connections::list(&visit, None),
        ("GET", ["new"]) => connections::offer(&visit, None),
        ("POST", ["new"]) => connections::create(&visit, None),
        (_, ["connections", id, rest @ ..]) => connection::handle(&visit, id, rest),
        _ => Err(unknown()),
    }
}

fn unknown() -> Fault {
    Fault::Refused(Response::empty(404))
}

#[derive(Template)]
#[template(path = "entered.html")]
struct Entered;

/// The token a request for a session presents.
pub fn presented(request: &Request) -> String {
    let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    bearer.map_or_else(|| Form::of(request).get("token").trim().to_owned(), |token| token.trim().to_owned())
}

/// Exchanges a user's token for a session. Who may post it: our own pages and those of the configured origins.
fn enter(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let origin = request.header("origin").unwrap_or_default();
    let own = scim::origin(request, env);
    if !origin.is_empty() && origin != own && !env.config.portal_origins.iter().any(|allowed| allowed == origin) {
        return Err(page::refuse(403, "this site may not open the portal"));
    }
    let token = presented(request);
    let session = Session::start(token.clone(), env);
    let api = Api::new(request, view, env, &session.credential);
    if token.len() > TOKEN_BYTES || api.rights()?.account.is_none() {
        return Err(Fault::Refused(Response::empty(401)));
    }
    let cookie = Area::Portal.cookie(Session::COOKIE, &session.value(), AGE, request, env);
    // A redirect would be part of the other site's navigation, and the cookie would be held back.
    let frame = Frame::bare(Area::Portal, "Provisioning", "");
    let response = page::html(200, &frame, &Entered, Area::Portal, env).with("set-cookie", cookie);
    Ok(answer(response.with("refresh", "0; url=/portal")))
}
