//! When watchers are told that something waits for them. At once, as a rule; but changes that follow one another closely are
//! told together, so that each watcher writes them together: the more watchers were told the last time, the longer the pause
//! after it, up to [`LONGEST`]. Changes that come one by one wait for nothing.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{ResourceRef, subscribers::Subscriber};

/// What telling one watcher costs, about: so long is a round of writes to all.
const ROUND: Duration = Duration::from_micros(50);
const LONGEST: Duration = Duration::from_millis(10);
/// Timers are not finer.
const SHORTEST: Duration = Duration::from_millis(1);

/// The watchers of one resource that are to be told.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    waiting: Vec<Arc<Subscriber>>,
    /// When somebody was told last, and how long to pause after it.
    rung: Option<(Instant, Duration)>,
}

impl Bell {
    pub(super) fn add(&mut self, subscriber: &Arc<Subscriber>) {
        self.waiting.push(subscriber.clone());
    }

    /// When those who wait are to be told; `None` if nobody waits.
    fn due(&self, now: Instant) -> Option<Instant> {
        (!self.waiting.is_empty()).then(|| self.rung.map_or(now, |(at, pause)| at + pause))
    }

    fn take(&mut self, now: Instant) -> Vec<Arc<Subscriber>> {
        let waiting = std::mem::take(&mut self.waiting);
        let round = ROUND * waiting.len().min(1024) as u32;
        let pause = if round < SHORTEST { Duration::ZERO } else { round.min(LONGEST) };
        self.rung = Some((now, pause));
        waiting
    }
}

/// The resources whose watchers wait to be told. Dropped, it tells them.
#[derive(Default)]
pub(crate) struct Bells(Vec<ResourceRef>);

impl Bells {
    pub(super) fn add(&mut self, table: &ResourceRef) {
        if !self.0.contains(table) {
            self.0.push(table.clone());
        }
    }

    /// Tells those whose time has come. When the others' will have.
    pub(crate) fn ring(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        self.0.retain(|table| {
            let told = {
                let bell = &mut table.lock().subscribers.bell;
                match bell.due(now) {
                    None => return false,
                    Some(due) if due > now => {
                        next = Some(next.map_or(due, |earlier: Instant| earlier.min(due)));
                        return true;
                    }
                    Some(_) => bell.take(now),
                }
            };
            // Without the lock, which each of them takes next.
            told.iter().for_each(|subscriber| subscriber.wake.wake());
            false
        });
        next
    }
}

impl Drop for Bells {
    fn drop(&mut self) {
        for table in &self.0 {
            let told = std::mem::take(&mut table.lock().subscribers.bell.waiting);
            told.iter().for_each(|subscriber| subscriber.wake.wake());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Filter;

    /// `count` watchers are told at `first`; when those are who have to be told `later` after that.
    fn pause(count: usize, later: Duration) -> Duration {
        let start = Instant::now();
        let mut bell = Bell::default();
        let one = Arc::new(Subscriber::new(Filter::everything(), 0));
        (0..count).for_each(|_| bell.add(&one));
        assert_eq!(bell.due(start), Some(start));
        assert_eq!(bell.take(start).len(), count);
        assert_eq!(bell.due(start), None);
        bell.add(&one);
        bell.due(start + later).unwrap().saturating_duration_since(start)
    }

    #[test]
    fn many_watchers_are_told_together() {
        let at_once = Duration::ZERO;
        assert_eq!(pause(1, at_once), Duration::ZERO);
        assert_eq!(pause(19, at_once), Duration::ZERO);
        assert_eq!(pause(100, at_once), Duration::from_millis(5));
        assert_eq!(pause(200, at_once), LONGEST);
        assert_eq!(pause(100_000, at_once), LONGEST);
        // Whoever comes later than the pause lies in the past: told at once.
        assert!(pause(200, 2 * LONGEST) < 2 * LONGEST);
    }
}
