//! The Spin component of everything but SCIM: the connection management API and the pages people see.

mod users;

use scim_engine::connections;
use scim_engine::env::Env;
use scim_engine::http::Request;
use scim_engine::store::{Fault, Outcome, View};
use spin_sdk::wasip3;
use spin_sdk::wasip3::http::types;

struct Connections;

wasip3::http::service::export!(Connections);

impl wasip3::exports::http::handler::Guest for Connections {
    async fn handle(request: types::Request) -> Result<types::Response, types::ErrorCode> {
        // A wrong setting must not lock the vendor out: users are refused until it is right.
        let users = users::load().await.unwrap_or_else(|error| {
            eprintln!("{error}");
            None
        });
        scim_spin_kv::serve_users(request, handle, users).await
    }
}

fn handle(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    if scim_portal::serves(request) {
        scim_portal::handle(request, view, env)
    } else {
        connections::handle(request, view, env)
    }
}
