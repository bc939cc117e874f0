use serde_json::{Value, json};

mod preemption;
mod preemption_model;

use super::*;
use crate::config::KubeSchedulerConfiguration;

struct World {
    scheduler: Scheduler,
    now: Timestamp,
}

impl World {
    fn new(nodes: &[Value]) -> Self {
        let mut world = Self { scheduler: Scheduler::new(Configuration::default()), now: Timestamp::UNIX_EPOCH };
        for (i, node) in nodes.iter().enumerate() {
            world.node(&format!("n{i}"), node.clone());
        }
        world
    }

    fn node(&mut self, name: &str, mut node: Value) {
        node["metadata"]["name"] = json!(name);
        self.scheduler.apply_node(&serde_json::from_value(node).unwrap(), self.now);
    }

    fn pod(&mut self, name: &str, spec: Value) {
        self.pod_with(name, spec, json!({}));
    }

    fn pod_with(&mut self, name: &str, spec: Value, status: Value) {
        let pod =
            json!({"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": spec, "status": status});
        self.scheduler.apply_pod(&serde_json::from_value(pod).unwrap(), self.now);
    }

    fn later(&mut self, seconds: i64) {
        self.now += jiff::SignedDuration::from_secs(seconds);
    }

    /// "pod→node" for a placement, "pod: message" for a failure, nothing if no pod was tried.
    fn next(&mut self) -> Option<String> {
        Some(match self.scheduler.next(self.now, 0, &mut |_| {})? {
            Attempt::Placed(p) => format!("{}→{}", p.pod.pod.name, p.node),
            Attempt::Unschedulable { pod, nomination: Nomination::Evict(room), .. } => {
                let victims: Vec<_> = room.victims.iter().map(|victim| &*victim.name).collect();
                format!("{}: evicts {} from {}", pod.pod.name, victims.join(" "), room.node)
            }
            Attempt::Unschedulable { pod, message, .. } => format!("{}: {message}", pod.pod.name),
            other => panic!("{other:?}"),
        })
    }

    #[track_caller]
    fn place(&mut self) -> Placement {
        match self.scheduler.next(self.now, 0, &mut |_| {}) {
            Some(Attempt::Placed(placement)) => placement,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn expect(&mut self, want: &str) {
        assert_eq!(self.next().as_deref(), Some(want));
    }

    #[track_caller]
    fn expect_nothing(&mut self) {
        assert_eq!(self.next(), None);
    }
}

fn node(cpu: &str) -> Value {
    json!({"status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}}})
}

fn cpu(cpu: &str) -> Value {
    json!({"containers": [{"resources": {"requests": {"cpu": cpu}}}]})
}

const HELPLESS: &str = "Preemption is not helpful for scheduling";

#[test]
fn places_on_the_emptiest() {
    let mut world = World::new(&[node("2"), node("4")]);
    for (pod, want) in [("a", "a→n1"), ("b", "b→n0"), ("c", "c→n1")] {
        world.pod(pod, cpu("1"));
        world.expect(want);
    }
    world.expect_nothing();
}

#[test]
fn explains_in_upstreams_words() {
    let mut world = World::new(&[]);
    world.pod("none", cpu("1"));
    world.expect("none: no nodes available to schedule pods");

    let tainted = json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}});
    let mut world = World::new(&[node("1"), node("1"), node("1"), tainted.clone(), tainted]);
    world.pod("big", cpu("2"));
    world.expect(&format!(
        "big: 0/5 nodes are available: 2 node(s) had untolerated taint {{k: v}}, 3 Insufficient cpu. \
         preemption: 0/5 nodes are available: 5 {HELPLESS}."
    ));
    world.pod(
        "pinned",
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n3"]}]}]}}}}),
    );
    world.expect(&format!(
        "pinned: 0/5 nodes are available: 1 node(s) had untolerated taint {{k: v}}, 4 node(s) didn't satisfy plugin(s) \
         [NodeAffinity]. preemption: 0/5 nodes are available: 5 {HELPLESS}."
    ));
    world.pod("claims", json!({"resourceClaims": [{"name": "gpu"}]}));
    world.expect(&format!(
        "claims: 0/5 nodes are available: this scheduler does not support resource claims. \
         preemption: 0/5 nodes are available: 5 {HELPLESS}."
    ));
}

#[test]
fn says_of_preemption_only_what_is_true() {
    let mut world = World::new(&[node("1")]);
    world.pod("low", json!({"nodeName": "n0", "priority": 5, "containers": cpu("1")["containers"]}));
    let with = |more: Value| {
        let mut spec = cpu("1");
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    world.pod("equal", with(json!({"priority": 5})));
    world.expect(
        "equal: 0/1 nodes are available: 1 Insufficient cpu. \
         preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
    );
    world.pod("higher", with(json!({"priority": 6})));
    world.expect("higher: evicts low from n0");
    world.pod("never", with(json!({"priority": 6, "preemptionPolicy": "Never"})));
    world.expect(
        "never: 0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.",
    );
}

#[test]
fn wakes_only_for_what_helps() {
    let mut world = World::new(&[node("1"), node("1")]);
    world.pod("holder", json!({"nodeName": "n0", "containers": cpu("1")["containers"]}));
    world.pod("waits", cpu("2"));
    assert!(world.next().unwrap().contains("Insufficient cpu"));
    world.later(60);
    // Neither a pod that leaves too little room, nor labels, nor taints can help.
    world.scheduler.remove_pod("holder", world.now);
    let mut labelled = node("1");
    labelled["metadata"] = json!({"labels": {"a": "b"}});
    labelled["spec"] = json!({"taints": [{"key": "k", "effect": "PreferNoSchedule"}]});
    world.node("n1", labelled);
    world.expect_nothing();
    world.node("n1", node("2"));
    world.expect("waits→n1");
}

#[test]
fn room_made_by_a_pod_that_leaves_ends_or_shrinks() {
    for leave in ["removed", "ended", "shrunk"] {
        let mut world = World::new(&[node("1")]);
        let mut holder = cpu("1");
        holder["nodeName"] = json!("n0");
        world.pod("holder", holder.clone());
        world.pod("waits", cpu("800m"));
        assert!(world.next().unwrap().contains("Insufficient cpu"));
        world.later(60);
        match leave {
            "removed" => world.scheduler.remove_pod("holder", world.now),
            "ended" => world.pod_with("holder", holder, json!({"phase": "Succeeded"})),
            _ => {
                holder["containers"] = cpu("100m")["containers"].clone();
                world.pod("holder", holder);
            }
        }
        world.expect("waits→n0");
    }
}

#[test]
fn gates_hold_and_open() {
    let mut world = World::new(&[node("1")]);
    world.pod("p", json!({"schedulingGates": [{"name": "g"}]}));
    world.expect_nothing();
    assert_eq!(world.scheduler.counts().gated, 1);
    world.pod("p", json!({}));
    world.expect("p→n0");
}

#[test]
fn an_assumed_pod_counts_until_it_is_forgotten() {
    let mut world = World::new(&[node("1")]);
    world.pod("a", cpu("1"));
    world.pod("b", cpu("1"));
    let placed = world.place();
    // The watch shows the pod once more, still without a node.
    world.pod("a", cpu("1"));
    assert!(world.next().unwrap().starts_with("b: 0/1 nodes are available: 1 Insufficient cpu."));
    world.later(60);
    world.scheduler.not_bound(&placed, world.now);
    world.expect("b→n0");
    world.expect_nothing();
    world.later(1);
    assert!(world.next().unwrap().starts_with("a: 0/1"));
}

#[test]
fn a_binding_that_failed_only_in_appearance_stands() {
    let mut world = World::new(&[node("1")]);
    world.pod("a", cpu("1"));
    let placed = world.place();
    world.pod("a", json!({"nodeName": "n0", "containers": cpu("1")["containers"]}));
    world.scheduler.not_bound(&placed, world.now);
    assert_eq!(world.scheduler.cluster().pods(), 1);
    world.later(60);
    world.expect_nothing();
}

#[test]
fn a_pod_deleted_or_bound_elsewhere_while_waiting_is_not_tried() {
    let mut world = World::new(&[node("1")]);
    world.pod("a", cpu("1"));
    world.pod("b", cpu("1"));
    world.scheduler.remove_pod("a", world.now);
    world.pod("b", json!({"nodeName": "n0"}));
    world.expect_nothing();
}

#[test]
fn each_scheduler_name_has_its_profile_and_others_are_left_alone() {
    let file = json!({"profiles": [{"schedulerName": "one"}, {"schedulerName": "two", "plugins": {"filter": {"disabled": [{"name": "*"}]}}}]});
    let file: KubeSchedulerConfiguration = serde_json::from_value(file).unwrap();
    let scheduler = Scheduler::new(Configuration::from_file(&file).unwrap());
    let mut world = World { scheduler, now: Timestamp::UNIX_EPOCH };
    world.node("n0", node("1"));
    let named = |name: &str| json!({"schedulerName": name, "containers": cpu("5")["containers"]});
    world.pod("a", named("one"));
    world.pod("b", named("two"));
    world.pod("c", named("other"));
    assert!(world.next().unwrap().starts_with("a: 0/1 nodes"));
    world.expect("b→n0");
    world.expect_nothing();
}

#[test]
fn a_node_that_goes_and_comes_back_keeps_its_pods() {
    let mut world = World::new(&[node("1")]);
    world.pod("bound", json!({"nodeName": "n0", "containers": cpu("1")["containers"]}));
    world.scheduler.remove_node("n0", world.now);
    world.pod("a", cpu("1"));
    world.expect("a: no nodes available to schedule pods");
    world.later(60);
    world.node("n0", node("1"));
    assert!(world.next().unwrap().starts_with("a: 0/1 nodes are available: 1 Insufficient cpu."));
    world.later(60);
    world.node("n1", node("1"));
    world.expect("a→n1");
}
