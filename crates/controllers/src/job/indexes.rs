//! Sets of completion indexes, as `status.completedIndexes` and `status.failedIndexes` write them: `1,3-5,7`.

use std::fmt;

/// Disjoint ascending intervals that do not touch; both ends belong to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes(Vec<(i32, i32)>);

impl Indexes {
    /// Only indexes below `completions` count; what cannot be read is left out.
    pub fn parse(text: &str, completions: i32) -> Self {
        let read = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse::<i32>().ok()?, last.parse::<i32>().ok()?);
            let last = last.min(completions - 1);
            (first >= 0 && first <= last).then_some((first, last))
        };
        Self::joined(text.split(',').filter_map(read).collect())
    }

    fn joined(mut intervals: Vec<(i32, i32)>) -> Self {
        intervals.sort_unstable();
        let mut joined: Vec<(i32, i32)> = Vec::with_capacity(intervals.len());
        for (first, last) in intervals {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        Self(joined)
    }

    pub fn with(&self, indexes: impl IntoIterator<Item = i32>) -> Self {
        let more = indexes.into_iter().map(|index| (index, index));
        Self::joined(self.0.iter().copied().chain(more).collect())
    }

    pub fn union(&self, other: &Self) -> Self {
        Self::joined(self.0.iter().chain(&other.0).copied().collect())
    }

    pub fn contains(&self, index: i32) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= index);
        after > 0 && self.0[after - 1].1 >= index
    }

    /// Number of indexes.
    pub fn total(&self) -> i32 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of `self` are in `other`.
    pub fn shared_with(&self, other: &Self) -> i32 {
        let common = |a: (i32, i32), b: (i32, i32)| (a.1.min(b.1) - a.0.max(b.0) + 1).max(0);
        self.0.iter().flat_map(|a| other.0.iter().map(move |b| common(*a, *b))).sum()
    }

    /// Those below `completions` that are not in the set, ascending.
    pub fn missing(&self, completions: i32) -> impl Iterator<Item = i32> + '_ {
        let starts = std::iter::once(0).chain(self.0.iter().map(|(_, last)| last + 1));
        let ends = self.0.iter().map(|(first, _)| *first).chain(std::iter::once(completions));
        starts.zip(ends).flat_map(move |(start, end)| start..end.min(completions))
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (first, last)) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str(",")?;
            }
            write!(f, "{first}")?;
            if last > first {
                // Two neighbours are written one by one.
                write!(f, "{}{last}", if *last == first + 1 { ',' } else { '-' })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, completions, expected, total) in [
            ("", 5, "", 0),
            ("0", 5, "0", 1),
            ("1,2", 5, "1,2", 2),
            ("1,3-5,7", 10, "1,3-5,7", 5),
            ("0-2,3,5", 10, "0-3,5", 5),
            ("1,3-5,7", 5, "1,3,4", 3),
            ("x,3-a,4", 9, "4", 1),
        ] {
            let indexes = Indexes::parse(text, completions);
            assert_eq!((indexes.to_string().as_str(), indexes.total()), (expected, total), "{text}");
            assert_eq!(Indexes::parse(&indexes.to_string(), completions), indexes);
        }
    }

    #[test]
    fn sets() {
        let some = Indexes::parse("1,3-5", 10);
        assert!(some.contains(1) && some.contains(4) && !some.contains(2) && !some.contains(6) && !some.contains(0));
        assert_eq!(some.with([2, 9]).to_string(), "1-5,9");
        assert_eq!(some.union(&Indexes::parse("0,6", 10)).to_string(), "0,1,3-6");
        assert_eq!(some.missing(8).collect::<Vec<_>>(), [0, 2, 6, 7]);
        assert_eq!(Indexes::default().missing(2).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(some.missing(2).collect::<Vec<_>>(), [0]);
        assert_eq!(some.shared_with(&Indexes::parse("4-9", 10)), 2);
    }
}
