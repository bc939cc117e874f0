//! A node can attach only so many volumes of each CSI driver, as its CSINode says.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    cluster::{Cluster, NodeRef},
    framework::{ClusterEvent, Interest, Plugin, PodRef, Point, Refused, StorageEvent, Tracker},
    volumes::Volumes,
};

const REFUSED: Refused = Refused::unschedulable(&["node(s) exceed max volume count"]);

#[derive(Debug)]
pub struct NodeVolumeLimits;

/// What is attached for a pod: a driver, and a name that is the same for the same volume.
fn attachments(volumes: &Volumes, cluster: &Cluster) -> Vec<(String, String)> {
    let storage = cluster.storage();
    let mut all = Vec::new();
    for used in &volumes.claims {
        let Some(claim) = storage.claim(&(volumes.namespace.clone(), used.name.clone())) else { continue };
        let volume = storage.volume(&claim.claim.spec.volume_name);
        match volume.and_then(|volume| volume.volume.spec.csi.as_ref()) {
            Some(csi) => all.push((csi.driver.clone(), csi.volume_handle.clone())),
            // Not made yet: the class's driver will make one for this claim.
            None if volume.is_none() => {
                let class = storage.class(claim.class());
                all.extend(
                    class.map(|class| (class.provisioner.clone(), format!("claim {}", claim.claim.metadata.uid))),
                );
            }
            None => {}
        }
    }
    let inline = volumes.inline_drivers.iter().enumerate();
    all.extend(inline.map(|(n, driver)| (driver.to_string(), format!("inline {} {n}", volumes.pod))));
    all
}

impl Plugin for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        "NodeVolumeLimits"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::PreFilter, Point::Filter]
    }

    fn tracks(&self) -> bool {
        true
    }

    fn generation(&self, cluster: &Cluster) -> u64 {
        cluster.storage().generation()
    }

    fn track(&self, pod: PodRef<'_>, cluster: &Cluster) -> Option<Box<dyn Tracker>> {
        let volumes = pod.volumes?;
        let attachments = attachments(volumes, cluster);
        (!attachments.is_empty()).then(|| Box::new(Limits { attachments }) as Box<dyn Tracker>)
    }

    fn helps(&self, _pod: PodRef<'_>, event: &ClusterEvent, _cluster: &Cluster) -> bool {
        match event {
            ClusterEvent::NodeAdded(_) => true,
            ClusterEvent::PodFreed { held, .. } => held.volumes.is_some(),
            ClusterEvent::Storage(what) => {
                matches!(what, StorageEvent::CsiNode | StorageEvent::Claim | StorageEvent::Volume)
            }
            _ => false,
        }
    }
}

#[derive(Debug)]
struct Limits {
    attachments: Vec<(String, String)>,
}

impl Tracker for Limits {
    fn interest(&self) -> Interest {
        Interest::None
    }

    fn filter(&self, node: NodeRef<'_>) -> Result<(), Refused> {
        let storage = node.cluster.storage();
        let limited = |driver: &str| storage.limit(node.name(), driver);
        if !self.attachments.iter().any(|(driver, _)| limited(driver).is_some()) {
            return Ok(());
        }
        let others = node.cluster.pods_on(node.id).filter_map(|(_, pod)| pod.held.volumes.as_ref());
        let others = others.flat_map(|volumes: &Arc<Volumes>| attachments(volumes, node.cluster));
        let mut by_driver: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (driver, volume) in others {
            by_driver.entry(driver).or_default().insert(volume);
        }
        for (driver, volume) in &self.attachments {
            let Some(limit) = limited(driver) else { continue };
            let attached = by_driver.entry(driver.clone()).or_default();
            // What is there already costs nothing more.
            if attached.insert(volume.clone()) && attached.len() > limit {
                return Err(REFUSED);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Probe, cluster, pod_from};

    const DRIVER: &str = "csi.example.com";

    fn claims(names: &[&str]) -> Value {
        let volume = |name: &&str| json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
        json!({"volumes": names.iter().map(volume).collect::<Vec<_>>()})
    }

    /// A node that takes two volumes and has those of another pod, and a node of which nothing is known.
    #[track_caller]
    fn check(pod: Value, other: Value, want: [bool; 2]) {
        let mut cluster = cluster(&[json!({}), json!({})]);
        let node =
            json!({"metadata": {"name": "n0"}, "spec": {"drivers": [{"name": DRIVER, "allocatable": {"count": 2}}]}});
        cluster.storage_mut().set_csi_node(&serde_json::from_value(node).unwrap());
        let class = json!({"metadata": {"name": "fast"}, "provisioner": DRIVER});
        cluster.storage_mut().set_class(&serde_json::from_value(class).unwrap());
        for name in ["a", "b", "c", "elsewhere"] {
            let driver = if name == "elsewhere" { "other.example.com" } else { DRIVER };
            let volume = json!({"metadata": {"name": name}, "spec": {"csi": {"driver": driver, "volumeHandle": name}}});
            cluster.storage_mut().set_volume(&serde_json::from_value(volume).unwrap());
            let claim =
                json!({"metadata": {"namespace": "default", "name": name, "uid": name}, "spec": {"volumeName": name}});
            cluster.storage_mut().set_claim(&serde_json::from_value(claim).unwrap());
        }
        let unbound = json!({"metadata": {"namespace": "default", "name": "unbound", "uid": "u"}, "spec": {"storageClassName": "fast"}});
        cluster.storage_mut().set_claim(&serde_json::from_value(unbound).unwrap());
        let other = pod_from(json!({"metadata": {"name": "other"}, "spec": other}));
        cluster.set_pod(&other, "n0");
        let mut probe = Probe::new(NodeVolumeLimits, &pod_from(json!({"spec": pod})));
        let fits: Vec<_> = probe.verdicts(&cluster).iter().map(Option::is_none).collect();
        assert_eq!(fits, want, "{pod}");
    }

    #[test]
    fn filter() {
        check(claims(&["a", "b"]), json!({}), [true, true]);
        check(claims(&["a", "b", "c"]), json!({}), [false, true]);
        check(claims(&["c"]), claims(&["a", "b"]), [false, true]);
        check(claims(&["a"]), claims(&["a", "b"]), [true, true]);
        check(claims(&["elsewhere"]), claims(&["a", "b"]), [true, true]);
        check(claims(&["unbound"]), claims(&["a", "b"]), [false, true]);
        check(json!({"volumes": [{"csi": {"driver": DRIVER}}]}), claims(&["a", "b"]), [false, true]);
    }
}
