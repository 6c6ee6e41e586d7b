//! HTTP as values: what a step is given and what it answers.

use std::borrow::Cow;
use std::net::IpAddr;

/// A request as a host received it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Method, in capitals.
    pub method: String,
    /// Path and query as sent, percent-encoding intact.
    pub target: String,
    /// Header fields in order; names in lower case, values as bytes (a client may send any).
    pub headers: Vec<(String, Vec<u8>)>,
    /// Body, already read whole and within `Limits::body`.
    pub body: Vec<u8>,
    /// Address of the client, as far as the host can vouch for it.
    pub source: Option<IpAddr>,
}

impl Request {
    /// The part of the target before `?`.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// Whether it changes nothing, whoever sends it: a GET, a HEAD, a search by POST (RFC 7644 section 3.4.3), pages by
    /// their names.
    pub fn only_reads(&self) -> bool {
        let path = self.path();
        match self.method.as_str() {
            "GET" | "HEAD" => true,
            "POST" => path.ends_with("/.search") || path.starts_with("/edge/v1/pages/"),
            _ => false,
        }
    }

    /// The part of the target after `?`, empty when there is none.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first header of that (lower-case) name, when it is valid UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(n, _)| n == name)?;
        std::str::from_utf8(value).ok()
    }

    /// Every header of that (lower-case) name.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_slice())
    }

    /// Query parameters in order, percent-decoded, `+` read as a blank; `None` for a broken encoding.
    ///
    /// ```
    /// use scim_engine::http::Request;
    /// let request = Request { target: "/Users?filter=userName+eq+%22a%22&count=2".into(), ..Request::default() };
    /// assert_eq!(request.parameters().unwrap(), [("filter".into(), "userName eq \"a\"".into()), ("count".into(), "2".into())]);
    /// ```
    pub fn parameters(&self) -> Option<Vec<(String, String)>> {
        let pairs = self.query().split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((percent_decode(name, true)?.into_owned(), percent_decode(value, true)?.into_owned()))
            })
            .collect()
    }
}

/// Undoes percent-encoding; `None` when an escape is broken or the result is not UTF-8.
pub fn percent_decode(text: &str, plus_is_blank: bool) -> Option<Cow<'_, str>> {
    let is_encoded = text.contains('%') || plus_is_blank && text.contains('+');
    if !is_encoded {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if plus_is_blank => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// An answer, ready to send. A host adds `content-length`, for it knows how it sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header fields, names in lower case; values never hold control characters.
    pub headers: Vec<(&'static str, String)>,
    /// Body; empty for 204 and 304.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer without body.
    pub fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// An answer with a JSON body of the given media type.
    pub fn json(status: u16, media_type: &str, value: &impl serde::Serialize) -> Self {
        let body = serde_json::to_vec(value).unwrap_or_default();
        Self { status, body, ..Self::default() }.with("content-type", media_type)
    }

    /// The same answer with one more header. Control characters in the value are dropped: a header must never split a response.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let mut value = value.into();
        value.retain(|c| !c.is_control());
        self.headers.push((name, value));
        self
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }
}
