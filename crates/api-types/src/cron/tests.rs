use super::*;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

/// The next times after `after`, as the zone's clock shows them.
fn check(schedule: &str, name: &str, after: &str, expected: &[&str]) {
    let (schedule, zone) = (Schedule::parse(schedule).unwrap(), zone(name));
    let mut at: Timestamp = after.parse().unwrap();
    for expected in expected {
        at = schedule.next(at, &zone).unwrap();
        assert_eq!(at.to_string(), *expected, "{schedule:?} in {name}");
    }
}

#[test]
fn fields() {
    let after = "2026-01-15T10:07:30Z"; // a Thursday
    check("* * * * *", "UTC", after, &["2026-01-15T10:08:00Z", "2026-01-15T10:09:00Z"]);
    check("*/15 * * * *", "UTC", after, &["2026-01-15T10:15:00Z", "2026-01-15T10:30:00Z"]);
    check("5/20 9-11 * * *", "UTC", after, &["2026-01-15T10:25:00Z", "2026-01-15T10:45:00Z", "2026-01-15T11:05:00Z"]);
    check("0 0 1 jan,JUL ?", "UTC", after, &["2026-07-01T00:00:00Z", "2027-01-01T00:00:00Z"]);
    check("30 6-16/4 * * 1-5", "UTC", after, &["2026-01-15T10:30:00Z", "2026-01-15T14:30:00Z", "2026-01-16T06:30:00Z"]);
    check("0 0 * * sun", "UTC", after, &["2026-01-18T00:00:00Z"]);
    check("0 0 29 2 *", "UTC", after, &["2028-02-29T00:00:00Z"]);
    // Both kinds of day given: either will do.
    check("0 0 16 * MON", "UTC", after, &["2026-01-16T00:00:00Z", "2026-01-19T00:00:00Z"]);
    // A step of more than one is not "any": upstream's parser takes it as a restriction.
    check("0 0 */10 * MON", "UTC", after, &["2026-01-19T00:00:00Z", "2026-01-21T00:00:00Z"]);
}

#[test]
fn macros() {
    let after = "2026-01-15T10:07:30Z";
    check("@hourly", "UTC", after, &["2026-01-15T11:00:00Z"]);
    check("@daily", "UTC", after, &["2026-01-16T00:00:00Z"]);
    check("@midnight", "Europe/Berlin", after, &["2026-01-15T23:00:00Z"]);
    check("@weekly", "UTC", after, &["2026-01-18T00:00:00Z"]);
    check("@monthly", "UTC", after, &["2026-02-01T00:00:00Z"]);
    check("@yearly", "UTC", after, &["2027-01-01T00:00:00Z"]);
    check("@annually", "UTC", after, &["2027-01-01T00:00:00Z"]);
    check("@every 1h30m", "UTC", after, &["2026-01-15T11:37:30Z", "2026-01-15T13:07:30Z"]);
    check("@every 10ms", "UTC", "2026-01-15T10:07:30.5Z", &["2026-01-15T10:07:31Z"]);
}

#[test]
fn clocks_that_leap() {
    // 02:00 to 03:00 on 29 March 2026.
    check("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", &["2026-03-30T00:30:00Z"]);
    check("0 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", &["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"]);
    // 03:00 back to 02:00 on 25 October 2026.
    check(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"],
    );
}

#[test]
fn days_that_never_come() {
    let schedule = Schedule::parse("0 0 31 2 *").unwrap();
    assert_eq!(schedule.next("2026-01-01T00:00:00Z".parse().unwrap(), &TimeZone::UTC), None);
}

#[test]
fn errors() {
    for (text, expected) in [
        ("", "empty spec string"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
        ("@never", "unrecognized descriptor: @never"),
        ("@every x", "failed to parse duration @every x: time: invalid duration \"x\""),
        ("TZ=UTC * * * * *", "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"),
    ] {
        assert_eq!(Schedule::parse(text).unwrap_err().to_string(), expected, "{text}");
    }
}
