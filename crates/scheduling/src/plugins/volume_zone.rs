//! Volumes with zone or region labels can be used only on nodes of that zone or region.

use crate::{
    cluster::{Cluster, NodeChange, NodeRef},
    framework::{ClusterEvent, Interest, Plugin, PodRef, Point, Refused, StorageEvent, Tracker},
};

const REFUSED: Refused = Refused::unresolvable(&["node(s) had no available volume zone"]);
/// Each with the name it had before.
const KEYS: [(&str, &str); 2] = [
    ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
];

#[derive(Debug)]
pub struct VolumeZone;

impl Plugin for VolumeZone {
    fn name(&self) -> &'static str {
        "VolumeZone"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::PreFilter, Point::Filter]
    }

    fn tracks(&self) -> bool {
        true
    }

    fn generation(&self, cluster: &Cluster) -> u64 {
        cluster.topology_generation() + cluster.storage().generation()
    }

    fn track(&self, pod: PodRef<'_>, cluster: &Cluster) -> Option<Box<dyn Tracker>> {
        let volumes = pod.volumes?;
        let mut zones = Vec::new();
        for used in &volumes.claims {
            let claim = cluster.storage().claim(&(volumes.namespace.clone(), used.name.clone()));
            let volume = claim.and_then(|claim| cluster.storage().volume(&claim.claim.spec.volume_name));
            let Some(labels) = volume.map(|volume| &volume.volume.metadata.labels) else { continue };
            for (place, (key, before)) in KEYS.iter().enumerate() {
                for value in [labels.get(*key), labels.get(*before)].into_iter().flatten() {
                    zones.push((place, value.split("__").map(str::to_owned).collect()));
                }
            }
        }
        (!zones.is_empty()).then(|| Box::new(Zones(zones)) as Box<dyn Tracker>)
    }

    fn helps(&self, _pod: PodRef<'_>, event: &ClusterEvent, _cluster: &Cluster) -> bool {
        match event {
            ClusterEvent::NodeAdded(_) => true,
            ClusterEvent::NodeChanged(_, NodeChange { labels, .. }) => *labels,
            ClusterEvent::Storage(what) => {
                matches!(what, StorageEvent::Claim | StorageEvent::Volume | StorageEvent::Class)
            }
            _ => false,
        }
    }
}

/// The place in `KEYS`, and the values that would do.
#[derive(Debug)]
struct Zones(Vec<(usize, Vec<String>)>);

impl Tracker for Zones {
    fn interest(&self) -> Interest {
        Interest::None
    }

    fn filter(&self, node: NodeRef<'_>) -> Result<(), Refused> {
        let of = |(key, before): &(&str, &str)| node.label(key).or_else(|| node.label(before));
        // A node without any zone or region takes every volume.
        if KEYS.iter().all(|keys| of(keys).is_none()) {
            return Ok(());
        }
        let holds =
            |(place, values): &(usize, Vec<String>)| of(&KEYS[*place]).is_some_and(|v| values.iter().any(|w| w == v));
        if self.0.iter().all(holds) { Ok(()) } else { Err(REFUSED) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::VolumeZone;
    use crate::testing::{Probe, cluster, pod_from};

    #[track_caller]
    fn check(volume: Value, nodes: &[Value], want: &[bool]) {
        let nodes: Vec<_> = nodes.iter().map(|labels| json!({"metadata": {"labels": labels}})).collect();
        let mut cluster = cluster(&nodes);
        let claim = json!({"metadata": {"namespace": "default", "name": "c"}, "spec": {"volumeName": "v"}});
        cluster.storage_mut().set_claim(&serde_json::from_value(claim).unwrap());
        let stored = json!({"metadata": {"name": "v", "labels": volume}});
        cluster.storage_mut().set_volume(&serde_json::from_value(stored).unwrap());
        let pod = pod_from(json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}}));
        let fits: Vec<_> = Probe::new(VolumeZone, &pod).verdicts(&cluster).iter().map(Option::is_none).collect();
        assert_eq!(fits, want, "{volume} on {nodes:?}");
    }

    #[test]
    fn filter() {
        const ZONE: &str = "topology.kubernetes.io/zone";
        const OLD: &str = "failure-domain.beta.kubernetes.io/zone";
        let nodes = [json!({ZONE: "a"}), json!({ZONE: "b"}), json!({OLD: "a"}), json!({})];
        check(json!({}), &nodes, &[true; 4]);
        check(json!({ZONE: "a"}), &nodes, &[true, false, true, true]);
        check(json!({OLD: "b"}), &nodes, &[false, true, false, true]);
        check(json!({ZONE: "a__b"}), &nodes, &[true; 4]);
        check(json!({"topology.kubernetes.io/region": "r"}), &nodes, &[false, false, false, true]);
    }
}
