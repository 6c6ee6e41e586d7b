//! HTTP as no well-behaved client sends it: bytes over a socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::message::Answer;

/// How long a server may be silent: far beyond every limit it is configured with.
const SILENCE: Duration = Duration::from_secs(30);

/// Sends bytes over HTTP/1.1 and reads the one answer.
///
/// # Errors
/// No answer came.
pub fn exchange(url: &str, request: &[u8]) -> Result<Answer> {
    exchange_slowly(url, &[request], Duration::ZERO)
}

/// The same in parts with pauses between them; a server may answer, and end, before it has all.
///
/// # Errors
/// As [`exchange`].
pub fn exchange_slowly(url: &str, parts: &[&[u8]], pause: Duration) -> Result<Answer> {
    let mut conversation = Conversation::open(url)?;
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            std::thread::sleep(pause);
        }
        // A server that has answered already reads no more.
        if conversation.say(part).is_err() {
            break;
        }
    }
    conversation.hear()
}

/// A connection over which bytes go as they are given.
pub struct Conversation(TcpStream);

impl Conversation {
    /// Connects.
    ///
    /// # Errors
    /// The server can not be reached.
    pub fn open(url: &str) -> Result<Self> {
        connect(url).map(Self)
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// The server takes no more.
    pub fn say(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.0.write_all(bytes)?)
    }

    /// Reads one answer.
    ///
    /// # Errors
    /// None came.
    pub fn hear(&mut self) -> Result<Answer> {
        answer(&read(&mut self.0)?)
    }
}

/// Sends a request that breaks off, and closes the connection.
///
/// # Errors
/// The server can not be reached.
pub fn abandon(url: &str, request: &[u8]) -> Result<()> {
    let mut stream = connect(url)?;
    stream.write_all(request)?;
    stream.shutdown(Shutdown::Both)?;
    Ok(())
}

/// Sends the head of a request over HTTP/2, its fields as they are, and no more whether that is the `whole` or not, to see
/// how it ends: `HEADERS`, `RST_STREAM`, `GOAWAY`, or the `END` of the connection.
///
/// # Errors
/// Nothing of that came.
pub fn exchange_http2(url: &str, fields: &[(&[u8], &[u8])], whole: bool) -> Result<&'static str> {
    let mut stream = connect(url)?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
    stream.write_all(&frame(HEADERS, END_HEADERS | if whole { END_STREAM } else { 0 }, 1, &block))?;
    loop {
        let mut head = [0; 9];
        match stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                return Ok("END");
            }
            Err(error) => bail!("nothing came: {error}"),
        }
        let [a, b, c, kind, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload)?;
        match kind {
            HEADERS => return Ok("HEADERS"),
            RST_STREAM => return Ok("RST_STREAM"),
            GOAWAY => return Ok("GOAWAY"),
            _ => {}
        }
    }
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A literal header field without indexing (RFC 7541 section 6.2.2); names and values are shorter than 127 bytes.
fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let text = |text: &[u8]| [&[u8::try_from(text.len()).unwrap_or(0)], text].concat();
    [vec![0], text(name), text(value)].concat()
}

fn connect(url: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(url.strip_prefix("http://").context("no http URL")?)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The bytes of one answer, up to its length or the end of the connection.
fn read(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut received = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    while !is_whole(&received) {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(size) => received.extend_from_slice(chunk.get(..size).unwrap_or_default()),
            // A server that had bytes left to read when it closed resets the connection; what came before counts.
            Err(error) if error.kind() == ErrorKind::ConnectionReset && !received.is_empty() => break,
            Err(error) => bail!("after {} bytes: {error}", received.len()),
        }
    }
    Ok(received)
}

fn is_whole(received: &[u8]) -> bool {
    let length = |answer: &Answer| answer.header("content-length")?.parse().ok();
    answer(received).is_ok_and(|answer| length(&answer).is_some_and(|length: usize| answer.body.len() >= length))
}

fn answer(received: &[u8]) -> Result<Answer> {
    let end = received.windows(4).position(|window| window == b"\r\n\r\n").context("no head came")?;
    let (head, rest) = received.split_at(end);
    let rest = rest.get(4..).unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).context("no status line came")?;
    if status == 100 {
        return answer(rest);
    }
    let field = |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    Ok(Answer { status, headers: lines.filter_map(field).collect(), body: rest.to_vec() })
}
