//! Cron schedules as CronJob takes them: five fields, the macros `@hourly` … `@yearly`, and `@every 1h30m`.
//!
//! The rules and the words of errors are those of the parser that upstream uses. A time that a zone's clock leaps over is
//! left out; one that it shows twice comes twice.

mod parse;

use std::time::Duration;

use jiff::{
    SignedDuration, Timestamp, ToSpan,
    civil::{Date, Time},
    tz::{AmbiguousOffset, TimeZone},
};

pub use parse::ParseError;

/// A schedule that names days which never come (30 February) is given up after this many years.
const YEARS: i16 = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    Calendar(Calendar),
    /// At least a second, counted from the time asked about.
    Every(Duration),
}

/// The matching values of each field, one bit each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// A `*`: then the other kind of day alone decides.
    any_day: bool,
    any_weekday: bool,
}

impl Schedule {
    /// # Errors
    /// When the text is no schedule, or names its own time zone (which CronJob has a field for).
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::schedule(text)
    }

    /// The first time after `after`; `None` when there is none.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Every(span) => {
                let second = Timestamp::from_second(after.as_second()).ok()?;
                second.checked_add(SignedDuration::try_from(*span).ok()?).ok()
            }
            Self::Calendar(calendar) => calendar.next(after, zone),
        }
    }
}

impl Calendar {
    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let start = zone.to_datetime(after);
        let mut date = start.date();
        let last = date.checked_add(YEARS.years()).ok()?;
        let mut hour = start.hour();
        while date <= last {
            if self.months & bit(date.month()) == 0 {
                date = date.last_of_month().tomorrow().ok()?;
                hour = 0;
                continue;
            }
            if self.has_day(date) {
                let times = (hour..24).filter(|hour| self.hours & bit(*hour) != 0);
                if let Some(found) = times.filter_map(|hour| self.in_hour(date, hour, after, zone)).next() {
                    return Some(found);
                }
            }
            date = date.tomorrow().ok()?;
            hour = 0;
        }
        None
    }

    fn has_day(&self, date: Date) -> bool {
        let day = self.days & bit(date.day()) != 0;
        let weekday = self.weekdays & bit(date.weekday().to_sunday_zero_offset()) != 0;
        if self.any_day || self.any_weekday { day && weekday } else { day || weekday }
    }

    fn in_hour(&self, date: Date, hour: i8, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let minutes = (0..60).filter(|minute| self.minutes & bit(*minute) != 0);
        let times = minutes.filter_map(|minute| Some(date.to_datetime(Time::new(hour, minute, 0, 0).ok()?)));
        times
            .flat_map(|time| {
                let ambiguous = zone.to_ambiguous_timestamp(time);
                let offsets = match ambiguous.offset() {
                    AmbiguousOffset::Unambiguous { offset } => [Some(offset), None],
                    AmbiguousOffset::Gap { .. } => [None, None],
                    AmbiguousOffset::Fold { before, after } => [Some(before), Some(after)],
                };
                offsets.into_iter().flatten().filter_map(move |offset| offset.to_timestamp(time).ok())
            })
            .filter(|time| *time > after)
            .min()
    }
}

fn bit(value: i8) -> u64 {
    u32::try_from(value).ok().and_then(|value| 1_u64.checked_shl(value)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
