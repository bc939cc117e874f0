//! How fast the scheduler decides, in memory: no API server, no binding. Prints one line of JSON for each case.
//!
//! `cargo run --release -p scheduling --example bench [NODES] [PODS] [CASE]`

use std::time::Instant;

use jiff::Timestamp;
use scheduling::{
    Attempt, Configuration, Nomination, Scheduler,
    object::{Namespace, Node, Pod},
};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const ZONE: &str = "topology.kubernetes.io/zone";
const HOSTNAME: &str = "kubernetes.io/hostname";

/// (name, specification and metadata of the nth pod).
type Case = (&'static str, fn(usize) -> Value);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise| arguments.next().map_or(otherwise, |n| n.parse().expect("a number"));
    let (nodes, pods) = (number(5_000), number(10_000));
    let only = arguments.next();
    let wants = |case: &str| only.as_deref().is_none_or(|only| only == case);
    let cases: [Case; 8] = [
        ("plain", |_| json!({"spec": {"containers": [container()]}})),
        // As of many Deployments: each shape is evaluated for itself.
        ("500 shapes", |i| json!({"spec": {"containers": [image(i % 500)]}})),
        ("node affinity", node_affinity),
        ("pod affinity", |_| between("podAffinity", ZONE, json!({}))),
        ("pod anti-affinity", |_| between("podAntiAffinity", HOSTNAME, json!({}))),
        ("anti-affinity with namespace selectors", |i| {
            let mut pod = between("podAntiAffinity", HOSTNAME, json!({"matchLabels": {"team": "a"}}));
            pod["metadata"]["namespace"] = json!(format!("team-{}", i % 10));
            pod
        }),
        ("topology spreading", spreading),
        ("unschedulable", |_| json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "900"}}}]}})),
    ];
    for (case, pod) in cases.into_iter().filter(|(case, _)| wants(case)) {
        // Anti-affinity by host name: no more pods than nodes can find a place.
        let pods = if case.contains("anti") { pods.min(nodes) } else { pods };
        report(case, nodes, pods, &mut filled(nodes, pods, &pod));
    }
    if wants("preemption") {
        preemption(nodes);
    }
    if wants("100,000 pods") {
        memory(nodes);
    }
    if wants("10,000 waiting") {
        waiting(nodes);
    }
}

fn container() -> Value {
    json!({"image": "registry.example/app:v1", "resources": {"requests": {"cpu": "100m", "memory": "500Mi"}}})
}

fn image(n: usize) -> Value {
    json!({"image": format!("app-{n}"), "resources": container()["resources"]})
}

fn node_affinity(i: usize) -> Value {
    let zones = [format!("zone-{}", i % 3), format!("zone-{}", (i + 1) % 3)];
    json!({"spec": {"containers": [container()], "affinity": {"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": ZONE, "operator": "In", "values": zones}]}]},
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {"matchExpressions": [
            {"key": ZONE, "operator": "In", "values": ["zone-0"]}]}}]}}}})
}

/// Pods of one colour near or far from each other.
fn between(kind: &str, key: &str, namespaces: Value) -> Value {
    let mut term = json!({"topologyKey": key, "labelSelector": {"matchLabels": {"color": "green"}}});
    if namespaces != json!({}) {
        term["namespaceSelector"] = namespaces;
    }
    json!({"metadata": {"labels": {"color": "green"}}, "spec": {"containers": [container()],
        "affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}})
}

fn spreading(_: usize) -> Value {
    let constraint = |key, skew| {
        json!({"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"color": "blue"}}})
    };
    json!({"metadata": {"labels": {"color": "blue"}}, "spec": {"containers": [container()],
        "topologySpreadConstraints": [constraint(ZONE, 5)]}})
}

fn pod(name: &str, mut pod: Value) -> Pod {
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["uid"] = json!(name);
    if pod["metadata"]["namespace"].is_null() {
        pod["metadata"]["namespace"] = json!("bench");
    }
    serde_json::from_value(pod).expect("a pod")
}

fn with_nodes(nodes: usize) -> Scheduler {
    let mut scheduler = Scheduler::new(Configuration::default());
    for i in 0..10 {
        let namespace = json!({"metadata": {"name": format!("team-{i}"), "labels": {"team": "a"}}});
        let namespace: Namespace = serde_json::from_value(namespace).expect("a namespace");
        scheduler.apply_namespace(&namespace, NOW);
    }
    for i in 0..nodes {
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": format!("node-{i}"), "labels": {ZONE: format!("zone-{}", i % 3), HOSTNAME: format!("node-{i}")}},
            "status": {"allocatable": {"cpu": "4", "memory": "32Gi", "pods": "110"}}}))
        .expect("a node");
        scheduler.apply_node(&node, NOW);
    }
    scheduler
}

fn filled(nodes: usize, pods: usize, spec: &dyn Fn(usize) -> Value) -> Scheduler {
    let mut scheduler = with_nodes(nodes);
    for i in 0..pods {
        scheduler.apply_pod(&pod(&format!("pod-{i}"), spec(i)), NOW);
    }
    scheduler
}

/// Tries every pod that waits: (placed, refused).
fn run(scheduler: &mut Scheduler) -> (u32, u32) {
    let (mut placed, mut refused, mut tie) = (0, 0, 1_u64);
    while let Some(attempt) = scheduler.next(NOW, tie, &mut |_| {}) {
        // Any odd multiplier spreads the ties.
        tie = tie.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        match attempt {
            Attempt::Placed(placement) => {
                scheduler.bound(&placement.pod.pod.uid);
                placed += 1;
            }
            Attempt::Unschedulable { nomination: Nomination::Evict(room), .. } => {
                for victim in room.victims {
                    scheduler.remove_pod(&victim.uid, NOW);
                }
            }
            Attempt::Unschedulable { .. } | Attempt::Failed { .. } => refused += 1,
            Attempt::Ask(_) | Attempt::AskPreemption(_) => unreachable!("no extender is configured"),
        }
    }
    (placed, refused)
}

fn report(case: &str, nodes: usize, pods: usize, scheduler: &mut Scheduler) {
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let (placed, refused) = run(scheduler);
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let rate = |seconds: f64| (f64::from(placed + refused) / seconds).round();
    println!(
        "{}",
        json!({"case": case, "nodes": nodes, "pods": pods, "placed": placed, "refused": refused,
            "seconds": (seconds * 1000.0).round() / 1000.0, "per_s": rate(seconds), "per_cpu_s": rate(cpu)})
    );
}

/// Four pods of low priority on each node; each pod of high priority evicts three of them.
fn preemption(nodes: usize) {
    let low = |_| json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "900m", "memory": "500Mi"}}}]}});
    let mut scheduler = filled(nodes, nodes * 4, &low);
    run(&mut scheduler);
    let pods = nodes.min(5_000);
    for i in 0..pods {
        let high = json!({"spec": {"priority": 10, "containers": [{"resources": {"requests": {"cpu": "3", "memory": "500Mi"}}}]}});
        scheduler.apply_pod(&pod(&format!("high-{i}"), high), NOW);
    }
    report("preemption", nodes, pods, &mut scheduler);
}

fn memory(nodes: usize) {
    let before = rss_mb();
    let mut scheduler = with_nodes(nodes);
    for i in 0..100_000 {
        let mut spec = json!({"metadata": {"labels": {"app": format!("app-{}", i % 500), "pod-template-hash": "5d4f8c7b9c"}},
            "spec": {"containers": [image(i % 500)]}});
        spec["spec"]["nodeName"] = json!(format!("node-{}", i % nodes));
        scheduler.apply_pod(&pod(&format!("app-{}-5d4f8c7b9c-{i:05}", i % 500), spec), NOW);
    }
    let held = rss_mb() - before;
    println!("{}", json!({"case": "100,000 pods", "nodes": nodes, "mb": held.round()}));
}

/// What an event costs that helps none of the pods that wait.
fn waiting(nodes: usize) {
    let impossible = |_| json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "900"}}}]}});
    let mut scheduler = filled(nodes, 10_000, &impossible);
    run(&mut scheduler);
    const EVENTS: u32 = 10_000;
    let began = Instant::now();
    for i in 0..EVENTS {
        let mut other = json!({"spec": {"containers": [container()]}});
        other["spec"]["nodeName"] = json!(format!("node-{}", i as usize % nodes));
        let other = pod("other", other);
        scheduler.apply_pod(&other, NOW);
        scheduler.remove_pod("other", NOW);
    }
    let each = began.elapsed() / EVENTS;
    let tried = scheduler.next(NOW, 0, &mut |_| {}).is_some();
    println!(
        "{}",
        json!({"case": "10,000 waiting", "us_per_pod_that_comes_and_goes": each.as_micros() as u64, "any_tried": tried})
    );
}

/// Of this process, which has one thread; what else runs on the machine does not count.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.split(' ').skip(13).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>();
    ticks / 100.0
}

fn rss_mb() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * 4096.0 / 1e6
}
