//! Decisions about an application's users, over the same replica.

use scim_engine::store::DirectoryId;
use serde_json::{Value, json};

use super::{Connection, Place, SECOND};
use crate::decision::{Outcome, Question, Ruling};
use crate::origin::Context;
use crate::worker::Verdict;

/// A place whose filter decides, with more settings.
fn place(settings: Value, page_bytes: usize) -> Place {
    let decision = json!({ "connection": "c", "subject": { "header": "x-user" }, "match": "userName" });
    let mut document = json!({ "mode": "decision", "decision": decision });
    document.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    Place::with_pages(document, page_bytes)
}

impl Place {
    fn decide(&self, worker: usize, connection: &Connection, subject: &str) -> Ruling {
        let directory = DirectoryId::new(&connection.id).unwrap();
        let question = Question { directory, subject: subject.to_owned() };
        let context: Context = 1_000_000 + self.contexts.get();
        self.contexts.set(self.contexts.get() + 1);
        self.pass(1);
        let mut verdict = self.workers[worker].borrow_mut().decide(context, question, self.now.get());
        loop {
            if let Verdict::Rule(ruling) = verdict {
                return *ruling;
            }
            assert_eq!(verdict, Verdict::Hold);
            let replies = self.send(worker);
            assert!(!replies.is_empty(), "it waits for nothing");
            let verdicts = self.deliver(worker, replies);
            verdict = verdicts.into_iter().find(|(other, _)| *other == context).map_or(Verdict::Hold, |(_, v)| v);
        }
    }

    /// A write at the origin, past this Envoy.
    fn elsewhere(&self, connection: &Connection, method: &str, path: &str, body: &Value) -> Value {
        let response = self.origin.answer(connection.request(method, path, body), self.now.get());
        assert!(response.status < 300, "{method} {path}: {}", response.status);
        serde_json::from_slice(&response.body).unwrap_or_default()
    }
}

fn status(ruling: &Ruling) -> Option<u16> {
    ruling.refusal.as_ref().map(|refusal| refusal.status)
}

#[test]
fn an_active_user_passes_with_id_and_groups_and_the_next_decision_asks_nobody() {
    let place = place(json!({}), 16 << 10);
    let connection = place.connection("c");
    let ann = place.elsewhere(&connection, "POST", "/Users", &json!({ "userName": "ann" }))["id"].clone();
    place.elsewhere(&connection, "POST", "/Groups", &json!({ "displayName": "Team A", "members": [{ "value": ann }] }));
    place.asked();
    let ruling = place.decide(0, &connection, "ann");
    assert_eq!((ruling.outcome, status(&ruling)), (Outcome::Active, None));
    let user = ruling.user.unwrap();
    assert_eq!((user.id.as_str(), user.groups.as_str()), (ann.as_str().unwrap(), "Team%20A"));
    assert!(!place.asked().is_empty());
    assert_eq!(place.decide(1, &connection, "ANN").outcome, Outcome::Active);
    assert_eq!(status(&place.decide(0, &connection, "bob")), Some(403));
    assert_eq!(place.asked(), [""; 0]);
}

#[test]
fn a_deactivated_user_is_refused_within_the_staleness_and_at_once_where_the_write_went_through() {
    let place = place(json!({}), 16 << 10);
    let connection = place.connection("c");
    let ann = place.elsewhere(&connection, "POST", "/Users", &json!({ "userName": "ann" }))["id"].clone();
    let path = format!("/Users/{}", ann.as_str().unwrap());
    let set = |active: bool| json!({ "Operations": [{ "op": "replace", "path": "active", "value": active }] });
    assert_eq!(place.decide(0, &connection, "ann").outcome, Outcome::Active);
    place.elsewhere(&connection, "PATCH", &path, &set(false));
    place.pass(SECOND + 1);
    let refused = place.decide(0, &connection, "ann");
    assert_eq!((refused.outcome, status(&refused), refused.user), (Outcome::Deactivated, Some(403), None));
    place.elsewhere(&connection, "PATCH", &path, &set(true));
    place.pass(SECOND + 1);
    assert_eq!(place.decide(0, &connection, "ann").outcome, Outcome::Active);
    // A worker that serves SCIM, with the same shared data.
    assert_eq!(place.ask(1, &connection.request("PATCH", &path, &set(false))).status, 200);
    assert_eq!(place.decide(0, &connection, "ann").outcome, Outcome::Deactivated);
}

#[test]
fn decisions_go_on_for_the_grace_and_are_refused_or_not_as_configured_after_it() {
    for (setting, expected) in [("deny", Some(503)), ("allow", None)] {
        let decision = json!({ "connection": "c", "subject": { "header": "x-user" }, "match": "userName", "unavailable": setting });
        let place = place(json!({ "grace_ms": 10_000, "decision": decision }), 16 << 10);
        let connection = place.connection("c");
        place.elsewhere(&connection, "POST", "/Users", &json!({ "userName": "ann" }));
        assert_eq!(place.decide(0, &connection, "ann").outcome, Outcome::Active);
        place.origin.up.set(false);
        place.pass(5 * SECOND);
        assert_eq!(place.decide(0, &connection, "ann").outcome, Outcome::Active);
        place.pass(6 * SECOND);
        let ruling = place.decide(0, &connection, "ann");
        assert_eq!((ruling.outcome, status(&ruling), ruling.user), (Outcome::Unavailable, expected, None));
        place.origin.up.set(true);
        place.pass(2 * SECOND);
        assert_eq!(place.decide(0, &connection, "ann").outcome, Outcome::Active);
    }
}

#[test]
fn a_decision_in_a_deep_tree_waits_until_every_page_is_there() {
    let place = place(json!({ "max_staleness_ms": 60_000 }), 512);
    let connection = place.connection("c");
    let ids: Vec<Value> = (0..300)
        .map(|n| {
            place.elsewhere(&connection, "POST", "/Users", &json!({ "userName": format!("user-{n}") }))["id"].clone()
        })
        .collect();
    let mut member = ids[150].clone();
    for depth in 0..5 {
        let group = json!({ "displayName": format!("g{depth}"), "members": [{ "value": member }] });
        member = place.elsewhere(&connection, "POST", "/Groups", &group)["id"].clone();
    }
    place.asked();
    assert_eq!(place.decide(0, &connection, "user-150").user.unwrap().groups, "g0,g1,g2,g3,g4");
    assert!(place.asked().len() > 3, "the directory was too small for this test");
}

#[test]
fn pages_a_later_commit_replaced_make_a_decision_start_over() {
    let place = place(json!({ "max_staleness_ms": 60_000 }), 16 << 10);
    let connection = place.connection("c");
    let create = |n: usize| place.elsewhere(&connection, "POST", "/Users", &json!({ "userName": format!("user-{n}") }));
    (0..200).for_each(|n| drop(create(n)));
    // The head, without the pages.
    assert_eq!(place.get(0, &connection, "/ServiceProviderConfig").status, 200);
    (200..400).for_each(|n| drop(create(n)));
    place.asked();
    assert_eq!(place.decide(0, &connection, "user-100").outcome, Outcome::Active);
    assert_eq!(place.asked()[..2], ["pages", "heads"]);
}
