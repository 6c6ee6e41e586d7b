//! What a read waits for when its edge lacks pages.

use std::rc::Rc;

use serde_json::{Value, json};

use super::{Memory, Place, total};
use crate::config::Config;
use crate::worker::{Verdict, Worker};

#[test]
fn a_deep_read_is_forwarded_while_the_cache_fills_until_it_needs_the_origin_no_more() {
    let place = Place::with_pages(json!({ "max_staleness_ms": 60_000 }), 512);
    let connection = place.connection("c");
    let ids: Vec<_> = (0..300).map(|n| place.create(0, &connection, &format!("user-{n}"))).collect();
    let cold = Place { shared: Rc::default(), ..place };
    cold.workers[0].replace(cold.worker());
    cold.origin.ahead.set(false);
    cold.asked();
    let mut rounds = 0;
    loop {
        assert_eq!(cold.get(0, &connection, &format!("/Users/{}", ids[150])).status, 200);
        let asked = cold.asked();
        if asked.is_empty() {
            break;
        }
        let trips = asked.iter().position(|what| *what == "forward").unwrap_or(asked.len());
        assert!(trips <= 2, "a read waited for {asked:?}");
        rounds += 1;
        assert!(rounds < 10, "the cache does not fill");
    }
    assert!(rounds > 1, "the directory was too small for this test");
}

#[test]
fn a_deep_read_waits_for_one_fetch_whatever_it_lacks() {
    let place = Place::with_pages(json!({ "max_staleness_ms": 60_000 }), 512);
    let connection = place.connection("c");
    let ids: Vec<_> = (0..300).map(|n| place.create(0, &connection, &format!("user-{n}"))).collect();
    let cold = Place { shared: Rc::default(), ..place };
    let paths = [
        format!("/Users/{}", ids[150]),
        "/Users?filter=userName%20eq%20%22user-7%22".to_owned(),
        "/Users?startIndex=200&count=20".to_owned(),
        "/Users?filter=userName%20sw%20%22user-2%22&sortBy=userName&count=5".to_owned(),
    ];
    for (turn, path) in paths.iter().enumerate() {
        cold.workers[0].replace(cold.worker());
        cold.shared.values.borrow_mut().clear();
        cold.asked();
        let answer = cold.get(0, &connection, path);
        assert_eq!((answer.status, cold.asked()), (200, vec!["heads", "pages"]), "{path}");
        assert_eq!(answer.body, cold.forwarded_anew(&connection, path).body, "{path}");
        // Another one mostly finds what is above it here already.
        let next = format!("/Users/{}", ids[(turn * 71 + 13) % 300]);
        assert_eq!((cold.get(0, &connection, &next).status, cold.asked().len() <= 2), (200, true));
    }
}

#[test]
fn a_read_of_more_pages_than_a_fetch_may_bring_is_the_origins() {
    let place = Place::with_pages(json!({ "max_staleness_ms": 60_000 }), 512);
    let connection = place.connection("c");
    (0..600).for_each(|n| drop(place.create(0, &connection, &format!("user-{n}"))));
    let cold = Place { shared: Rc::default(), ..place };
    cold.workers[0].replace(cold.worker());
    cold.asked();
    let (_, verdict) = cold.arrive(0, connection.request("GET", "/Users?filter=title%20eq%20%22x%22", &Value::Null));
    assert_eq!(verdict, Verdict::Hold);
    assert_eq!(cold.deliver(0, cold.send(0)), []);
    let verdicts = cold.deliver(0, cold.send(0));
    assert!(matches!(verdicts.as_slice(), [(_, Verdict::Forward)]), "{verdicts:?}");
    assert_eq!(cold.asked(), ["heads", "pages"]);
    let pages = cold.shared.values.borrow().keys().filter(|key| key.starts_with("page-")).count();
    assert!((100..=256).contains(&pages), "{pages} pages came");
}

#[test]
fn pages_a_later_commit_replaced_send_the_reader_to_the_origin_and_its_head_away() {
    let place = Place::new(json!({ "max_staleness_ms": 60_000 }));
    let connection = place.connection("c");
    for n in 0..200 {
        place.create(0, &connection, &format!("user-{n}"));
    }
    // A second Envoy, with a cache of its own, that writes behind the first one's back.
    let config = Config::parse(
        br#"{"mode":"origin","max_staleness_ms":60000,"origin":{"cluster":"o","credential":"edge-secret"}}"#,
    );
    let elsewhere = Rc::new(Memory::default());
    *place.workers[1].borrow_mut() = Worker::new(Rc::new(config.unwrap()), Rc::new(Rc::clone(&elsewhere)));
    assert_eq!(place.get(1, &connection, "/ServiceProviderConfig").status, 200);
    for n in 200..400 {
        place.create(0, &connection, &format!("user-{n}"));
    }
    place.asked();
    assert_eq!(total(&place.get(1, &connection, "/Users?count=1")), 400);
    assert_eq!(place.asked(), ["pages", "forward"]);
    assert_eq!(total(&place.get(1, &connection, "/Users?count=1")), 400);
    assert_eq!(place.asked()[0], "heads");
}
