//! One GET, bounded in time and size.

use std::pin::pin;

use futures::future::{Either, select};
use scim_spin_kv::message::{Unread, collect};
use spin_sdk::wasip3::clocks::monotonic_clock::wait_for;
use spin_sdk::wasip3::http::client::send;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use spin_sdk::wasip3::wit_future;

/// How long the whole exchange may take, in nanoseconds.
const TIME: u64 = 5_000_000_000;
/// Bytes of the longest body that is read.
const BYTES: usize = 256 << 10;

/// The body of the resource at a URL, and its `cache-control`.
///
/// # Errors
/// Why there is none; the text is for the log.
pub async fn get(url: &str) -> Result<(String, Option<String>), String> {
    match select(pin!(attempt(url)), pin!(wait_for(TIME))).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => Err("there was no answer in 5 seconds".to_owned()),
    }
}

/// Whether keys may be fetched from there: over TLS, or without it from this machine.
///
/// # Errors
/// Why not; the text is for the log.
pub fn check(url: &str) -> Result<(), &'static str> {
    let Parts { scheme, authority, .. } = Parts::of(url).ok_or("must be a URL such as `https://id.example/jwks`")?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    if matches!(scheme, Scheme::Https) || here { Ok(()) } else { Err("must begin with `https://`") }
}

async fn attempt(url: &str) -> Result<(String, Option<String>), String> {
    let Parts { scheme, authority, path } = Parts::of(url).ok_or("the URL is none")?;
    let headers = Fields::from_list(&[("accept".to_owned(), b"application/json".to_vec())]).map_err(text)?;
    let (end, trailers) = wit_future::new(|| Ok(None));
    drop(end);
    let (request, _sent) = Request::new(headers, None, trailers, None);
    let set = request.set_scheme(Some(&scheme)).and_then(|()| request.set_authority(Some(authority)));
    set.and_then(|()| request.set_path_with_query(Some(path))).map_err(|()| "the URL is none")?;
    let response = send(request).await.map_err(|error| match error {
        ErrorCode::HttpRequestDenied => "variable `user_jwks_host` does not allow it".to_owned(),
        other => other.to_string(),
    })?;
    let status = response.get_status_code();
    if status != 200 {
        return Err(format!("the answer was {status}"));
    }
    let control = response.get_headers().get("cache-control").into_iter().next();
    let control = control.and_then(|value| String::from_utf8(value).ok());
    let (_accepted, accepted) = wit_future::new(|| Ok(()));
    let (stream, end) = Response::consume_body(response, accepted);
    let body = collect(stream, end, BYTES).await.map_err(|unread| match unread {
        Unread::TooLarge => format!("the answer is longer than {BYTES} bytes"),
        Unread::BrokenOff => "the answer breaks off".to_owned(),
    })?;
    Ok((String::from_utf8(body).map_err(|_| "the answer is not UTF-8")?, control))
}

/// What a request is made of.
struct Parts<'u> {
    scheme: Scheme,
    authority: &'u str,
    path: &'u str,
}

impl<'u> Parts<'u> {
    fn of(url: &'u str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = match scheme {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return None,
        };
        let at = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(at)?;
        let path = if path.is_empty() { "/" } else { path };
        (!authority.is_empty() && !authority.contains('@')).then_some(Self { scheme, authority, path })
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
