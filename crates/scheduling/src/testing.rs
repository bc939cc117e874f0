//! What the plugins' tables need: pods and nodes from JSON, and one helper per extension point.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, NodeId},
    framework::{Plugin, Verdict},
    object,
    shape::{Footprint, Shape},
};

/// The verdict wanted; several reasons are joined by `|`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Want {
    Fits,
    Unschedulable(&'static str),
    Unresolvable(&'static str),
}

pub fn pod(spec: Value) -> object::Pod {
    serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "default", "uid": "p"}, "spec": spec}))
        .expect("a pod")
}

pub fn shape(spec: Value) -> Shape {
    Shape::of(&pod(spec))
}

/// Nodes without a name are `n0`, `n1`, …
pub fn cluster(nodes: &[Value]) -> Cluster {
    let mut cluster = Cluster::default();
    for (i, node) in nodes.iter().enumerate() {
        let mut node: object::Node = serde_json::from_value(node.clone()).expect("a node");
        if node.metadata.name.is_empty() {
            node.metadata.name = format!("n{i}").into();
        }
        cluster.set_node(&node);
    }
    cluster
}

fn place(cluster: &mut Cluster, beside: &[(usize, Value)]) {
    for (n, (node, spec)) in beside.iter().enumerate() {
        let id: NodeId = cluster.live()[*node];
        cluster.assume(&format!("beside-{n}").into(), id, Arc::new(Footprint::of(&pod(spec.clone()))), 0);
    }
}

pub fn check_filter(plugin: &dyn Plugin, spec: Value, node: Value, want: Want) {
    check_filter_beside(plugin, spec, node, &[], want);
}

/// With other pods on the node.
pub fn check_filter_beside(plugin: &dyn Plugin, spec: Value, node: Value, beside: &[Value], want: Want) {
    let mut cluster = cluster(std::slice::from_ref(&node));
    place(&mut cluster, &beside.iter().map(|spec| (0, spec.clone())).collect::<Vec<_>>());
    let got = match plugin.filter(&shape(spec.clone()), cluster.node(cluster.live()[0])) {
        Verdict::Fits => ("fits", String::new()),
        Verdict::Unschedulable(reasons) => ("unschedulable", reasons.join("|")),
        Verdict::Unresolvable(reasons) => ("unresolvable", reasons.join("|")),
    };
    let want = match want {
        Want::Fits => ("fits", String::new()),
        Want::Unschedulable(reason) => ("unschedulable", reason.to_owned()),
        Want::Unresolvable(reason) => ("unresolvable", reason.to_owned()),
    };
    assert_eq!(got, want, "pod {spec} on {node} beside {beside:?}");
}

/// The normalised scores of all nodes.
pub fn scores(plugin: &dyn Plugin, spec: Value, nodes: &[Value]) -> Vec<i64> {
    scores_beside(plugin, spec, nodes, &[])
}

/// With other pods on nodes given by number.
pub fn scores_beside(plugin: &dyn Plugin, spec: Value, nodes: &[Value], beside: &[(usize, Value)]) -> Vec<i64> {
    let mut cluster = cluster(nodes);
    place(&mut cluster, beside);
    let shape = shape(spec);
    let mut scores: Vec<_> = cluster.live().iter().map(|id| plugin.score(&shape, cluster.node(*id))).collect();
    plugin.normalize(&mut scores);
    scores
}
