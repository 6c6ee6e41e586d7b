//! The numbers of proxy-wasm ABI 0.2.1, as closed enums.

/// What a host call answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// No such thing.
    NotFound = 1,
    /// The arguments make no sense, or the thing is not available now.
    BadArgument = 2,
    /// The value has no form a guest could read.
    SerializationFailure = 3,
    /// A pointer leaves the guest's memory.
    InvalidMemoryAccess = 6,
    /// The queue holds nothing.
    Empty = 7,
    /// The value changed since it was read.
    CasMismatch = 8,
    /// The host could not do it.
    InternalFailure = 10,
    /// This host does not offer it.
    Unimplemented = 12,
}

/// `get_status` after a call that was reset.
pub const BROKEN_CONNECTION: u32 = 11;

/// One direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the client to the origin.
    Request,
    /// From the origin to the client.
    Response,
}

/// Which bytes a buffer call means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffer {
    /// A stream's body.
    Body(Side),
    /// The answer to an HTTP call.
    CallBody,
    /// `vm_config.configuration`.
    VmConfiguration,
    /// `configuration`, readable only while configuring.
    PluginConfiguration,
    /// TCP and gRPC data: never available here.
    Other,
}

impl Buffer {
    /// The buffer with this number.
    pub fn from_number(number: u32) -> Result<Buffer, Status> {
        match number {
            0 => Ok(Buffer::Body(Side::Request)),
            1 => Ok(Buffer::Body(Side::Response)),
            4 => Ok(Buffer::CallBody),
            6 => Ok(Buffer::VmConfiguration),
            7 => Ok(Buffer::PluginConfiguration),
            2 | 3 | 5 | 8 => Ok(Buffer::Other),
            _ => Err(Status::BadArgument),
        }
    }
}

/// Which headers a map call means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// A stream's headers.
    Headers(Side),
    /// The headers of the answer to an HTTP call.
    CallHeaders,
    /// Trailers and gRPC metadata: never available here, as with Envoy's HTTP/1 defaults.
    Other,
}

impl Map {
    /// The map with this number.
    pub fn from_number(number: u32) -> Result<Map, Status> {
        match number {
            0 => Ok(Map::Headers(Side::Request)),
            2 => Ok(Map::Headers(Side::Response)),
            6 => Ok(Map::CallHeaders),
            1 | 3 | 4 | 5 | 7 => Ok(Map::Other),
            _ => Err(Status::BadArgument),
        }
    }
}

/// How severe a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// Every step.
    Trace = 0,
    /// For developers.
    Debug = 1,
    /// Worth knowing.
    Info = 2,
    /// Unexpected, and survived.
    Warn = 3,
    /// Something failed.
    Error = 4,
    /// Nothing works.
    Critical = 5,
}

impl Level {
    /// The level with this number.
    pub fn from_number(number: u32) -> Result<Level, Status> {
        match number {
            0 => Ok(Level::Trace),
            1 => Ok(Level::Debug),
            2 => Ok(Level::Info),
            3 => Ok(Level::Warn),
            4 => Ok(Level::Error),
            5 => Ok(Level::Critical),
            _ => Err(Status::BadArgument),
        }
    }
}
