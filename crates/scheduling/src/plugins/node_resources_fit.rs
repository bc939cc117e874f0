//! A node must have room for what the pod requests; by score, nodes are filled evenly (`LeastAllocated`), tightly
//! (`MostAllocated`) or along a curve (`RequestedToCapacityRatio`).

use crate::{
    cluster::{Cluster, NodeRef},
    framework::{ClusterEvent, MAX_NODE_SCORE, Plugin, PodRef, Point, Reason, Verdict, node_of},
    shape::Shape,
};

/// A resource that counts in a score, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighted {
    pub name: String,
    pub weight: i64,
}

impl Weighted {
    /// Processor and memory alike.
    pub fn defaults() -> Vec<Self> {
        ["cpu", "memory"].map(|name| Self { name: name.into(), weight: 1 }).into()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    LeastAllocated,
    MostAllocated,
    /// (utilisation in percent, score of 0 to 100), by rising utilisation; straight lines between.
    RequestedToCapacityRatio(Vec<(i64, i64)>),
}

#[derive(Debug)]
pub struct NodeResourcesFit {
    pub strategy: Strategy,
    pub resources: Vec<Weighted>,
    /// Extended resources, by name or by the part before the slash, that someone else checks.
    pub ignored_resources: Vec<String>,
    pub ignored_resource_groups: Vec<String>,
}

impl Default for NodeResourcesFit {
    fn default() -> Self {
        Self {
            strategy: Strategy::LeastAllocated,
            resources: Weighted::defaults(),
            ignored_resources: Vec::new(),
            ignored_resource_groups: Vec::new(),
        }
    }
}

impl NodeResourcesFit {
    fn ignores(&self, name: &str) -> bool {
        self.ignored_resources.iter().any(|ignored| ignored == name)
            || name.split_once('/').is_some_and(|(group, _)| self.ignored_resource_groups.iter().any(|g| g == group))
    }
}

/// (what the node would have given out with this pod on it, what it can give) of a resource, or nothing if the node
/// has none of it or the pod does not ask for it. Processor and memory count with defaults if `defaults`.
pub fn usage(name: &str, shape: &Shape, node: NodeRef<'_>, defaults: bool) -> Option<(i64, i64)> {
    let (cluster, i) = (node.cluster, node.id.index());
    let (want, has) = (&shape.footprint, &cluster.requested);
    let (requested, allocatable) = match name {
        "cpu" if defaults => {
            (cluster.non_zero_milli_cpu[i] + want.non_zero_milli_cpu, cluster.allocatable.milli_cpu[i])
        }
        "memory" if defaults => (cluster.non_zero_memory[i] + want.non_zero_memory, cluster.allocatable.memory[i]),
        "cpu" => (has.milli_cpu[i] + want.requests.milli_cpu, cluster.allocatable.milli_cpu[i]),
        "memory" => (has.memory[i] + want.requests.memory, cluster.allocatable.memory[i]),
        "ephemeral-storage" => {
            (has.ephemeral_storage[i] + want.requests.ephemeral_storage, cluster.allocatable.ephemeral_storage[i])
        }
        _ => {
            let wanted = want.requests.extended(name);
            if wanted == 0 {
                return None;
            }
            (has.extended(i, name) + wanted, cluster.allocatable.extended(i, name))
        }
    };
    (allocatable != 0).then_some((requested, allocatable))
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::Filter, Point::Score]
    }

    fn filter(&self, shape: &Shape, node: NodeRef<'_>) -> Verdict {
        let (cluster, i) = (node.cluster, node.id.index());
        let (want, has, can) = (&shape.footprint.requests, &cluster.requested, &cluster.allocatable);
        let mut short: Vec<Reason> = Vec::new();
        let mut hopeless = false;
        if has.pods[i] + 1 > can.pods[i] {
            short.push("Too many pods".into());
        }
        let mut check = |wanted: i64, has: i64, can: i64, reason: &dyn Fn() -> Reason| {
            if wanted > 0 && wanted > can - has {
                short.push(reason());
                hopeless |= wanted > can;
            }
        };
        check(want.milli_cpu, has.milli_cpu[i], can.milli_cpu[i], &|| "Insufficient cpu".into());
        check(want.memory, has.memory[i], can.memory[i], &|| "Insufficient memory".into());
        check(want.ephemeral_storage, has.ephemeral_storage[i], can.ephemeral_storage[i], &|| {
            "Insufficient ephemeral-storage".into()
        });
        for (name, wanted) in &want.extended {
            if !self.ignores(name) {
                check(*wanted, has.extended(i, name), can.extended(i, name), &|| format!("Insufficient {name}").into());
            }
        }
        match (short.is_empty(), hopeless) {
            (true, _) => Verdict::Fits,
            (false, false) => Verdict::Unschedulable(short),
            (false, true) => Verdict::Unresolvable(short),
        }
    }

    fn score(&self, shape: &Shape, node: NodeRef<'_>) -> i64 {
        let (mut sum, mut weights) = (0, 0);
        for resource in &self.resources {
            let Some((requested, allocatable)) = usage(&resource.name, shape, node, true) else { continue };
            sum += resource.weight * score_of(&self.strategy, requested, allocatable);
            weights += resource.weight;
        }
        match &self.strategy {
            _ if weights == 0 => 0,
            // Upstream rounds here and cuts off elsewhere.
            Strategy::RequestedToCapacityRatio(_) => (sum as f64 / weights as f64).round() as i64,
            _ => sum / weights,
        }
    }

    fn helps(&self, pod: PodRef<'_>, event: &ClusterEvent, cluster: &Cluster) -> bool {
        match event {
            ClusterEvent::NodeChanged(_, change) if !change.allocatable => false,
            _ => node_of(event, cluster).is_some_and(|node| self.filter(pod.shape, node) == Verdict::Fits),
        }
    }
}

fn score_of(strategy: &Strategy, requested: i64, allocatable: i64) -> i64 {
    match strategy {
        Strategy::LeastAllocated if requested > allocatable => 0,
        Strategy::LeastAllocated => (allocatable - requested) * MAX_NODE_SCORE / allocatable,
        Strategy::MostAllocated => requested.min(allocatable) * MAX_NODE_SCORE / allocatable,
        Strategy::RequestedToCapacityRatio(points) if requested > allocatable => on_curve(points, 100),
        Strategy::RequestedToCapacityRatio(points) => on_curve(points, requested * 100 / allocatable),
    }
}

fn on_curve(points: &[(i64, i64)], at: i64) -> i64 {
    let Some(next) = points.iter().position(|(x, _)| at <= *x) else {
        return points.last().map_or(0, |(_, y)| *y);
    };
    let (x1, y1) = points[next];
    match next.checked_sub(1).map(|before| points[before]) {
        None => y1,
        Some((x0, y0)) => y0 + (y1 - y0) * (at - x0) / (x1 - x0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Want, check_filter_beside, scores, scores_beside};

    fn pod(cpu: &str, memory: &str) -> Value {
        json!({"containers": [{"resources": {"requests": {"cpu": cpu, "memory": memory}}}]})
    }

    fn node(cpu: &str, memory: &str) -> Value {
        json!({"status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": "2", "example.com/gpu": "4"}}})
    }

    fn check(pod: Value, beside: &[Value], want: Want) {
        check_filter_beside(&NodeResourcesFit::default(), pod, node("4", "8Gi"), beside, want);
    }

    #[test]
    fn filter() {
        check(pod("4", "8Gi"), &[], Want::Fits);
        check(pod("1", "1Gi"), &[pod("3", "7Gi")], Want::Fits);
        check(pod("2", "1Gi"), &[pod("3", "1Gi")], Want::Unschedulable("Insufficient cpu"));
        check(pod("1", "2Gi"), &[pod("3", "7Gi")], Want::Unschedulable("Insufficient memory"));
        check(pod("2", "2Gi"), &[pod("3", "7Gi")], Want::Unschedulable("Insufficient cpu|Insufficient memory"));
        check(pod("5", "1Gi"), &[], Want::Unresolvable("Insufficient cpu"));
        check(json!({"containers": [{}]}), &[pod("4", "8Gi")], Want::Fits);
        check(json!({"containers": [{}]}), &[pod("1", "1Gi"), pod("1", "1Gi")], Want::Unschedulable("Too many pods"));
        let gpus = |n: &str| json!({"containers": [{"resources": {"requests": {"example.com/gpu": n}}}]});
        check(gpus("4"), &[], Want::Fits);
        check(gpus("2"), &[gpus("3")], Want::Unschedulable("Insufficient example.com/gpu"));
        let other = json!({"containers": [{"resources": {"requests": {"other.io/x": "1"}}}]});
        check(other.clone(), &[], Want::Unresolvable("Insufficient other.io/x"));
        for (resources, groups) in [(vec!["other.io/x".into()], vec![]), (vec![], vec!["other.io".into()])] {
            let plugin = NodeResourcesFit {
                ignored_resources: resources,
                ignored_resource_groups: groups,
                ..Default::default()
            };
            check_filter_beside(&plugin, other.clone(), node("4", "8Gi"), &[], Want::Fits);
        }
    }

    #[test]
    fn score_by_strategy() {
        let with = |strategy| NodeResourcesFit { strategy, ..NodeResourcesFit::default() };
        let nodes = [node("4", "8Gi"), node("8", "8Gi"), node("1", "8Gi")];
        let score = |strategy| scores(&with(strategy), pod("2", "2Gi"), &nodes);
        assert_eq!(score(Strategy::LeastAllocated), [62, 75, 37]);
        assert_eq!(score(Strategy::MostAllocated), [37, 25, 62]);
        assert_eq!(score(Strategy::RequestedToCapacityRatio(vec![(0, 0), (100, 100)])), [38, 25, 63]);
        assert_eq!(score(Strategy::RequestedToCapacityRatio(vec![(0, 100), (50, 0)])), [25, 50, 25]);
    }

    #[test]
    fn containers_without_requests_count_with_defaults() {
        let beside = [(0, json!({"containers": [{}]}))];
        let got =
            scores_beside(&NodeResourcesFit::default(), pod("0", "0"), &[node("1", "1Gi"), node("1", "1Gi")], &beside);
        assert_eq!(got, [(90 + 80) / 2, 100]);
    }
}
