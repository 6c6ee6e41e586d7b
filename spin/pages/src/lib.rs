//! The Spin component of the pages people see: the vendor's dashboard and the customers' self-service portal.

use scim_engine::http::Request;
use scim_spin_kv::Service;
use spin_sdk::wasip3;
use spin_sdk::wasip3::http::types;

struct Pages;

wasip3::http::service::export!(Pages);

impl wasip3::exports::http::handler::Guest for Pages {
    async fn handle(request: types::Request) -> Result<types::Response, types::ErrorCode> {
        let users = async |request: &Request| match scim_portal::user_token(request) {
            Some(token) => scim_spin_users::known(Some(&token)).await,
            None => None,
        };
        Service { handler: scim_portal::handle, users, form: std::convert::identity }.serve(request).await
    }
}
