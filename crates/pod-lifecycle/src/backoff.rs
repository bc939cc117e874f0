//! Back-off of restarts and image pulls: 10 s, doubled each time up to 5 min, forgotten after a
//! quiet time of twice the longest step.

use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeMap, time::Duration};

pub const INITIAL: Duration = Duration::from_secs(10);
pub const LONGEST: Duration = Duration::from_secs(300);

/// One key per container, or per image of a pod.
#[derive(Clone, Debug)]
pub struct Backoffs {
    initial: Duration,
    longest: Duration,
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    delay: Duration,
    last: Timestamp,
}

impl Default for Backoffs {
    fn default() -> Self {
        Self::new(INITIAL, LONGEST)
    }
}

impl Backoffs {
    pub fn new(initial: Duration, longest: Duration) -> Self {
        Self { initial, longest, entries: BTreeMap::new() }
    }

    /// When the next try after a failure at `failed` may happen, and the delay that says so; `None`: now.
    pub fn wait(&self, key: &str, failed: Timestamp, now: Timestamp) -> Option<(Timestamp, Duration)> {
        let entry = self.entries.get(key)?;
        if expired(entry, failed, self.longest) {
            return None;
        }
        let until = after(failed, entry.delay);
        (now < until).then_some((until, entry.delay))
    }

    /// Counts a try. Quiet is measured up to `failed`, so that a container that ran long starts afresh.
    pub fn tried(&mut self, key: &str, failed: Timestamp, now: Timestamp) {
        let delay = match self.entries.get(key) {
            Some(entry) if !expired(entry, failed, self.longest) => (entry.delay * 2).min(self.longest),
            _ => self.initial,
        };
        self.entries.insert(key.to_owned(), Entry { delay, last: now });
    }

    pub fn reset(&mut self, key: &str) {
        self.entries.remove(key);
    }
}

fn expired(entry: &Entry, event: Timestamp, longest: Duration) -> bool {
    event > after(entry.last, longest * 2)
}

fn after(time: Timestamp, delay: Duration) -> Timestamp {
    let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
    time.saturating_add(delay).unwrap_or(Timestamp::MAX)
}

/// A duration as Go prints it in messages: `10s`, `1m20s`, `5m0s`.
pub fn go_duration(duration: Duration) -> String {
    let (total, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if total == 0 {
        return match nanos {
            0 => "0s".into(),
            1..1_000 => format!("{nanos}ns"),
            1_000..1_000_000 => format!("{}µs", trimmed(f64::from(nanos) / 1e3)),
            _ => format!("{}ms", trimmed(f64::from(nanos) / 1e6)),
        };
    }
    let (hours, minutes, seconds) = (total / 3600, total / 60 % 60, total % 60);
    let seconds = trimmed(seconds as f64 + f64::from(nanos) / 1e9);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.9}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn doubles_to_five_minutes() {
        let mut backoffs = Backoffs::default();
        assert_eq!(backoffs.wait("a", at(0), at(0)), None, "the first restart is immediate");
        let mut now = 0;
        for want in [10, 20, 40, 80, 160, 300, 300] {
            backoffs.tried("a", at(now), at(now));
            let (until, delay) = backoffs.wait("a", at(now), at(now)).unwrap();
            assert_eq!((until, delay), (at(now + want), Duration::from_secs(want as u64)));
            now += want;
            assert_eq!(backoffs.wait("a", at(now - want), at(now)), None);
        }
    }

    #[test]
    fn forgets_after_a_long_run() {
        let mut backoffs = Backoffs::default();
        backoffs.tried("a", at(0), at(0));
        backoffs.tried("a", at(10), at(10));
        assert!(backoffs.wait("a", at(600), at(600)).is_some());
        assert_eq!(backoffs.wait("a", at(611), at(611)), None);
        backoffs.tried("a", at(611), at(611));
        assert_eq!(backoffs.wait("a", at(611), at(611)).unwrap().1, INITIAL);
    }

    #[test]
    fn durations_read_as_in_go() {
        for (ms, text) in
            [(10_000, "10s"), (80_000, "1m20s"), (300_000, "5m0s"), (1_234, "1.234s"), (120, "120ms"), (0, "0s")]
        {
            assert_eq!(go_duration(Duration::from_millis(ms)), text);
        }
    }
}
