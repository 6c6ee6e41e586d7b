//! Damaged pages and heads are found and named, never served; no bytes make decoding panic.

use proptest::prelude::*;
use scim_engine::store::memory::{MemoryStore, run};
use scim_engine::store::{Damage, Head, Page, PageCache, Turn, head_key};

use crate::support::{config, directory, session, tiny};

/// A directory with leaves, inner pages, newer links, pending writes and garbage.
fn example() -> MemoryStore {
    let (store, config) = (MemoryStore::default(), config(tiny()));
    // Five writes into one leaf are merged, and the page above it stays.
    let one_leaf = (40..45).map(|n| format!("put k{n} v7\n")).collect();
    let after = "remove k11\nput k12 w".to_owned();
    let scripts = ["create".to_owned(), fill(90), "remove k10".to_owned(), fill(91), one_leaf, after];
    for (n, script) in (0..).zip(scripts) {
        assert_eq!(run(session(&script, n, &config), &store, &PageCache::new(0)).status, 200);
    }
    store
}

fn fill(count: usize) -> String {
    (0..count).map(|n| format!("put k{n:02} v{n}\n")).collect()
}

fn heads_and_pages() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let store = example();
    let values = store.values();
    let of = |prefix: &str| values.iter().filter(|(k, _)| k.starts_with(prefix)).map(|(_, v)| v.clone()).collect();
    (of("head:"), of("page:"))
}

#[test]
fn every_flipped_byte_is_detected() {
    let (heads, pages) = heads_and_pages();
    assert!(pages.iter().any(|page| page[2] == 2), "a page has newer links");
    for (bytes, is_head) in heads.iter().map(|b| (b, true)).chain(pages.iter().map(|b| (b, false))) {
        let damaged = |bytes: Vec<u8>| {
            if is_head { Head::decode(bytes.into()).is_err() } else { Page::decode(bytes.into()).is_err() }
        };
        assert!(!damaged(bytes.clone()));
        for at in 0..bytes.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= mask;
                assert!(damaged(changed), "byte {at} of {}", bytes.len());
            }
            assert!(damaged(bytes[..at].to_vec()), "cut at {at}");
        }
        assert!(damaged([bytes.as_slice(), b"\0"].concat()));
    }
}

#[test]
fn a_damaged_or_misplaced_page_is_named_and_not_served() {
    let pristine = example();
    let keys: Vec<String> = pristine.values().keys().filter(|k| !k.starts_with("head:")).cloned().collect();
    let mut named = 0;
    for key in &keys {
        let store = example();
        let other = keys.iter().find(|other| *other != key).unwrap();
        for value in [b"rubbish".to_vec(), pristine.values()[other].clone()] {
            store.values().insert(key.clone(), value);
            let cache = PageCache::new(0);
            let mut session = session("list", 1, &config(tiny()));
            let mut turn = session.turn(&cache, None);
            let response = loop {
                turn = match turn {
                    Turn::Call(call) => session.turn(&cache, Some(store.call(&call))),
                    Turn::Wait => session.turn(&cache, None),
                    Turn::Done(response) => break response,
                };
            };
            if response.status == 500 {
                let name = key.rsplit(':').next().unwrap();
                assert!(session.incident().unwrap().contains(name));
                named += 1;
            } else {
                assert_eq!(response.status, 200, "garbage is not read");
            }
        }
    }
    assert!(named > 10);
}

#[test]
fn a_missing_page_ends_the_request_after_a_few_reloads() {
    let store = example();
    store.values().retain(|key, _| key.starts_with("head:"));
    assert_eq!(run(session("list", 1, &config(tiny())), &store, &PageCache::new(0)).status, 500);
}

#[test]
fn a_damaged_head_is_not_served() {
    let store = example();
    store.values().get_mut(&head_key(&directory())).unwrap()[20] ^= 1;
    assert_eq!(run(session("list", 1, &config(tiny())), &store, &PageCache::new(0)).status, 500);
}

#[test]
fn a_format_from_the_future_is_told_from_damage() {
    let (heads, pages) = heads_and_pages();
    let renumbered = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[2] = 9;
        resealed(bytes)
    };
    assert_eq!(Head::decode(renumbered(&heads[0]).into()).unwrap_err(), Damage::Version(9));
    assert_eq!(Page::decode(renumbered(&pages[0]).into()).unwrap_err(), Damage::Version(9));
}

/// The bytes with a checksum that fits, so that the parser behind it is reached.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..4]);
    hasher.update(&bytes[8..]);
    bytes[4..8].copy_from_slice(&hasher.finalize().to_le_bytes());
    bytes
}

proptest! {
    #[test]
    fn arbitrary_bytes_decode_or_not_but_never_panic(bytes in proptest::collection::vec(any::<u8>(), 8..200), kind in 0u8..3) {
        for magic in [*b"sp", *b"sh"] {
            let start = [&magic[..], &[1, kind, 0, 0, 0, 0]].concat();
            let bytes = resealed([start, bytes.clone()].concat());
            let _ = Page::decode(bytes.clone().into());
            let _ = Head::decode(bytes.into());
        }
        let _ = Page::decode(bytes.clone().into());
        let _ = Head::decode(bytes.into());
    }

    #[test]
    fn changed_bytes_under_a_good_checksum_never_panic(
        pick in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (heads, pages) = heads_and_pages();
        let all = [heads, pages].concat();
        let mut bytes = all[pick.index(all.len())].clone();
        for (at, value) in changes {
            let at = 8 + at.index(bytes.len() - 8);
            bytes[at] = value;
        }
        let bytes = resealed(bytes);
        if let Ok(page) = Page::decode(bytes.clone().into()) {
            prop_assert_eq!(&page.bytes()[..], &bytes[..]);
            prop_assert!(!page.is_empty());
        }
        if let Ok(head) = Head::decode(bytes.clone().into()) {
            prop_assert!(head.record().len() < bytes.len());
        }
    }
}
