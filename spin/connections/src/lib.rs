//! The Spin component of the connection management API.

use scim_engine::connections::{self, caller, error};
use scim_engine::http::Request;
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
        Service { handler: connections::handle, users, form: error::in_form }.serve(request).await
    }
}
