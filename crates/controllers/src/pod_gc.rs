//! Pod garbage collection: pods that nobody else will ever remove.
//!
//! Decides about ended pods beyond a number, pods of nodes that are gone, deleted pods that never had a node, and pods
//! of nodes that an operator declared out of service.

use std::{sync::Arc, time::Duration};

use api_types::{
    object::Object,
    plan::{Plan, Target, Write},
};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    node_lifecycle::OUT_OF_SERVICE,
    taint_eviction::{condition, pod_status},
    view::{Node, Pod},
};

/// A node must be missing for this long before its pods are, for nodes that register again.
pub const QUARANTINE: Duration = Duration::from_secs(40);

/// What is known of the pod's node.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    Unscheduled,
    On(&'a Node),
    /// The cache does not have it; for how long.
    Missing(Duration),
    /// The API says that it does not exist.
    Gone,
}

/// What to do about one pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Do(Plan),
    /// Ask the API whether this node exists.
    AskForNode(String),
}

pub fn reconcile(pod: &Pod, place: Place<'_>, now: Timestamp) -> Verdict {
    let mut plan = Plan::default();
    match place {
        Place::Unscheduled if pod.metadata.deleting() => delete(pod, &mut plan),
        Place::Unscheduled => {}
        Place::On(node) => {
            if pod.metadata.deleting() && out_of_service(node) {
                end(pod, None, now, &mut plan);
            }
        }
        Place::Missing(since) if since < QUARANTINE => plan.again(QUARANTINE - since),
        Place::Missing(_) => return Verdict::AskForNode(pod.spec.node_name.to_string()),
        Place::Gone => end(pod, Some("PodGC: node no longer exists"), now, &mut plan),
    }
    Verdict::Do(plan)
}

/// Not ready, and declared dead by an operator.
fn out_of_service(node: &Node) -> bool {
    let ready = node.condition("Ready").is_some_and(|ready| ready.status == "True");
    !ready && node.spec.taints.iter().any(|taint| taint.key == OUT_OF_SERVICE)
}

/// A pod that was running cannot be any more: it has failed, and then it goes.
fn end(pod: &Pod, disruption: Option<&str>, now: Timestamp, plan: &mut Plan) {
    if !pod.finished() {
        let mut status = json!({"phase": "Failed"});
        if let Some(message) = disruption {
            status["conditions"] = json!([condition("DeletionByPodGC", message, now)]);
        }
        plan.write(pod_status(pod, status));
    }
    delete(pod, plan);
}

fn delete(pod: &Pod, plan: &mut Plan) {
    plan.write(Write::Delete { target: Target::of(pod), propagation: None, grace_seconds: Some(0) });
}

/// Deletes the oldest ended pods beyond `threshold`; 0 keeps all.
pub fn ended(pods: &[Arc<Pod>], threshold: usize) -> Plan {
    let mut plan = Plan::default();
    if threshold == 0 {
        return plan;
    }
    let mut ended: Vec<&Arc<Pod>> = pods.iter().filter(|pod| pod.finished() && !pod.metadata.deleting()).collect();
    let excess = ended.len().saturating_sub(threshold);
    ended.sort_by(|a, b| (a.created(), a.name()).cmp(&(b.created(), b.name())));
    for pod in ended.into_iter().take(excess) {
        delete(pod, &mut plan);
    }
    plan
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pod(phase: &str, deleting: bool, created: i64) -> Pod {
        let mut metadata =
            json!({"name": format!("p{created}"), "namespace": "n", "uid": "u", "creationTimestamp": at(created)});
        if deleting {
            metadata["deletionTimestamp"] = json!(at(1));
        }
        serde_json::from_value(json!({"metadata": metadata, "spec": {"nodeName": "a"}, "status": {"phase": phase}}))
            .unwrap()
    }

    fn node(ready: &str, taints: Value) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": "a"},
            "spec": {"taints": taints},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    }

    fn writes(pod: &Pod, place: Place<'_>) -> usize {
        match reconcile(pod, place, at(5)) {
            Verdict::Do(plan) => plan.writes().count(),
            Verdict::AskForNode(_) => panic!("asks"),
        }
    }

    #[test]
    fn unscheduled() {
        assert_eq!(writes(&pod("Pending", true, 0), Place::Unscheduled), 1);
        assert_eq!(writes(&pod("Pending", false, 0), Place::Unscheduled), 0);
    }

    #[test]
    fn of_nodes_that_are_gone() {
        let running = pod("Running", false, 0);
        assert_eq!(writes(&running, Place::Missing(Duration::from_secs(10))), 0);
        assert_eq!(reconcile(&running, Place::Missing(QUARANTINE), at(5)), Verdict::AskForNode("a".into()));
        assert_eq!(writes(&running, Place::Gone), 2);
        assert_eq!(writes(&pod("Succeeded", false, 0), Place::Gone), 1);
    }

    #[test]
    fn out_of_service() {
        let taint = json!([{"key": OUT_OF_SERVICE, "effect": "NoExecute"}]);
        assert_eq!(writes(&pod("Running", true, 0), Place::On(&node("Unknown", taint.clone()))), 2);
        assert_eq!(writes(&pod("Running", true, 0), Place::On(&node("True", taint.clone()))), 0);
        assert_eq!(writes(&pod("Running", false, 0), Place::On(&node("Unknown", taint))), 0);
        assert_eq!(writes(&pod("Running", true, 0), Place::On(&node("Unknown", json!([])))), 0);
    }

    #[test]
    fn the_oldest_ended_go() {
        let pods: Vec<_> = (0..5).map(|second| Arc::new(pod("Succeeded", false, second))).collect();
        let plan = ended(&pods, 3);
        let names: Vec<_> = plan
            .writes()
            .map(|write| match write {
                Write::Delete { target, .. } => target.name.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(names, ["p0", "p1"]);
        assert!(ended(&pods, 5).is_empty());
        assert!(ended(&pods, 0).is_empty());
    }
}
