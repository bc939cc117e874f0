//! A pod that names its node goes nowhere else.

use crate::{
    cluster::{Cluster, NodeRef},
    framework::{ClusterEvent, Plugin, PodRef, Point, PreFilter, Verdict, node_of},
    shape::Shape,
};

#[derive(Debug)]
pub struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::PreFilter, Point::Filter]
    }

    fn pre_filter(&self, pod: PodRef<'_>, _cluster: &Cluster) -> PreFilter {
        if pod.shape.node_name.is_none() { PreFilter::Skip } else { PreFilter::Continue }
    }

    fn filter(&self, shape: &Shape, node: NodeRef<'_>) -> Verdict {
        match &shape.node_name {
            Some(wanted) if **wanted != **node.name() => {
                Verdict::unresolvable("node(s) didn't match the requested node name")
            }
            _ => Verdict::Fits,
        }
    }

    fn helps(&self, pod: PodRef<'_>, event: &ClusterEvent, cluster: &Cluster) -> bool {
        matches!(event, ClusterEvent::NodeAdded(_))
            && node_of(event, cluster).is_some_and(|node| self.filter(pod.shape, node) == Verdict::Fits)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::NodeName;
    use crate::testing::{Want, check_filter};

    #[test]
    fn filter() {
        let refused = Want::Unresolvable("node(s) didn't match the requested node name");
        check_filter(&NodeName, json!({}), json!({"metadata": {"name": "a"}}), Want::Fits);
        check_filter(&NodeName, json!({"nodeName": "a"}), json!({"metadata": {"name": "a"}}), Want::Fits);
        check_filter(&NodeName, json!({"nodeName": "a"}), json!({"metadata": {"name": "b"}}), refused);
    }
}
