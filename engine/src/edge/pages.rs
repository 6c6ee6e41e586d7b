//! Pages by name, and those a read will want next.
//!
//! Below each page an edge lacks it mostly lacks the next one, and would ask again and again on its way down. So it says
//! what it reads, and the origin goes the same way ahead of it.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use super::{Item, MAX_PAGES, decode_ids, frame};
use crate::env::Env;
use crate::error::{Kind, ScimError};
use crate::http::{Request, Response};
use crate::scim;
use crate::store::{DirectoryId, Fault, Need, Page, PageId, PageSource, View};

/// Header of a request for pages: target of the GET they are for.
pub const READS_HEADER: &str = "x-scim-reads";

/// Bytes of a target worth telling; the read of a longer one just asks more often.
pub const MAX_READS: usize = 4096;

/// `POST /edge/v1/pages/{directory}`
pub fn handle(request: &Request, directory: &DirectoryId, view: &View<'_>, env: &Env<'_>) -> Result<Response, Fault> {
    let ids = decode_ids(&request.body)
        .ok_or_else(|| ScimError::new(Kind::InvalidSyntax, "the body is not a list of page ids"))?;
    if ids.len() > MAX_PAGES {
        return Err(ScimError::new(Kind::TooLarge, format!("more than {MAX_PAGES} pages at once")).into());
    }
    let found: Vec<_> = ids.iter().map(|id| (*id, view.pages.page(id))).collect();
    let unseen = found.iter().filter(|(id, page)| page.is_none() && !view.pages.absent(id));
    let need = Need { heads: Vec::new(), pages: unseen.map(|(id, _)| (directory.clone(), *id)).collect() };
    need.settle()?;
    let next = match request.header(READS_HEADER) {
        Some(target) => next(target, &ids, directory, view, env)?,
        None => Vec::new(),
    };
    let asked =
        found.iter().map(|(id, page)| page.as_ref().map_or(Item::Missing(*id), |page| Item::Page(page.bytes())));
    Ok(frame(&asked.chain(next.iter().map(|page| Item::Page(page.bytes()))).collect::<Vec<_>>()))
}

/// The pages a read visits from the first of `ids` on. What lies higher than any of these its edge has, or else asks for.
fn next(
    target: &str,
    ids: &[PageId],
    directory: &DirectoryId,
    view: &View<'_>,
    env: &Env<'_>,
) -> Result<Vec<Arc<Page>>, Fault> {
    if scim::connection_of(target).as_ref() != Some(directory) {
        return Ok(Vec::new());
    }
    let request = Request { method: "GET".to_owned(), target: target.to_owned(), ..Request::default() };
    let trail = Trail { pages: view.pages, visited: RefCell::default(), known: RefCell::default() };
    let through = View { heads: view.heads.clone(), pages: &trail };
    let step = scim::browse(&request, &through, env);
    let visited = trail.visited.into_inner();
    // A read that takes more is cut off: it will not be answered from an edge's pages soon.
    if let Err(Fault::Need(need)) = step
        && visited.len() + need.pages.len() <= MAX_PAGES
    {
        return Err(Fault::Need(need));
    }
    let from = visited.iter().position(|page| ids.contains(page.id())).unwrap_or(visited.len());
    let highest = visited.iter().filter(|page| ids.contains(page.id())).map(|page| page.level()).max();
    let below = visited.into_iter().skip(from).filter(|page| Some(page.level()) <= highest && !ids.contains(page.id()));
    Ok(below.take(MAX_PAGES - ids.len()).collect())
}

/// Remembers what is read from it, each page once; of so many pages it has no more.
struct Trail<'a> {
    pages: &'a dyn PageSource,
    visited: RefCell<Vec<Arc<Page>>>,
    known: RefCell<HashSet<PageId>>,
}

impl PageSource for Trail<'_> {
    fn page(&self, id: &PageId) -> Option<Arc<Page>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(id) {
            let page = self.pages.page(id).filter(|_| known.len() < MAX_PAGES)?;
            known.insert(*id);
            self.visited.borrow_mut().push(page);
        }
        self.pages.page(id)
    }

    fn absent(&self, id: &PageId) -> bool {
        self.pages.absent(id)
    }
}
