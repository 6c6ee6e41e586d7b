//! Heads in shared data, in two keys that can not be written at once.

use serde_json::json;

use super::{Place, SECOND, total};

impl Place {
    /// The keys that begin like this, and their values.
    fn values(&self, start: &str) -> Vec<(String, Vec<u8>)> {
        let values = self.shared.values.borrow();
        values
            .iter()
            .filter(|(key, _)| key.starts_with(start))
            .map(|(key, (value, _))| (key.clone(), value.clone()))
            .collect()
    }

    fn put(&self, key: &str, value: Vec<u8>) {
        self.shared.generation.set(self.shared.generation.get() + 1);
        self.shared.values.borrow_mut().insert(key.to_owned(), (value, self.shared.generation.get()));
    }
}

#[test]
fn a_head_that_is_not_the_one_of_its_stamp_is_not_served_and_is_replaced() {
    let place = Place::new(json!({ "max_staleness_ms": 60_000 }));
    let connection = place.connection("c");
    place.get(0, &connection, "/Users");
    let [(key, old)] = place.values("head-").try_into().expect("one head");
    place.create(0, &connection, "ann");
    assert_eq!(total(&place.get(0, &connection, "/Users?count=0")), 1);
    let [(_, new)] = place.values("head-").try_into().expect("one head");
    for wrong in [old, Vec::new(), b"damage".to_vec()] {
        place.put(&key, wrong);
        place.asked();
        assert_eq!(total(&place.get(0, &connection, "/Users?count=0")), 1);
        assert_eq!(place.asked(), [""; 0], "this worker has the head");
        place.workers[1].replace(place.worker());
        assert_eq!(total(&place.get(1, &connection, "/Users?count=0")), 1);
        assert_eq!(place.asked(), ["heads"], "this one has not");
        assert_eq!(place.values("head-"), [(key.clone(), new.clone())]);
        place.workers[0].replace(place.worker());
        assert_eq!(total(&place.get(0, &connection, "/Users?count=0")), 1);
        assert_eq!(place.asked(), [""; 0]);
    }
}

#[test]
fn what_is_confirmed_or_written_again_and_again_is_a_stamp_and_no_head() {
    let place = Place::new(json!({}));
    let connection = place.connection("c");
    place.get(0, &connection, "/Users");
    let heads = || {
        place
            .shared
            .values
            .borrow()
            .iter()
            .filter(|(key, _)| key.starts_with("head-"))
            .map(|(_, (_, g))| *g)
            .collect::<Vec<_>>()
    };
    let before = heads();
    place.asked();
    for worker in [0, 1, 0, 1] {
        place.pass(2 * SECOND);
        place.get(worker, &connection, "/Users");
        assert_eq!(place.asked(), ["heads"]);
    }
    assert_eq!(heads(), before);
    assert!(place.values("stamp-").iter().all(|(_, stamp)| stamp.len() < 128));
}
