//! TTL after finished: deletes a finished job, with its pods, when its `ttlSecondsAfterFinished` is over.
//!
//! The delete holds only while the job is as it was seen, so that a TTL that was prolonged just now is respected.

use api_types::{
    k8s_openapi::api::batch::v1::Job,
    object::Object,
    plan::{Plan, Propagation, Target, Write},
};
use jiff::Timestamp;

use crate::{
    job,
    time::{from_seconds, left},
};

pub fn reconcile(job: &Job, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let ttl = job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished);
    let finished = job::finished(job).and_then(|condition| condition.last_transition_time.as_ref());
    let (Some(ttl), Some(finished), None) = (ttl, finished, &job.metadata.deletion_timestamp) else { return plan };
    let left = left(finished.0, from_seconds(ttl), now);
    if !left.is_zero() {
        plan.again(left);
        return plan;
    }
    plan.write(Write::Delete {
        target: Target::of(job).unchanged(job.resource_version()),
        propagation: Some(Propagation::Foreground),
        grace_seconds: None,
    });
    plan
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn check(ttl: Value, condition: &str, now: i64, writes: usize, again: Option<u64>) {
        let at = |second| Timestamp::from_second(second).unwrap();
        let conditions = json!([{"type": condition, "status": "True", "lastTransitionTime": at(100)}]);
        let job: Job = serde_json::from_value(json!({
            "metadata": {"name": "j", "namespace": "n", "uid": "u", "resourceVersion": "5"},
            "spec": {"ttlSecondsAfterFinished": ttl, "template": {}},
            "status": {"conditions": conditions},
        }))
        .unwrap();
        let plan = reconcile(&job, at(now));
        assert_eq!((plan.writes().count(), plan.again_in), (writes, again.map(Duration::from_secs)), "{ttl} {now}");
    }

    #[test]
    fn finished_jobs_go_in_time() {
        check(json!(30), "Complete", 110, 0, Some(20));
        check(json!(30), "Failed", 130, 1, None);
        check(json!(0), "Complete", 100, 1, None);
        check(json!(30), "Suspended", 500, 0, None);
        check(Value::Null, "Complete", 500, 0, None);
    }
}
