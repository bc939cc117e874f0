//! Which time of a schedule is due, upstream's way of counting the missed ones.

use std::time::Duration;

use api_types::cron::Schedule;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use crate::time::from_seconds;

/// Beyond this many missed times something is wrong: the clock, or the deadline.
const MANY: i64 = 100;
/// Timers fire a little late rather than too early.
const SLACK: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug)]
pub(super) struct Times<'a> {
    pub schedule: &'a Schedule,
    pub zone: &'a TimeZone,
    /// The last start, or the CronJob's creation.
    pub since: Timestamp,
    /// `spec.startingDeadlineSeconds`.
    pub deadline: Option<i64>,
    pub now: Timestamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// The latest time that has come.
    pub at: Option<Timestamp>,
    pub missed_any: bool,
    pub missed_many: bool,
}

impl Times<'_> {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.schedule.next(after, self.zone)
    }

    pub fn due(&self) -> Due {
        let since = match self.deadline {
            // Nothing is started that was due before.
            Some(seconds) => self.now.saturating_sub(from_seconds(seconds)).map_or(self.since, |at| at.max(self.since)),
            None => self.since,
        };
        self.due_after(since)
    }

    fn due_after(&self, since: Timestamp) -> Due {
        let Some(first) = self.next(since).filter(|first| *first <= self.now) else { return Due::default() };
        let one = Due { at: Some(first), ..Due::default() };
        let Some(second) = self.next(first).filter(|second| *second <= self.now) else { return one };
        let interval = second.duration_since(first).as_secs().max(1);
        let missed = self.now.duration_since(first).as_secs() / interval + 1;
        // One interval before the estimated last time, for schedules whose times are not evenly spaced.
        let before = SignedDuration::from_secs((missed - 2).saturating_mul(interval));
        let mut last = None;
        let mut at = first.saturating_add(before).unwrap_or(first);
        while let Some(next) = self.next(at).filter(|next| *next <= self.now) {
            last = Some(next);
            at = next;
        }
        Due { at: last, missed_any: missed > 0, missed_many: missed > MANY }
    }

    /// How long until the next time.
    pub fn wait(&self) -> Option<Duration> {
        let due = self.due_after(self.since);
        let from = match due.at {
            Some(at) => at,
            None if due.missed_any => self.now,
            None => self.since,
        };
        let next = self.next(from)?;
        let wait = Duration::try_from(next.duration_since(self.now)).unwrap_or_default();
        Some(wait + SLACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schedule: &str, since: &str, deadline: Option<i64>, now: &str, due: Option<&str>, many: bool, wait: u64) {
        let schedule = Schedule::parse(schedule).unwrap();
        let at = |text: &str| format!("2026-01-{text}Z").parse::<Timestamp>().unwrap();
        let times = Times { schedule: &schedule, zone: &TimeZone::UTC, since: at(since), deadline, now: at(now) };
        let found = times.due();
        assert_eq!((found.at, found.missed_many), (due.map(at), many), "{since} {now}");
        assert_eq!(times.wait().unwrap(), Duration::from_secs(wait) + SLACK, "{since} {now}");
    }

    #[test]
    fn the_latest_missed_time_is_due() {
        check("0 * * * *", "05T10:00:00", None, "05T10:30:00", None, false, 1800);
        check("0 * * * *", "05T10:00:00", None, "05T11:00:00", Some("05T11:00:00"), false, 3600);
        check("0 * * * *", "05T10:00:00", None, "05T15:10:00", Some("05T15:00:00"), false, 3000);
        check("*/5 * * * *", "05T00:00:00", None, "05T12:01:00", Some("05T12:00:00"), true, 240);
        check("30 6-16/4 * * 1-5", "01T00:00:00", None, "05T11:00:00", Some("05T10:30:00"), false, 12600);
        check("@every 90s", "05T10:00:00", None, "05T10:03:30", Some("05T10:03:00"), false, 60);
    }

    #[test]
    fn the_deadline_forgives_what_is_long_gone() {
        check("0 * * * *", "01T00:00:00", Some(600), "05T10:30:00", None, false, 1800);
        check("0 * * * *", "01T00:00:00", Some(600), "05T10:05:00", Some("05T10:00:00"), false, 3300);
        // A clock that went back: the last start lies ahead.
        check("0 * * * *", "05T12:00:00", None, "05T10:30:00", None, false, 9000);
    }
}
