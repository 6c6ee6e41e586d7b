//! The Spin component of everything but SCIM: the connection management API and the pages people see.

mod users;

use scim_engine::connections;
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
        scim_spin_kv::serve_users(request, connections::handle, users).await
    }
}
