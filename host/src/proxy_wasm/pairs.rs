//! Header maps: ordered pairs of bytes with lower-case names, and their form in a guest's memory.

/// Envoy refuses maps beyond these when a guest hands one over.
const MAX_PAIRS: usize = 1024;
const MAX_BYTES: usize = 1 << 20;

/// An ordered header map. Values are bytes: nothing promises UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(Vec<(Vec<u8>, Vec<u8>)>);

impl Pairs {
    /// The first value under `name`.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let name = name.to_ascii_lowercase();
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_slice())
    }

    /// Appends a pair, next to any others of that name.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        self.0.push((name.to_ascii_lowercase(), value.to_vec()));
    }

    /// Leaves exactly this value under `name`.
    pub fn replace(&mut self, name: &[u8], value: &[u8]) {
        let key = name.to_ascii_lowercase();
        match self.0.iter().position(|(other, _)| *other == key) {
            None => self.0.push((key, value.to_vec())),
            Some(first) => {
                self.0[first].1 = value.to_vec();
                let mut index = 0;
                self.0.retain(|(other, _)| {
                    index += 1;
                    index - 1 <= first || *other != key
                });
            }
        }
    }

    /// Removes every value under `name`.
    pub fn remove(&mut self, name: &[u8]) {
        let name = name.to_ascii_lowercase();
        self.0.retain(|(key, _)| *key != name);
    }

    /// Keeps the pairs whose name passes.
    pub fn retain(&mut self, keep: impl Fn(&[u8]) -> bool) {
        self.0.retain(|(key, _)| keep(key));
    }

    /// Every pair, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The form a guest reads: count, sizes, then each name and value with a zero byte behind it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let size: usize = self.0.iter().map(|(name, value)| name.len() + value.len() + 10).sum();
        let mut bytes = Vec::with_capacity(4 + size);
        bytes.extend_from_slice(&(self.0.len() as u32).to_le_bytes());
        for (name, value) in &self.0 {
            bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        }
        for (name, value) in &self.0 {
            bytes.extend_from_slice(name);
            bytes.push(0);
            bytes.extend_from_slice(value);
            bytes.push(0);
        }
        bytes
    }

    /// Reads what a guest wrote. A malformed or oversized map is an empty one, as in Envoy.
    pub fn from_bytes(bytes: &[u8]) -> Pairs {
        read(bytes).unwrap_or_default()
    }
}

impl<'a> FromIterator<(&'a [u8], &'a [u8])> for Pairs {
    fn from_iter<I: IntoIterator<Item = (&'a [u8], &'a [u8])>>(pairs: I) -> Pairs {
        Pairs(pairs.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())).collect())
    }
}

fn read(bytes: &[u8]) -> Option<Pairs> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?) as usize);
    let count = number(0)?;
    if count > MAX_PAIRS || bytes.len() > MAX_BYTES {
        return None;
    }
    let mut at = 4 + count * 8;
    let mut take = |length: usize| {
        let end = at.checked_add(length)?;
        let part = bytes.get(at..end)?;
        at = end + 1;
        Some(part)
    };
    let mut pairs = Pairs::default();
    for index in 0..count {
        let name = take(number(4 + index * 8)?)?;
        let value = take(number(8 + index * 8)?)?;
        pairs.add(name, value);
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &[(&str, &str)]) -> Pairs {
        text.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
    }

    #[test]
    fn a_map_survives_the_guests_memory() {
        for map in [pairs(&[]), pairs(&[("a", "")]), pairs(&[("a", "1"), ("b", "2"), ("a", "3")])] {
            assert_eq!(Pairs::from_bytes(&map.to_bytes()), map);
        }
    }

    #[test]
    fn a_malformed_map_is_empty() {
        for bytes in [&[][..], &[1, 0], &[1, 0, 0, 0], &[255; 4], &[1, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0]] {
            assert_eq!(Pairs::from_bytes(bytes), Pairs::default(), "{bytes:?}");
        }
    }

    #[test]
    fn replacing_leaves_one_value_where_the_first_was() {
        let mut map = pairs(&[("A", "1"), ("b", "2"), ("a", "3")]);
        map.replace(b"a", b"9");
        assert_eq!(map, pairs(&[("a", "9"), ("b", "2")]));
        map.replace(b"C", b"4");
        assert_eq!(map, pairs(&[("a", "9"), ("b", "2"), ("c", "4")]));
        map.remove(b"A");
        assert_eq!(map.get(b"a"), None);
    }
}
