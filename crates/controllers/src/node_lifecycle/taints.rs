//! The taints that follow from a node's conditions.

use api_types::k8s_openapi::api::core::v1::Taint;
use jiff::Timestamp;

use crate::{time::seconds, view::Node};

pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
pub const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const NO_SCHEDULE: &str = "NoSchedule";
pub(super) const NO_EXECUTE: &str = "NoExecute";

/// Condition, its status, and the taint that says so.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

/// Whether this controller puts on and takes off the taint.
fn is_ours(taint: &Taint) -> bool {
    match taint.effect.as_str() {
        NO_SCHEDULE => taint.key == UNSCHEDULABLE || BY_CONDITION.iter().any(|(_, _, key)| *key == taint.key),
        NO_EXECUTE => taint.key == NOT_READY || taint.key == UNREACHABLE,
        _ => false,
    }
}

/// How the readiness is, as the `NoExecute` taint it calls for.
pub(super) fn evicting(ready: &str) -> Option<&'static str> {
    match ready {
        "False" => Some(NOT_READY),
        "Unknown" => Some(UNREACHABLE),
        _ => None,
    }
}

pub(super) fn has(node: &Node, key: &str, effect: &str) -> bool {
    node.spec.taints.iter().any(|taint| taint.key == key && taint.effect == effect)
}

/// The node's taints as they shall be; `None` when they are so.
///
/// `status` is the status of a condition; `evict` the `NoExecute` taint to carry.
pub(super) fn wanted<'a>(
    node: &Node,
    status: impl Fn(&str) -> Option<&'a str>,
    evict: Option<&str>,
    now: Timestamp,
) -> Option<Vec<Taint>> {
    let mut keys: Vec<(&str, &str)> = BY_CONDITION
        .iter()
        .filter(|(condition, value, _)| status(condition) == Some(value))
        .map(|(_, _, key)| (*key, NO_SCHEDULE))
        .collect();
    if node.spec.unschedulable {
        keys.push((UNSCHEDULABLE, NO_SCHEDULE));
    }
    keys.extend(evict.map(|key| (key, NO_EXECUTE)));

    let mut taints: Vec<Taint> = node
        .spec
        .taints
        .iter()
        .filter(|taint| !is_ours(taint) || keys.contains(&(taint.key.as_str(), taint.effect.as_str())))
        .cloned()
        .collect();
    let missing: Vec<_> = keys
        .into_iter()
        .filter(|(key, effect)| !taints.iter().any(|taint| taint.key == *key && taint.effect == *effect))
        .collect();
    if missing.is_empty() && taints.len() == node.spec.taints.len() {
        return None;
    }
    taints.extend(missing.into_iter().map(|(key, effect)| Taint {
        key: key.to_owned(),
        effect: effect.to_owned(),
        time_added: Some(seconds(now)),
        value: None,
    }));
    Some(taints)
}
