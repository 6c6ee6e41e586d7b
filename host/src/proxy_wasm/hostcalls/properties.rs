//! Properties: facts about the connection, the request and the plugin, and filter state under `wasm.`.

use std::time::UNIX_EPOCH;

use wasmtime::Linker;

use super::{Answer, Guest, table};
use crate::proxy_wasm::abi::Status;
use crate::proxy_wasm::host::{Direction, Host, Phase, StreamState};

pub fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    table! { linker,
        "proxy_get_property" => get, (path: u32, size: u32, at: u32, size_at: u32);
        "proxy_set_property" => set, (path: u32, size: u32, value: u32, value_size: u32);
    }
    Ok(())
}

fn get(guest: &mut Guest, path: u32, size: u32, at: u32, size_at: u32) -> Answer {
    let path = guest.read(path, size)?;
    if matches!(path.as_slice(), b"filter_state" | b"node") {
        return Err(Status::SerializationFailure.into());
    }
    let value = find(guest.host(), &path).ok_or(Status::NotFound)?;
    guest.give(&value, at, size_at)
}

/// Filter state lives with a stream; the root has none.
fn set(guest: &mut Guest, path: u32, size: u32, value: u32, value_size: u32) -> Answer {
    let (path, value) = (guest.read(path, size)?, guest.read(value, value_size)?);
    guest.host().stream_or(Status::NotFound)?.borrow_mut().filter_state.insert(path, value);
    Ok(())
}

/// Integers are eight little-endian bytes, everything else its text.
fn find(host: &Host, path: &[u8]) -> Option<Vec<u8>> {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == 0).collect();
    match parts.as_slice() {
        [b"plugin_name"] => return Some(host.settings.name.clone().into_bytes()),
        [b"plugin_root_id"] => return Some(host.settings.root_id.clone().into_bytes()),
        [b"plugin_vm_id"] => return Some(host.settings.vm_id.clone().into_bytes()),
        [b"xds", b"node", b"id"] => return Some(host.settings.node_id.clone().into_bytes()),
        _ => {}
    }
    let stream = host.stream()?;
    let state = stream.borrow();
    match parts.as_slice() {
        [b"source", b"address"] => Some(state.info.peer.to_string().into_bytes()),
        [b"source", b"port"] => Some(number(state.info.peer.port().into())),
        [b"destination", b"address"] => Some(state.info.local.to_string().into_bytes()),
        [b"destination", b"port"] => Some(number(state.info.local.port().into())),
        [b"connection", b"mtls"] => Some(vec![0]),
        [b"request", rest @ ..] => request(host, &state, rest),
        [b"response", b"code"] => number_of(&state.response, b":status"),
        [b"response", b"headers", name] => header(host, &state.response, name),
        [_] => state.filter_state.get(path).cloned(),
        _ => None,
    }
}

fn request(host: &Host, state: &StreamState, rest: &[&[u8]]) -> Option<Vec<u8>> {
    let headers = &state.request;
    match rest {
        [b"id"] => Some(state.info.request_id.clone().into_bytes()),
        [b"protocol"] => Some(state.info.protocol.into()),
        [b"time"] => Some(number(state.info.started.duration_since(UNIX_EPOCH).ok()?.as_nanos() as u64)),
        [b"path"] => header(host, headers, b":path"),
        [b"method"] => header(host, headers, b":method"),
        [b"host"] => header(host, headers, b":authority"),
        [b"scheme"] => header(host, headers, b":scheme"),
        [b"useragent"] => header(host, headers, b"user-agent"),
        [b"referer"] => header(host, headers, b"referer"),
        [b"headers", name] => header(host, headers, name),
        [b"url_path"] => header(host, headers, b":path").map(|path| split_query(&path).0.to_vec()),
        [b"query"] => header(host, headers, b":path").map(|path| split_query(&path).1.to_vec()),
        _ => None,
    }
}

fn split_query(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().position(|byte| *byte == b'?') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (path, &[]),
    }
}

/// Properties made of headers are within reach exactly when the headers are.
fn header(host: &Host, direction: &Direction, name: &[u8]) -> Option<Vec<u8>> {
    (direction.headers_open || host.phase == Phase::Log).then(|| direction.headers.get(name).map(<[u8]>::to_vec))?
}

fn number_of(direction: &Direction, name: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(direction.headers.get(name)?).ok()?.parse().ok().map(number)
}

fn number(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}
