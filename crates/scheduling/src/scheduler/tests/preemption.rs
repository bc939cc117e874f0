//! Who is evicted for whom, and who gets the room.

use super::*;

pub(super) fn at_priority(priority: i32, amount: &str) -> Value {
    let mut spec = cpu(amount);
    spec["priority"] = json!(priority);
    spec
}

/// A pod that runs on a node since a number of seconds after 1970.
fn running(world: &mut World, name: &str, node: &str, priority: i32, amount: &str, since: i64) {
    let mut spec = at_priority(priority, amount);
    spec["nodeName"] = json!(node);
    let started = Timestamp::from_second(since).unwrap().to_string();
    world.pod_with(name, spec, json!({"startTime": started}));
}

pub(super) fn budget(world: &mut World, app: &str, allowed: i64) {
    let budget = json!({"metadata": {"namespace": "default", "name": app}, "spec": {"selector": {"matchLabels": {"app": app}}},
        "status": {"disruptionsAllowed": allowed}});
    world.scheduler.cluster_mut().set_budget(&serde_json::from_value(budget).unwrap());
}

fn labelled(world: &mut World, name: &str, node: &str, app: &str, spec: Value) {
    let mut spec = spec;
    spec["nodeName"] = json!(node);
    let pod =
        json!({"metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": app}}, "spec": spec});
    world.scheduler.apply_pod(&serde_json::from_value(pod).unwrap(), world.now);
}

#[test]
fn the_least_important_pods_go_and_no_more_than_needed() {
    let mut world = World::new(&[node("4")]);
    running(&mut world, "a", "n0", 1, "1", 0);
    running(&mut world, "b", "n0", 2, "1", 0);
    running(&mut world, "c", "n0", 1, "1", 5);
    running(&mut world, "d", "n0", 9, "1", 0);
    world.pod("one", at_priority(5, "1"));
    // Of equals the one that runs for the shorter time.
    world.expect("one: evicts c from n0");
    world.pod("three", at_priority(9, "3"));
    world.expect("three: evicts b a c from n0");
    world.pod("four", at_priority(9, "4"));
    world.expect(
        "four: 0/1 nodes are available: 1 Insufficient cpu. \
         preemption: 0/1 nodes are available: 1 Insufficient cpu.",
    );
}

#[test]
fn the_node_where_it_hurts_least_is_chosen() {
    /// Each node with its pods (priority, started).
    fn check(nodes: &[&[(i32, i64)]], want: &str) {
        let mut world = World::new(&vec![node("2"); nodes.len()]);
        for (n, pods) in nodes.iter().enumerate() {
            let share = if pods.len() == 1 { "2" } else { "1" };
            for (p, (priority, since)) in pods.iter().enumerate() {
                running(&mut world, &format!("{n}{p}"), &format!("n{n}"), *priority, share, *since);
            }
        }
        world.pod("p", at_priority(10, "2"));
        assert!(world.next().unwrap().ends_with(want), "{nodes:?}");
    }
    check(&[&[(5, 0)], &[(3, 0)], &[(4, 0)]], "from n1");
    check(&[&[(5, 0), (5, 0)], &[(5, 0), (1, 0)]], "from n1");
    check(&[&[(5, 0), (-5, 0)], &[(5, 0)]], "from n1");
    check(&[&[(5, 7)], &[(5, 9)], &[(5, 8)]], "from n1");
    check(&[&[(5, 7)], &[(5, 7)]], "from n0");
}

#[test]
fn budgets_are_broken_only_where_nothing_else_is_left() {
    let mut world = World::new(&[node("2"), node("2")]);
    budget(&mut world, "guarded", 0);
    labelled(&mut world, "guarded", "n0", "guarded", at_priority(0, "2"));
    labelled(&mut world, "free", "n1", "free", at_priority(3, "2"));
    world.pod("p", at_priority(5, "2"));
    world.expect("p: evicts free from n1");

    let mut world = World::new(&[node("2")]);
    budget(&mut world, "guarded", 0);
    labelled(&mut world, "guarded", "n0", "guarded", at_priority(0, "1"));
    labelled(&mut world, "free", "n0", "free", at_priority(3, "1"));
    world.pod("p", at_priority(5, "1"));
    world.expect("p: evicts free from n0");
    // The budget has room again: now priority decides.
    budget(&mut world, "guarded", 1);
    world.scheduler.eviction_failed("p", world.now);
    world.later(60);
    world.expect("p: evicts guarded from n0");
}

#[test]
fn the_room_is_kept_for_whom_it_was_made() {
    let mut world = World::new(&[node("2")]);
    running(&mut world, "low", "n0", 0, "2", 0);
    world.pod("high", at_priority(5, "2"));
    world.expect("high: evicts low from n0");
    assert!(world.scheduler.cluster().nominated_node("high").is_some());
    // Others of no higher priority may not have it, whether they come before or after the victim has left.
    world.pod("late", at_priority(5, "1"));
    assert!(world.next().unwrap().starts_with("late: 0/1 nodes are available: 1 Insufficient cpu."));
    world.later(60);
    world.scheduler.remove_pod("low", world.now);
    world.expect("high→n0");
    world.expect_nothing();
    assert_eq!(world.scheduler.cluster().nominated_node("high"), None);
}

#[test]
fn victims_on_their_way_out_are_waited_for() {
    let mut world = World::new(&[node("2"), node("2")]);
    for n in 0..2 {
        running(&mut world, &format!("low-{n}"), &format!("n{n}"), 0, "2", n);
    }
    world.pod("high", at_priority(5, "2"));
    world.expect("high: evicts low-1 from n1");
    // Something unrelated wakes it before the victim has gone.
    world.later(400);
    world.expect(
        "high: 0/2 nodes are available: 2 Insufficient cpu. \
         preemption: not eligible due to terminating pod on the nominated node.",
    );
    world.later(60);
    world.scheduler.remove_pod("low-1", world.now);
    world.expect("high→n1");
}

#[test]
fn pods_that_leave_for_other_reasons_are_not_waited_for() {
    /// A pod waits for its room on `n0`; the victim has gone, and another pod there is being deleted for this reason.
    fn check(reason: &str, want: &str) {
        let mut world = World::new(&[node("2"), node("2")]);
        running(&mut world, "n1-low", "n1", 1, "2", 0);
        let mut spec = at_priority(0, "2");
        spec["nodeName"] = json!("n0");
        let metadata = json!({"name": "leaving", "namespace": "default", "uid": "leaving",
            "deletionTimestamp": "1970-01-01T00:00:00Z"});
        let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": reason});
        let leaving = json!({"metadata": metadata, "spec": spec, "status": {"conditions": [condition]}});
        world.scheduler.apply_pod(&serde_json::from_value(leaving).unwrap(), world.now);
        world.pod_with("high", at_priority(5, "2"), json!({"nominatedNodeName": "n0"}));
        assert!(world.next().unwrap().starts_with(want), "{reason}");
    }
    check("PreemptionByScheduler", "high: 0/2 nodes are available: 2 Insufficient cpu. preemption: not eligible");
    check("EvictionByEvictionAPI", "high: evicts leaving from n0");
}

#[test]
fn a_more_important_pod_displaces_one_that_waits_for_its_room() {
    let mut world = World::new(&[node("2")]);
    running(&mut world, "low", "n0", 0, "2", 0);
    world.pod("middle", at_priority(5, "2"));
    world.expect("middle: evicts low from n0");
    world.pod("high", at_priority(9, "2"));
    match world.scheduler.next(world.now, 0, &mut |_| {}) {
        Some(Attempt::Unschedulable { nomination: Nomination::Evict(room), .. }) => {
            assert_eq!(room.displaced.iter().map(|pod| &*pod.name).collect::<Vec<_>>(), ["middle"]);
        }
        other => panic!("{other:?}"),
    }
    world.scheduler.remove_pod("low", world.now);
    world.later(60);
    world.expect("high→n0");
}

#[test]
fn a_pod_said_to_be_meant_for_a_node_counts_there_after_a_restart() {
    let mut world = World::new(&[node("2"), node("1")]);
    world.pod_with("meant", at_priority(5, "2"), json!({"nominatedNodeName": "n0"}));
    world.pod("other", at_priority(5, "1"));
    let mut placed: Vec<_> = (0..2).map(|_| world.next().unwrap()).collect();
    placed.sort();
    assert_eq!(placed, ["meant→n0", "other→n1"]);
}

#[test]
fn evicting_the_pods_one_may_not_be_near_makes_room_too() {
    let mut world = World::new(&[json!({"metadata": {"labels": {"zone": "a"}}, "status": node("8")["status"]})]);
    labelled(&mut world, "near", "n0", "db", at_priority(0, "1"));
    labelled(&mut world, "bystander", "n0", "web", at_priority(0, "1"));
    let mut spec = at_priority(5, "1");
    spec["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "zone"}]}});
    world.pod("p", spec);
    world.expect("p: evicts near from n0");
    world.scheduler.remove_pod("near", world.now);
    world.later(60);
    world.expect("p→n0");
}
