//! Times as the API writes them, and spans between them.

use std::time::Duration;

use api_types::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use jiff::Timestamp;

/// `metav1.Time` has whole seconds.
pub fn seconds(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// How much of `span`, begun at `since`, is left at `now`; zero when it is over.
pub fn left(since: Timestamp, span: Duration, now: Timestamp) -> Duration {
    let gone = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    span.saturating_sub(gone)
}

pub fn from_seconds(seconds: impl TryInto<u64>) -> Duration {
    Duration::from_secs(seconds.try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(left(at(10), Duration::from_secs(5), at(12)), Duration::from_secs(3));
        assert_eq!(left(at(10), Duration::from_secs(5), at(20)), Duration::ZERO);
        assert_eq!(left(at(10), Duration::from_secs(5), at(9)), Duration::from_secs(5));
        assert_eq!(from_seconds(-1_i32), Duration::ZERO);
    }
}
