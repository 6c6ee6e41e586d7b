//! The Spin component of the connection management API.

use scim_engine::connections::{self, caller, error};
use scim_engine::env::Env;
use scim_engine::http::{Request, Response};
use scim_engine::store::{Fault, Outcome, View};
use scim_spin_kv::Service;
use spin_sdk::wasip3;
use spin_sdk::wasip3::http::types;

struct Connections;

wasip3::http::service::export!(Connections);

impl wasip3::exports::http::handler::Guest for Connections {
    async fn handle(request: types::Request) -> Result<types::Response, types::ErrorCode> {
        // Only a user's token is worth asking an issuer for its keys.
        let users = async |request: &Request| match caller::user_token(request) {
            Some(token) => scim_spin_users::known(Some(token)).await,
            None => None,
        };
        Service { handler: handle, users, form: error::in_form }.serve(request).await
    }
}

/// The management API; and since whatever no other component serves comes here, the way of a browser that is given the bare
/// host.
fn handle(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let is_browser = request.header("accept").is_some_and(|accepted| accepted.contains("text/html"));
    if request.path() == "/" && matches!(&*request.method, "GET" | "HEAD") && is_browser {
        let response = Response::empty(303).with("location", "/dashboard").with("vary", "accept");
        return Ok(Outcome { response, ..Outcome::default() });
    }
    connections::handle(request, view, env)
}
