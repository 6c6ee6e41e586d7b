//! The protocol between edges and their origin: heads and pages under `/edge/v1/`.
//!
//! An edge keeps copies of heads and pages. Pages never change, so it asks for each once; only heads go stale.
//! Both answers are a [frame](Item), so that the answer about a head can bring pages along.
//!
//! | Request | Answer |
//! |---|---|
//! | `GET /edge/v1/heads/{directory}` | 200, a frame of the head and of pages newer than the edge's version; `ETag: "version"` |
//! | the same with `If-None-Match: "version"` | 304 when the edge's head is current |
//! | `POST /edge/v1/pages/{directory}`, body: page ids of 18 bytes each | 200, a frame with each page, or that it is missing |
//! | the same with `x-scim-reads: TARGET` | with pages more that a GET of this target visits after them |
//! | `POST /edge/v1/refusals/{directory}`, body: log entries as JSON | 204; see [`encode_refusals`] |
//!
//! A directory that does not exist is 404, as a SCIM error; without the edge's credential everything is 401.
//!
//! ```text
//! frame   bytes "se", byte 1 (format version), items to the end
//! item    byte kind, 4 bytes little-endian length, that many bytes
//! kind    1 head, 2 page, 3 id of a page the origin does not have; a reader skips kinds it does not know
//! ```

mod client;
mod pages;
mod refusals;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub use client::{CLIENT_HEADER, introduce, recognise};
pub use pages::{MAX_READS, READS_HEADER};
pub use refusals::{MAX_REFUSALS, encode_refusals};

use crate::env::Env;
use crate::error::{ERROR_SCHEMA, Kind, ScimError};
use crate::http::{Request, Response};
use crate::store::{self, DirectoryId, Fault, Head, Need, Outcome, PageId, View};

/// Where the protocol lives.
pub const PREFIX: &str = "/edge/v1/";

/// Pages one request may ask for; over it, 413.
pub const MAX_PAGES: usize = 256;

/// Media type of frames and of lists of page ids.
pub const MEDIA_TYPE: &str = "application/octet-stream";

/// New pages a head brings along at most; an edge that missed more asks for those it needs.
const MAX_ALONG: usize = 32;

const MAGIC: [u8; 3] = [b's', b'e', 1];
const HEAD: u8 = 1;
const PAGE: u8 = 2;
const MISSING: u8 = 3;

/// One part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// Stored bytes of a head.
    Head(&'a [u8]),
    /// Stored bytes of a page.
    Page(&'a [u8]),
    /// The origin does not have this page: a later commit replaced it, so the edge's head is out of date.
    Missing(PageId),
}

/// Puts items into a frame.
///
/// ```
/// use scim_engine::edge::{Item, decode, encode};
/// let items = [Item::Head(b"head"), Item::Page(b"page")];
/// assert_eq!(decode(&encode(&items)).unwrap(), items);
/// ```
pub fn encode(items: &[Item<'_>]) -> Vec<u8> {
    let mut frame = MAGIC.to_vec();
    for item in items {
        let (kind, bytes) = match item {
            Item::Head(bytes) => (HEAD, *bytes),
            Item::Page(bytes) => (PAGE, *bytes),
            Item::Missing(id) => (MISSING, &id.0[..]),
        };
        // Nothing stored comes near 4 GiB; were it so, the frame would not decode, and nothing wrong be served.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        frame.push(kind);
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(bytes);
    }
    frame
}

/// Takes a frame apart; `None` for anything [`encode`] did not write. What heads and pages hold is not looked at.
pub fn decode(frame: &[u8]) -> Option<Vec<Item<'_>>> {
    let mut rest = frame.strip_prefix(&MAGIC)?;
    let mut items = Vec::new();
    while let Some((kind, after)) = rest.split_first() {
        let (length, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (bytes, after) = after.split_at_checked(length)?;
        match *kind {
            HEAD => items.push(Item::Head(bytes)),
            PAGE => items.push(Item::Page(bytes)),
            MISSING => items.push(Item::Missing(PageId(bytes.try_into().ok()?))),
            _ => {}
        }
        rest = after;
    }
    Some(items)
}

/// The body of a request for pages.
pub fn encode_ids(ids: &[PageId]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.0).collect()
}

/// Reads the body of a request for pages; `None` when it is not a list of ids.
pub fn decode_ids(body: &[u8]) -> Option<Vec<PageId>> {
    let (ids, rest) = body.as_chunks::<18>();
    rest.is_empty().then(|| ids.iter().map(|id| PageId(*id)).collect())
}

/// One request of an edge, its credential included.
///
/// # Errors
/// [`Fault::Need`] for the head and pages to load; otherwise 401, 404, 405, 400 or 413.
pub fn handle(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    authenticate(request, env)?;
    let (kind, directory) = route(request.path()).ok_or_else(not_found)?;
    let response = match (kind, request.method.as_str()) {
        ("heads", "GET") => head(request, &directory, view)?,
        ("pages", "POST") => pages::handle(request, &directory, view, env)?,
        ("refusals", "POST") => return refusals::handle(request, &directory, view, env),
        ("heads", _) => not_allowed("GET"),
        ("pages" | "refusals", _) => not_allowed("POST"),
        _ => return Err(not_found().into()),
    };
    Ok(Outcome { response, ..Outcome::default() })
}

/// Compares digests, so that neither the length of the secret nor where a guess goes wrong shows in the time.
fn authenticate(request: &Request, env: &Env<'_>) -> Result<(), ScimError> {
    let mut values = request.header_values("authorization");
    let presented = values.next().and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
    let single = values.next().is_none();
    let expected = env.config.edge_secret.as_deref().unwrap_or_default();
    let equal: bool = Sha256::digest(presented).ct_eq(&Sha256::digest(expected)).into();
    if single && equal && !expected.is_empty() {
        return Ok(());
    }
    Err(ScimError::new(Kind::Unauthorized, "the edge credential is missing or not valid"))
}

/// The environment's own directory is no edge's business.
fn route(path: &str) -> Option<(&str, DirectoryId)> {
    let (kind, name) = path.strip_prefix(PREFIX)?.split_once('/')?;
    let directory = DirectoryId::new(name).filter(|id| *id != DirectoryId::environment())?;
    Some((kind, directory))
}

fn not_found() -> ScimError {
    ScimError::new(Kind::NotFound, "there is no such directory")
}

fn not_allowed(method: &str) -> Response {
    ScimError::new(Kind::MethodNotAllowed, "this method does not apply here").response().with("allow", method)
}

fn head(request: &Request, directory: &DirectoryId, view: &View<'_>) -> Result<Response, Fault> {
    let Some(head) = view.heads.get(directory) else {
        return Err(Fault::Need(Need { heads: vec![directory.clone()], pages: Vec::new() }));
    };
    let head = head.as_deref().ok_or_else(not_found)?;
    let known = request.header("if-none-match").and_then(version_of);
    let tag = etag(head.version());
    if known == Some(head.version()) {
        return Ok(Response::empty(304).with("etag", tag));
    }
    let along = along(head, known, directory, view)?;
    let mut items = vec![Item::Head(head.bytes())];
    items.extend(along.iter().map(|page| Item::Page(page.bytes())));
    Ok(frame(&items).with("etag", tag))
}

/// The pages committed since the version the edge has, if they are few.
fn along(
    head: &Head,
    known: Option<u64>,
    directory: &DirectoryId,
    view: &View<'_>,
) -> Result<Vec<std::sync::Arc<store::Page>>, Fault> {
    let Some(known) = known.filter(|known| *known < head.version()) else { return Ok(Vec::new()) };
    Ok(store::pages_since(head, known, MAX_ALONG, directory, view.pages)?.unwrap_or_default())
}

fn frame(items: &[Item<'_>]) -> Response {
    Response { status: 200, body: encode(items), ..Response::default() }.with("content-type", MEDIA_TYPE)
}

/// Whether the body of a 404 is the origin's: something between here and there may answer 404 as well.
pub fn says_absent(body: &[u8]) -> bool {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    body.get("schemas").and_then(|schemas| schemas.get(0)).is_some_and(|schema| schema == ERROR_SCHEMA)
}

/// The entity tag of a version.
pub fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

/// The version an entity tag names.
pub fn version_of(tag: &str) -> Option<u64> {
    tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::env::{Config, Timestamp};
    use crate::store::{PageCache, Txn};
    use std::collections::HashMap;
    use std::sync::Arc;

    const SECRET: &str = "edge-secret";

    fn config() -> Config {
        Config { edge_secret: Some(SECRET.into()), ..Config::default() }
    }

    fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Request {
        let fields = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        Request { method: method.into(), target: target.into(), headers: fields.collect(), ..Request::default() }
    }

    fn directory() -> DirectoryId {
        DirectoryId::new("c-1").unwrap()
    }

    /// The head of a directory after one commit.
    fn first_head(config: &Config) -> Arc<Head> {
        let none = PageCache::new(0);
        let view = View { heads: HashMap::from([(directory(), None)]), pages: &none };
        let env = Env::new(Timestamp(1), [1; 32], 0, config);
        let mut txn = Txn::create(&view, &directory());
        txn.set_record(b"record".to_vec());
        let commit = txn.commit(&env).unwrap().unwrap();
        Arc::new(Head::decode(commit.head.into()).unwrap())
    }

    fn answer(request: &Request, head: Option<Arc<Head>>, config: &Config) -> Response {
        let pages = AllAbsent;
        let view = View { heads: HashMap::from([(directory(), head)]), pages: &pages };
        let env = Env::new(Timestamp(1), [2; 32], 0, config);
        match handle(request, &view, &env) {
            Ok(outcome) => outcome.response,
            Err(Fault::Refused(response)) => response,
            Err(other) => panic!("{other:?}"),
        }
    }

    struct AllAbsent;

    impl store::PageSource for AllAbsent {
        fn page(&self, _: &PageId) -> Option<Arc<store::Page>> {
            None
        }
        fn absent(&self, _: &PageId) -> bool {
            true
        }
    }

    #[test]
    fn only_the_one_right_credential_opens_anything() {
        let config = config();
        let head = first_head(&config);
        let status = |headers: &[(&str, &str)], config: &Config| {
            answer(&request("GET", "/edge/v1/heads/c-1", headers), Some(Arc::clone(&head)), config).status
        };
        let right = ("authorization", "Bearer edge-secret");
        assert_eq!(status(&[right], &config), 200);
        for wrong in ["Bearer edge-secre", "Bearer edge-secret ", "edge-secret", "Bearer ", "Basic edge-secret", ""] {
            assert_eq!(status(&[("authorization", wrong)], &config), 401, "{wrong}");
        }
        assert_eq!(status(&[], &config), 401);
        assert_eq!(status(&[right, right], &config), 401);
        for unset in [None, Some(String::new())] {
            let open = Config { edge_secret: unset, ..Config::default() };
            assert_eq!(status(&[right], &open), 401);
            assert_eq!(status(&[("authorization", "Bearer ")], &open), 401);
        }
    }

    #[test]
    fn a_head_comes_with_its_version_and_only_when_it_is_new() {
        let config = config();
        let head = first_head(&config);
        let get = |tag: &str, head: Option<Arc<Head>>| {
            let headers = [("authorization", "Bearer edge-secret"), ("if-none-match", tag)];
            answer(&request("GET", "/edge/v1/heads/c-1", &headers), head, &config)
        };
        let fresh = get("", Some(Arc::clone(&head)));
        assert_eq!((fresh.status, fresh.header("etag")), (200, Some("\"1\"")));
        assert_eq!(decode(&fresh.body).unwrap(), [Item::Head(head.bytes())]);
        let same = get("\"1\"", Some(Arc::clone(&head)));
        assert_eq!((same.status, same.header("etag"), same.body.len()), (304, Some("\"1\""), 0));
        assert_eq!(get("\"2\"", Some(head)).status, 200);
        assert_eq!(get("", None).status, 404);
    }

    #[test]
    fn every_page_asked_for_is_named_in_the_answer() {
        let config = config();
        let ids = [PageId([1; 18]), PageId([2; 18])];
        let headers = [("authorization", "Bearer edge-secret")];
        let mut asked = request("POST", "/edge/v1/pages/c-1", &headers);
        asked.body = encode_ids(&ids);
        let frame = answer(&asked, None, &config).body;
        assert_eq!(decode(&frame).unwrap(), ids.map(Item::Missing));
        // What is read elsewhere has nothing to do with it.
        asked.headers.push((READS_HEADER.into(), b"/directory/resources/scim/v2.0/c-2/Users".to_vec()));
        assert_eq!(answer(&asked, None, &config).body, frame);
        asked.body.pop();
        assert_eq!(answer(&asked, None, &config).status, 400);
        asked.body = vec![0; 18 * (MAX_PAGES + 1)];
        assert_eq!(answer(&asked, None, &config).status, 413);
    }

    #[test]
    fn other_paths_and_methods_are_refused() {
        let config = config();
        let headers = [("authorization", "Bearer edge-secret")];
        let check = |method: &str, target: &str, status: u16| {
            assert_eq!(answer(&request(method, target, &headers), None, &config).status, status, "{method} {target}");
        };
        check("POST", "/edge/v1/heads/c-1", 405);
        check("GET", "/edge/v1/pages/c-1", 405);
        for target in
            ["/edge/v1/heads/environment", "/edge/v1/heads/", "/edge/v1/other/c-1", "/edge/v1/", "/edge/v1/heads/a/b"]
        {
            check("GET", target, 404);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_do_not(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let framed: Vec<u8> = MAGIC.iter().chain(&bytes).copied().collect();
            for input in [&bytes, &framed] {
                if let Some(items) = decode(input) {
                    let again = encode(&items);
                    prop_assert_eq!(decode(&again), Some(items));
                }
            }
        }

        #[test]
        fn ids_come_back(ids in proptest::collection::vec(any::<[u8; 18]>(), 0..9)) {
            let ids: Vec<PageId> = ids.into_iter().map(PageId).collect();
            prop_assert_eq!(decode_ids(&encode_ids(&ids)), Some(ids));
        }
    }
}
