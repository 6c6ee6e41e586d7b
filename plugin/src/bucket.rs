//! A token bucket: so many at once, and so many a second.

/// Holds at most one second's worth of tokens.
#[derive(Debug)]
pub struct Bucket {
    per_second: u64,
    /// Millionths of a token, so that a microsecond adds a whole number of them.
    level: u64,
    at: u64,
}

impl Bucket {
    /// A full bucket.
    pub fn new(per_second: u32) -> Self {
        let per_second = u64::from(per_second);
        Self { per_second, level: per_second * 1_000_000, at: 0 }
    }

    /// Takes a token, if there is one. `now` is in microseconds; a clock that goes back adds nothing.
    pub fn take(&mut self, now: u64) -> bool {
        let passed = now.saturating_sub(self.at).min(1_000_000);
        self.at = now;
        self.level = (self.level + passed * self.per_second).min(self.per_second * 1_000_000);
        let left = self.level.checked_sub(1_000_000);
        self.level = left.unwrap_or(self.level);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_its_rate_through_and_no_more() {
        let mut bucket = Bucket::new(10);
        let taken = |bucket: &mut Bucket, now| (0..100).filter(|_| bucket.take(now)).count();
        assert_eq!(taken(&mut bucket, 5_000_000), 10);
        assert_eq!(taken(&mut bucket, 5_000_000), 0);
        assert_eq!(taken(&mut bucket, 5_250_000), 2);
        assert_eq!(taken(&mut bucket, 1_000_000), 0);
        assert_eq!(taken(&mut bucket, 1_100_000), 1);
        assert_eq!(taken(&mut bucket, 60_000_000), 10);
    }
}
