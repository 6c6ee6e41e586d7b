//! Sessions against a store that does what it should.

use std::sync::Arc;

use scim_engine::store::memory::{MemoryStore, run};
use scim_engine::store::{DirectoryId, PageCache, head_key};

use crate::support::{check_tree, config, directory, head, session, tiny};

#[test]
fn scripts_see_what_earlier_ones_wrote() {
    let (store, cache, config) = (MemoryStore::default(), PageCache::new(4096), config(tiny()));
    let run_one = |script: &str, n: u64| run(session(script, n, &config), &store, &cache);
    assert_eq!(run_one("get a", 0).status, 404);
    assert_eq!(run_one("create", 1).status, 200);
    for n in 0..200 {
        assert_eq!(run_one(&format!("put k{n:03} {n}\nadd sum\nremove k{:03}", n / 2), n + 2).status, 200);
    }
    assert_eq!(run_one("get sum\nget k199\nget k099", 300).body, b"200;199;;");
    let reachable = check_tree(&store, &directory(), tiny().page_bytes).len();
    let stored = store.values().keys().filter(|key| key.starts_with("page:")).count();
    assert_eq!(stored, reachable + head(&store, &directory()).unwrap().garbage().len());
}

#[test]
fn one_request_may_change_several_directories() {
    let (store, cache, config) = (MemoryStore::default(), PageCache::new(4096), config(tiny()));
    let script = "in e\ncreate\nput a 1\nin environment\nput e 1";
    assert_eq!(run(session(script, 1, &config), &store, &cache).status, 200);
    assert_eq!(run(session("in e\nget a\nin environment\nget e", 2, &config), &store, &cache).body, b"1;1;");
}

#[test]
fn the_environment_comes_into_being_when_it_is_looked_at() {
    let (store, cache, config) = (MemoryStore::default(), PageCache::new(4096), config(tiny()));
    assert_eq!(run(session("in environment\nlist", 1, &config), &store, &cache).status, 200);
    let head = store.values().get(&head_key(&DirectoryId::environment())).cloned();
    assert_eq!(run(session("in environment\nlist", 2, &config), &store, &cache).status, 200);
    assert_eq!(store.values().get(&head_key(&DirectoryId::environment())).cloned(), head);
}

#[test]
fn a_creator_that_died_is_replaced_after_twenty_more_have_asked() {
    let (store, cache, config) = (MemoryStore::default(), PageCache::new(4096), config(tiny()));
    store.values().insert("elect:environment".to_owned(), 1u64.to_be_bytes().to_vec());
    let ask = |n| run(session("in environment\nput a 1", n, &config), &store, &cache);
    for n in 0..19 {
        let response = ask(n);
        assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    }
    assert_eq!(ask(20).status, 200);
    assert_eq!(ask(21).status, 200);
}

#[test]
fn a_cache_stays_within_its_bytes() {
    let (store, config) = (MemoryStore::default(), config(tiny()));
    let cache = PageCache::new(2000);
    run(session("create", 0, &config), &store, &cache);
    for n in 0..100 {
        run(session(&format!("put k{n} v\nlist"), n + 1, &Arc::clone(&config)), &store, &cache);
        assert!(cache.bytes() <= 2000);
    }
    assert!(cache.bytes() > 0);
}
