//! What the plugins' tables need: pods and nodes from JSON, and one helper per extension point.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, NodeId},
    cycle::Tracking,
    framework::{Plugin, Verdict},
    object,
    peers::Peers,
    profile::{Enabled, Profile},
    queue::Waiting,
    shape::Shape,
    volumes::Volumes,
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

/// A pod as it stands in the queue.
pub fn waiting(pod: &object::Pod) -> Waiting {
    Waiting {
        uid: pod.metadata.uid.as_ref().into(),
        namespace: pod.metadata.namespace.as_ref().into(),
        name: pod.metadata.name.as_ref().into(),
        profile: 0,
        shape: Arc::new(Shape::of(pod)),
        peers: Arc::new(Peers::of(pod)),
        volumes: Volumes::of(pod),
        priority: pod.spec.priority.unwrap_or(0),
        may_preempt: true,
        gates: Vec::new(),
    }
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
        let mut waiting = waiting(&pod(spec.clone()));
        waiting.uid = format!("beside-{n}").into();
        cluster.assume(waiting.resident(), id);
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

/// A plugin that tracks, and what it says for one kind of pod while the cluster changes.
pub struct Probe {
    profile: Profile,
    tracking: Tracking,
    pub pod: Waiting,
}

impl Probe {
    pub fn new(plugin: impl Plugin + 'static, pod: &object::Pod) -> Self {
        let points = plugin.points().to_vec();
        let profile = Profile {
            scheduler_name: "test".into(),
            percentage_of_nodes_to_score: 100,
            plugins: vec![Enabled { plugin: Box::new(plugin), weight: 1, points }],
        };
        let pod = waiting(pod);
        Self { tracking: Tracking::new(&profile, pod.to_plugins()), profile, pod }
    }

    /// For each node, why it is refused.
    pub fn verdicts(&mut self, cluster: &Cluster) -> Vec<Option<&'static str>> {
        self.tracking.follow(&self.profile, self.pod.to_plugins(), cluster, 0);
        let ask = |id: &NodeId| self.tracking.filter(cluster, *id).err().map(|(_, refused)| refused.reasons[0]);
        cluster.live().iter().map(ask).collect()
    }

    /// The normalised scores of these nodes; nothing if all are the same.
    pub fn scores(&mut self, cluster: &Cluster, nodes: &[NodeId]) -> Vec<i64> {
        self.tracking.follow(&self.profile, self.pod.to_plugins(), cluster, 0);
        let (mut column, mut totals) = (Vec::new(), vec![0; nodes.len()]);
        self.tracking.score(&self.profile, cluster, nodes, &mut column, &mut totals);
        totals
    }
}

/// A pod with metadata of its own, in the namespace `default` unless it says another.
pub fn pod_from(pod: Value) -> object::Pod {
    let mut pod: object::Pod = serde_json::from_value(pod).expect("a pod");
    if pod.metadata.namespace.is_empty() {
        pod.metadata.namespace = "default".into();
    }
    if pod.metadata.name.is_empty() {
        pod.metadata.name = "p".into();
    }
    if pod.metadata.uid.is_empty() {
        pod.metadata.uid = pod.metadata.name.clone();
    }
    pod
}
