//! Sessions of one process that share a commit: every order of their calls, every mishap, and sessions that go away.

use std::collections::BTreeSet;
use std::sync::Arc;

use scim_engine::store::memory::{MemoryStore, run};
use scim_engine::store::{Call, GroupCommit, PageCache, Turn};

use crate::schedules::{Ended, Mishap, REPORTS, Race, Report, check_pages, fill, sorted, statuses};
use crate::support::{check_tree, config, directory, head, session, tiny};

const MISHAPS: [Mishap; 5] =
    [Mishap::Fails, Mishap::ReplyLost, Mishap::GoneBefore, Mishap::GoneAfter, Mishap::GoneAndLate];

/// Scripts of which those with the same number share a process.
fn race(before: &[String], scripts: &[(usize, &'static str)], report: Report) -> Race {
    let texts: Vec<_> = scripts.iter().map(|(_, script)| *script).collect();
    let processes = scripts.iter().map(|(process, _)| *process).collect();
    Race { processes: Some(processes), ..Race::new(tiny(), before, &texts, report) }
}

fn three() -> [(usize, &'static str); 3] {
    [(0, "add sum\nput a 1"), (0, "add sum\nput b 1"), (0, "add sum\nput c 1")]
}

#[test]
fn writers_of_one_process_share_a_swap_and_lose_no_update() {
    for report in REPORTS {
        let race = race(&["create".into()], &three(), report);
        race.every_schedule(|ended| {
            assert_eq!(statuses(ended), [200, 200, 200], "{:?}", ended.choices);
            assert_eq!(race.read(ended, "list"), "a=1;b=1;c=1;sum=3;", "{:?}", ended.choices);
            assert_eq!(head(&ended.store, &directory()).unwrap().version(), 4);
            // They all began before anybody wrote, so nobody leaves without the others.
            assert_eq!(ended.swaps, 1, "{:?}", ended.choices);
        });
    }
}

#[test]
fn groups_of_two_processes_lose_no_update() {
    let scripts = [(0, "add sum\nput a 1"), (0, "add sum\nput b 1"), (1, "add sum\nput c 1")];
    for report in REPORTS {
        let race = race(&["create".into()], &scripts, report);
        let schedules = race.every_schedule(|ended| {
            assert_eq!(statuses(ended), [200, 200, 200], "{:?}", ended.choices);
            assert_eq!(race.read(ended, "list"), "a=1;b=1;c=1;sum=3;", "{:?}", ended.choices);
            // A group that has lost need not stay together.
            assert!((2..=3).contains(&ended.swaps), "{:?}", ended.choices);
        });
        assert!(schedules > 100, "{schedules}");
    }
}

#[test]
fn what_is_refused_because_of_another_is_refused_once_that_has_landed() {
    let scripts = [(0, "once name\nput a 1"), (0, "once name\nput b 1"), (0, "add sum")];
    for report in REPORTS {
        let race = race(&["create".into()], &scripts, report);
        race.every_schedule(|ended| {
            let found = statuses(ended);
            assert_eq!(sorted(found.clone()), [200, 200, 409], "{:?}", ended.choices);
            let winner = if found[0] == 200 { "a=1;name=1;sum=1;" } else { "b=1;name=1;sum=1;" };
            assert_eq!(race.read(ended, "list"), winner, "{:?}", ended.choices);
        });
    }
}

/// A swap has happened, but its reply is still to come when somebody else, who has seen its head, replaces it.
#[test]
fn who_comes_during_a_swap_does_not_see_what_was_replaced_before() {
    let (store, cache, config) = (MemoryStore::default(), PageCache::new(4096), config(tiny()));
    let (here, there) = (Arc::new(GroupCommit::default()), Arc::new(GroupCommit::default()));
    let process = |script: &str, number: u64, group| session(script, number, &config).committing_with(group);
    run(session("create", 0, &config), &store, &cache);
    let mut first = process("once name", 1, &here);
    let mut turn = first.turn(&cache, None);
    let swapped = loop {
        match turn {
            Turn::Call(call @ Call::SwapHead { .. }) => break store.call(&call),
            Turn::Call(call) => turn = first.turn(&cache, Some(store.call(&call))),
            Turn::Wait => turn = first.turn(&cache, None),
            Turn::Done(_) => panic!("it has not swapped"),
        }
    };
    assert_eq!(run(process("remove name", 2, &there), &store, &cache).status, 200);
    let mut second = process("once name", 3, &here);
    assert!(matches!(second.turn(&cache, None), Turn::Call(_) | Turn::Wait));
    let mut waits = second.turn(&cache, None);
    let mut turn = first.turn(&cache, Some(swapped));
    while let Turn::Call(call) = turn {
        turn = first.turn(&cache, Some(store.call(&call)));
    }
    let response = loop {
        match waits {
            Turn::Call(call) => waits = second.turn(&cache, Some(store.call(&call))),
            Turn::Wait => waits = second.turn(&cache, None),
            Turn::Done(response) => break response,
        }
    };
    assert_eq!(response.status, 200, "it has seen the name that was gone before it began");
}

fn deep() -> [String; 3] {
    ["create".to_owned(), (0..40).map(|n| format!("put k{n:02} {n}\n")).collect(), fill("x", 4)]
}

#[test]
fn merges_of_one_group_store_no_page_that_the_group_itself_replaces() {
    let scripts = [
        (0, "add sum\nput k05 changed\nremove k20\nput k38 1"),
        (0, "add sum\nremove k06\nput k21 changed\nput k39 1"),
        (0, "add sum\nput k05 again"),
    ];
    for report in [Report::Truth, Report::AlwaysLost] {
        let race = race(&deep(), &scripts, report);
        race.every_schedule(|ended| {
            assert_eq!(statuses(ended), [200, 200, 200], "{:?}", ended.choices);
            let reachable: BTreeSet<_> =
                check_tree(&ended.store, &directory(), tiny().page_bytes).into_iter().map(|(id, _)| id).collect();
            let garbage: BTreeSet<_> = head(&ended.store, &directory()).unwrap().garbage().iter().copied().collect();
            assert!(reachable.is_disjoint(&garbage));
            check_pages(ended);
            assert_eq!(race.read(ended, "get sum\nget k06\nget k20\nget k21"), "3;;;changed;", "{:?}", ended.choices);
        });
    }
}

/// Each script is done or not, as a whole; done, if it was acknowledged; and no more often than once.
fn check_scripts(race: &Race, ended: &Ended, marks: &[&str]) {
    let context = || format!("{:?} {:?}", race.mishap, ended.choices);
    let marked = race.read(ended, &marks.iter().map(|mark| format!("get {mark}\n")).collect::<String>());
    let done: Vec<bool> = marked.split(';').take(marks.len()).map(|value| value == "1").collect();
    let sum: usize = race.read(ended, "get sum").trim_end_matches(';').parse().unwrap_or(0);
    assert_eq!(sum, done.iter().filter(|done| **done).count(), "{}", context());
    for (status, done) in statuses(ended).into_iter().zip(done) {
        match status {
            200 => assert!(done, "{}", context()),
            0 | 503 => {}
            other => panic!("{other} {}", context()),
        }
    }
    check_tree(&ended.store, &directory(), tiny().page_bytes);
}

#[test]
fn no_mishap_of_one_session_harms_the_others_or_does_anything_twice() {
    let mut race = race(&["create".into()], &three()[..2], Report::Truth);
    for mishap in MISHAPS {
        for at in 0.. {
            race.mishap = Some((at, mishap));
            let most = std::cell::Cell::new(0);
            race.every_schedule(|ended| {
                most.set(most.get().max(ended.calls));
                check_scripts(&race, ended, &["a", "b"]);
                let found = sorted(statuses(ended));
                assert!(found[0] != 0 || found[1] == 200, "who is left is served: {mishap:?} at {at} {found:?}");
            });
            if at >= most.get() {
                break;
            }
        }
    }
}

#[test]
fn a_merging_group_survives_every_mishap() {
    let scripts = [
        (0, "add sum\nput a 1\nput k05 changed\nremove k20\nput k38 1"),
        (0, "add sum\nput b 1\nremove k06\nput k21 changed\nput k39 1"),
    ];
    let mut race = race(&deep(), &scripts, Report::Truth);
    for mishap in MISHAPS {
        for at in 0..12 {
            race.mishap = Some((at, mishap));
            race.every_schedule(|ended| check_scripts(&race, ended, &["a", "b"]));
        }
    }
}

#[test]
fn a_group_is_bounded_so_that_every_commit_is_found_again() {
    let scripts: Vec<_> = (0..40).map(|_| (0, "add sum")).collect();
    let race = race(&["create".into()], &scripts, Report::AlwaysLost);
    let ended = race.one_schedule(&[]);
    assert!(statuses(&ended).iter().all(|status| *status == 200));
    assert_eq!(race.read(&ended, "get sum"), "40;");
    assert_eq!(ended.swaps, 3, "16, 16 and 8");
}
