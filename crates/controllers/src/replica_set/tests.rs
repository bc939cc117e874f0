use std::cell::RefCell;

use api_types::plan::{Decision, Failure, Pace, Plan, Write};
use serde_json::{Value, json};

use super::*;
use crate::{
    workload::ReplicaSet,
    world::{World, converges},
};

fn set(replicas: i32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "rs", "namespace": "n", "uid": "rs-uid"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    })
}

fn pod(name: &str, owner: Option<&str>, app: &str) -> Value {
    let owners: Vec<Value> = owner
        .map(|uid| json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": uid, "controller": true}))
        .into_iter()
        .collect();
    json!({"metadata": {"name": name, "namespace": "n", "labels": {"app": app}, "ownerReferences": owners}})
}

/// The kubelet and the scheduler.
fn kubelet(world: &mut World) -> bool {
    let mut acted = false;
    for pod in world.all::<Pod>() {
        if pod.metadata.deleting() {
            world.remove::<Pod>("n", &pod.metadata.name);
            acted = true;
        } else if !pod.ready() && !pod.finished() {
            let now = world.now;
            world.change::<Pod>("n", &pod.metadata.name, |pod| {
                pod["spec"]["nodeName"] = json!("node");
                pod["status"] = json!({
                    "phase": "Running",
                    "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
                });
            });
            acted = true;
        }
    }
    acted
}

fn plan(world: &World, failure: Option<&Failure>) -> Plan {
    let Some(set) = world.get::<ReplicaSet>("n", "rs") else { return Plan::default() };
    let pods = world.all::<Pod>();
    let mut seen = Observed { set: &set, pods: &pods, related: &pods, live: None, failure, now: world.now };
    let live = Live { uid: set.metadata.uid.clone(), deleting: set.metadata.deletion_timestamp.is_some() };
    match reconcile(&seen) {
        Decision::Do(plan) => plan,
        Decision::Need(_) => {
            seen.live = Some(&live);
            match reconcile(&seen) {
                Decision::Do(plan) => plan,
                Decision::Need(_) => panic!("asks twice"),
            }
        }
    }
}

fn check_converges(start: World, active: usize) {
    let failure = RefCell::new(None);
    let round = |world: &mut World| {
        let plan = plan(world, failure.borrow().as_ref());
        *failure.borrow_mut() = world.run(&plan).err();
        let acted = kubelet(world);
        acted || !plan.is_empty()
    };
    converges(&start, 20, round, |world| {
        let pods = world.all::<Pod>();
        let mine =
            pods.iter().filter(|pod| pod.active() && pod.metadata.controller().is_some_and(|o| o.uid == "rs-uid"));
        assert_eq!(mine.count(), active);
        let status = world.get::<ReplicaSet>("n", "rs").unwrap().status.unwrap();
        let count = i32::try_from(active).unwrap();
        assert_eq!((status.replicas, status.available_replicas, status.conditions), (count, Some(count), None));
    });
}

#[test]
fn converges_from_any_number_to_any_number() {
    for wanted in 0..4 {
        for present in 0..4 {
            let mut world = World::new();
            world.put::<ReplicaSet>(set(wanted));
            for number in 0..present {
                world.put::<Pod>(pod(&format!("p{number}"), Some("rs-uid"), "a"));
            }
            check_converges(world, usize::try_from(wanted).unwrap());
        }
    }
}

#[test]
fn adopts_and_releases() {
    let mut world = World::new();
    world.put::<ReplicaSet>(set(2));
    world.put::<Pod>(pod("orphan", None, "a"));
    world.put::<Pod>(pod("strayed", Some("rs-uid"), "b"));
    world.put::<Pod>(pod("foreign", Some("other"), "a"));
    check_converges(world.clone(), 2);

    let mut settled = world;
    settled.run(&plan(&settled.clone(), None)).unwrap();
    let owner = |name: &str| settled.get::<Pod>("n", name).unwrap().metadata.controller().map(|o| o.uid.clone());
    assert_eq!(owner("orphan").as_deref(), Some("rs-uid"));
    assert_eq!(owner("strayed"), None);
    assert_eq!(owner("foreign").as_deref(), Some("other"));
}

#[test]
fn a_set_that_is_gone_by_now_adopts_nothing() {
    let mut world = World::new();
    world.put::<ReplicaSet>(set(1));
    world.put::<Pod>(pod("orphan", None, "a"));
    let (set, pods) = (world.get::<ReplicaSet>("n", "rs").unwrap(), world.all::<Pod>());
    let live = Live { uid: None, deleting: false };
    let seen = Observed { set: &set, pods: &pods, related: &pods, live: Some(&live), failure: None, now: world.now };
    let Decision::Do(plan) = reconcile(&seen) else { panic!("asks again") };
    assert!(plan.writes().all(|write| !matches!(write, Write::Patch { .. })), "{plan:?}");
}

#[test]
fn starts_slowly_and_tells_of_failure() {
    let mut world = World::new();
    world.put::<ReplicaSet>(set(3));
    let first = plan(&world, None);
    assert_eq!(first.stages[0].pace, Pace::SlowStart);
    world.fail_at = Some(1);
    let failure = world.run(&first).unwrap_err();
    world.run(&plan(&world.clone(), Some(&failure))).unwrap();
    let status = world.get::<ReplicaSet>("n", "rs").unwrap().status.unwrap();
    let condition = &status.conditions.unwrap()[0];
    assert_eq!((condition.type_.as_str(), condition.reason.as_deref()), ("ReplicaFailure", Some("FailedCreate")));
    assert_eq!(condition.message.as_deref(), Some("the disk is full"));
}

#[test]
fn counts_as_available_only_after_min_ready_seconds() {
    let mut world = World::new();
    world.put::<ReplicaSet>(set(1));
    world.change::<ReplicaSet>("n", "rs", |set| set["spec"]["minReadySeconds"] = json!(10));
    world.put::<Pod>(pod("p", Some("rs-uid"), "a"));
    kubelet(&mut world);
    world.pass(4);
    let early = plan(&world, None);
    assert_eq!(early.again_in, Some(std::time::Duration::from_secs(6)));
    world.pass(6);
    world.run(&plan(&world.clone(), None)).unwrap();
    assert_eq!(world.get::<ReplicaSet>("n", "rs").unwrap().status.unwrap().available_replicas, Some(1));
}

/// The order in which upstream's `ActivePodsWithRanks` deletes.
#[test]
fn ranks() {
    let now = Timestamp::from_second(1_000_000).unwrap();
    let pod = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut pod = json!({
            "metadata": {"name": name, "uid": name, "creationTimestamp": Timestamp::from_second(900_000).unwrap()},
            "spec": {"nodeName": "quiet"},
            "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": Timestamp::from_second(900_000).unwrap()}]},
        });
        change(&mut pod);
        Arc::new(serde_json::from_value::<Pod>(pod).unwrap())
    };
    let pods = [
        pod("1-unassigned", &|pod| pod["spec"]["nodeName"] = json!("")),
        pod("2-pending", &|pod| pod["status"]["phase"] = json!("Pending")),
        pod("3-unready", &|pod| pod["status"]["conditions"] = json!([])),
        pod("4-cheap", &|pod| {
            pod["metadata"]["annotations"] = json!({"controller.kubernetes.io/pod-deletion-cost": "-5"});
        }),
        pod("5-crowded", &|pod| pod["spec"]["nodeName"] = json!("crowded")),
        pod("6-ready-of-late", &|pod| {
            pod["status"]["conditions"][0]["lastTransitionTime"] = json!(Timestamp::from_second(999_990).unwrap());
        }),
        pod("7-restarted", &|pod| pod["status"]["containerStatuses"] = json!([{"restartCount": 3}])),
        pod("8-young", &|pod| {
            pod["metadata"]["creationTimestamp"] = json!(Timestamp::from_second(999_000).unwrap());
        }),
        pod("9-old", &|_| {}),
    ];
    let crowd = [("crowded", 3), ("quiet", 1)].into_iter().collect();
    let order = rank::first_to_go(pods.iter().rev().collect(), &crowd, now);
    let names: Vec<&str> = order.iter().map(|pod| &*pod.metadata.name).collect();
    assert!(names.is_sorted(), "{names:?}");
}
