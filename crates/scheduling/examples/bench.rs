//! How fast the scheduler decides, in memory: no API server, no binding. Prints one line of JSON for each case.
//!
//! `cargo run --release -p scheduling --example bench [NODES] [PODS]`

use std::time::Instant;

use jiff::Timestamp;
use scheduling::{
    Attempt, Configuration, Scheduler,
    object::{Node, Pod},
};
use serde_json::{Value, json};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<usize>().expect("a number"));
    let nodes = arguments.next().unwrap_or(5_000);
    let pods = arguments.next().unwrap_or(10_000);
    let plain = |_: usize| json!({"containers": [container()]});
    // As of many Deployments: each shape is evaluated for itself.
    let shapes = |i: usize| json!({"containers": [{"image": format!("app-{}", i % 500), "resources": container()["resources"]}]});
    let affine = |i: usize| {
        json!({"containers": [container()], "affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "zone", "operator": "In", "values": [format!("zone-{}", i % 3), format!("zone-{}", (i + 1) % 3)]}]}]},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {"matchExpressions": [
                {"key": "zone", "operator": "In", "values": ["zone-0"]}]}}]}}})
    };
    let impossible = |_: usize| json!({"containers": [{"resources": {"requests": {"cpu": "900"}}}]});
    run("plain", nodes, pods, &plain);
    run("500 shapes", nodes, pods, &shapes);
    run("node affinity", nodes, pods, &affine);
    run("unschedulable", nodes, pods, &impossible);
}

fn container() -> Value {
    json!({"image": "registry.example/app:v1", "resources": {"requests": {"cpu": "100m", "memory": "500Mi"}}})
}

fn run(case: &str, nodes: usize, pods: usize, spec: &dyn Fn(usize) -> Value) {
    let mut scheduler = Scheduler::new(Configuration::default());
    let now = Timestamp::UNIX_EPOCH;
    for i in 0..nodes {
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": format!("node-{i}"), "labels": {"zone": format!("zone-{}", i % 3), "kubernetes.io/hostname": format!("node-{i}")}},
            "status": {"allocatable": {"cpu": "4", "memory": "32Gi", "pods": "110"}}}))
        .expect("a node");
        scheduler.apply_node(&node, now);
    }
    for i in 0..pods {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": format!("pod-{i}"), "namespace": "bench", "uid": format!("uid-{i}")}, "spec": spec(i)}))
        .expect("a pod");
        scheduler.apply_pod(&pod, now);
    }
    let (mut placed, mut refused) = (0, 0);
    let began = Instant::now();
    // Any odd multiplier spreads the ties.
    let mut tie = 1_u64;
    while let Some(attempt) = scheduler.next(now, tie, &mut |_| {}) {
        tie = tie.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        match attempt {
            Attempt::Placed(placement) => {
                scheduler.bound(&placement.pod.pod.uid);
                placed += 1;
            }
            Attempt::Unschedulable { .. } => refused += 1,
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({"case": case, "nodes": nodes, "pods": pods, "placed": placed, "refused": refused,
            "seconds": (seconds * 1000.0).round() / 1000.0, "per_s": (f64::from(placed + refused) / seconds).round()})
    );
}
