//! From text to a [`Schedule`].

use std::time::Duration;

use super::{Calendar, Schedule};

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The values that a field may have, and their names if they have any, the first for `min`.
struct Field {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTE: Field = Field { min: 0, max: 59, names: &[] };
const HOUR: Field = Field { min: 0, max: 23, names: &[] };
const DAY: Field = Field { min: 1, max: 31, names: &[] };
const MONTH: Field = Field { min: 1, max: 12, names: MONTHS };
const WEEKDAY: Field = Field { min: 0, max: 6, names: WEEKDAYS };

fn error<T>(text: String) -> Result<T, ParseError> {
    Err(ParseError(text))
}

pub(super) fn schedule(text: &str) -> Result<Schedule, ParseError> {
    if text.is_empty() {
        return error("empty spec string".to_owned());
    }
    if text.contains("TZ=") {
        return error("cannot use TZ or CRON_TZ in schedule, use timeZone field instead".to_owned());
    }
    if text.starts_with('@') {
        return descriptor(text);
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields[..] else {
        return error(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    };
    let (minutes, _) = list(minute, &MINUTE)?;
    let (hours, _) = list(hour, &HOUR)?;
    let (days, any_day) = list(day, &DAY)?;
    let (months, _) = list(month, &MONTH)?;
    let (weekdays, any_weekday) = list(weekday, &WEEKDAY)?;
    Ok(Schedule::Calendar(Calendar { minutes, hours, days, months, weekdays, any_day, any_weekday }))
}

fn descriptor(text: &str) -> Result<Schedule, ParseError> {
    let plain = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let Some(span) = text.strip_prefix("@every ") else {
                return error(format!("unrecognized descriptor: {text}"));
            };
            return match duration(span) {
                // Less than a second is a second; parts of one do not count.
                Some(span) => Ok(Schedule::Every(Duration::from_secs(span.as_secs().max(1)))),
                None => error(format!("failed to parse duration {text}: time: invalid duration \"{span}\"")),
            };
        }
    };
    schedule(plain)
}

/// As Go writes durations: `1h30m`, `1.5s`, `-3m` (which is then a second).
fn duration(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match rest.get(..end)? {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        rest = rest.get(end..)?;
        seconds += number * unit;
    }
    // Go's durations end at 292 years.
    if seconds > 9.2e9 {
        return None;
    }
    if negative { Some(Duration::ZERO) } else { Duration::try_from_secs_f64(seconds).ok() }
}

/// The bits of a list of ranges, and whether one of them is a plain `*`.
fn list(text: &str, field: &Field) -> Result<(u64, bool), ParseError> {
    let (mut bits, mut any) = (0, false);
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (more, star) = range(part, field)?;
        bits |= more;
        any |= star;
    }
    Ok((bits, any))
}

/// `*`, `5`, `1-5`, `*/2`, `5/2` (from 5 on), `1-30/2`; `?` is `*`.
fn range(text: &str, field: &Field) -> Result<(u64, bool), ParseError> {
    let mut by_step = text.split('/');
    let span = by_step.next().unwrap_or_default();
    let step = by_step.next();
    if by_step.next().is_some() {
        return error(format!("too many slashes: {text}"));
    }
    let mut ends = span.split('-');
    let first = ends.next().unwrap_or_default();
    let last = ends.next();
    let star = matches!(first, "*" | "?");
    let (start, mut end) = if star {
        (field.min, field.max)
    } else {
        let start = value(first, field)?;
        if ends.next().is_some() {
            return error(format!("too many hyphens: {text}"));
        }
        (start, last.map_or(Ok(start), |last| value(last, field))?)
    };
    let stride = match step {
        None => 1,
        Some(step) => {
            if !star && last.is_none() {
                end = field.max;
            }
            number(step)?
        }
    };
    let Field { min, max, .. } = field;
    if start < *min {
        return error(format!("beginning of range ({start}) below minimum ({min}): {text}"));
    }
    if end > *max {
        return error(format!("end of range ({end}) above maximum ({max}): {text}"));
    }
    if start > end {
        return error(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    if stride == 0 {
        return error(format!("step of range should be a positive number: {text}"));
    }
    let bits = (start..=end).step_by(stride as usize).fold(0, |bits, value| bits | 1_u64 << value);
    Ok((bits, star && stride == 1))
}

fn value(text: &str, field: &Field) -> Result<u32, ParseError> {
    let named = field.names.iter().position(|name| name.eq_ignore_ascii_case(text));
    match named.and_then(|position| u32::try_from(position).ok()) {
        Some(position) => Ok(field.min + position),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, ParseError> {
    let Ok(number) = text.parse::<i64>() else {
        return error(format!("failed to parse int from {text}: strconv.Atoi: parsing \"{text}\": invalid syntax"));
    };
    match u32::try_from(number) {
        Ok(number) => Ok(number),
        Err(_) if number < 0 => error(format!("negative number ({number}) not allowed: {text}")),
        Err(_) => {
            error(format!("failed to parse int from {text}: strconv.Atoi: parsing \"{text}\": value out of range"))
        }
    }
}
