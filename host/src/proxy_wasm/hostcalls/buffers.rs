//! Bodies and configuration.

use wasmtime::Linker;

use super::{Answer, Guest, table};
use crate::proxy_wasm::abi::{Buffer, Status};
use crate::proxy_wasm::host::{Host, Phase};

pub fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    table! { linker,
        "proxy_get_buffer_bytes" => get, (buffer: u32, start: u32, length: u32, at: u32, size_at: u32);
        "proxy_set_buffer_bytes" => set, (buffer: u32, start: u32, length: u32, bytes: u32, size: u32);
        "proxy_get_buffer_status" => status, (buffer: u32, size_at: u32, flags_at: u32);
    }
    Ok(())
}

fn get(guest: &mut Guest, buffer: u32, start: u32, length: u32, at: u32, size_at: u32) -> Answer {
    let buffer = Buffer::from_number(buffer)?;
    let end = start as usize + length as usize;
    let part = read(guest.host(), buffer, |bytes| {
        bytes.get(start as usize..end.min(bytes.len())).map(<[u8]>::to_vec).unwrap_or_default()
    })?;
    // With nothing to copy Envoy leaves the guest's variables as they were.
    if part.is_empty() { Ok(()) } else { guest.give(&part, at, size_at) }
}

fn status(guest: &mut Guest, buffer: u32, size_at: u32, flags_at: u32) -> Answer {
    let buffer = Buffer::from_number(buffer)?;
    let size = read(guest.host(), buffer, <[u8]>::len)?;
    guest.write_u32(size_at, size as u32)?;
    Ok(guest.write_u32(flags_at, 0)?)
}

fn set(guest: &mut Guest, buffer: u32, start: u32, length: u32, bytes: u32, size: u32) -> Answer {
    let Buffer::Body(side) = Buffer::from_number(buffer)? else { return Err(Status::BadArgument.into()) };
    let bytes = guest.read(bytes, size)?;
    let stream = guest.host().stream_or(Status::BadArgument)?;
    let mut state = stream.borrow_mut();
    let direction = state.side(side);
    if !direction.body_open {
        return Err(Status::BadArgument.into());
    }
    let (start, length) = (start as usize, length as usize);
    if start == 0 {
        let rest = direction.body.split_off(length.min(direction.body.len()));
        direction.body.clear();
        direction.body.extend_from_slice(&bytes);
        direction.body.extend_from_slice(&rest);
    } else if start >= direction.body.len() {
        direction.body.extend_from_slice(&bytes);
    } else {
        return Err(Status::BadArgument.into());
    }
    Ok(())
}

/// Reads a buffer. A body out of reach is empty; other buffers out of reach do not exist.
fn read<T>(host: &Host, buffer: Buffer, look: impl FnOnce(&[u8]) -> T) -> Result<T, Status> {
    match buffer {
        Buffer::VmConfiguration => Ok(look(&host.settings.vm_configuration)),
        Buffer::PluginConfiguration if host.phase == Phase::Configure => Ok(look(&host.settings.configuration)),
        Buffer::CallBody => host.reply.as_ref().map(|reply| look(&reply.body)).ok_or(Status::NotFound),
        Buffer::Body(side) => {
            let Some(stream) = host.stream() else { return Ok(look(&[])) };
            let state = stream.borrow();
            let direction = state.read_side(side);
            Ok(look(if direction.body_open { &direction.body } else { &[] }))
        }
        Buffer::PluginConfiguration | Buffer::Other => Err(Status::NotFound),
    }
}
