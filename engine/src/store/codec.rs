//! What pages and heads share on the wire: an envelope with version and checksum, and bounds-checked reading.
//!
//! ```text
//! offset 0  2 bytes  magic: `sp` page, `sh` head
//!        2  1 byte   format version
//!        3  1 byte   kind: a page's level above the leaves; 0 in a head
//!        4  4 bytes  CRC-32 (IEEE, little endian) of bytes 0..4 and of everything from byte 8
//!        8           body
//! ```
//!
//! Numbers are LEB128 varints of at most 64 bits; *bytes* means a varint length and that many bytes.

use std::fmt;

/// Length of the envelope before the body.
pub(crate) const ENVELOPE: usize = 8;

/// Why stored bytes are not a page or a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// They do not begin with the magic number.
    Foreign,
    /// They have a format version this build does not know.
    Version(u8),
    /// The checksum does not match.
    Checksum,
    /// The checksum matches, but the content does not parse.
    Malformed,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("the bytes are not ours"),
            Self::Version(version) => write!(f, "format version {version} is unknown"),
            Self::Checksum => f.write_str("the checksum does not match"),
            Self::Malformed => f.write_str("the content does not parse"),
        }
    }
}

impl std::error::Error for Damage {}

/// Puts a body into an envelope.
pub(crate) fn seal(magic: [u8; 2], version: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let start = [magic[0], magic[1], version, kind];
    let mut bytes = Vec::with_capacity(ENVELOPE + body.len());
    bytes.extend_from_slice(&start);
    bytes.extend_from_slice(&checksum(&start, body).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Checks an envelope of format version 1 to `newest`; gives the version, the kind, and a reader at the body.
pub(crate) fn open(bytes: &[u8], magic: [u8; 2], newest: u8) -> Result<(u8, u8, Reader<'_>), Damage> {
    let (Some(start), Some(sum), Some(body)) =
        (bytes.first_chunk::<4>(), bytes.get(4..ENVELOPE), bytes.get(ENVELOPE..))
    else {
        return Err(Damage::Foreign);
    };
    let [a, b, found, kind] = *start;
    if [a, b] != magic {
        return Err(Damage::Foreign);
    }
    if sum != checksum(start, body).to_le_bytes() {
        return Err(Damage::Checksum);
    }
    if !(1..=newest).contains(&found) {
        return Err(Damage::Version(found));
    }
    Ok((found, kind, Reader { bytes, at: ENVELOPE }))
}

fn checksum(start: &[u8; 4], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(start);
    hasher.update(body);
    hasher.finalize()
}

/// A part of a byte string, by offsets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The part of `bytes`.
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Reads a byte string from front to back; every step answers `None` at the end instead of failing.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Whether everything was read.
    pub(crate) fn at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// How many bytes are left: a bound on what a count may promise.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(crate) fn span(&mut self, len: usize) -> Option<Span> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len())?;
        let span = Span { start: u32::try_from(self.at).ok()?, end: u32::try_from(end).ok()? };
        self.at = end;
        Some(span)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.bytes;
        self.span(N)?.of(bytes).try_into().ok()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return None;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A varint length and that many bytes.
    pub(crate) fn counted(&mut self) -> Option<Span> {
        let len = usize::try_from(self.varint()?).ok()?;
        self.span(len)
    }
}

/// Appends a varint.
#[expect(clippy::cast_possible_truncation, reason = "the low seven bits are what is meant")]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a varint length and the bytes.
pub(crate) fn put_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Length of a varint.
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Length of bytes with their length before them.
pub(crate) fn counted_len(bytes: &[u8]) -> usize {
    varint_len(bytes.len() as u64) + bytes.len()
}
