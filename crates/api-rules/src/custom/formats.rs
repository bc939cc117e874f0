//! The string formats that upstream checks; any other says nothing about a value.

use std::{net::IpAddr, str::FromStr};

use jiff::civil::Date;

use crate::names;

/// The formats a schema may name to some effect.
pub const KNOWN: [&str; 26] = [
    "bsonobjectid",
    "byte",
    "cidr",
    "creditcard",
    "date",
    "date-time",
    "datetime",
    "duration",
    "email",
    "hexcolor",
    "hostname",
    "ipv4",
    "ipv6",
    "isbn",
    "isbn10",
    "isbn13",
    "k8s-long-name",
    "k8s-short-name",
    "mac",
    "password",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid",
    "uuid3",
    "uuid4",
];

/// Whether a text is of a format.
pub fn fits(format: &str, text: &str) -> bool {
    match format {
        "bsonobjectid" => text.len() == 24 && is_hex(text),
        "byte" => is_base64(text),
        "cidr" => names::cidr(text).is_empty(),
        "creditcard" => is_credit_card(text),
        "date" => is_date(text),
        "date-time" | "datetime" => is_date_time(text),
        "duration" => is_duration(text),
        "email" => is_email(text),
        "hexcolor" => text.strip_prefix('#').is_some_and(|rest| matches!(rest.len(), 3 | 6) && is_hex(rest)),
        "hostname" => is_hostname(text),
        "ipv4" => IpAddr::from_str(text).is_ok_and(|ip| ip.is_ipv4()),
        "ipv6" => IpAddr::from_str(text).is_ok_and(|ip| ip.is_ipv6()),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "k8s-long-name" => names::dns_subdomain(text).is_empty(),
        "k8s-short-name" => names::dns_label(text).is_empty(),
        "mac" => is_mac(text),
        "rgbcolor" => is_rgb(text),
        "ssn" => digits_between(text, &['-', ' '], &[3, 2, 4]),
        "uri" => is_uri(text),
        "uuid" => is_uuid(text, None),
        "uuid3" => is_uuid(text, Some('3')),
        "uuid4" => is_uuid(text, Some('4')),
        "uuid5" => is_uuid(text, Some('5')),
        _ => true,
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_base64(text: &str) -> bool {
    use base64::{Engine, engine::general_purpose::STANDARD};
    !text.is_empty() && STANDARD.decode(text).is_ok()
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && Date::from_str(text).is_ok()
}

fn is_date_time(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let Some((date, time)) = lower.split_once('t') else { return false };
    let zone = time.strip_suffix('z').or_else(|| {
        let at = time.rfind(['+', '-'])?;
        digits_between(&time[at + 1..], &[':'], &[2, 2]).then(|| &time[..at])
    });
    let Some(clock) = zone else { return false };
    let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(clock, rest)| (clock, Some(rest)));
    let numbers: Vec<u32> = clock.split(':').filter_map(|part| part.parse().ok()).collect();
    is_date(date)
        && digits_between(clock, &[':'], &[2, 2, 2])
        && matches!(numbers[..], [hour, minute, second] if hour < 24 && minute < 60 && second < 60)
        && fraction.is_none_or(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Groups of digits of the given lengths, one of the marks between them.
fn digits_between(text: &str, marks: &[char], lengths: &[usize]) -> bool {
    let groups: Vec<&str> = text.split(marks).collect();
    groups.len() == lengths.len()
        && groups
            .iter()
            .zip(lengths)
            .all(|(group, len)| group.len() == *len && group.bytes().all(|b| b.is_ascii_digit()))
}

/// As Go reads durations (`1h30m`, `1.5s`), or a number with a word (`3 days`).
fn is_duration(text: &str) -> bool {
    const GO: [&str; 8] = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"];
    const WORDS: [&str; 15] = [
        "nanosecond",
        "nano",
        "microsecond",
        "micro",
        "millisecond",
        "milli",
        "second",
        "sec",
        "minute",
        "min",
        "hour",
        "hr",
        "day",
        "week",
        "d",
    ];
    let text = text.trim().trim_start_matches(['+', '-']);
    if text == "0" {
        return true;
    }
    let mut rest = text;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        if digits == 0 || rest[..digits].parse::<f64>().is_err() {
            return false;
        }
        rest = rest[digits..].trim_start();
        let unit = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let name = &rest[..unit];
        let singular = name.strip_suffix('s').unwrap_or(name);
        if !GO.contains(&name) && !WORDS.contains(&singular) && !["w", "wk"].contains(&singular) {
            return false;
        }
        rest = rest[unit..].trim_start();
        parts += 1;
    }
    parts > 0
}

fn is_email(text: &str) -> bool {
    let address = text.rsplit_once('<').and_then(|(_, rest)| rest.strip_suffix('>')).unwrap_or(text);
    let odd = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '(' | ')' | ',' | ';' | ':' | '@');
    address
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !user.contains(odd) && !host.contains(odd))
}

fn is_hostname(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let edge = |c: char| c.is_alphanumeric();
    let label = |label: &str| {
        label.len() <= 63
            && label.starts_with(edge)
            && label.ends_with(edge)
            && label.chars().all(|c| edge(c) || matches!(c, '-' | '_'))
    };
    !name.is_empty() && text.len() <= 255 && name.split('.').all(label)
}

fn is_uuid(text: &str, version: Option<char>) -> bool {
    let plain: String = text.chars().filter(|c| *c != '-').collect();
    let dashes: Vec<usize> = text.match_indices('-').map(|(at, _)| at).collect();
    let placed = dashes.is_empty() || dashes == [8, 13, 18, 23];
    let variant = |c: char| matches!(c.to_ascii_lowercase(), '8' | '9' | 'a' | 'b');
    plain.len() == 32
        && is_hex(&plain)
        && placed
        && version.is_none_or(|version| {
            plain.chars().nth(12) == Some(version) && (version == '3' || plain.chars().nth(16).is_some_and(variant))
        })
}

fn is_mac(text: &str) -> bool {
    let pairs = |mark| text.split(mark).map(str::len).collect::<Vec<_>>();
    let whole = text.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '-' | '.'));
    let groups = |lengths: &[usize], each: usize, counts: &[usize]| {
        counts.contains(&lengths.len()) && lengths.iter().all(|len| *len == each)
    };
    whole
        && (groups(&pairs(':'), 2, &[6, 8, 20])
            || groups(&pairs('-'), 2, &[6, 8, 20])
            || groups(&pairs('.'), 4, &[3, 4, 10]))
}

fn is_rgb(text: &str) -> bool {
    let inner = text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')'));
    inner.is_some_and(|inner| {
        let numbers: Vec<&str> = inner.split(',').map(str::trim).collect();
        numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u8>().is_ok())
    })
}

/// A path from the root, or something with a scheme.
fn is_uri(text: &str) -> bool {
    if text.chars().any(|c| c.is_control() || c == ' ') {
        return false;
    }
    text.starts_with('/')
        || text.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
                && !rest.is_empty()
        })
}

fn digits_of(text: &str) -> Vec<u32> {
    text.chars().filter(|c| !matches!(c, ' ' | '-')).filter_map(|c| c.to_digit(10)).collect()
}

fn is_credit_card(text: &str) -> bool {
    let digits = digits_of(text);
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, digit)| if i % 2 == 0 { *digit } else { digit * 2 / 10 + digit * 2 % 10 })
        .sum();
    (13..=16).contains(&digits.len()) && sum.is_multiple_of(10)
}

fn is_isbn10(text: &str) -> bool {
    let plain: Vec<char> = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let value = |(i, c): (usize, &char)| match c {
        'X' if i == 9 => Some(10),
        c => c.to_digit(10),
    };
    let values: Option<Vec<u32>> = plain.iter().enumerate().map(value).collect();
    values.is_some_and(|values| {
        values.len() == 10 && (1..).zip(&values).map(|(weight, value)| weight * value).sum::<u32>() % 11 == 0
    })
}

fn is_isbn13(text: &str) -> bool {
    let digits = digits_of(text);
    let sum: u32 = digits.iter().enumerate().map(|(i, digit)| digit * if i % 2 == 0 { 1 } else { 3 }).sum();
    digits.len() == 13 && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &str, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(fits(format, text), "{format} {text}");
        }
        for text in bad {
            assert!(!fits(format, text), "{format} {text}");
        }
    }

    #[test]
    fn as_upstream() {
        check(
            "date-time",
            &["2024-02-29T01:02:03Z", "2024-01-01t01:02:03.5+02:00"],
            &["2024-02-30T01:02:03Z", "2024-01-01", "2024-01-01T25:00:00Z", ""],
        );
        check("date", &["2024-02-29"], &["2023-02-29", "1.1.2024"]);
        check("duration", &["1h30m", "1.5s", "3 days", "0", "-2us"], &["1x", "", "h", "1"]);
        check("uuid", &["de305d54-75b4-431b-adb2-eb6b9e546014"], &["de305d54", "xe305d54-75b4-431b-adb2-eb6b9e546014"]);
        check("uuid4", &["de305d54-75b4-431b-adb2-eb6b9e546014"], &["de305d54-75b4-331b-adb2-eb6b9e546014"]);
        check("ipv4", &["10.0.0.1"], &["::1", "10.0.0.256"]);
        check("ipv6", &["::1"], &["10.0.0.1"]);
        check("cidr", &["10.0.0.0/8"], &["10.0.0.0"]);
        check("mac", &["01:02:03:04:05:ab", "0102.0304.05ab"], &["01:02", "01:02:03:04:05:zz"]);
        check("email", &["a@b.c", "A <a@b>"], &["a", "@b", "a b@c"]);
        check("hostname", &["a.b", "a-b.c."], &["-a", "a..b", ""]);
        check("uri", &["http://a/b", "/a", "mailto:x"], &["a", "http://a b", ""]);
        check("byte", &["aGk="], &["a", "!"]);
        check("hexcolor", &["#fff", "#00FF00"], &["fff", "#ff"]);
        check("rgbcolor", &["rgb(1, 2,255)"], &["rgb(1,2)", "rgb(1,2,256)"]);
        check("creditcard", &["4111-1111-1111-1111"], &["4111-1111-1111-1112"]);
        check("isbn", &["0-321-14653-0", "978-0321146533"], &["0-321-14653-1"]);
        check("ssn", &["111-11-1111"], &["1-1-1"]);
        check("bsonobjectid", &["507f1f77bcf86cd799439011"], &["x"]);
        check("anything", &["at all"], &[]);
    }
}
