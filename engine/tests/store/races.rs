//! Writers racing on every interleaving of their calls, on stores that misreport swaps in every way known.

use scim_engine::store::memory::{MemoryStore, run};
use scim_engine::store::{PageCache, Turn};

use crate::schedules::{REPORTS, Race, Report, check_pages, fill, sorted, statuses};
use crate::support::{session, tiny};

#[test]
fn two_writers_lose_no_update() {
    for report in REPORTS {
        let race = Race::new(tiny(), &["create".into()], &["add sum\nput a 1", "add sum\nput b 1"], report);
        let schedules = race.every_schedule(|ended| {
            assert_eq!(statuses(ended), [200, 200], "{:?}", ended.choices);
            assert_eq!(race.read(ended, "list"), "a=1;b=1;sum=2;", "{:?}", ended.choices);
        });
        assert!(schedules >= 20, "{schedules}");
    }
}

#[test]
fn three_writers_lose_no_update() {
    let race = Race::new(tiny(), &["create".into()], &["add sum", "add sum", "add sum"], Report::Truth);
    let schedules = race.every_schedule(|ended| {
        assert_eq!(statuses(ended), [200, 200, 200], "{:?}", ended.choices);
        assert_eq!(race.read(ended, "get sum"), "3;", "{:?}", ended.choices);
    });
    assert!(schedules >= 1680, "{schedules}");
}

#[test]
fn trusting_a_truthful_store_loses_no_update() {
    let mut race = Race::new(tiny(), &["create".into()], &["add sum", "add sum", "add sum"], Report::Truth);
    race.trusting = true;
    race.every_schedule(|ended| {
        assert_eq!(statuses(ended), [200, 200, 200], "{:?}", ended.choices);
        assert_eq!(race.read(ended, "get sum"), "3;", "{:?}", ended.choices);
    });
}

#[test]
fn a_unique_key_is_given_once() {
    for report in REPORTS {
        let race = Race::new(tiny(), &["create".into()], &["once name\nput a 1", "once name\nput b 1"], report);
        race.every_schedule(|ended| {
            assert_eq!(sorted(statuses(ended)), [200, 409], "{:?}", ended.choices);
            let winner = if ended.responses[0].status == 200 { "a=1;name=1;" } else { "b=1;name=1;" };
            assert_eq!(race.read(ended, "list"), winner, "{:?}", ended.choices);
        });
    }
}

#[test]
fn merges_that_race_leave_a_whole_tree_and_no_orphan() {
    let before = ["create".to_owned(), (0..40).map(|n| format!("put k{n:02} {n}\n")).collect(), fill("x", 4)];
    let scripts = ["add sum\nput k05 changed\nremove k20", "add sum\nremove k06\nput k21 changed"];
    for report in REPORTS {
        let race = Race::new(tiny(), &before, &scripts, report);
        let schedules = race.every_schedule(|ended| {
            assert_eq!(statuses(ended), [200, 200], "{:?}", ended.choices);
            check_pages(ended);
            let read = race.read(ended, "get sum\nget k05\nget k06\nget k20\nget k21\nget k22");
            assert_eq!(read, "2;changed;;;changed;22;", "{:?}", ended.choices);
        });
        assert!(schedules > 100, "{schedules}");
    }
}

#[test]
fn a_reader_sees_one_moment_while_pages_are_replaced_and_deleted() {
    // Two writers merge one after the other, so the second deletes what the reader may still be about to load.
    let before = ["create".to_owned(), (0..40).map(|n| format!("put k{n:02} 0\n")).collect()];
    let rewrite = "put k00 1\nput k10 1\nput k20 1\nput k30 1\nput k39 1";
    let again = "put k00 2\nput k10 2\nput k20 2\nput k30 2\nput k39 2";
    let race = Race::new(tiny(), &before, &[], Report::Truth);
    // The reader stops after each number of its calls, while both writers run to their end.
    for stop in 0.. {
        let store = MemoryStore::default();
        store.values().extend(race.before.clone());
        let cache = PageCache::new(0);
        let mut reader = session("get k00\nget k20\nget k39", 1, &race.config);
        let mut turn = reader.turn(&cache, None);
        let mut calls = 0;
        let response = loop {
            if calls == stop {
                assert_eq!(run(session(rewrite, 2, &race.config), &store, &cache).status, 200);
                assert_eq!(run(session(again, 3, &race.config), &store, &cache).status, 200);
            }
            match turn {
                Turn::Call(call) => turn = reader.turn(&cache, Some(store.call(&call))),
                Turn::Wait => turn = reader.turn(&cache, None),
                Turn::Done(response) => break response,
            }
            calls += 1;
        };
        assert!(["0;0;0;", "2;2;2;"].map(str::as_bytes).contains(&response.body.as_slice()), "{response:?}");
        if calls < stop {
            return;
        }
    }
}

#[test]
fn the_environment_is_created_once() {
    for report in REPORTS {
        let race = Race::new(tiny(), &[], &["in environment\nput a 1", "in environment\nput b 1"], report);
        race.every_schedule(|ended| {
            let (a, b) = (ended.responses[0].status, ended.responses[1].status);
            assert!([200, 503].contains(&a) && [200, 503].contains(&b) && (a, b) != (503, 503));
            let expected = [(a, "a=1;"), (b, "b=1;")].map(|(status, entry)| if status == 200 { entry } else { "" });
            assert_eq!(race.read(ended, "in environment\nlist"), expected.concat(), "{:?}", ended.choices);
        });
    }
}
