//! The Spin component of everything but SCIM: the connection management API and the pages people see.

use scim_engine::connections;
use spin_sdk::wasip3;
use spin_sdk::wasip3::http::types;

struct Connections;

wasip3::http::service::export!(Connections);

impl wasip3::exports::http::handler::Guest for Connections {
    async fn handle(request: types::Request) -> Result<types::Response, types::ErrorCode> {
        scim_spin_kv::serve(request, connections::handle).await
    }
}
