//! The one source of chance: uids, generated names and jitter. Seeded in simulations, so that a run can be repeated.

use std::time::Duration;

use parking_lot::Mutex;
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};

/// Upstream's letters of generated names: no vowels, and nothing that looks like another.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;
/// A longer base is cut, so that the suffix fits into a DNS label.
const LONGEST_BASE: usize = 63 - SUFFIX;

pub struct Random(Mutex<StdRng>);

impl Random {
    pub fn from_system() -> Self {
        Self(Mutex::new(StdRng::from_os_rng()))
    }

    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    pub fn uid(&self) -> String {
        let mut bytes = [0; 16];
        self.0.lock().fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// The letters that `generateName` adds.
    pub fn suffix(&self) -> String {
        let mut rng = self.0.lock();
        (0..SUFFIX).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())])).collect()
    }

    pub fn name(&self, base: &str) -> String {
        let end = base.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= LONGEST_BASE).last();
        format!("{}{}", &base[..end.unwrap_or(0)], self.suffix())
    }

    /// Between one and two times `least`.
    pub fn stretched(&self, least: Duration) -> Duration {
        least.mul_f64(1.0 + self.0.lock().random::<f64>())
    }

    /// A generator of its own for one decision, seeded from this one.
    pub fn generator(&self) -> impl Rng {
        StdRng::from_rng(&mut *self.0.lock())
    }

    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.lock().fill_bytes(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_a_label() {
        let random = Random::seeded(1);
        assert_eq!(random.name("web-").len(), 9);
        assert_eq!(random.name(&"a".repeat(100)).len(), 63);
        assert_ne!(random.uid(), random.uid());
        assert_eq!(Random::seeded(7).uid(), Random::seeded(7).uid());
    }
}
