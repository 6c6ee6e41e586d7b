//! Transactions and the tree against a plain ordered map.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use scim_engine::env::{Config, Env, Limits, Timestamp};
use scim_engine::store::memory::MemoryStore;
use scim_engine::store::{Head, Page, PageCache, Txn, pages_since};

use crate::support::{apply, check_tree, config, counting_loads, directory, head, seed, tiny, with_view};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Write {
    Put(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    RemoveRange(Vec<u8>, Vec<u8>),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0u16..400).prop_map(|n| format!("k{n:03}").into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
        1 => (0u8..3, 100usize..300).prop_map(|(n, len)| vec![b'l' + n; len]),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        10 => (key(), proptest::collection::vec(any::<u8>(), 0..30)).prop_map(|(k, v)| Write::Put(k, v)),
        1 => (key(), proptest::collection::vec(any::<u8>(), 150..400)).prop_map(|(k, v)| Write::Put(k, v)),
        6 => key().prop_map(Write::Remove),
        1 => (key(), key()).prop_map(|(a, b)| Write::RemoveRange(a, b)),
    ]
}

/// A store with its model, commit by commit.
struct Directory {
    store: MemoryStore,
    config: Arc<Config>,
    model: Map,
    commits: u64,
}

impl Directory {
    fn new(config: Arc<Config>) -> Self {
        Self { store: MemoryStore::default(), config, model: Map::new(), commits: 0 }
    }

    /// Commits writes; the levels of the pages it took.
    fn commit(&mut self, writes: &[Write]) -> Vec<u8> {
        let before = self.model.clone();
        for write in writes {
            match write {
                Write::Put(k, v) => drop(self.model.insert(k.clone(), v.clone())),
                Write::Remove(k) => drop(self.model.remove(k)),
                Write::RemoveRange(a, b) => self.model.retain(|k, _| k < a || k >= b),
            }
        }
        self.commits += 1;
        let head = head(&self.store, &directory());
        let cache = PageCache::new(usize::MAX);
        let commit = with_view(&self.store, head.clone(), &cache, |view| {
            let open = Txn::open(view, &directory())?;
            let mut txn = open.unwrap_or_else(|| Txn::create(view, &directory()));
            txn.set_record(self.commits.to_string().into_bytes());
            for write in writes {
                match write {
                    Write::Put(k, v) if v.len() % 2 == 1 && !before.contains_key(k) => {
                        txn.put_fresh(k.clone(), v.clone());
                    }
                    Write::Put(k, v) => txn.put(k.clone(), v.clone()),
                    Write::Remove(k) => txn.remove(k.clone()),
                    Write::RemoveRange(a, b) => {
                        for (k, _) in txn.scan(a..b, 0, usize::MAX, false)? {
                            txn.remove(k);
                        }
                    }
                }
            }
            txn.commit(&Env::new(Timestamp(0), seed(self.commits), 0, &self.config))
        });
        let commit = commit.unwrap();
        assert_eq!(commit.version, self.commits);
        apply(&self.store, &commit);
        commit.pages.into_iter().map(|(_, bytes)| Page::decode(bytes.into()).unwrap().level()).collect()
    }
}

/// Every read of a transaction agrees with the map.
fn check_reads(
    txn: &Txn<'_>,
    model: &Map,
    probes: &[(Vec<u8>, Vec<u8>, u64, usize)],
) -> Result<(), scim_engine::store::Fault> {
    for (a, b, skip, limit) in probes {
        assert_eq!(txn.get(a)?, model.get(a).cloned());
        let within = || model.iter().filter(|(k, _)| a <= *k && *k < b).map(|(k, v)| (k.clone(), v.clone()));
        assert_eq!(txn.count(a..b)?, within().count() as u64);
        let skip_of = usize::try_from(*skip).unwrap();
        let forward: Vec<_> = within().skip(skip_of).take(*limit).collect();
        assert_eq!(txn.scan(a..b, *skip, *limit, false)?, forward);
        let backward: Vec<_> = within().collect::<Vec<_>>().into_iter().rev().skip(skip_of).take(*limit).collect();
        assert_eq!(txn.scan(a..b, *skip, *limit, true)?, backward);
    }
    let keys: Vec<_> = probes.iter().map(|(a, ..)| a.clone()).collect();
    let values: Vec<_> = keys.iter().map(|k| model.get(k).cloned()).collect();
    assert_eq!(txn.get_many(&keys)?, values);
    Ok(())
}

fn probe() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, u64, usize)> {
    (key(), prop_oneof![key(), Just(vec![0xff; 8])], 0u64..40, prop_oneof![0usize..20, Just(usize::MAX)])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_directory_behaves_as_an_ordered_map(
        batches in proptest::collection::vec(proptest::collection::vec(write(), 0..40), 1..25),
        own in proptest::collection::vec(write(), 0..12),
        probes in proptest::collection::vec(probe(), 1..12),
        page_bytes in prop_oneof![Just(tiny().page_bytes), Just(400)],
    ) {
        let mut directory_ = Directory::new(config(Limits { page_bytes, ..tiny() }));
        let mut snapshots: Vec<(Arc<Head>, Map)> = Vec::new();
        for batch in &batches {
            directory_.commit(batch);
            check_tree(&directory_.store, &directory(), page_bytes);
            snapshots.push((head(&directory_.store, &directory()).unwrap(), directory_.model.clone()));
        }
        let cache = PageCache::new(usize::MAX);
        for (head, model) in &snapshots {
            with_view(&directory_.store, Some(Arc::clone(head)), &cache, |view| {
                let mut txn = Txn::open(view, &directory())?.unwrap();
                check_reads(&txn, model, &probes)?;
                let mut model = model.clone();
                for write in &own {
                    match write {
                        Write::Put(k, v) => {
                            txn.put(k.clone(), v.clone());
                            model.insert(k.clone(), v.clone());
                        }
                        Write::Remove(k) | Write::RemoveRange(k, _) => {
                            txn.remove(k.clone());
                            model.remove(k);
                        }
                    }
                }
                check_reads(&txn, &model, &probes)
            });
        }
    }
}

/// A directory of that many entries in a deep tree.
fn grown(entries: u64) -> Directory {
    grown_in(tiny(), entries)
}

fn grown_in(limits: Limits, entries: u64) -> Directory {
    let mut directory = Directory::new(config(limits));
    let writes: Vec<_> = (0..entries).map(|n| Write::Put(format!("k{n:06}").into_bytes(), b"v".to_vec())).collect();
    directory.commit(&writes);
    directory
}

#[test]
fn ranks_and_pages_cost_one_path_and_not_the_tree() {
    let grown = grown(20_000);
    let head = head(&grown.store, &directory());
    let levels = usize::from(head.as_ref().unwrap().root().unwrap().level) + 1;
    let end: &[u8] = &[0xff];
    let (count, (rounds, pages)) = counting_loads(&grown.store, head.clone(), &PageCache::new(usize::MAX), |view| {
        Txn::open(view, &directory())?.unwrap().count(b"k005000"..end)
    });
    assert_eq!(count, 15_000);
    assert!(rounds <= levels && pages <= 2 * levels, "{rounds} rounds, {pages} pages, {levels} levels");
    for reverse in [false, true] {
        let (found, (rounds, pages)) =
            counting_loads(&grown.store, head.clone(), &PageCache::new(usize::MAX), |view| {
                Txn::open(view, &directory())?.unwrap().scan(b""..end, 12_345, 1, reverse)
            });
        assert_eq!(found[0].0, if reverse { b"k007654" } else { b"k012345" });
        assert!(rounds <= 2 * levels && pages <= 3 * levels, "{rounds} rounds, {pages} pages, {levels} levels");
    }
}

#[test]
fn a_scan_asks_for_all_its_leaves_at_once() {
    let grown = grown(5_000);
    let head = head(&grown.store, &directory());
    let levels = usize::from(head.as_ref().unwrap().root().unwrap().level) + 1;
    let (found, (rounds, _)) = counting_loads(&grown.store, head, &PageCache::new(usize::MAX), |view| {
        Txn::open(view, &directory())?.unwrap().scan(b"k001000"..b"k003000", 0, usize::MAX, false)
    });
    assert_eq!(found.len(), 2_000);
    assert!(rounds <= levels, "{rounds} rounds, {levels} levels");
}

#[test]
fn what_is_behind_a_missing_page_is_asked_for_along_with_it() {
    let grown = grown_in(Limits { page_bytes: 1024, ..tiny() }, 20_000);
    let head = head(&grown.store, &directory());
    let levels = usize::from(head.as_ref().unwrap().root().unwrap().level) + 1;
    // How many entries lie before the range shows at its first leaf; where the page wanted lies is near enough known before.
    let (found, (rounds, _)) = counting_loads(&grown.store, head, &PageCache::new(usize::MAX), |view| {
        Txn::open(view, &directory())?.unwrap().scan(b"k000003"..b"l", 12_345, 1, false)
    });
    assert_eq!(found[0].0, b"k012348");
    assert_eq!((rounds, levels), (4, 3), "one after the other takes five rounds");
}

#[test]
fn a_merge_needs_nothing_that_was_not_foreseen() {
    let limits = Limits { page_bytes: 1024, ..tiny() };
    let grown = grown_in(limits.clone(), 5_000);
    let head = head(&grown.store, &directory());
    for start in (1_000..1_100).step_by(7) {
        let (committed, _) = counting_loads(&grown.store, head.clone(), &PageCache::new(usize::MAX), |view| {
            let mut txn = Txn::open(view, &directory())?.unwrap();
            // More than a leaf holds: what is left of the first and the last is joined with others.
            (start..start + 90).for_each(|n| txn.remove(format!("k{n:06}").into_bytes()));
            txn.foresee(&limits)?;
            Ok(txn.commit(&Env::new(Timestamp(0), seed(9), 0, &grown.config)))
        });
        assert!(committed.is_ok_and(|commit| commit.is_some()), "from {start}");
    }
}

#[test]
fn nothing_is_read_of_a_range_known_to_be_vacant() {
    let grown = grown(500);
    let head = head(&grown.store, &directory());
    let (range, other): (_, &[u8]) = (&b"k000100/"[..]..&b"k0001000"[..], b"k000101");
    let loads = |writes: bool, reads: &[u8]| {
        let cache = PageCache::new(usize::MAX);
        let ((), loads) = counting_loads(&grown.store, head.clone(), &cache, |view| {
            let mut txn = Txn::open(view, &directory())?.unwrap();
            txn.vacate(range.start.to_vec()..range.end.to_vec());
            if writes {
                txn.put(b"k000100/1".to_vec(), b"own".to_vec());
                txn.remove(b"k000100/2".to_vec());
            }
            let own = usize::from(writes);
            assert_eq!(txn.scan(range.clone(), 0, 9, false)?.len(), own);
            assert_eq!(txn.scan(range.clone(), 0, 9, true)?.len(), own);
            assert_eq!(txn.count(range.clone())?, own as u64);
            assert_eq!(txn.get(b"k000100/1")?.is_some(), writes);
            txn.get(reads)?;
            txn.commit(&Env::new(Timestamp(0), seed(9), 0, &grown.config)).map(drop)
        });
        loads.0
    };
    assert_eq!((loads(true, b"k000100/9"), loads(false, b"k000100/9")), (0, 0));
    assert!(loads(true, other) > 0 && loads(true, range.end) > 0, "what lies beside it is read");
}

#[test]
fn removing_everything_leaves_no_page() {
    let mut grown = grown(3_000);
    grown.commit(&[Write::RemoveRange(Vec::new(), vec![0xff])]);
    assert_eq!(head(&grown.store, &directory()).unwrap().root(), None);
    assert!(check_tree(&grown.store, &directory(), tiny().page_bytes).is_empty());
}

#[test]
fn removing_most_entries_shrinks_the_tree() {
    let mut grown = grown(3_000);
    let before = check_tree(&grown.store, &directory(), tiny().page_bytes).len();
    for n in (0..3_000).filter(|n| n % 10 != 0).collect::<Vec<u64>>().chunks(50) {
        let writes: Vec<_> = n.iter().map(|n| Write::Remove(format!("k{n:06}").into_bytes())).collect();
        grown.commit(&writes);
    }
    let after = check_tree(&grown.store, &directory(), tiny().page_bytes).len();
    assert!(after * 3 < before, "{before} pages became {after}");
}

#[test]
fn appended_entries_fill_their_pages() {
    let mut directory_ = Directory::new(config(tiny()));
    for n in (0..2_000u64).collect::<Vec<_>>().chunks(5) {
        let writes: Vec<_> = n.iter().map(|n| Write::Put(format!("k{n:06}").into_bytes(), b"v".to_vec())).collect();
        directory_.commit(&writes);
    }
    let ids = check_tree(&directory_.store, &directory(), tiny().page_bytes);
    let leaves = ids.iter().filter(|(_, level)| *level == 0).count();
    // An entry takes 10 bytes of the 129 a page has for them.
    assert!(leaves <= 2_000 / 12 + 2, "{leaves} leaves");
}

#[test]
fn scattered_writes_rewrite_leaves_and_few_of_the_pages_above_them() {
    let limits = Limits { page_bytes: 1000, ..tiny() };
    let mut grown = grown_in(limits.clone(), 20_000);
    let mut written = [0; 8];
    for n in 0..150u64 {
        let scattered = (0..8).map(|i| format!("k{:06}", (8 * n + i).wrapping_mul(7_919_317) % 20_000));
        let writes: Vec<_> = scattered.map(|key| Write::Put(key.into_bytes(), b"w".to_vec())).collect();
        for level in grown.commit(&writes) {
            written[usize::from(level)] += usize::from(n >= 50);
        }
    }
    check_tree(&grown.store, &directory(), limits.page_bytes);
    let [leaves, above, ..] = written;
    assert!(leaves > 700 && above * 2 < leaves, "{leaves} leaves, {above} pages above them");
}

#[test]
fn what_a_reader_misses_since_a_version_is_all_it_has_to_be_sent() {
    let mut grown = grown(500);
    let mut heads = vec![head(&grown.store, &directory()).unwrap()];
    for n in 0..6u64 {
        let writes = (0..8).map(|i| Write::Put(format!("k{:06}", 60 * i + n).into_bytes(), b"w".to_vec()));
        grown.commit(&writes.collect::<Vec<_>>());
        heads.push(head(&grown.store, &directory()).unwrap());
    }
    let (newest, everything) = (heads.last().unwrap(), PageCache::new(usize::MAX));
    let since = |version, limit| {
        with_view(&grown.store, None, &everything, |view| pages_since(newest, version, limit, &directory(), view.pages))
    };
    for old in &heads {
        // A reader that has all of the old tree, and what it is sent, needs nothing more.
        let mine = PageCache::new(usize::MAX);
        let read = |view: &scim_engine::store::View<'_>| {
            Txn::open(view, &directory())?.unwrap().scan(b""..&[0xff], 0, usize::MAX, false)
        };
        with_view(&grown.store, Some(Arc::clone(old)), &mine, read);
        let sent = since(old.version(), usize::MAX).unwrap();
        assert_eq!(sent.is_empty(), old.version() == newest.version());
        sent.into_iter().for_each(|page| mine.insert(page));
        let (_, loads) = counting_loads(&grown.store, Some(Arc::clone(newest)), &mine, read);
        assert_eq!(loads, (0, 0), "since version {}", old.version());
    }
    assert!(since(heads[0].version(), 3).is_none(), "a bound is kept");
    for n in 0..40 {
        grown.commit(&[Write::Put(b"k000000".to_vec(), vec![n])]);
    }
    let newest = head(&grown.store, &directory()).unwrap();
    let forgotten = with_view(&grown.store, None, &everything, |view| {
        pages_since(&newest, heads[0].version(), usize::MAX, &directory(), view.pages)
    });
    assert!(forgotten.is_none(), "a version too far back is not guessed about");
}
