//! Header maps. A stream's headers are within reach from their callback until that direction continues.

use wasmtime::Linker;

use super::{Answer, Guest, Halt, table};
use crate::proxy_wasm::abi::{Map, Status};
use crate::proxy_wasm::host::{Host, Phase};
use crate::proxy_wasm::pairs::Pairs;

pub fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    table! { linker,
        "proxy_get_header_map_pairs" => pairs, (map: u32, at: u32, size_at: u32);
        "proxy_set_header_map_pairs" => set_pairs, (map: u32, pairs: u32, size: u32);
        "proxy_get_header_map_value" => value, (map: u32, name: u32, name_size: u32, at: u32, size_at: u32);
        "proxy_add_header_map_value" => add, (map: u32, name: u32, name_size: u32, value: u32, size: u32);
        "proxy_replace_header_map_value" => replace, (map: u32, name: u32, name_size: u32, value: u32, size: u32);
        "proxy_remove_header_map_value" => remove, (map: u32, name: u32, name_size: u32);
        "proxy_get_header_map_size" => size, (map: u32, at: u32);
    }
    Ok(())
}

fn pairs(guest: &mut Guest, map: u32, at: u32, size_at: u32) -> Answer {
    let map = Map::from_number(map)?;
    // A map out of reach is an empty one here, and only here.
    let bytes = read(guest.host(), map, |pairs| if pairs.is_empty() { Vec::new() } else { pairs.to_bytes() });
    guest.give(&bytes.unwrap_or_default(), at, size_at)
}

fn value(guest: &mut Guest, map: u32, name: u32, name_size: u32, at: u32, size_at: u32) -> Answer {
    let map = Map::from_number(map)?;
    let name = guest.read(name, name_size)?;
    let host = guest.host();
    let out_of_reach = if host.phase == Phase::Log { Status::NotFound } else { Status::BadArgument };
    let value = read(host, map, |pairs| pairs.get(&name).map(<[u8]>::to_vec)).ok_or(out_of_reach)?;
    guest.give(&value.ok_or(Status::NotFound)?, at, size_at)
}

fn size(guest: &mut Guest, map: u32, at: u32) -> Answer {
    let map = Map::from_number(map)?;
    let bytes = |pairs: &Pairs| pairs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let size = read(guest.host(), map, bytes).ok_or(Status::BadArgument)?;
    Ok(guest.write_u32(at, size as u32)?)
}

fn set_pairs(guest: &mut Guest, map: u32, pairs: u32, size: u32) -> Answer {
    let new = Pairs::from_bytes(&guest.read(pairs, size)?);
    change(guest, map, |pairs| *pairs = new)
}

fn add(guest: &mut Guest, map: u32, name: u32, name_size: u32, value: u32, size: u32) -> Answer {
    let (name, value) = (guest.read(name, name_size)?, guest.read(value, size)?);
    change(guest, map, |pairs| pairs.add(&name, &value))
}

fn replace(guest: &mut Guest, map: u32, name: u32, name_size: u32, value: u32, size: u32) -> Answer {
    let (name, value) = (guest.read(name, name_size)?, guest.read(value, size)?);
    change(guest, map, |pairs| pairs.replace(&name, &value))
}

fn remove(guest: &mut Guest, map: u32, name: u32, name_size: u32) -> Answer {
    let name = guest.read(name, name_size)?;
    change(guest, map, |pairs| pairs.remove(&name))
}

/// Reads a map, if it is within reach.
fn read<T>(host: &Host, map: Map, look: impl FnOnce(&Pairs) -> T) -> Option<T> {
    match map {
        Map::CallHeaders => host.reply.as_ref().map(|reply| look(&reply.headers)),
        Map::Headers(side) => {
            let stream = host.stream()?;
            let state = stream.borrow();
            let direction = state.read_side(side);
            let logged = host.phase == Phase::Log && !direction.headers.is_empty();
            (direction.headers_open || logged).then(|| look(&direction.headers))
        }
        Map::Other => None,
    }
}

/// Changes a stream's map, if it is within reach.
fn change(guest: &mut Guest, map: u32, change: impl FnOnce(&mut Pairs)) -> Answer {
    let Map::Headers(side) = Map::from_number(map)? else { return Err(Status::BadArgument.into()) };
    let stream = guest.host().stream_or(Status::BadArgument)?;
    let mut state = stream.borrow_mut();
    let direction = state.side(side);
    if !direction.headers_open {
        return Err(Halt::Refused(Status::BadArgument));
    }
    change(&mut direction.headers);
    Ok(())
}
