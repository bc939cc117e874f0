//! How long to wait before trying again: exponential, with jitter from a seeded source.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// A small seeded source of spread; not for secrets. One seed gives one sequence.
#[derive(Debug)]
pub struct Jitter(AtomicU64);

impl Jitter {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A seed that differs between processes and machines, so that they do not act in step.
    pub fn from_name(name: &str) -> Self {
        // FNV-1a.
        Self::new(
            name.bytes()
                .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)),
        )
    }

    /// The next number of the sequence (splitmix64).
    pub fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, 1)`.
    pub fn fraction(&self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Between `duration` and `duration × (1 + factor)`.
    pub fn spread(&self, duration: Duration, factor: f64) -> Duration {
        duration.mul_f64(1.0 + factor * self.fraction())
    }
}

/// Doubles from `first` to `longest` with each failure in a row.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait after one more failure: up to half of it is jitter.
    pub fn next(&mut self, jitter: &Jitter) -> Duration {
        let wait = exponential(self.first, self.longest, self.failures);
        self.failures = self.failures.saturating_add(1);
        jitter.spread(wait / 2, 1.0)
    }
}

/// `first × 2^failures`, at most `longest`.
pub(crate) fn exponential(first: Duration, longest: Duration, failures: u32) -> Duration {
    first.saturating_mul(1_u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_a_limit_and_starts_over() {
        let jitter = Jitter::new(1);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for expected in [100, 200, 400, 800, 1000, 1000] {
            let (wait, full) = (backoff.next(&jitter), Duration::from_millis(expected));
            assert!(full / 2 <= wait && wait <= full, "{wait:?} of {full:?}");
        }
        backoff.reset();
        assert!(backoff.next(&jitter) <= Duration::from_millis(100));
        assert_eq!(exponential(Duration::from_millis(5), Duration::from_secs(60), 1000), Duration::from_secs(60));
    }

    #[test]
    fn a_seed_gives_one_sequence() {
        let (a, b) = (Jitter::new(7), Jitter::new(7));
        assert!((0..100).all(|_| a.next() == b.next()));
        assert!((0..1000).map(|_| a.fraction()).all(|f| (0.0..1.0).contains(&f)));
    }
}
