//! The Spin component that owns directories: SCIM for identity providers, and `/edge/v1/` for edges.

use scim_engine::env::Env;
use scim_engine::http::Request;
use scim_engine::store::{Fault, Outcome, View};
use scim_engine::{edge, scim};
use spin_sdk::wasip3;
use spin_sdk::wasip3::http::types;

struct Directory;

wasip3::http::service::export!(Directory);

impl wasip3::exports::http::handler::Guest for Directory {
    async fn handle(request: types::Request) -> Result<types::Response, types::ErrorCode> {
        scim_spin_kv::serve(request, handle).await
    }
}

fn handle(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    if request.path().starts_with("/edge/v1/") {
        edge::handle(request, view, env)
    } else {
        scim::handle(request, view, env)
    }
}
