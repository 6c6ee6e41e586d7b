//! Logging, time, contexts, foreign functions and the gRPC calls this host does not offer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wasmtime::Linker;

use super::{Answer, Guest, table};
use crate::proxy_wasm::abi::{Level, Status};
use crate::proxy_wasm::host::{After, Host, ROOT};

pub fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    table! { linker,
        "proxy_log" => log, (level: u32, text: u32, size: u32);
        "proxy_get_log_level" => log_level, (at: u32);
        "proxy_get_current_time_nanoseconds" => now, (at: u32);
        "proxy_set_tick_period_milliseconds" => tick, (period: u32);
        "proxy_set_effective_context" => effective, (context: u32);
        "proxy_done" => done, ();
        "proxy_get_status" => status, (code_at: u32, text_at: u32, size_at: u32);
        "proxy_call_foreign_function" => foreign,
            (name: u32, size: u32, arguments: u32, arguments_size: u32, result_at: u32, result_size_at: u32);
        "proxy_grpc_call" => no_grpc_call,
            (a: u32, b: u32, c: u32, d: u32, e: u32, f: u32, g: u32, h: u32, i: u32, j: u32, k: u32, l: u32);
        "proxy_grpc_stream" => no_grpc_stream, (a: u32, b: u32, c: u32, d: u32, e: u32, f: u32, g: u32, h: u32, i: u32);
        "proxy_grpc_send" => no_grpc_send, (a: u32, b: u32, c: u32, d: u32);
        "proxy_grpc_cancel" => no_grpc, (a: u32);
        "proxy_grpc_close" => no_grpc, (a: u32);
    }
    Ok(())
}

fn log(guest: &mut Guest, level: u32, text: u32, size: u32) -> Answer {
    let level = Level::from_number(level)?;
    let text = guest.read(text, size)?;
    guest.host().settings.log.write(level, &String::from_utf8_lossy(&text));
    Ok(())
}

fn log_level(guest: &mut Guest, at: u32) -> Answer {
    let level = guest.host().settings.log.level as u32;
    Ok(guest.write_u32(at, level)?)
}

fn now(guest: &mut Guest, at: u32) -> Answer {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| Status::InternalFailure)?;
    Ok(guest.write(at, &(now.as_nanos() as u64).to_le_bytes())?)
}

fn tick(guest: &mut Guest, period: u32) -> Answer {
    guest.host().after.push(After::Tick(Duration::from_millis(period.into())));
    Ok(())
}

fn effective(guest: &mut Guest, context: u32) -> Answer {
    let host = guest.host();
    if context != ROOT && !host.streams.contains_key(&context) {
        return Err(Status::BadArgument.into());
    }
    host.effective = context;
    Ok(())
}

/// Nothing here ever waits for a guest to be done.
fn done(_: &mut Guest) -> Answer {
    Err(Status::NotFound.into())
}

fn status(guest: &mut Guest, code_at: u32, text_at: u32, size_at: u32) -> Answer {
    let (code, text) = guest.host().status;
    guest.write_u32(code_at, code)?;
    guest.give(text.as_bytes(), text_at, size_at)
}

fn foreign(guest: &mut Guest, name: u32, size: u32, _: u32, _: u32, result_at: u32, result_size_at: u32) -> Answer {
    match guest.read(name, size)?.as_slice() {
        // There is one route, so there is nothing to clear.
        b"clear_route_cache" => guest.give(&[], result_at, result_size_at),
        _ => Err(Status::NotFound.into()),
    }
}

#[allow(clippy::too_many_arguments)]
fn no_grpc_call(
    _: &mut Guest,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
    _: u32,
) -> Answer {
    Err(Status::Unimplemented.into())
}

#[allow(clippy::too_many_arguments)]
fn no_grpc_stream(_: &mut Guest, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32) -> Answer {
    Err(Status::Unimplemented.into())
}

fn no_grpc_send(_: &mut Guest, _: u32, _: u32, _: u32, _: u32) -> Answer {
    Err(Status::Unimplemented.into())
}

fn no_grpc(_: &mut Guest, _: u32) -> Answer {
    Err(Status::Unimplemented.into())
}
