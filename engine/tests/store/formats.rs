//! What every version of the formats wrote stays readable for ever: whole small directories, kept byte for byte.
//!
//! A new version of a format gets a directory of its own beside these, which are never changed.

use std::collections::BTreeSet;

use scim_engine::env::Limits;
use scim_engine::store::memory::{MemoryStore, run};
use scim_engine::store::{Damage, Head, Page, PageCache};

use crate::support::{check_tree, config, directory, head, session, tiny};

/// Lines of a key and the bytes of its value, two hexadecimal digits each.
const VERSION_1: &str = include_str!("directory.v1");
/// The same, with a page of version 2: one that links a leaf past the page between.
const VERSION_2: &str = include_str!("directory.v2");

/// What the directory of version 1 holds.
const CONTENT: &str = "k00=a;k02=w;k04=v4;k06=v6;k08=v8;k10=v10;k12=v12;k14=v14;k16=v16;k18=v18;k20=v20;k22=v22;k24=v24;\
                       k26=v26;k28=v28;k30=v30;k32=v32;k34=v34;k36=v36;new=1;";

fn stored(lines: &str) -> MemoryStore {
    let store = MemoryStore::default();
    for line in lines.lines() {
        let (key, digits) = line.split_once(' ').unwrap();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        store.values().insert(key.to_owned(), digits.as_bytes().chunks(2).map(byte).collect());
    }
    store
}

#[test]
fn a_directory_of_version_1_is_read_and_written() {
    let (store, config) = (stored(VERSION_1), config(tiny()));
    let first = head(&store, &directory()).unwrap();
    assert_eq!((first.version(), first.recent().len()), (4, 4));
    assert!(first.root().unwrap().level > 0 && !first.garbage().is_empty());
    assert!(check_tree(&store, &directory(), tiny().page_bytes).len() >= 3);
    let read = |script: &str, n: u64| run(session(script, n, &config), &store, &PageCache::new(0));
    assert_eq!(String::from_utf8(read("list", 100).body).unwrap(), CONTENT);
    for n in 0..20 {
        assert_eq!(read(&format!("put k{n:02} later\nput z{n} 1\nadd sum"), 200 + n).status, 200);
    }
    assert_eq!(read("get sum\nget k02\nget k36", 300).body, b"20;later;v36;");
    check_tree(&store, &directory(), tiny().page_bytes);
}

#[test]
fn a_directory_of_version_2_is_read_and_written() {
    let (store, config) = (stored(VERSION_2), config(tiny()));
    assert!(head(&store, &directory()).unwrap().root().unwrap().level >= 2);
    check_tree(&store, &directory(), tiny().page_bytes);
    let read = |script: &str, n: u64| {
        let response = run(session(script, n, &config), &store, &PageCache::new(0));
        assert_eq!(response.status, 200);
        String::from_utf8(response.body).unwrap()
    };
    let value = |n: usize| if (40..45).contains(&n) { "v7".to_owned() } else { format!("v{n}") };
    let content: String = (0..90).map(|n| format!("k{n:02}={};", value(n))).collect();
    assert_eq!(read("list", 100), content);
    for n in 0..90 {
        read(&format!("put k{n:02} later\nput z{n} 1\nadd sum"), 200 + n);
    }
    assert_eq!(read("get sum\nget k02\nget k42", 300), "90;later;later;");
    check_tree(&store, &directory(), tiny().page_bytes);
}

#[test]
fn pages_of_another_size_are_read_and_give_way_to_those_of_the_new() {
    let larger = || Limits { page_bytes: 3 * tiny().page_bytes, ..tiny() };
    let store = MemoryStore::default();
    let run = |limits: Limits, script: &str, n: u64| {
        let response = run(session(script, n, &config(limits)), &store, &PageCache::new(0));
        assert_eq!(response.status, 200);
        String::from_utf8(response.body).unwrap()
    };
    let puts = |value: &str| (0..100).map(|n| format!("put k{n:02} {value}\n")).collect::<String>();
    run(larger(), &format!("create\n{}", puts("old")), 1);
    let before = check_tree(&store, &directory(), larger().page_bytes).len();
    assert_eq!(run(tiny(), "get k00\nget k99", 2), "old;old;");
    run(tiny(), "put k50 new\nput k51 new\nput k52 new\nput k53 new\nput k54 new", 3);
    check_tree(&store, &directory(), larger().page_bytes);
    assert_eq!(run(tiny(), "get k00\nget k50", 4), "old;new;");
    run(tiny(), &puts("new"), 5);
    assert!(check_tree(&store, &directory(), tiny().page_bytes).len() > before);
    assert_eq!(run(larger(), "get k00\nget k99", 6), "new;new;");
}

#[test]
fn every_value_says_its_version_and_is_sealed() {
    let versions = |store: MemoryStore| store.values().values().map(|bytes| bytes[2]).collect::<BTreeSet<u8>>();
    assert_eq!(versions(stored(VERSION_1)), BTreeSet::from([1]));
    assert_eq!(versions(stored(VERSION_2)), BTreeSet::from([1, 2]));
    for (key, bytes) in [VERSION_1, VERSION_2].iter().flat_map(|lines| stored(lines).values().clone()) {
        let decode = |bytes: Vec<u8>| -> Result<(), Damage> {
            if key.starts_with("head:") {
                Head::decode(bytes.into()).map(drop)
            } else {
                Page::decode(bytes.into()).map(drop)
            }
        };
        assert_eq!(decode(bytes.clone()), Ok(()), "{key}");
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(decode(damaged).is_err(), "byte {at} of {key}");
        }
    }
}
