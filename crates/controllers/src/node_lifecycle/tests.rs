use api_types::plan::Plan;
use serde_json::{Value, json};

use super::*;
use crate::world::World;

const RATES: Rates = Rates { normal: 0.1, secondary: 0.01, large: 50, unhealthy: 0.55 };

fn monitor() -> Monitor {
    Monitor::new(Config { grace: Duration::from_secs(40), rates: RATES })
}

fn node(name: &str, ready: &str) -> Value {
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastHeartbeatTime": Timestamp::from_second(1_000_000).unwrap()});
    json!({
        "metadata": {"name": name, "uid": format!("{name}-uid")},
        "spec": {},
        "status": {"conditions": [
            condition("Ready", ready), condition("MemoryPressure", "False"), condition("DiskPressure", "False"),
            condition("PIDPressure", "False")]},
    })
}

fn lease(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": {"renewTime": "0"}})
}

fn pod(name: &str, node: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "n"},
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// Nodes that are alive renew their leases.
fn renew(world: &mut World, alive: &[&str]) {
    let now = world.now.to_string();
    for name in alive {
        world.change::<Lease>("kube-node-lease", name, |lease| lease["spec"]["renewTime"] = json!(now));
    }
}

fn plan(monitor: &mut Monitor, world: &World, name: &str, listening: Duration) -> Plan {
    monitor.reconcile(&Observed {
        node: &world.get::<Node>("", name).unwrap(),
        lease: world.get::<Lease>("kube-node-lease", name).as_ref(),
        nodes: &|| world.all::<Node>(),
        pods: &|| world.all::<Pod>().into_iter().filter(|pod| *pod.spec.node_name == *name).collect(),
        listening,
        now: world.now,
    })
}

/// One look at every node, as often as there is something to write.
fn look(monitor: &mut Monitor, world: &mut World) {
    let names: Vec<String> = world.all::<Node>().iter().map(|node| node.metadata.name.to_string()).collect();
    for name in names {
        for _ in 0..5 {
            let plan = plan(monitor, world, &name, Duration::from_secs(1000));
            if plan.is_empty() {
                break;
            }
            // A failure is tried again in the next round.
            let _ = world.run(&plan);
        }
    }
}

fn cluster(nodes: &[&str]) -> World {
    let mut world = World::new();
    for name in nodes {
        world.put::<Node>(node(name, "True"));
        world.put::<Lease>(lease(name));
        world.put::<Pod>(pod(&format!("on-{name}"), name));
    }
    world
}

fn taints(world: &World, name: &str) -> Vec<(String, String)> {
    let mut taints: Vec<_> =
        world.get::<Node>("", name).unwrap().spec.taints.into_iter().map(|taint| (taint.key, taint.effect)).collect();
    taints.sort();
    taints
}

fn taint(key: &str, effect: &str) -> (String, String) {
    (key.to_owned(), effect.to_owned())
}

fn ready(world: &World, name: &str) -> String {
    world.get::<Node>("", name).unwrap().condition("Ready").unwrap().status.clone()
}

#[test]
fn a_silent_node_is_unknown_after_the_grace_period_and_not_before() {
    let (mut world, mut monitor) = (cluster(&["a", "b", "c"]), monitor());
    for _ in 0..3 {
        look(&mut monitor, &mut world);
        world.pass(13);
        renew(&mut world, &["a", "b"]);
    }
    look(&mut monitor, &mut world);
    assert_eq!(ready(&world, "c"), "True", "39 s are not 40 s");
    assert_eq!(plan(&mut monitor, &world, "c", Duration::MAX).again_in, Some(Duration::from_secs(1)));
    world.pass(1);
    look(&mut monitor, &mut world);
    assert_eq!((ready(&world, "a").as_str(), ready(&world, "c").as_str()), ("True", "Unknown"));
    assert_eq!(taints(&world, "c"), [taint(UNREACHABLE, "NoExecute"), taint(UNREACHABLE, "NoSchedule")]);
    let pod = world.get::<Pod>("n", "on-c").unwrap();
    assert!(!pod.ready(), "no service may use it");
    assert!(world.get::<Pod>("n", "on-a").unwrap().ready());
}

#[test]
fn a_node_that_returns_is_as_before() {
    let (mut world, mut monitor) = (cluster(&["a", "b"]), monitor());
    look(&mut monitor, &mut world);
    world.pass(41);
    renew(&mut world, &["a"]);
    look(&mut monitor, &mut world);
    assert_eq!(ready(&world, "b"), "Unknown");
    renew(&mut world, &["b"]);
    let now = world.now;
    world.change::<Node>("", "b", |node| {
        node["status"]["conditions"][0] = json!({"type": "Ready", "status": "True", "lastHeartbeatTime": now});
    });
    look(&mut monitor, &mut world);
    assert_eq!(taints(&world, "b"), []);
    assert_eq!(ready(&world, "b"), "True");
}

#[test]
fn silence_while_we_were_deaf_means_nothing() {
    let (mut world, mut monitor) = (cluster(&["a"]), monitor());
    look(&mut monitor, &mut world);
    world.pass(100);
    let quiet = plan(&mut monitor, &world, "a", Duration::from_secs(10));
    assert!(quiet.is_empty(), "{quiet:?}");
    assert_eq!(quiet.again_in, Some(Duration::from_secs(30)));
    assert!(!plan(&mut monitor, &world, "a", Duration::from_secs(40)).is_empty());
}

#[test]
fn nodes_of_a_healthy_zone_are_emptied_one_after_the_other() {
    let names: Vec<String> = (0..10).map(|number| format!("n{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut world, mut monitor) = (cluster(&names), monitor());
    look(&mut monitor, &mut world);
    world.pass(41);
    renew(&mut world, &names[2..]);
    look(&mut monitor, &mut world);
    let emptied = |world: &World| {
        names.iter().filter(|name| taints(world, name).contains(&taint(UNREACHABLE, "NoExecute"))).count()
    };
    assert_eq!(emptied(&world), 1);
    world.pass(9);
    look(&mut monitor, &mut world);
    assert_eq!(emptied(&world), 1);
    world.pass(1);
    look(&mut monitor, &mut world);
    assert_eq!(emptied(&world), 2);
}

#[test]
fn nobody_is_emptied_when_all_are_gone() {
    let (mut world, mut monitor) = (cluster(&["a", "b", "c"]), monitor());
    look(&mut monitor, &mut world);
    world.pass(41);
    for _ in 0..3 {
        look(&mut monitor, &mut world);
        world.pass(20);
    }
    for name in ["a", "b", "c"] {
        assert_eq!(ready(&world, name), "Unknown");
        assert_eq!(taints(&world, name), [taint(UNREACHABLE, "NoSchedule")]);
    }
}

#[test]
fn conditions_become_taints() {
    let (mut world, mut monitor) = (cluster(&["a", "b"]), monitor());
    world.change::<Node>("", "a", |node| {
        node["status"]["conditions"][2]["status"] = json!("True");
        node["spec"]["unschedulable"] = json!(true);
        node["spec"]["taints"] = json!([{"key": "mine", "effect": "NoSchedule"}]);
    });
    look(&mut monitor, &mut world);
    assert_eq!(
        taints(&world, "a"),
        [
            taint("mine", "NoSchedule"),
            taint("node.kubernetes.io/disk-pressure", "NoSchedule"),
            taint("node.kubernetes.io/unschedulable", "NoSchedule"),
        ]
    );
    world.change::<Node>("", "a", |node| {
        node["status"]["conditions"][2]["status"] = json!("False");
        node["spec"]["unschedulable"] = json!(false);
    });
    look(&mut monitor, &mut world);
    assert_eq!(taints(&world, "a"), [taint("mine", "NoSchedule")]);
}

/// Any single write may fail: the same end.
#[test]
fn converges() {
    let mut writes = None;
    for fail_at in 0.. {
        if writes.is_some_and(|writes| fail_at > writes) {
            break;
        }
        let (mut world, mut monitor) = (cluster(&["a", "b", "c"]), monitor());
        look(&mut monitor, &mut world);
        world.writes = 0;
        world.fail_at = (fail_at > 0).then_some(fail_at);
        world.pass(41);
        renew(&mut world, &["a", "b"]);
        look(&mut monitor, &mut world);
        writes.get_or_insert(world.writes);
        assert_eq!(ready(&world, "c"), "Unknown", "write {fail_at} failed");
        assert_eq!(taints(&world, "c").len(), 2);
        let rest = plan(&mut monitor, &world, "c", Duration::MAX);
        assert!(rest.is_empty(), "{rest:?}");
    }
}
