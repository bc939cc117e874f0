//! When no node would do, pods of lower priority make room. What is switched on here is carried out by
//! [`crate::cycle`], which has the remembered verdicts that make it cheap.

use crate::{
    cluster::Cluster,
    framework::{ClusterEvent, Plugin, PodRef, Point},
};

/// How many nodes are tried before the best of them is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultPreemption {
    pub min_candidate_nodes_percentage: usize,
    pub min_candidate_nodes_absolute: usize,
}

impl Default for DefaultPreemption {
    fn default() -> Self {
        Self { min_candidate_nodes_percentage: 10, min_candidate_nodes_absolute: 100 }
    }
}

impl DefaultPreemption {
    /// Of so many nodes that preemption might help on.
    pub fn candidates(&self, nodes: usize) -> usize {
        (nodes * self.min_candidate_nodes_percentage / 100).max(self.min_candidate_nodes_absolute).min(nodes)
    }
}

impl Plugin for DefaultPreemption {
    fn name(&self) -> &'static str {
        "DefaultPreemption"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::PostFilter]
    }

    fn preemption(&self) -> Option<&DefaultPreemption> {
        Some(self)
    }

    /// The plugins that refused the pod know what helps.
    fn helps(&self, _pod: PodRef<'_>, _event: &ClusterEvent, _cluster: &Cluster) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates() {
        let check = |percentage, absolute, nodes, want| {
            let plugin = DefaultPreemption {
                min_candidate_nodes_percentage: percentage,
                min_candidate_nodes_absolute: absolute,
            };
            assert_eq!(plugin.candidates(nodes), want, "{plugin:?} of {nodes}");
        };
        check(10, 100, 5000, 500);
        check(10, 100, 500, 100);
        check(10, 100, 7, 7);
        check(0, 1, 50, 1);
        check(100, 0, 50, 50);
    }
}
