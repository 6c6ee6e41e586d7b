//! The Envoy filter in front of an origin, as it ships.

mod entry {
    proxy_wasm::main! {{ scim_filter::start(); }}
}
