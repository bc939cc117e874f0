//! Nodes marked `spec.unschedulable` take only pods that tolerate the taint that goes with the mark.

use crate::{
    cluster::{Cluster, NodeRef},
    framework::{ClusterEvent, Plugin, PodRef, Point, Verdict, node_of},
    shape::Shape,
};

const TAINT: &str = "node.kubernetes.io/unschedulable";

#[derive(Debug)]
pub struct NodeUnschedulable;

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::Filter]
    }

    fn filter(&self, shape: &Shape, node: NodeRef<'_>) -> Verdict {
        if node.unschedulable() && !shape.tolerates(TAINT, "", "NoSchedule") {
            return Verdict::unresolvable("node(s) were unschedulable");
        }
        Verdict::Fits
    }

    fn helps(&self, pod: PodRef<'_>, event: &ClusterEvent, cluster: &Cluster) -> bool {
        let about_it = match event {
            ClusterEvent::NodeAdded(_) => true,
            ClusterEvent::NodeChanged(_, change) => change.unschedulable,
            _ => false,
        };
        about_it && node_of(event, cluster).is_some_and(|node| self.filter(pod.shape, node) == Verdict::Fits)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::NodeUnschedulable;
    use crate::testing::{Want, check_filter};

    #[test]
    fn filter() {
        let cordoned = json!({"spec": {"unschedulable": true}});
        let refused = Want::Unresolvable("node(s) were unschedulable");
        let tolerating = |t| json!({"tolerations": [t]});
        check_filter(&NodeUnschedulable, json!({}), json!({}), Want::Fits);
        check_filter(&NodeUnschedulable, json!({}), cordoned.clone(), refused);
        check_filter(
            &NodeUnschedulable,
            tolerating(
                json!({"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}),
            ),
            cordoned.clone(),
            Want::Fits,
        );
        check_filter(&NodeUnschedulable, tolerating(json!({"operator": "Exists"})), cordoned.clone(), Want::Fits);
        check_filter(&NodeUnschedulable, tolerating(json!({"key": "other", "operator": "Exists"})), cordoned, refused);
    }
}
