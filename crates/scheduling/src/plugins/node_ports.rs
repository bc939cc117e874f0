//! Two pods cannot have the same port of a node (`hostPort`) on the same address.

use crate::{
    cluster::{Cluster, NodeRef},
    framework::{ClusterEvent, Plugin, PodRef, Point, PreFilter, Verdict},
    shape::{HostPort, Shape},
};

#[derive(Debug)]
pub struct NodePorts;

fn conflict(wanted: &[HostPort], used: &[HostPort]) -> bool {
    wanted.iter().any(|want| used.iter().any(|have| want.conflicts_with(have)))
}

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::PreFilter, Point::Filter]
    }

    fn pre_filter(&self, pod: PodRef<'_>, _cluster: &Cluster) -> PreFilter {
        if pod.shape.footprint.ports.is_empty() { PreFilter::Skip } else { PreFilter::Continue }
    }

    fn filter(&self, shape: &Shape, node: NodeRef<'_>) -> Verdict {
        if conflict(&shape.footprint.ports, node.ports()) {
            return Verdict::unschedulable("node(s) didn't have free ports for the requested pod ports");
        }
        Verdict::Fits
    }

    fn helps(&self, pod: PodRef<'_>, event: &ClusterEvent, _cluster: &Cluster) -> bool {
        match event {
            ClusterEvent::NodeAdded(_) => true,
            ClusterEvent::NodeChanged(..) => false,
            ClusterEvent::PodFreed { held, .. } => conflict(&pod.shape.footprint.ports, &held.footprint.ports),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::NodePorts;
    use crate::testing::{Want, check_filter_beside};

    fn ports(ports: Value) -> Value {
        json!({"containers": [{"ports": ports}]})
    }

    #[test]
    fn filter() {
        let refused = Want::Unschedulable("node(s) didn't have free ports for the requested pod ports");
        let check = |wanted: Value, used: Value, want| {
            check_filter_beside(&NodePorts, ports(json!([wanted])), json!({}), &[ports(json!([used]))], want);
        };
        let port = |port: i32| json!({"hostPort": port, "containerPort": 1});
        let at = |port: i32, ip: &str| json!({"hostPort": port, "hostIP": ip, "protocol": "TCP"});
        check(port(80), port(81), Want::Fits);
        check(port(80), port(80), refused);
        check(json!({"containerPort": 80}), json!({"containerPort": 80}), Want::Fits);
        check(port(80), json!({"hostPort": 80, "protocol": "UDP"}), Want::Fits);
        check(at(80, "10.0.0.1"), at(80, "10.0.0.2"), Want::Fits);
        check(at(80, "10.0.0.1"), at(80, "10.0.0.1"), refused);
        check(at(80, "10.0.0.1"), port(80), refused);
        check(at(80, "0.0.0.0"), at(80, "10.0.0.1"), refused);
    }
}
