use serde_json::Value;

use super::*;
use crate::world::{World, converges};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn budget(spec: Value) -> Value {
    let mut spec = spec;
    spec["selector"] = json!({"matchLabels": {"app": "a"}});
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "b", "namespace": "n", "uid": "b-uid"}, "spec": spec})
}

fn pod(name: &str, owner: Option<&str>, ready: bool) -> Value {
    let owners: Vec<Value> = owner
        .map(|uid| json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": uid, "uid": uid, "controller": true}))
        .into_iter()
        .collect();
    let conditions = json!([{"type": "Ready", "status": if ready { "True" } else { "False" }}]);
    json!({"metadata": {"name": name, "namespace": "n", "labels": {"app": "a"}, "ownerReferences": owners},
        "status": {"phase": "Running", "conditions": conditions}})
}

/// `old` and `new` are sets of one Deployment of five; `gone` has no controller any more.
fn scale(owner: &OwnerReference) -> Option<Scale> {
    match owner.uid.as_str() {
        "old" | "new" => Some(Scale { uid: "deployment".to_owned(), replicas: 5 }),
        "set" => Some(Scale { uid: "set".to_owned(), replicas: 3 }),
        _ => None,
    }
}

fn plan(world: &World) -> Plan {
    let budget = world.get::<PodDisruptionBudget>("n", "b").unwrap();
    let selector = selector(&budget);
    let mut pods = world.all::<Pod>();
    pods.retain(|pod| selector.matches(&pod.metadata.labels));
    reconcile(&Observed { budget: &budget, pods: &pods, scale: &scale, now: world.now })
}

fn world(spec: Value, pods: &[(Option<&str>, bool)]) -> World {
    let mut world = World::new();
    world.put::<PodDisruptionBudget>(budget(spec));
    for (number, (owner, ready)) in pods.iter().enumerate() {
        world.put::<Pod>(pod(&format!("p{number}"), *owner, *ready));
    }
    world
}

/// (expected, desired, healthy, allowed)
fn check(spec: Value, pods: &[(Option<&str>, bool)], expected: (i32, i32, i32, i32), reason: &str) {
    let round = |world: &mut World| {
        let plan = plan(world);
        let _ = world.run(&plan);
        !plan.is_empty()
    };
    converges(&world(spec.clone(), pods), 5, round, |world| {
        let status = world.get::<PodDisruptionBudget>("n", "b").unwrap().status.unwrap();
        let numbers =
            [status.expected_pods, status.desired_healthy, status.current_healthy, status.disruptions_allowed]
                .map(Option::unwrap_or_default);
        assert_eq!(numbers, <[i32; 4]>::from(expected), "{spec}");
        assert_eq!(status.conditions.unwrap()[0].reason, reason);
    });
}

#[test]
fn budgets() {
    let (set, old, new) = (Some("set"), Some("old"), Some("new"));
    check(json!({"minAvailable": 2}), &[(set, true), (set, true), (set, true)], (3, 2, 3, 1), "SufficientPods");
    check(json!({"minAvailable": 2}), &[(set, true), (set, false)], (2, 2, 1, 0), "InsufficientPods");
    check(json!({"minAvailable": "50%"}), &[(set, true), (set, true), (set, true)], (3, 2, 3, 1), "SufficientPods");
    check(json!({"maxUnavailable": 1}), &[(set, true), (set, true)], (3, 2, 2, 0), "InsufficientPods");
    check(json!({"maxUnavailable": "30%"}), &[(set, true), (set, true), (set, true)], (3, 2, 3, 1), "SufficientPods");
    check(json!({"maxUnavailable": 2}), &[(old, true), (new, true), (set, true)], (8, 6, 3, 0), "InsufficientPods");
    check(json!({"maxUnavailable": 9}), &[(set, true)], (3, 0, 1, 1), "SufficientPods");
    check(json!({"minAvailable": 0}), &[], (0, 0, 0, 0), "InsufficientPods");
    // A pod without a controller counts for itself only where pods are counted.
    check(json!({"minAvailable": 1}), &[(None, true), (None, true)], (2, 1, 2, 1), "SufficientPods");
    check(json!({"maxUnavailable": 1}), &[(None, true)], (0, 0, 1, 0), "InsufficientPods");
    check(json!({"maxUnavailable": 1}), &[(Some("gone"), true)], (0, 0, 0, 0), "SyncFailed");
}

#[test]
fn an_eviction_under_way_is_not_healthy_until_it_has_failed() {
    let mut world = world(json!({"minAvailable": 1}), &[(Some("set"), true), (Some("set"), true)]);
    world.change::<PodDisruptionBudget>("n", "b", |budget| {
        budget["status"] = json!({"disruptedPods": {"p0": at(999_950), "elsewhere": at(999_950)}});
    });
    let first = plan(&world);
    assert_eq!(first.again_in, Some(Duration::from_secs(70)));
    world.run(&first).unwrap();
    let status = world.get::<PodDisruptionBudget>("n", "b").unwrap().status.unwrap();
    assert_eq!((status.current_healthy, status.disruptions_allowed), (Some(1), Some(0)));
    assert_eq!(status.disrupted_pods.unwrap().len(), 1);

    world.pass(70);
    let second = plan(&world);
    assert_eq!(second.notes[0].reason, "NotDeleted");
    world.run(&second).unwrap();
    let status = world.get::<PodDisruptionBudget>("n", "b").unwrap().status.unwrap();
    assert_eq!((status.current_healthy, status.disruptions_allowed, status.disrupted_pods), (Some(2), Some(1), None));
}

#[test]
fn conditions_that_came_to_nothing() {
    let check = |reason: &str, deleting: bool, now: i64, writes: usize, again: Option<u64>| {
        let mut pod = pod("p", None, true);
        pod["status"]["conditions"] =
            json!([{"type": "DisruptionTarget", "status": "True", "reason": reason, "lastTransitionTime": at(100)}]);
        if deleting {
            pod["metadata"]["deletionTimestamp"] = json!(at(100));
        }
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let plan = stale_condition(&pod, at(now));
        assert_eq!((plan.writes().count(), plan.again_in), (writes, again.map(Duration::from_secs)));
    };
    check("EvictionByEvictionAPI", false, 150, 0, Some(70));
    check("EvictionByEvictionAPI", false, 220, 1, None);
    check("EvictionByEvictionAPI", true, 220, 0, None);
    check("TerminationByKubelet", false, 220, 0, None);
}
