//! What the tests share: tiny limits, and a handler whose requests are scripts.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use scim_engine::env::{Config, Env, Limits, Timestamp};
use scim_engine::http::{Request, Response};
use scim_engine::store::memory::MemoryStore;
use scim_engine::store::{
    Commit, DirectoryId, Fault, Head, Need, Outcome, Page, PageCache, PageId, Place, Session, Txn, View, head_key,
    page_key,
};

thread_local! {
    /// Which session, by its number, computed the commit of a nonce.
    pub static COMPUTED: RefCell<HashMap<[u8; 16], u64>> = RefCell::default();
}

/// Limits so small that few entries make a deep tree.
pub fn tiny() -> Limits {
    Limits { page_bytes: 160, pending_entries: 4, pending_bytes: 200, garbage_pages: 6, ..Limits::default() }
}

pub fn config(limits: Limits) -> Arc<Config> {
    Arc::new(Config { limits, ..Config::default() })
}

/// The directory the scripts work in.
pub fn directory() -> DirectoryId {
    DirectoryId::new("d").unwrap()
}

pub fn seed(number: u64) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    seed
}

/// A session that runs `script` in the directory: one command a line.
pub fn session(script: &str, number: u64, config: &Arc<Config>) -> Session {
    let method = if script == "list" { "GET" } else { "POST" };
    let request = Request { method: method.into(), body: script.as_bytes().to_vec(), ..Request::default() };
    Session::new(run_script, request, seed(number), Timestamp(number), Arc::clone(config))
}

/// `create`; `in DIRECTORY`; `put KEY VALUE`; `remove KEY`; `add KEY` (adds one to a number, refuses nothing); `once KEY` (puts it,
/// or answers 409 when it is there); `get KEY`; `list` (all entries). The answer's body is what the reads found.
fn run_script(request: &Request, view: &View<'_>, env: &Env<'_>) -> Result<Outcome, Fault> {
    let script = String::from_utf8(request.body.clone()).unwrap();
    let mut commits = Vec::new();
    let mut txn: Option<Txn<'_>> = None;
    let mut body = String::new();
    let mut found = directory();
    for line in script.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "in" => {
                if let Some(txn) = txn.take() {
                    commits.extend(txn.commit(env)?);
                }
                found = DirectoryId::new(words[1]).unwrap();
                continue;
            }
            "create" => {
                txn = Some(Txn::create(view, &found));
                continue;
            }
            _ => {}
        }
        if txn.is_none() {
            txn = Txn::open(view, &found)?;
        }
        let Some(txn) = &mut txn else { return Err(Fault::Refused(Response::empty(404))) };
        let key = words.get(1).map(|key| key.as_bytes().to_vec()).unwrap_or_default();
        match words[0] {
            "put" => txn.put(key, words[2].as_bytes().to_vec()),
            "remove" => txn.remove(key),
            "add" => {
                let old = txn.get(&key)?.map_or(0, |v| String::from_utf8(v).unwrap().parse::<u64>().unwrap());
                txn.put(key, (old + 1).to_string().into_bytes());
            }
            "once" => {
                if txn.get(&key)?.is_some() {
                    return Err(Fault::Refused(Response::empty(409)));
                }
                txn.put(key, b"1".to_vec());
            }
            "get" => body += &format!("{};", String::from_utf8(txn.get(&key)?.unwrap_or_default()).unwrap()),
            "list" => {
                for (key, value) in txn.scan(b""..&[0xff], 0, usize::MAX, false)? {
                    body += &format!("{}={};", String::from_utf8_lossy(&key), String::from_utf8_lossy(&value));
                }
            }
            other => panic!("{other}"),
        }
    }
    if let Some(txn) = txn {
        commits.extend(txn.commit(env)?);
    }
    COMPUTED.with_borrow_mut(|computed| computed.extend(commits.iter().map(|commit| (commit.nonce, env.now.0))));
    Ok(Outcome {
        response: Response { status: 200, headers: Vec::new(), body: body.into_bytes() },
        commits,
        ..Outcome::default()
    })
}

/// Runs a read or write directly, without a session: loads whatever is needed from `store`.
pub fn with_view<T>(
    store: &MemoryStore,
    head: Option<Arc<Head>>,
    cache: &PageCache,
    step: impl Fn(&View<'_>) -> Result<T, Fault>,
) -> T {
    let (value, _) = counting_loads(store, head, cache, step);
    value
}

/// The same, and how many rounds of loading and how many pages it took.
pub fn counting_loads<T>(
    store: &MemoryStore,
    head: Option<Arc<Head>>,
    cache: &PageCache,
    step: impl Fn(&View<'_>) -> Result<T, Fault>,
) -> (T, (usize, usize)) {
    let mut loads = (0, 0);
    loop {
        let view = View { heads: HashMap::from([(directory(), head.clone())]), pages: cache };
        let need = match step(&view) {
            Ok(value) => return (value, loads),
            Err(Fault::Need(need)) => need,
            Err(other) => panic!("{other:?}"),
        };
        assert!(!need.is_empty());
        loads = (loads.0 + 1, loads.1 + need.pages.len());
        load(store, cache, &need);
    }
}

fn load(store: &MemoryStore, cache: &PageCache, need: &Need) {
    for (directory, id) in &need.pages {
        let bytes = store.values().get(&page_key(directory, id)).cloned().expect("a reachable page exists");
        cache.insert(Arc::new(Page::decode(bytes.into()).unwrap()));
    }
}

/// The current head.
pub fn head(store: &MemoryStore, directory: &DirectoryId) -> Option<Arc<Head>> {
    let bytes = store.values().get(&head_key(directory)).cloned()?;
    Some(Arc::new(Head::decode(bytes.into()).unwrap()))
}

/// Puts a commit's pages and head in place, without any protocol.
pub fn apply(store: &MemoryStore, commit: &Commit) {
    let mut values = store.values();
    for (id, bytes) in &commit.pages {
        let before = values.insert(page_key(&commit.directory, id), bytes.clone());
        assert_eq!(before, None, "a page id is never used again");
    }
    values.insert(head_key(&commit.directory), commit.head.clone());
}

/// Walks the whole tree and checks every invariant; gives its pages' ids and levels.
pub fn check_tree(store: &MemoryStore, directory: &DirectoryId, page_bytes: usize) -> Vec<(PageId, u8)> {
    let Some(head) = head(store, directory) else { return Vec::new() };
    let mut ids = Vec::new();
    let Some(root) = head.root() else { return ids };
    let count = check_page(store, directory, &root.into(), page_bytes, &mut ids);
    assert_eq!(count, root.count, "the head counts the tree's entries");
    let top = page(store, directory, root.id);
    assert!(root.level == 0 || top.len() > 1, "a root has more than one child");
    ids
}

fn page(store: &MemoryStore, directory: &DirectoryId, id: PageId) -> Page {
    let bytes = store.values().get(&page_key(directory, &id)).cloned().expect("every reachable page exists");
    Page::decode(bytes.into()).unwrap()
}

fn check_page(store: &MemoryStore, d: &DirectoryId, at: &Place, size: usize, ids: &mut Vec<(PageId, u8)>) -> u64 {
    let Place { id, level, .. } = *at;
    ids.push((id, level));
    let page = page(store, d, id);
    assert_eq!((page.level(), *page.id()), (level, id));
    let alone = if level == 0 { 1 } else { 3 };
    assert!(page.bytes().len() <= size || page.len() <= alone, "a page is within its size");
    if level == 0 {
        return page.len() as u64;
    }
    page.children(at).map(|child| check_page(store, d, &child, size, ids)).sum()
}
