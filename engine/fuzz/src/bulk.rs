//! Bulk requests, one after another, over one directory.

use super::Choices;
use super::sequence::Sequence;

pub fn check(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut sequence = Sequence::new(&mut choices);
    for _ in 0..6 {
        if sequence.choices.is_empty() {
            break;
        }
        sequence.bulk();
    }
    sequence.directory.verify();
}
