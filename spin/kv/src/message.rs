//! Requests and responses, between `wasi:http` and the engine's values.

use std::net::{IpAddr, SocketAddr};

use scim_engine::error::{Kind, ScimError};
use scim_engine::http::{Request, Response};
use spin_sdk::wasip3::http::types::{self, ErrorCode, Fields, Method};
use spin_sdk::wasip3::wit_bindgen::{FutureReader, StreamReader, StreamResult};
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};

/// Bytes asked for in one read of a body.
const READ: usize = 64 << 10;

/// Reads a request whole.
///
/// # Errors
/// A body over `limit` bytes, which is not read on, and one that breaks off.
pub async fn read(request: types::Request, limit: usize) -> Result<Request, ScimError> {
    let mut headers = request.get_headers().copy_all();
    if let Some(authority) = request.get_authority().filter(|_| !headers.iter().any(|(name, _)| name == "host")) {
        headers.push(("host".to_owned(), authority.into_bytes()));
    }
    let method = method_name(request.get_method());
    let target = request.get_path_with_query().unwrap_or_else(|| "/".to_owned());
    let mut read = Request { method, target, source: source(&headers), headers, body: Vec::new() };
    let declared = read.header("content-length").and_then(|length| length.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    if declared != Some(0) {
        read.body = read_body(request, limit).await?;
    }
    Ok(read)
}

async fn read_body(request: types::Request, limit: usize) -> Result<Vec<u8>, ScimError> {
    let (_accepted, accepted) = wit_future::new(|| Ok(()));
    let (stream, end) = types::Request::consume_body(request, accepted);
    collect(stream, end, limit).await.map_err(|unread| match unread {
        Unread::TooLarge => too_large(limit),
        Unread::BrokenOff => ScimError::new(Kind::InvalidSyntax, "the request's body breaks off"),
    })
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is longer than it may be.
    TooLarge,
    /// It ends before its end.
    BrokenOff,
}

/// Reads a body to its end, but no more than `limit` bytes.
///
/// # Errors
/// It is too long, or not whole: half a body must never be taken for the whole.
pub async fn collect(
    mut stream: StreamReader<u8>,
    end: FutureReader<Result<Option<Fields>, ErrorCode>>,
    limit: usize,
) -> Result<Vec<u8>, Unread> {
    let mut body = Vec::new();
    loop {
        let (result, mut chunk) = stream.read(Vec::with_capacity(READ)).await;
        body.append(&mut chunk);
        if body.len() > limit {
            return Err(Unread::TooLarge);
        }
        match result {
            StreamResult::Complete(_) => {}
            StreamResult::Dropped | StreamResult::Cancelled => break,
        }
    }
    drop(stream);
    end.await.map_err(|_| Unread::BrokenOff)?;
    Ok(body)
}

fn too_large(limit: usize) -> ScimError {
    ScimError::new(Kind::TooLarge, format!("the request's body is larger than {limit} bytes"))
}

fn method_name(method: Method) -> String {
    let name = match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => return name,
    };
    name.to_owned()
}

/// The client's address as Spin saw it. Spin sets the header itself, after anything a client sent by that name.
fn source(headers: &[(String, Vec<u8>)]) -> Option<IpAddr> {
    let (_, value) = headers.iter().rfind(|(name, _)| name == "spin-client-addr")?;
    let text = std::str::from_utf8(value).ok()?;
    text.parse().map(|address: SocketAddr| address.ip()).ok()
}

/// Sends an answer, without its body when `bodiless` (the answer to HEAD, whose length is still told).
///
/// # Errors
/// A status or header Spin refuses.
pub fn send(response: Response, bodiless: bool) -> Result<types::Response, ErrorCode> {
    let Response { status, headers, body } = response;
    let mut fields: Vec<_> = headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
    // Without a length the server would fall back to chunks, which costs some clients a delayed acknowledgement.
    if !matches!(status, 204 | 304) {
        fields.push(("content-length".to_owned(), body.len().to_string().into_bytes()));
    }
    let fields = Fields::from_list(&fields).map_err(internal)?;
    let (end, trailers) = wit_future::new(|| Ok(None));
    let contents = (!bodiless && !body.is_empty()).then(|| {
        let (mut writer, reader) = wit_stream::new();
        spawn(async move {
            // What could not be written is lost with the connection it was for.
            let _unsent = writer.write_all(body).await;
        });
        reader
    });
    drop(end);
    let (response, _sent) = types::Response::new(fields, contents, trailers);
    response.set_status_code(status).map_err(|()| internal("status code"))?;
    Ok(response)
}

/// A 503; why is logged.
pub fn unavailable(reason: &str) -> Response {
    eprintln!("{reason}");
    ScimError::new(Kind::Unavailable, "the directory store can not be reached").response()
}

fn internal(reason: impl std::fmt::Display) -> ErrorCode {
    ErrorCode::InternalError(Some(reason.to_string()))
}
