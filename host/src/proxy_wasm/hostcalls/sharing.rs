//! Shared data, shared queues and metrics.

use wasmtime::Linker;

use super::{Answer, Guest, table};
use crate::proxy_wasm::abi::Status;
use crate::proxy_wasm::host::Host;

pub fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    table! { linker,
        "proxy_get_shared_data" => get, (key: u32, size: u32, at: u32, size_at: u32, cas_at: u32);
        "proxy_set_shared_data" => set, (key: u32, size: u32, value: u32, value_size: u32, cas: u32);
        "proxy_register_shared_queue" => register, (name: u32, size: u32, id_at: u32);
        "proxy_resolve_shared_queue" => resolve, (vm: u32, vm_size: u32, name: u32, size: u32, id_at: u32);
        "proxy_enqueue_shared_queue" => enqueue, (id: u32, entry: u32, size: u32);
        "proxy_dequeue_shared_queue" => dequeue, (id: u32, at: u32, size_at: u32);
        "proxy_define_metric" => define, (kind: u32, name: u32, size: u32, id_at: u32);
        "proxy_increment_metric" => increment, (id: u32, offset: i64);
        "proxy_record_metric" => record, (id: u32, value: u64);
        "proxy_get_metric" => metric, (id: u32, at: u32);
    }
    Ok(())
}

fn get(guest: &mut Guest, key: u32, size: u32, at: u32, size_at: u32, cas_at: u32) -> Answer {
    let key = guest.read(key, size)?;
    let (value, cas) = guest.host().shared.data.get(&key).ok_or(Status::NotFound)?;
    guest.give(&value, at, size_at)?;
    Ok(guest.write_u32(cas_at, cas)?)
}

fn set(guest: &mut Guest, key: u32, size: u32, value: u32, value_size: u32, cas: u32) -> Answer {
    let (key, value) = (guest.read(key, size)?, guest.read(value, value_size)?);
    Ok(guest.host().shared.data.set(&key, &value, cas)?)
}

fn register(guest: &mut Guest, name: u32, size: u32, id_at: u32) -> Answer {
    let name = guest.read(name, size)?;
    let host = guest.host();
    let (inbox, vm) = host.inbox.clone();
    let id = host.shared.queues.register(&name, inbox, vm);
    Ok(guest.write_u32(id_at, id)?)
}

fn resolve(guest: &mut Guest, vm: u32, vm_size: u32, name: u32, size: u32, id_at: u32) -> Answer {
    let (vm, name) = (guest.read(vm, vm_size)?, guest.read(name, size)?);
    let host = guest.host();
    let ours = vm.is_empty() || vm == host.settings.vm_id.as_bytes();
    let id = ours.then(|| host.shared.queues.resolve(&name)).flatten().ok_or(Status::NotFound)?;
    Ok(guest.write_u32(id_at, id)?)
}

fn enqueue(guest: &mut Guest, id: u32, entry: u32, size: u32) -> Answer {
    let entry = guest.read(entry, size)?;
    Ok(guest.host().shared.queues.enqueue(id, &entry)?)
}

fn dequeue(guest: &mut Guest, id: u32, at: u32, size_at: u32) -> Answer {
    let entry = guest.host().shared.queues.dequeue(id)?;
    guest.give(&entry, at, size_at)
}

fn define(guest: &mut Guest, kind: u32, name: u32, size: u32, id_at: u32) -> Answer {
    let name = guest.read(name, size)?;
    let id = guest.host().shared.metrics.define(kind, &String::from_utf8_lossy(&name))?;
    Ok(guest.write_u32(id_at, id)?)
}

fn increment(guest: &mut Guest, id: u32, offset: i64) -> Answer {
    Ok(guest.host().shared.metrics.increment(id, offset)?)
}

fn record(guest: &mut Guest, id: u32, value: u64) -> Answer {
    Ok(guest.host().shared.metrics.record(id, value)?)
}

fn metric(guest: &mut Guest, id: u32, at: u32) -> Answer {
    let value = guest.host().shared.metrics.get(id)?;
    Ok(guest.write(at, &value.to_le_bytes())?)
}
