//! A pod with scheduling gates waits outside the queues until the last gate is taken away (KEP-3521).

use crate::{
    cluster::Cluster,
    framework::{ClusterEvent, Plugin, PodRef, Point, Reason},
};

#[derive(Debug)]
pub struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        "SchedulingGates"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::PreEnqueue]
    }

    fn pre_enqueue(&self, pod: PodRef<'_>) -> Result<(), Reason> {
        if pod.gates.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = pod.gates.iter().map(|gate| gate.name.as_str()).collect();
        Err(format!("waiting for scheduling gates: [{}]", names.join(" ")).into())
    }

    /// Gates are the pod's own; nothing else in the cluster opens them.
    fn helps(&self, _pod: PodRef<'_>, _event: &ClusterEvent, _cluster: &Cluster) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        object::SchedulingGate,
        testing::{pod, waiting},
    };

    #[test]
    fn waits_for_all_gates() {
        let mut pod = waiting(&pod(json!({})));
        let gates = [SchedulingGate { name: "a".into() }, SchedulingGate { name: "b/c".into() }];
        assert_eq!(SchedulingGates.pre_enqueue(pod.to_plugins()), Ok(()));
        pod.gates = gates.into();
        assert_eq!(SchedulingGates.pre_enqueue(pod.to_plugins()), Err("waiting for scheduling gates: [a b/c]".into()));
    }
}
