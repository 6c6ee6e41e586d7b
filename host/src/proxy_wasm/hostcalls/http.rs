//! Resuming, answering and closing streams, and calls to clusters. Effects wait until the guest has returned.

use std::time::Duration;

use bytes::Bytes;
use wasmtime::Linker;

use super::{Answer, Guest, table};
use crate::proxy_wasm::abi::{Side, Status};
use crate::proxy_wasm::cluster::HttpCall;
use crate::proxy_wasm::host::{After, Host, LocalReply};
use crate::proxy_wasm::pairs::Pairs;

pub fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    table! { linker,
        "proxy_continue_stream" => resume, (stream: u32);
        "proxy_close_stream" => close, (stream: u32);
        "proxy_send_local_response" => reply, (status: u32, details: u32, details_size: u32, body: u32, body_size: u32,
            headers: u32, headers_size: u32, grpc: i32);
        "proxy_http_call" => call, (cluster: u32, cluster_size: u32, headers: u32, headers_size: u32, body: u32,
            body_size: u32, trailers: u32, trailers_size: u32, timeout: u32, token_at: u32);
    }
    Ok(())
}

fn resume(guest: &mut Guest, stream: u32) -> Answer {
    let host = guest.host();
    let context = host.context();
    let side = match stream {
        0 => Side::Request,
        1 => Side::Response,
        2 => return Ok(()),
        3 => return Err(Status::Unimplemented.into()),
        _ => return Err(Status::BadArgument.into()),
    };
    if let Some(stream) = host.stream() {
        // Whichever direction resumes, Envoy takes the request out of reach.
        let mut state = stream.borrow_mut();
        state.request.headers_open = false;
        state.request.body_open = state.request.buffering;
        host.after.push(After::Resume(context, side));
    }
    Ok(())
}

fn close(guest: &mut Guest, stream: u32) -> Answer {
    let host = guest.host();
    match stream {
        0 | 1 => host.after.push(After::Reset(host.context())),
        2 | 3 => {}
        _ => return Err(Status::BadArgument.into()),
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)]
fn reply(
    guest: &mut Guest,
    status: u32,
    details: u32,
    details_size: u32,
    body: u32,
    body_size: u32,
    headers: u32,
    headers_size: u32,
    _grpc: i32,
) -> Answer {
    guest.read(details, details_size)?;
    let body = Bytes::from(guest.read(body, body_size)?);
    let headers = Pairs::from_bytes(&guest.read(headers, headers_size)?);
    let host = guest.host();
    host.stop_iteration = true;
    host.after.push(After::Reply(host.context(), LocalReply { status, headers, body, direct: false }));
    Ok(())
}

#[allow(clippy::too_many_arguments)]
fn call(
    guest: &mut Guest,
    cluster: u32,
    cluster_size: u32,
    headers: u32,
    headers_size: u32,
    body: u32,
    body_size: u32,
    trailers: u32,
    trailers_size: u32,
    timeout: u32,
    token_at: u32,
) -> Answer {
    let name = guest.read(cluster, cluster_size)?;
    let headers = Pairs::from_bytes(&guest.read(headers, headers_size)?);
    let body = Bytes::from(guest.read(body, body_size)?);
    guest.read(trailers, trailers_size)?;
    let host = guest.host();
    let cluster = host.clusters.find(&name).ok_or(Status::BadArgument)?;
    let complete = [&b":path"[..], b":method", b":authority"].iter().all(|name| headers.get(name).is_some());
    if !complete || i32::try_from(timeout).is_err() {
        return Err(Status::BadArgument.into());
    }
    let slot = cluster.reserve().ok_or(Status::InternalFailure)?;
    host.token = host.token.checked_add(1).unwrap_or(1);
    let token = host.token;
    let timeout = (timeout > 0).then(|| Duration::from_millis(timeout.into()));
    host.after.push(After::Call(HttpCall { token, cluster, headers, body, timeout, slot }));
    Ok(guest.write_u32(token_at, token)?)
}
