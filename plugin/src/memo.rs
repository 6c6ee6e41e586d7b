//! What was made once and may be asked for again, within a bound of bytes.
//!
//! Two generations: what is used moves to the young one; when that is full, it becomes the old one, and what nobody has
//! asked for since then is forgotten.

use crate::quick::QuickMap;

/// Bytes an entry takes besides its key and what it says it takes.
const OVERHEAD: usize = 128;

/// Values by key.
#[derive(Debug)]
pub struct Memo<V> {
    limit: usize,
    /// Bytes of the young ones.
    bytes: usize,
    young: QuickMap<Vec<u8>, (V, usize)>,
    old: QuickMap<Vec<u8>, (V, usize)>,
}

impl<V: Clone> Memo<V> {
    /// An empty one that holds about `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit / 2, bytes: 0, young: QuickMap::default(), old: QuickMap::default() }
    }

    /// The value of a key.
    pub fn get(&mut self, key: &[u8]) -> Option<V> {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, size)) = self.old.remove_entry(key)?;
        self.keep(key, value.clone(), size);
        Some(value)
    }

    /// Keeps a value of about `size` bytes.
    pub fn keep(&mut self, key: Vec<u8>, value: V, size: usize) {
        let weight = key.len() + size + OVERHEAD;
        if weight > self.limit {
            return;
        }
        if self.bytes + weight > self.limit {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += weight;
        self.young.insert(key, (value, size));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes_when_there_is_no_room() {
        let mut memo = Memo::new(2 * 10 * (OVERHEAD + 9));
        memo.keep(b"used".to_vec(), "value", 5);
        for n in 0..100u32 {
            memo.keep(format!("{n:04}").into_bytes(), "other", 5);
            assert_eq!(memo.get(b"used"), Some("value"), "{n}");
            assert!(memo.young.len() + memo.old.len() <= 20);
        }
        assert_eq!((memo.get(b"0050"), memo.get(b"0099")), (None, Some("other")));
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let mut memo = Memo::new(1000);
        memo.keep(b"large".to_vec(), 1, 500);
        memo.keep(b"small".to_vec(), 2, 100);
        assert_eq!((memo.get(b"large"), memo.get(b"small")), (None, Some(2)));
        let mut none = Memo::new(0);
        none.keep(Vec::new(), 1, 0);
        assert_eq!(none.get(b""), None);
    }
}
