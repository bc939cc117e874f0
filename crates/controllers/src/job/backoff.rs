//! How long to wait before failed pods are replaced: 10 s, doubled with each failure since the last success, at most ten
//! minutes.
//!
//! What failed is known from the pods themselves, so that telling the same twice changes nothing; those that are gone by
//! now are remembered here. After the seventh failure the wait grows no further, and so no more than seven are kept.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{time::left, view::Pod};

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);
/// 10 s · 2⁶ > 600 s.
const KEPT: usize = 7;

/// The memory of one job's failures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    /// When which pod failed, ascending, all after the last success.
    failures: Vec<(Timestamp, Box<str>)>,
    last_success: Option<Timestamp>,
}

impl Backoff {
    pub(super) fn failed(&mut self, pod: &Pod) {
        let at = finished_at(pod);
        if self.failures.iter().any(|(_, uid)| *uid == pod.metadata.uid) || self.last_success.is_some_and(|s| at <= s) {
            return;
        }
        self.failures.push((at, pod.metadata.uid.clone()));
        self.failures.sort();
        let excess = self.failures.len().saturating_sub(KEPT);
        self.failures.drain(..excess);
    }

    pub(super) fn succeeded(&mut self, pod: &Pod) {
        let at = finished_at(pod);
        self.last_success = self.last_success.max(Some(at));
        self.failures.retain(|(failed, _)| *failed > at);
    }

    pub(super) fn remaining(&self, now: Timestamp) -> Duration {
        let Some((last, _)) = self.failures.last() else { return Duration::ZERO };
        wait(self.failures.len(), *last, now)
    }
}

/// The wait after the pod of an index that failed for the `failures`th time.
pub(super) fn of_index(pod: &Pod, failures: i32, now: Timestamp) -> Duration {
    wait(usize::try_from(failures).unwrap_or_default(), finished_at(pod), now)
}

fn wait(failures: usize, last: Timestamp, now: Timestamp) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let doubled = u32::try_from(failures.min(KEPT) - 1).unwrap_or_default();
    left(last, FIRST.saturating_mul(2_u32.saturating_pow(doubled)).min(LONGEST), now)
}

/// When the last container ended; without one the nearest that is known.
pub(super) fn finished_at(pod: &Pod) -> Timestamp {
    let ended =
        pod.status.container_statuses.iter().map(|status| status.state.terminated.as_ref()?.finished_at.as_ref());
    if let Some(times) = ended.collect::<Option<Vec<_>>>()
        && let Some(last) = times.into_iter().map(|time| time.0).max()
    {
        return last;
    }
    let unready = pod.condition("Ready").filter(|condition| condition.status == "False");
    if let Some(time) = unready.and_then(|condition| condition.last_transition_time.as_ref()) {
        return time.0;
    }
    if let Some(deleted) = &pod.metadata.deletion_timestamp {
        let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or_default());
        return deleted.0.saturating_sub(grace).unwrap_or(deleted.0);
    }
    pod.created().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pod(uid: &str, ended: i64) -> Pod {
        let state = json!({"terminated": {"exitCode": 1, "finishedAt": at(ended)}});
        serde_json::from_value(json!({"metadata": {"uid": uid}, "status": {"containerStatuses": [{"state": state}]}}))
            .unwrap()
    }

    #[test]
    fn doubles_up_to_ten_minutes() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.remaining(at(0)), Duration::ZERO);
        for (number, seconds) in [10, 20, 40, 80, 160, 320, 600, 600, 600].into_iter().enumerate() {
            let ended = i64::try_from(number).unwrap();
            for _ in 0..2 {
                backoff.failed(&pod(&number.to_string(), ended));
            }
            assert_eq!(backoff.remaining(at(ended)), Duration::from_secs(seconds), "{number}");
        }
        assert_eq!(backoff.remaining(at(700)), Duration::ZERO);
    }

    #[test]
    fn a_success_starts_anew() {
        let mut backoff = Backoff::default();
        backoff.failed(&pod("a", 1));
        backoff.failed(&pod("b", 5));
        backoff.succeeded(&pod("c", 3));
        assert_eq!(backoff.remaining(at(5)), Duration::from_secs(10));
        backoff.failed(&pod("a", 1));
        assert_eq!(backoff.remaining(at(5)), Duration::from_secs(10));
    }

    #[test]
    fn the_end_of_a_pod() {
        let pod = |value| serde_json::from_value::<Pod>(value).unwrap();
        assert_eq!(finished_at(&pod(json!({"metadata": {"creationTimestamp": at(5)}}))), at(5));
        let deleted = json!({"metadata": {"deletionTimestamp": at(50), "deletionGracePeriodSeconds": 30}});
        assert_eq!(finished_at(&pod(deleted)), at(20));
        let conditions = json!([{"type": "Ready", "status": "False", "lastTransitionTime": at(9)}]);
        assert_eq!(finished_at(&pod(json!({"status": {"conditions": conditions}}))), at(9));
    }
}
