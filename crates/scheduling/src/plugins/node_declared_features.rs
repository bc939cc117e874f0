//! Pods that use a feature which not every node has go where the node declares it in `status.declaredFeatures`.

use crate::{
    cluster::{Cluster, NodeRef},
    framework::{ClusterEvent, Plugin, PodRef, Point, PreFilter, Verdict, node_of},
    shape::Shape,
};

#[derive(Debug)]
pub struct NodeDeclaredFeatures;

impl Plugin for NodeDeclaredFeatures {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatures"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::PreFilter, Point::Filter]
    }

    fn pre_filter(&self, pod: PodRef<'_>, _cluster: &Cluster) -> PreFilter {
        if pod.shape.features.is_empty() { PreFilter::Skip } else { PreFilter::Continue }
    }

    fn filter(&self, shape: &Shape, node: NodeRef<'_>) -> Verdict {
        if shape.features.are_among(node.features()) {
            return Verdict::Fits;
        }
        Verdict::unresolvable("node(s) didn't match Pod's required features")
    }

    fn helps(&self, pod: PodRef<'_>, event: &ClusterEvent, cluster: &Cluster) -> bool {
        let about_it = match event {
            ClusterEvent::NodeAdded(_) => true,
            ClusterEvent::NodeChanged(_, change) => change.features,
            _ => false,
        };
        about_it && node_of(event, cluster).is_some_and(|node| self.filter(pod.shape, node) == Verdict::Fits)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::NodeDeclaredFeatures;
    use crate::testing::{Want, check_filter};

    #[test]
    fn filter() {
        let check = |spec: Value, declared: &[&str], fits: bool| {
            let refused = Want::Unresolvable("node(s) didn't match Pod's required features");
            let node = json!({"status": {"declaredFeatures": declared}});
            check_filter(&NodeDeclaredFeatures, spec, node, if fits { Want::Fits } else { refused });
        };
        let rules = json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}]);
        let restarts = |list: &str| json!({list: [{"restartPolicyRules": rules}]});
        let namespaced = json!({"hostNetwork": true, "hostUsers": false});
        check(json!({}), &[], true);
        check(json!({"containers": [{"restartPolicyRules": [{"action": "Restart"}]}]}), &[], true);
        check(json!({"hostNetwork": true}), &[], true);
        check(json!({"hostUsers": false}), &[], true);
        for (spec, feature) in [
            (restarts("containers"), "RestartAllContainersOnContainerExits"),
            (restarts("initContainers"), "RestartAllContainersOnContainerExits"),
            (namespaced, "UserNamespacesHostNetworkSupport"),
        ] {
            check(spec.clone(), &["Another"], false);
            check(spec, &["Another", feature], true);
        }
    }
}
