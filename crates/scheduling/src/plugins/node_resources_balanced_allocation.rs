//! Nodes whose resources would be used up at the same pace are better: a node with processors left and no memory is
//! of no use to anyone.

use crate::{
    cluster::{Cluster, NodeRef},
    framework::{ClusterEvent, MAX_NODE_SCORE, Plugin, PodRef, Point},
    plugins::node_resources_fit::{Weighted, usage},
    shape::Shape,
};

#[derive(Debug)]
pub struct NodeResourcesBalancedAllocation {
    pub resources: Vec<Weighted>,
}

impl Default for NodeResourcesBalancedAllocation {
    fn default() -> Self {
        Self { resources: Weighted::defaults() }
    }
}

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::PreScore, Point::Score]
    }

    /// A pod that requests nothing moves no balance; scoring it would gather all such pods on one node.
    fn pre_score(&self, shape: &Shape) -> bool {
        self.resources.iter().any(|r| shape.footprint.requests.get(&r.name) != 0)
    }

    fn score(&self, shape: &Shape, node: NodeRef<'_>) -> i64 {
        let mut shares = [0.0; 8];
        let mut known = 0;
        for resource in &self.resources {
            if let Some((requested, allocatable)) =
                usage(&resource.name, shape, node, false).filter(|_| known < shares.len())
            {
                shares[known] = (requested as f64 / allocatable as f64).min(1.0);
                known += 1;
            }
        }
        ((1.0 - deviation(&shares[..known])) * MAX_NODE_SCORE as f64) as i64
    }

    fn helps(&self, _pod: PodRef<'_>, _event: &ClusterEvent, _cluster: &Cluster) -> bool {
        false
    }
}

fn deviation(shares: &[f64]) -> f64 {
    match shares {
        [] | [_] => 0.0,
        [a, b] => ((a - b) / 2.0).abs(),
        _ => {
            let mean = shares.iter().sum::<f64>() / shares.len() as f64;
            (shares.iter().map(|s| (s - mean) * (s - mean)).sum::<f64>() / shares.len() as f64).sqrt()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{scores_beside, shape};

    fn pod(cpu: &str, memory: &str) -> Value {
        json!({"containers": [{"resources": {"requests": {"cpu": cpu, "memory": memory}}}]})
    }

    fn node(cpu: &str, memory: &str) -> Value {
        json!({"status": {"allocatable": {"cpu": cpu, "memory": memory}}})
    }

    #[test]
    fn score() {
        let plugin = NodeResourcesBalancedAllocation::default();
        let check = |pod: Value, nodes: &[Value], beside: &[(usize, Value)], want: &[i64]| {
            assert_eq!(scores_beside(&plugin, pod, nodes, beside), want);
        };
        check(pod("1", "1Gi"), &[node("4", "4Gi"), node("4", "2Gi")], &[], &[100, 87]);
        check(pod("1", "1Gi"), &[node("4", "4Gi")], &[(0, pod("2", "0"))], &[75]);
        check(pod("9", "1Gi"), &[node("4", "4Gi")], &[], &[62]);
    }

    #[test]
    fn pods_without_requests_are_not_scored() {
        let plugin = NodeResourcesBalancedAllocation::default();
        assert!(!plugin.pre_score(&shape(json!({"containers": [{}]}))));
        assert!(plugin.pre_score(&shape(pod("1", "0"))));
    }

    #[test]
    fn three_resources() {
        assert!((deviation(&[0.0, 0.5, 1.0]) - 0.408).abs() < 0.001);
    }
}
