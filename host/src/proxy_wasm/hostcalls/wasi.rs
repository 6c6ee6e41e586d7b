//! The few WASI preview 1 functions Envoy offers: no files, no arguments, no environment.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use wasmtime::{Caller, Linker};

use super::Guest;
use crate::proxy_wasm::abi::Level;
use crate::proxy_wasm::host::Host;

const SUCCESS: u32 = 0;
const BAD_DESCRIPTOR: u32 = 8;
const FAULT: u32 = 21;
const INVALID: u32 = 28;
const NOT_SUPPORTED: u32 = 58;
const MODULE: &str = "wasi_snapshot_preview1";
/// Envoy hands out no more than this at once.
const MAX_RANDOM: u32 = 64 * 1024;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

pub fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker
        .func_wrap(MODULE, "random_get", |c: Caller<'_, Host>, at: u32, size: u32| random(&mut Guest(c), at, size))?;
    linker.func_wrap(MODULE, "clock_time_get", |c: Caller<'_, Host>, clock: u32, _: u64, at: u32| {
        time(&mut Guest(c), clock, at)
    })?;
    linker.func_wrap(MODULE, "fd_write", |c: Caller<'_, Host>, fd: u32, list: u32, count: u32, written_at: u32| {
        write(&mut Guest(c), fd, list, count, written_at).unwrap_or(FAULT)
    })?;
    linker.func_wrap(MODULE, "fd_fdstat_get", |c: Caller<'_, Host>, fd: u32, at: u32| match fd {
        // A character device that may be written to.
        1 | 2 => wrote(Guest(c).write(at, &[2, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        _ => BAD_DESCRIPTOR,
    })?;
    for name in ["environ_sizes_get", "args_sizes_get"] {
        linker.func_wrap(MODULE, name, |c: Caller<'_, Host>, count_at: u32, size_at: u32| {
            let mut guest = Guest(c);
            wrote(guest.write_u32(count_at, 0).and_then(|()| guest.write_u32(size_at, 0)))
        })?;
    }
    linker.func_wrap(MODULE, "environ_get", |_: u32, _: u32| SUCCESS)?;
    linker.func_wrap(MODULE, "args_get", |_: u32, _: u32| SUCCESS)?;
    linker.func_wrap(MODULE, "sched_yield", || SUCCESS)?;
    linker.func_wrap(MODULE, "poll_oneoff", |_: u32, _: u32, _: u32, _: u32| NOT_SUPPORTED)?;
    linker.func_wrap(MODULE, "proc_exit", |code: u32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::msg(format!("the guest exited with `{code}`")))
    })?;
    linker.func_wrap(MODULE, "fd_close", |_: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_read", |_: u32, _: u32, _: u32, _: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_seek", |_: u32, _: i64, _: u32, _: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_prestat_get", |_: u32, _: u32| BAD_DESCRIPTOR)?;
    linker.func_wrap(MODULE, "fd_prestat_dir_name", |_: u32, _: u32, _: u32| BAD_DESCRIPTOR)?;
    Ok(())
}

fn random(guest: &mut Guest, at: u32, size: u32) -> u32 {
    if size > MAX_RANDOM {
        return INVALID;
    }
    let mut bytes = vec![0; size as usize];
    match getrandom::fill(&mut bytes) {
        Ok(()) => wrote(guest.write(at, &bytes)),
        Err(_) => FAULT,
    }
}

fn time(guest: &mut Guest, clock: u32, at: u32) -> u32 {
    let nanoseconds = match clock {
        0 => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64),
        1 => START.elapsed().as_nanos() as u64,
        _ => return NOT_SUPPORTED,
    };
    wrote(guest.write(at, &nanoseconds.to_le_bytes()))
}

/// Standard output and error become log lines.
fn write(guest: &mut Guest, fd: u32, list: u32, count: u32, written_at: u32) -> Option<u32> {
    let level = match fd {
        1 => Level::Info,
        2 => Level::Error,
        _ => return Some(BAD_DESCRIPTOR),
    };
    let mut text = Vec::new();
    for vector in guest.read(list, count.checked_mul(8)?).ok()?.chunks_exact(8) {
        let [pointer, size] = [0, 4].map(|at| u32::from_le_bytes([0, 1, 2, 3].map(|byte| vector[at + byte])));
        text.extend(guest.read(pointer, size).ok()?);
    }
    let line = String::from_utf8_lossy(&text);
    guest.host().settings.log.write(level, line.trim_end());
    Some(wrote(guest.write_u32(written_at, text.len() as u32)))
}

fn wrote<E>(result: Result<(), E>) -> u32 {
    result.map_or(FAULT, |()| SUCCESS)
}
