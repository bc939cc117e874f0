//! Certificate signing requests that nobody needs any more: answered an hour ago, never answered for a day, or with a
//! certificate that has ended.

use std::time::Duration;

use api_types::{
    k8s_openapi::api::certificates::v1::CertificateSigningRequest,
    plan::{Plan, Target, Write},
};
use jiff::Timestamp;

use crate::time::left;

const ANSWERED: Duration = Duration::from_secs(3600);
const PENDING: Duration = Duration::from_secs(24 * 3600);

/// `ends`: of the certificate that was issued.
pub fn reconcile(csr: &CertificateSigningRequest, ends: Option<Timestamp>, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let conditions = csr.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let answered = conditions.iter().filter(|c| matches!(c.type_.as_str(), "Approved" | "Denied" | "Failed"));
    let answered = answered.filter_map(|c| c.last_update_time.as_ref()).map(|time| time.0).min();
    let created = csr.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let due = match (answered, created) {
        (Some(at), _) => left(at, ANSWERED, now),
        (None, Some(created)) if conditions.is_empty() => left(created, PENDING, now),
        _ => return plan,
    };
    let ended = ends.map(|ends| Duration::try_from(ends.duration_since(now)).unwrap_or_default());
    let due = ended.map_or(due, |ended| ended.min(due));
    if due.is_zero() {
        plan.write(Write::Delete { target: Target::of(csr), propagation: None, grace_seconds: None });
    } else {
        plan.again(due);
    }
    plan
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(condition: &str, now: i64, ends: Option<i64>, expected: Option<u64>) {
        let at = |second| Timestamp::from_second(second).unwrap();
        let conditions = match condition {
            "" => json!([]),
            kind => json!([{"type": kind, "status": "True", "lastUpdateTime": at(500)}]),
        };
        let csr: CertificateSigningRequest = serde_json::from_value(json!({
            "metadata": {"name": "c", "uid": "u", "creationTimestamp": at(0)},
            "spec": {"request": "", "signerName": "s"},
            "status": {"conditions": conditions},
        }))
        .unwrap();
        let plan = reconcile(&csr, ends.map(at), at(now));
        assert_eq!(plan.again_in.map(|wait| wait.as_secs()), expected, "{condition} {now}");
        assert_eq!(plan.writes().count(), usize::from(expected.is_none()), "{condition} {now}");
    }

    #[test]
    fn stays_for_its_time() {
        check("", 1000, None, Some(85_400));
        check("", 86_400, None, None);
        for kind in ["Approved", "Denied", "Failed"] {
            check(kind, 1000, None, Some(3100));
            check(kind, 4100, None, None);
        }
        check("Approved", 1000, Some(1600), Some(600));
        check("Approved", 1000, Some(900), None);
    }
}
