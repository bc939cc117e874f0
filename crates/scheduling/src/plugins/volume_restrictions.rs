//! Disks that a node cannot have twice, and claims that only one pod in the cluster may use (`ReadWriteOncePod`).

use std::sync::Arc;

use crate::{
    cluster::{Cluster, NodeRef},
    framework::{ClusterEvent, Interest, Plugin, PodRef, Point, Refused, StorageEvent, Tracker},
    volumes::Volumes,
};

const DISK: Refused = Refused::unschedulable(&["node(s) had no available disk"]);
const IN_USE: Refused = Refused::unschedulable(&[
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",
]);

#[derive(Debug)]
pub struct VolumeRestrictions;

impl Plugin for VolumeRestrictions {
    fn name(&self) -> &'static str {
        "VolumeRestrictions"
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
        let is_exclusive = |name: &Arc<str>| {
            let claim = cluster.storage().claim(&(volumes.namespace.clone(), name.clone()));
            claim.is_some_and(|claim| claim.claim.spec.access_modes.iter().any(|mode| mode == "ReadWriteOncePod"))
        };
        let names = volumes.claims.iter().map(|used| used.name.clone());
        let exclusive: Vec<_> = names.filter(is_exclusive).collect();
        let matters = !volumes.disks.is_empty() || !exclusive.is_empty();
        matters.then(|| Box::new(Restrictions { volumes: volumes.clone(), exclusive }) as Box<dyn Tracker>)
    }

    fn helps(&self, pod: PodRef<'_>, event: &ClusterEvent, _cluster: &Cluster) -> bool {
        match event {
            ClusterEvent::NodeAdded(_) | ClusterEvent::Storage(StorageEvent::Claim) => true,
            ClusterEvent::PodFreed { held, .. } => match (pod.volumes, &held.volumes) {
                (Some(own), Some(theirs)) => {
                    own.disks.iter().any(|disk| theirs.disks.iter().any(|other| disk.conflicts_with(other)))
                        || own.namespace == theirs.namespace
                            && own.claims.iter().any(|claim| theirs.claims.iter().any(|c| c.name == claim.name))
                }
                _ => false,
            },
            _ => false,
        }
    }
}

#[derive(Debug)]
struct Restrictions {
    volumes: Arc<Volumes>,
    exclusive: Vec<Arc<str>>,
}

impl Tracker for Restrictions {
    fn interest(&self) -> Interest {
        Interest::None
    }

    fn filter(&self, node: NodeRef<'_>) -> Result<(), Refused> {
        let disks = &self.volumes.disks;
        if !disks.is_empty() {
            let others = node.cluster.pods_on(node.id).filter_map(|(_, pod)| pod.held.volumes.as_deref());
            let mut used = others.flat_map(|volumes| &volumes.disks);
            if used.any(|other| disks.iter().any(|disk| disk.conflicts_with(other))) {
                return Err(DISK);
            }
        }
        let is_used = |claim: &Arc<str>| node.cluster.is_claim_used(&(self.volumes.namespace.clone(), claim.clone()));
        if self.exclusive.iter().any(is_used) { Err(IN_USE) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Probe, cluster, pod_from};

    /// Of two nodes the first has a pod with this volume.
    #[track_caller]
    fn check(volume: Value, other: Value, want: [Option<&str>; 2]) {
        let mut cluster = cluster(&[json!({}), json!({})]);
        let claim = |name: &str, mode: &str| {
            let claim = json!({"metadata": {"namespace": "default", "name": name}, "spec": {"accessModes": [mode]}});
            serde_json::from_value(claim).unwrap()
        };
        cluster.storage_mut().set_claim(&claim("one", "ReadWriteOncePod"));
        cluster.storage_mut().set_claim(&claim("many", "ReadWriteOnce"));
        let other = pod_from(json!({"metadata": {"name": "other"}, "spec": {"volumes": [other]}}));
        cluster.set_pod(&other, "n0");
        let pod = pod_from(json!({"spec": {"volumes": [volume]}}));
        let mut probe = Probe::new(VolumeRestrictions, &pod);
        assert_eq!(probe.verdicts(&cluster), want, "{volume}");
        cluster.remove_pod("other");
        assert_eq!(probe.verdicts(&cluster), [None, None], "{volume} once the other has gone");
    }

    #[test]
    fn filter() {
        let (disk, in_use) = (Some(DISK.reasons[0]), Some(IN_USE.reasons[0]));
        let gce = |name: &str, read_only: bool| json!({"gcePersistentDisk": {"pdName": name, "readOnly": read_only}});
        check(gce("d", false), gce("d", false), [disk, None]);
        check(gce("d", true), gce("d", false), [disk, None]);
        check(gce("d", true), gce("d", true), [None, None]);
        check(gce("d", false), gce("e", false), [None, None]);
        let aws = |id: &str| json!({"awsElasticBlockStore": {"volumeID": id}});
        check(aws("x"), aws("x"), [disk, None]);
        let iscsi = |read_only: bool| json!({"iscsi": {"iqn": "q", "readOnly": read_only}});
        check(iscsi(false), iscsi(true), [disk, None]);
        check(iscsi(true), iscsi(true), [None, None]);
        let rbd = |monitors: &[&str], pool: &str| json!({"rbd": {"monitors": monitors, "pool": pool, "image": "i"}});
        check(rbd(&["a", "b"], "p"), rbd(&["b"], "p"), [disk, None]);
        check(rbd(&["a", "b"], "p"), rbd(&["b"], "q"), [None, None]);
        check(rbd(&["a"], "p"), rbd(&["b"], "p"), [None, None]);
        let claim = |name: &str| json!({"persistentVolumeClaim": {"claimName": name}});
        check(claim("one"), claim("one"), [in_use, in_use]);
        check(claim("many"), claim("many"), [None, None]);
    }
}
