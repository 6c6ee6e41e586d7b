//! Tokens made by another implementation. Every key here was drawn for this file, and its private half thrown away.

use std::collections::BTreeMap;

use super::*;

#[derive(Deserialize)]
struct Data {
    keys: Vec<serde_json::Value>,
    accepted: BTreeMap<String, String>,
    refused: BTreeMap<String, String>,
}

fn data() -> (KeySet, Data) {
    let data: Data = serde_json::from_str(include_str!("tests.json")).unwrap();
    (KeySet::parse(&serde_json::json!({ "keys": data.keys }).to_string()).unwrap(), data)
}

#[test]
fn only_keys_that_sign_with_a_known_algorithm_are_kept() {
    let (keys, _) = data();
    assert_eq!(format!("{keys:?}"), r#"[Some("r"), Some("r2"), Some("e"), Some("d")]"#);
    for wrong in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AA"}]}"#] {
        assert!(KeySet::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_signature_counts_only_by_the_named_key_and_its_own_algorithm() {
    let (keys, data) = data();
    for (why, token) in &data.accepted {
        let payload = keys.payload(token).unwrap_or_else(|| panic!("refused: {why}"));
        assert_eq!(payload, br#"{"sub":"ann","tenantId":"acme","exp":2000000000}"#, "{why}");
    }
    for (why, token) in &data.refused {
        assert_eq!(keys.payload(token), None, "accepted: {why}");
    }
}

#[test]
fn a_token_of_a_key_that_came_later_is_noticed() {
    let (keys, data) = data();
    assert!(keys.lacks_key_of(&data.refused["RS256 by an unknown key"]));
    assert!(!keys.lacks_key_of(&data.accepted["RS256"]));
    assert!(!keys.lacks_key_of("nonsense"));
    let unnamed = "a token without a key id is tried with every key of its algorithm";
    assert!(!keys.lacks_key_of(&data.accepted[unnamed]));
    assert!(!keys.lacks_key_of(&data.refused["alg none without a key id"]));
}
