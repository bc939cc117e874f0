//! Taint eviction: pods leave a node with a `NoExecute` taint, at once or when their tolerations end.
//!
//! Decides from the pod's tolerations and the node's taints alone. When a toleration began is when the taint was put on,
//! so that a restart of this program does not prolong anybody's stay.

use std::time::Duration;

use api_types::{
    k8s_openapi::api::core::v1::{Taint, Toleration},
    plan::{Note, PatchStyle, Plan, Step, Target, Write, reference},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    time::{from_seconds, left, seconds},
    view::{Node, Pod},
};

const NO_EXECUTE: &str = "NoExecute";

/// `node` is the one that the pod is bound to.
pub fn reconcile(pod: &Pod, node: Option<&Node>, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(node) = node else { return plan };
    if pod.metadata.deleting() || pod.finished() {
        return plan;
    }
    match stay(pod, node, now) {
        None => {}
        Some(Duration::ZERO) => evict(pod, now, &mut plan),
        Some(wait) => plan.again(wait),
    }
    plan
}

/// How long the pod may stay; `None` for ever.
fn stay(pod: &Pod, node: &Node, now: Timestamp) -> Option<Duration> {
    let taints = node.spec.taints.iter().filter(|taint| taint.effect == NO_EXECUTE);
    taints.filter_map(|taint| time_under(&pod.spec.tolerations, taint, now)).min()
}

/// The time left under one taint: nothing without a matching toleration, the shortest of those that end otherwise.
fn time_under(tolerations: &[Toleration], taint: &Taint, now: Timestamp) -> Option<Duration> {
    let mut matching = tolerations.iter().filter(|toleration| tolerates(toleration, taint)).peekable();
    if matching.peek().is_none() {
        return Some(Duration::ZERO);
    }
    let shortest = matching.filter_map(|toleration| toleration.toleration_seconds).min()?;
    let since = taint.time_added.as_ref().map_or(now, |time| time.0);
    Some(left(since, from_seconds(shortest), now))
}

pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    if !(effect.is_empty() || effect == taint.effect) || !(key.is_empty() || key == taint.key) {
        return false;
    }
    let own = toleration.value.as_deref().unwrap_or_default();
    let theirs = taint.value.as_deref().unwrap_or_default();
    let number = |text: &str| text.parse::<i64>().ok();
    match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        "Equal" => !key.is_empty() && own == theirs,
        "Lt" => number(theirs).zip(number(own)).is_some_and(|(taint, limit)| taint < limit),
        "Gt" => number(theirs).zip(number(own)).is_some_and(|(taint, limit)| taint > limit),
        _ => false,
    }
}

fn evict(pod: &Pod, now: Timestamp, plan: &mut Plan) {
    let text = format!("Marking for deletion Pod {}", pod.key());
    let disruption =
        disruption_target(pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", now);
    if let Some(write) = disruption {
        plan.write(write);
    }
    let delete = Write::Delete { target: Target::of(pod), propagation: None, grace_seconds: None };
    let step = Step::from(delete).done(Note::normal(reference(pod), "TaintManagerEviction", text));
    plan.stage(api_types::plan::Pace::InOrder, [step]);
}

/// Marks a pod as about to be ended by a controller; `None` when it is marked already.
pub(crate) fn disruption_target(pod: &Pod, reason: &str, message: &str, now: Timestamp) -> Option<Write> {
    if pod.condition("DisruptionTarget").is_some_and(|known| known.status == "True") {
        return None;
    }
    Some(pod_status(pod, json!({"conditions": [condition(reason, message, now)]})))
}

pub(crate) fn condition(reason: &str, message: &str, now: Timestamp) -> Value {
    json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": seconds(now),
    })
}

pub(crate) fn pod_status(pod: &Pod, status: Value) -> Write {
    Write::Patch {
        target: Target::of(pod),
        subresource: Some("status"),
        style: PatchStyle::Strategic,
        body: json!({"status": status}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAINT: &str = "node.kubernetes.io/unreachable";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pod(tolerations: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"nodeName": "a", "tolerations": tolerations},
        }))
        .unwrap()
    }

    fn node(taints: Value) -> Node {
        serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": {"taints": taints}})).unwrap()
    }

    #[derive(Debug, PartialEq)]
    enum Fate {
        Stays,
        Waits(u64),
        Goes,
    }

    fn check(tolerations: Value, now: i64, expected: Fate) {
        let taints =
            json!([{"key": TAINT, "effect": "NoExecute", "timeAdded": at(100)}, {"key": "x", "effect": "NoSchedule"}]);
        let plan = reconcile(&pod(tolerations.clone()), Some(&node(taints)), at(now));
        let fate = match (plan.is_empty(), plan.again_in) {
            (true, None) => Fate::Stays,
            (true, Some(wait)) => Fate::Waits(wait.as_secs()),
            (false, _) => Fate::Goes,
        };
        assert_eq!(fate, expected, "{tolerations}");
    }

    #[test]
    fn tolerations() {
        check(json!([]), 100, Fate::Goes);
        check(json!([{"key": TAINT, "operator": "Exists", "effect": "NoExecute"}]), 100, Fate::Stays);
        check(json!([{"operator": "Exists"}]), 100, Fate::Stays);
        check(json!([{"key": TAINT, "operator": "Exists", "tolerationSeconds": 300}]), 130, Fate::Waits(270));
        check(json!([{"key": TAINT, "operator": "Exists", "tolerationSeconds": 300}]), 400, Fate::Goes);
        check(json!([{"key": TAINT, "operator": "Exists", "tolerationSeconds": 0}]), 100, Fate::Goes);
        check(json!([{"key": TAINT, "operator": "Equal", "value": "v"}]), 100, Fate::Goes);
        check(json!([{"key": "other", "operator": "Exists"}]), 100, Fate::Goes);
    }

    #[test]
    fn marks_before_it_deletes_and_never_deletes_twice() {
        let taints = json!([{"key": TAINT, "effect": "NoExecute", "timeAdded": at(100)}]);
        let mut pod = pod(json!([]));
        let plan = reconcile(&pod, Some(&node(taints.clone())), at(100));
        assert!(matches!(plan.writes().collect::<Vec<_>>()[..], [Write::Patch { .. }, Write::Delete { .. }]));
        pod.metadata.deletion_timestamp = Some(seconds(at(100)));
        assert!(reconcile(&pod, Some(&node(taints)), at(100)).is_empty());
    }
}
