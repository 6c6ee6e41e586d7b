//! The functions a guest imports, one module each for headers, buffers, the stream, the process and WASI.

mod buffers;
mod general;
mod headers;
mod http;
mod properties;
mod sharing;
mod wasi;

use wasmtime::{Caller, Linker};

use super::abi::Status;
use super::host::Host;

/// Why a host call ends early.
pub enum Halt {
    /// The guest reads this status.
    Refused(Status),
    /// The guest traps.
    Trapped(wasmtime::Error),
}

impl From<Status> for Halt {
    fn from(status: Status) -> Halt {
        Halt::Refused(status)
    }
}

impl From<wasmtime::Error> for Halt {
    fn from(error: wasmtime::Error) -> Halt {
        Halt::Trapped(error)
    }
}

/// What a host call's body answers.
pub type Answer = Result<(), Halt>;

/// The guest that made a host call.
pub struct Guest<'a>(Caller<'a, Host>);

impl Guest<'_> {
    /// The host's state.
    pub fn host(&mut self) -> &mut Host {
        self.0.data_mut()
    }

    /// A copy of the guest's bytes.
    pub fn read(&mut self, pointer: u32, length: u32) -> Result<Vec<u8>, Status> {
        let memory = self.0.data().memory.ok_or(Status::InvalidMemoryAccess)?;
        let (start, length) = (pointer as usize, length as usize);
        let part = memory.data(&self.0).get(start..start + length);
        part.map(<[u8]>::to_vec).ok_or(Status::InvalidMemoryAccess)
    }

    /// Writes into the guest's memory.
    pub fn write(&mut self, pointer: u32, bytes: &[u8]) -> Result<(), Status> {
        let memory = self.0.data().memory.ok_or(Status::InvalidMemoryAccess)?;
        memory.write(&mut self.0, pointer as usize, bytes).map_err(|_| Status::InvalidMemoryAccess)
    }

    /// Writes one number.
    pub fn write_u32(&mut self, pointer: u32, number: u32) -> Result<(), Status> {
        self.write(pointer, &number.to_le_bytes())
    }

    /// Hands bytes over in memory the guest allocates. Nothing is a null pointer, as in Envoy.
    pub fn give(&mut self, bytes: &[u8], pointer_at: u32, length_at: u32) -> Answer {
        let mut pointer = 0;
        if !bytes.is_empty() {
            let allocate = self.0.data().allocate.clone().ok_or(Status::InvalidMemoryAccess)?;
            pointer = allocate.call(&mut self.0, bytes.len() as u32)?;
            self.write(pointer, bytes)?;
        }
        self.write_u32(pointer_at, pointer)?;
        self.write_u32(length_at, bytes.len() as u32)?;
        Ok(())
    }
}

/// Turns a host call's end into the number the guest reads, or its trap.
fn settle(answer: Answer) -> wasmtime::Result<u32> {
    match answer {
        Ok(()) => Ok(Status::Ok as u32),
        Err(Halt::Refused(status)) => Ok(status as u32),
        Err(Halt::Trapped(error)) => Err(error),
    }
}

/// Links `proxy_…` functions: each row is the import's name, the function and its parameters.
macro_rules! table {
    ($linker:expr, $($name:literal => $function:path, ($($parameter:ident : $type:ty),*);)*) => {
        $($linker.func_wrap("env", $name, |caller: wasmtime::Caller<'_, $crate::proxy_wasm::host::Host>, $($parameter: $type),*| {
            $crate::proxy_wasm::hostcalls::settle($function(&mut $crate::proxy_wasm::hostcalls::Guest(caller), $($parameter),*))
        })?;)*
    };
}
use table;

/// Everything a guest may import. A guest that wants more is refused when it is loaded.
pub fn link_all(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    general::link(linker)?;
    headers::link(linker)?;
    buffers::link(linker)?;
    properties::link(linker)?;
    sharing::link(linker)?;
    http::link(linker)?;
    wasi::link(linker)
}
