//! Whole requests: sequences over one directory, with some that no client would send among them.

use scim_engine::http::Request;

use super::Choices;
use super::sequence::Sequence;

/// Twelve requests at most: enough for pages to split, few enough to be quick.
const MOST: usize = 12;

pub fn check(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut sequence = Sequence::new(&mut choices);
    for _ in 0..MOST {
        if sequence.choices.is_empty() {
            break;
        }
        if sequence.choices.once_in(16) {
            wild(&mut sequence);
        } else {
            sequence.step();
        }
    }
    sequence.directory.verify();
}

/// A request of arbitrary method, target, headers and body.
fn wild(sequence: &mut Sequence<'_, '_>) {
    let (base, token) = (sequence.directory.base.clone(), sequence.directory.token.clone());
    let choices = &mut *sequence.choices;
    let method = choices.pick(&["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", ""]).to_owned();
    let path = String::from_utf8_lossy(choices.bytes(40)).into_owned();
    let target = if choices.once_in(4) { path } else { format!("{base}/{path}") };
    let mut headers = Vec::new();
    if !choices.once_in(4) {
        headers.push(("authorization".to_owned(), format!("Bearer {token}").into_bytes()));
    }
    for _ in 0..choices.below(3) {
        let name = choices.pick(&[
            "host",
            "if-match",
            "if-none-match",
            "x-forwarded-host",
            "x-forwarded-proto",
            "authorization",
        ]);
        headers.push((name.to_owned(), choices.bytes(20).to_vec()));
    }
    let body = choices.bytes(250).to_vec();
    sequence.directory.raw(Request { method, target, headers, body, source: None });
}
