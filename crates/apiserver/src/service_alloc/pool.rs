//! Which numbers of a range are taken, and which free one to give out next.

use std::ops::RangeInclusive;

/// A range of numbers: node ports, or the hosts of an address range by their offset.
///
/// The lower part is the *static band*: numbers that people choose themselves come mostly from there, so the dynamic
/// choice takes from above it as long as it can (KEP-3070).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    first: u32,
    last: u32,
    /// How many numbers are in the static band.
    band: u32,
}

impl Pool {
    /// Node ports: a 32nd of the range, at least 16 and at most 128; none of a range that small.
    pub fn ports(range: RangeInclusive<u16>) -> Self {
        let (first, last) = (u32::from(*range.start()), u32::from(*range.end()));
        let size = last.saturating_sub(first) + 1;
        let band = if size < 16 { 0 } else { (size / 32).clamp(16, 128).min(size) };
        Self { first, last, band }
    }

    /// Addresses as offsets from the network's own: a 16th of the range, at least 16 and at most 256.
    pub fn addresses(last: u32) -> Self {
        let size = last;
        let band = if size <= 16 { 0 } else { (size / 16).clamp(16, 256).min(size) };
        Self { first: 1, last, band }
    }

    pub fn contains(&self, number: u32) -> bool {
        (self.first..=self.last).contains(&number)
    }

    /// A free number above the static band, else one within it, else none. `random` picks where to begin to look.
    pub fn free(&self, taken: impl Fn(u32) -> bool, random: u32) -> Option<u32> {
        let upper = self.first + self.band;
        search(upper, self.last, &taken, random).or_else(|| search(self.first, upper.saturating_sub(1), &taken, random))
    }
}

/// The first free number of `first..=last`, from a random place on and around.
fn search(first: u32, last: u32, taken: impl Fn(u32) -> bool, random: u32) -> Option<u32> {
    let size = last.checked_sub(first)?.checked_add(1)?;
    (0..size).map(|step| first + (random % size + step) % size).find(|number| !taken(*number))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn bands_are_upstreams() {
        let check = |pool: Pool, band: u32| assert_eq!(pool.band, band, "{pool:?}");
        check(Pool::ports(30000..=32767), 86);
        check(Pool::ports(30000..=30014), 0);
        check(Pool::ports(30000..=30099), 16);
        check(Pool::addresses(65534), 256);
        check(Pool::addresses(254), 16);
        check(Pool::addresses(14), 0);
    }

    #[test]
    fn the_upper_band_goes_first_and_every_number_once() {
        let pool = Pool::ports(100..=163);
        let mut taken = HashSet::new();
        for round in 0..64u32 {
            let number = pool.free(|n| taken.contains(&n), round.wrapping_mul(2_654_435_761)).unwrap();
            assert!(pool.contains(number));
            assert_eq!(number >= 116, round < 48, "round {round}: {number}");
            assert!(taken.insert(number));
        }
        assert_eq!(pool.free(|n| taken.contains(&n), 7), None);
    }

    #[test]
    fn tiny_ranges() {
        let one = Pool::ports(5..=5);
        assert_eq!(one.free(|_| false, u32::MAX), Some(5));
        assert_eq!(one.free(|_| true, 0), None);
        let all = Pool::addresses(u32::MAX - 1);
        assert_eq!(all.free(|_| false, 0), Some(257));
    }
}
