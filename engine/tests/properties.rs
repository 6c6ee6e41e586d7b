//! What holds for every input: found again by random bytes for a moment in each test run, and by `cargo xtask fuzz`
//! for as long as one likes. Inputs that once failed are kept in `fuzz/seeds` and replayed here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]
#![allow(missing_docs, dead_code)]

#[path = "../fuzz/src/lib.rs"]
mod fuzzed;

use std::path::Path;

use fuzzed::directory::{Directory, SECRET, Setup, body};
use fuzzed::{Choices, message, naive};
use proptest::prelude::*;
use scim_engine::env::Limits;
use scim_engine::filter::Filter;
use scim_engine::project::Projection;
use scim_engine::schema::Registry;
use serde_json::{Value, json};

fn replay(target: &str, check: fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut replayed = 0;
    for seed in std::fs::read_dir(&seeds).unwrap() {
        let path = seed.unwrap().path();
        println!("{}", path.display());
        check(&std::fs::read(path).unwrap());
        replayed += 1;
    }
    assert!(replayed > 0, "no seed in {}", seeds.display());
}

#[test]
fn every_kept_input_passes_its_target() {
    replay("filter", fuzzed::filter::check);
    replay("path", fuzzed::path::check);
    replay("patch", fuzzed::patch::check);
    replay("bulk", fuzzed::bulk::check);
    replay("request", fuzzed::request::check);
    replay("page", fuzzed::page::check);
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn a_patch_leaves_a_whole_resource_and_twice_is_once(data in bytes(300)) {
        fuzzed::patch::check(&data);
    }

    #[test]
    fn a_filter_means_what_the_naive_evaluator_says(data in bytes(200)) {
        let mut choices = Choices::new(&data);
        let text = message::filter(&mut choices, &[], 3);
        fuzzed::filter::check(&[text.as_bytes(), b"\n", choices.rest()].concat());
    }

    #[test]
    fn stored_bytes_of_any_kind_are_read_or_refused(data in bytes(200)) {
        fuzzed::page::check(&data);
    }

    #[test]
    fn a_projection_never_shows_what_is_never_returned(data in bytes(200)) {
        let mut choices = Choices::new(&data);
        let registry = fuzzed::directory::registry();
        let mut user = message::user(&mut choices, &[]);
        let object = user.as_object_mut().unwrap();
        // As if a store had kept what it must not: the projection is the last line of defence.
        object.insert("password".to_owned(), SECRET.into());
        object.insert(fuzzed::directory::BADGE.to_owned(), json!({ "pin": SECRET, "site": { "code": "a", "pin": SECRET } }));
        object.retain(|name, value| name == "password" || name == fuzzed::directory::BADGE || !value.to_string().contains(SECRET));
        let paths: Vec<String> = (0..choices.below(4)).map(|_| message::attribute(&mut choices).to_owned()).collect();
        let asked = ["password".to_owned(), format!("{}:pin", fuzzed::directory::BADGE), format!("{}:site.pin", fuzzed::directory::BADGE)];
        let projection = match choices.below(3) {
            0 => Projection::new(&[&paths[..], &asked].concat(), &[]),
            1 => Projection::new(&[], &paths),
            _ => Projection::new(&paths, &[]),
        };
        projection.unwrap().apply(&registry.user, object);
        prop_assert!(!user.to_string().contains(SECRET), "{user}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn any_requests_leave_the_directory_sound(data in bytes(500)) {
        fuzzed::request::check(&data);
    }

    #[test]
    fn any_bulk_requests_leave_the_directory_sound(data in bytes(500)) {
        fuzzed::bulk::check(&data);
    }

    #[test]
    fn pages_by_index_and_by_cursor_are_the_sorted_whole(
        names in prop::collection::btree_set("[a-z]{1,3}", 0..40),
        size in 1usize..9,
        gone in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let mut directory = Directory::new(Setup { strict: false, revive: false, small: true });
        let mut ids: Vec<String> = names.iter().map(|name| {
            let made = directory.send("POST", "/Users", Some(&json!({ "userName": name })));
            body(&made)["id"].as_str().unwrap().to_owned()
        }).collect();
        for index in gone.iter().filter(|_| !names.is_empty()) {
            let id = index.get(&ids).clone();
            if directory.send("DELETE", &format!("/Users/{id}"), None).status == 204 && ids.len() > 1 {
                ids.retain(|other| *other != id);
            }
        }
        let whole: Vec<String> = directory.all("/Users").iter().map(id).collect();
        for query in ["", "&sortBy=userName", "&sortBy=meta.created", "&filter=userName%20pr", "&filter=userName%20sw%20%22%22"] {
            prop_assert_eq!(&by_index(&mut directory, size, query), &whole, "by index {}", query);
            prop_assert_eq!(&by_cursor(&mut directory, size, query), &whole, "by cursor {}", query);
        }
        prop_assert!(whole.is_sorted());
        directory.verify();
    }
}

fn id(resource: &Value) -> String {
    resource["id"].as_str().unwrap().to_owned()
}

fn by_index(directory: &mut Directory, size: usize, query: &str) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let page = directory.get(&format!("/Users?count={size}&startIndex={}{query}", found.len() + 1));
        let listed = page["Resources"].as_array().unwrap();
        found.extend(listed.iter().map(id));
        if listed.is_empty() || found.len() as u64 >= page["totalResults"].as_u64().unwrap() {
            return found;
        }
    }
}

fn by_cursor(directory: &mut Directory, size: usize, query: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = directory.get(&format!("/Users?count={size}&cursor={cursor}{query}"));
        found.extend(page["Resources"].as_array().unwrap().iter().map(id));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return found,
        }
    }
}

#[test]
fn the_naive_evaluator_knows_true_from_false() {
    let user = json!({ "userName": "Ann", "emails": [{ "value": "a@x", "type": "work" }, { "value": "b@x" }] });
    for (filter, expected) in [
        ("userName eq \"ANN\"", true),
        ("userName ne \"ann\"", false),
        ("emails[type eq \"work\" and value eq \"b@x\"]", false),
        ("emails.value ew \"b@X\"", true),
        ("title pr or not (active eq true)", true),
        ("title eq null", true),
    ] {
        let parsed = Filter::parse(filter, &Limits::default()).unwrap();
        assert_eq!(naive::matches(&parsed, &Registry::shared().user, &user), expected, "{filter}");
    }
}
