use std::{cell::RefCell, collections::BTreeMap};

use api_types::plan::{Decision, Plan, Write};
use serde_json::{Value, json};

use super::*;
use crate::world::{World, converges};

fn set(strategy: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "log", "namespace": "n", "uid": "log-uid"},
        "spec": {
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": {"app": "a"}},
            "updateStrategy": strategy,
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}},
        },
    })
}

fn rolling(surge: Value, unavailable: Value) -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}})
}

fn start(nodes: usize, strategy: Value) -> World {
    let mut world = World::new();
    world.put::<DaemonSet>(set(strategy));
    for number in 0..nodes {
        world.put::<Node>(json!({"metadata": {"name": format!("node-{number}")}}));
    }
    world
}

fn set_image(world: &mut World, image: &str) {
    world.change::<DaemonSet>("n", "log", |set| {
        set["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
    });
}

fn plan_with(world: &World, retries: &mut Retries) -> Plan {
    let Some(set) = world.get::<DaemonSet>("n", "log") else { return Plan::default() };
    let live = Live { uid: set.metadata.uid.clone(), deleting: false };
    let (nodes, pods, revisions) = (world.all::<Node>(), world.all::<Pod>(), world.all::<ControllerRevision>());
    let seen = Observed {
        set: &set,
        nodes: &nodes,
        pods: &pods,
        revisions: &revisions,
        revision_taken: &|name| world.get::<ControllerRevision>("n", name).is_some(),
        live: Some(&live),
        now: world.now,
    };
    match reconcile(&seen, retries) {
        Decision::Do(plan) => plan,
        Decision::Need(target) => panic!("asks for {target:?}"),
    }
}

fn plan(world: &World) -> Plan {
    plan_with(world, &mut Retries::default())
}

/// The scheduler and the kubelet.
fn kubelet(world: &mut World, broken: &dyn Fn(&Pod) -> bool) -> bool {
    let mut acted = false;
    for pod in world.all::<Pod>() {
        let name = pod.metadata.name.to_string();
        if pod.metadata.deleting() {
            world.remove::<Pod>("n", &name);
            acted = true;
        } else if !pod.ready() && !pod.finished() && !broken(&pod) {
            let (now, node) = (world.now, pod.target_node().unwrap().to_owned());
            world.change::<Pod>("n", &name, |pod| {
                pod["spec"]["nodeName"] = json!(node);
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

fn round(world: &mut World) -> bool {
    let plan = plan(world);
    // A write that fails is tried again in the next round.
    let failed = world.run(&plan).is_err();
    let acted = kubelet(world, &|_| false);
    acted || failed || !plan.is_empty()
}

fn settle(world: &mut World) {
    for _ in 0..60 {
        if !round(world) {
            return;
        }
        world.pass(1);
    }
    panic!("does not settle");
}

fn status(world: &World) -> api_types::k8s_openapi::api::apps::v1::DaemonSetStatus {
    world.get::<DaemonSet>("n", "log").unwrap().status.unwrap()
}

/// Pods that are not on their way out, by node.
fn alive(world: &World) -> BTreeMap<String, usize> {
    let mut nodes = BTreeMap::new();
    for pod in world.all::<Pod>().iter().filter(|pod| pod.active()) {
        *nodes.entry(pod.target_node().unwrap().to_owned()).or_default() += 1;
    }
    nodes
}

fn check_complete(world: &World, nodes: i32) {
    let status = status(world);
    let all = Some(nodes);
    assert_eq!((status.desired_number_scheduled, status.current_number_scheduled), (nodes, nodes));
    assert_eq!((status.number_ready, status.number_available, status.number_unavailable), (nodes, all, Some(0)));
    assert_eq!((status.updated_number_scheduled, status.number_misscheduled), (all, 0));
    assert!(alive(world).values().all(|pods| *pods == 1), "{:?}", alive(world));
    assert_eq!(world.all::<Pod>().len(), usize::try_from(nodes).unwrap());
}

#[test]
fn follows_the_nodes() {
    let mut world = start(3, json!({}));
    converges(&world, 20, round, |world| check_complete(world, 3));
    settle(&mut world);
    world.put::<Node>(json!({"metadata": {"name": "late"}}));
    converges(&world, 20, round, |world| check_complete(world, 4));
    settle(&mut world);
    world.change::<Node>("", "late", |node| {
        node["spec"] = json!({"taints": [{"key": "x", "effect": "NoSchedule"}]});
    });
    settle(&mut world);
    // It may stay, but it would not be made there.
    assert_eq!((alive(&world).len(), status(&world).number_misscheduled), (4, 1));
    world.change::<Node>("", "late", |node| node["spec"]["taints"][0]["effect"] = json!("NoExecute"));
    converges(&world, 20, round, |world| check_complete(world, 3));
}

#[test]
fn pods_for_nodes_that_are_gone_are_deleted_before_they_are_placed() {
    let mut world = start(2, json!({}));
    world.run(&plan(&world.clone())).unwrap();
    world.remove::<Node>("", "node-1");
    world.run(&plan(&world.clone())).unwrap();
    let doomed: Vec<bool> = world.all::<Pod>().iter().map(|pod| pod.metadata.deleting()).collect();
    assert_eq!(doomed.iter().filter(|doomed| **doomed).count(), 1);
}

#[test]
fn of_too_many_the_oldest_stays() {
    let mut world = start(1, json!({}));
    settle(&mut world);
    let first = world.all::<Pod>()[0].metadata.uid.clone();
    world.pass(5);
    let owner =
        json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "log", "uid": "log-uid", "controller": true}]);
    let hash = world.all::<Pod>()[0].metadata.labels["controller-revision-hash"].clone();
    let labels = json!({"app": "a", "controller-revision-hash": hash});
    world.put::<Pod>(json!({
        "metadata": {"name": "twin", "namespace": "n", "labels": labels, "ownerReferences": owner},
        "spec": {"nodeName": "node-0"},
    }));
    settle(&mut world);
    check_complete(&world, 1);
    assert_eq!(world.all::<Pod>()[0].metadata.uid, first);
}

#[test]
fn an_update_keeps_to_its_limits() {
    // Strategy, most nodes without a ready pod, most nodes with two pods.
    for (strategy, may_lack, may_double) in [
        (json!({}), 1, 0),
        (rolling(json!(0), json!(2)), 2, 0),
        (rolling(json!(0), json!("50%")), 2, 0),
        (rolling(json!(1), json!(0)), 0, 1),
        (rolling(json!("50%"), json!(0)), 0, 2),
    ] {
        let mut world = start(4, strategy.clone());
        settle(&mut world);
        set_image(&mut world, "two");
        world.writes = 0;
        let watched = |world: &mut World| {
            let acted = round(world);
            let serving: std::collections::BTreeSet<String> = world
                .all::<Pod>()
                .iter()
                .filter(|pod| pod.ready() && pod.active())
                .map(|pod| pod.target_node().unwrap().to_owned())
                .collect();
            assert!(4 - serving.len() <= may_lack, "{strategy}: {serving:?} serve");
            let doubled = alive(world).values().filter(|pods| **pods > 1).count();
            assert!(doubled <= may_double, "{strategy}: {:?}", alive(world));
            acted
        };
        converges(&world, 60, watched, |world| check_complete(world, 4));
    }
}

#[test]
fn a_rollback_does_not_restart_what_was_not_updated() {
    let mut world = start(3, json!({}));
    settle(&mut world);
    let before: BTreeMap<String, Box<str>> = world
        .all::<Pod>()
        .iter()
        .map(|pod| (pod.target_node().unwrap().to_owned(), pod.metadata.uid.clone()))
        .collect();
    set_image(&mut world, "broken");
    // The first node's new pod never gets ready: the update halts there.
    for _ in 0..10 {
        world.run(&plan(&world.clone())).unwrap();
        kubelet(&mut world, &|_| true);
        world.pass(1);
    }
    let kept = |world: &World| {
        let same = |pod: &Arc<Pod>| before[pod.target_node().unwrap()] == pod.metadata.uid;
        world.all::<Pod>().iter().filter(|pod| same(pod)).count()
    };
    assert_eq!(kept(&world), 2);
    set_image(&mut world, "one");
    settle(&mut world);
    check_complete(&world, 3);
    assert_eq!(kept(&world), 2);
    let newest = world.all::<ControllerRevision>().into_iter().max_by_key(|revision| revision.revision).unwrap();
    assert_eq!((newest.revision, world.all::<ControllerRevision>().len()), (3, 2));
}

#[test]
fn on_delete_waits_for_the_user() {
    let mut world = start(2, json!({"type": "OnDelete"}));
    settle(&mut world);
    set_image(&mut world, "two");
    settle(&mut world);
    assert_eq!(status(&world).updated_number_scheduled, Some(0));
    let name = world.all::<Pod>()[0].metadata.name.to_string();
    world.remove::<Pod>("n", &name);
    settle(&mut world);
    assert_eq!(status(&world).updated_number_scheduled, Some(1));
}

#[test]
fn failed_pods_are_replaced_more_and_more_slowly() {
    let mut world = start(1, json!({}));
    settle(&mut world);
    let retries = RefCell::new(Retries::default());
    let mut replaced = Vec::new();
    for second in 0..40 {
        for pod in world.all::<Pod>() {
            world.change::<Pod>("n", &pod.metadata.name, |pod| pod["status"]["phase"] = json!("Failed"));
        }
        for _ in 0..3 {
            let plan = plan_with(&world, &mut retries.borrow_mut());
            if plan.writes().any(|write| matches!(write, Write::Delete { .. })) {
                assert_eq!(plan.notes[0].reason, "FailedDaemonPod");
                replaced.push(second);
            }
            world.run(&plan).unwrap();
            for pod in world.all::<Pod>().iter().filter(|pod| pod.metadata.deleting()) {
                world.remove::<Pod>("n", &pod.metadata.name);
            }
        }
        world.pass(1);
    }
    assert_eq!(replaced, [0, 1, 3, 7, 15, 31]);
}

#[test]
fn a_set_that_selects_everything_is_told_so() {
    let mut world = start(1, json!({}));
    world.change::<DaemonSet>("n", "log", |set| set["spec"]["selector"] = json!({}));
    let plan = plan(&world);
    assert!(plan.stages.is_empty());
    assert_eq!(plan.notes[0].reason, "SelectingAll");
}

#[test]
fn a_taken_revision_name_counts_as_a_collision() {
    let mut world = start(1, json!({}));
    let spec = world.get::<DaemonSet>("n", "log").unwrap().spec.unwrap();
    let hash = crate::history::Data::of(&spec.template).hash(None);
    let owner = json!([{"apiVersion": "x/v1", "kind": "X", "name": "x", "uid": "x", "controller": true}]);
    world.put::<ControllerRevision>(json!({
        "metadata": {"name": format!("log-{hash}"), "namespace": "n", "ownerReferences": owner}, "revision": 1,
    }));
    settle(&mut world);
    check_complete(&world, 1);
    assert_eq!(status(&world).collision_count, Some(1));
}
