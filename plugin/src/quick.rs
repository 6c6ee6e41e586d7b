//! Maps on the way of every request. The standard library's hash is slower than what is looked up.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use foldhash::fast::{FixedState, FoldHasher};

/// A map that hashes quickly.
pub type QuickMap<K, V> = HashMap<K, V, Seeded>;

/// A quick hash under a seed drawn from the host's entropy: a client that picks what is looked up can not pick collisions.
#[derive(Clone, Debug)]
pub struct Seeded(FixedState);

impl Default for Seeded {
    fn default() -> Self {
        Self(FixedState::with_seed(RandomState::new().hash_one(0)))
    }
}

impl BuildHasher for Seeded {
    type Hasher = FoldHasher<'static>;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}
