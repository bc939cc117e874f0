//! A pod's claims must have volumes that its node can use: bound ones reachable from there, and for those that wait for
//! their first consumer one to bind or a way to make one. What is to be bound or made is decided with the node.

use std::sync::Arc;

use crate::{
    cluster::{Cluster, NodeChange, NodeRef},
    framework::{ClusterEvent, Interest, Plugin, PodRef, Point, PreFilter, Reason, Refused, Tracker},
    storage::{Key, KnownClaim, KnownVolume, NoVolume, VolumeWork},
    volumes::{ClaimUse, Volumes},
};

const NO_MATCH: &str = "node(s) didn't find available persistent volumes to bind";
const UNREACHABLE: &str = "node(s) didn't match PersistentVolume's node affinity";
const NO_SPACE: &str = "node(s) did not have enough free storage";
const MISSING: Refused =
    Refused::unresolvable(&["node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"]);

#[derive(Debug)]
pub struct VolumeBinding {
    /// How long the API server may take to show the claims bound, in seconds.
    pub bind_timeout_seconds: u64,
}

impl Default for VolumeBinding {
    fn default() -> Self {
        Self { bind_timeout_seconds: 600 }
    }
}

fn key(volumes: &Volumes, claim: &ClaimUse) -> Key {
    (volumes.namespace.clone(), claim.name.clone())
}

/// Why the claim cannot be used at all.
fn unusable(volumes: &Volumes, used: &ClaimUse, claim: Option<&KnownClaim>) -> Option<Reason> {
    let name = &used.name;
    let Some(known) = claim else {
        let missing = format!("persistentvolumeclaim \"{name}\" not found");
        let coming = format!("waiting for ephemeral volume controller to create the persistentvolumeclaim \"{name}\"");
        return Some(if used.ephemeral { coming } else { missing }.into());
    };
    let claim = &known.claim;
    if claim.status.phase.as_deref() == Some("Lost") {
        let volume = &claim.spec.volume_name;
        return Some(
            format!("persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{volume}\"").into(),
        );
    }
    if claim.metadata.deleting() {
        return Some(format!("persistentvolumeclaim \"{name}\" is being deleted").into());
    }
    let owned = claim.metadata.controller().is_some_and(|owner| *owner.uid == *volumes.pod);
    if used.ephemeral && !owned {
        let namespace = &volumes.namespace;
        return Some(format!("PVC {namespace}/{name} was not created for pod (pod is not owner)").into());
    }
    None
}

/// The pod's claims that wait for their first consumer.
fn waiting(volumes: &Volumes, cluster: &Cluster) -> Vec<Arc<KnownClaim>> {
    let claims = volumes.claims.iter().filter_map(|used| cluster.storage().claim(&key(volumes, used)));
    claims.filter(|claim| !claim.is_bound()).cloned().collect()
}

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::PreFilter, Point::Filter, Point::Reserve, Point::PreBind]
    }

    fn pre_filter(&self, pod: PodRef<'_>, cluster: &Cluster) -> PreFilter {
        let Some(volumes) = pod.volumes.filter(|v| !v.claims.is_empty()) else { return PreFilter::Skip };
        let storage = cluster.storage();
        let mut immediate = false;
        for used in &volumes.claims {
            let claim = storage.claim(&key(volumes, used)).map(|claim| &**claim);
            if let Some(reason) = unusable(volumes, used, claim) {
                return PreFilter::Reject(reason);
            }
            immediate |= claim.is_some_and(|claim| !claim.is_bound() && !storage.waits_for_consumer(claim));
        }
        if immediate {
            return PreFilter::Reject("pod has unbound immediate PersistentVolumeClaims".into());
        }
        PreFilter::Continue
    }

    fn tracks(&self) -> bool {
        true
    }

    fn generation(&self, cluster: &Cluster) -> u64 {
        cluster.topology_generation() + cluster.storage().generation()
    }

    fn track(&self, pod: PodRef<'_>, cluster: &Cluster) -> Option<Box<dyn Tracker>> {
        let volumes = pod.volumes.filter(|v| !v.claims.is_empty())?;
        let storage = cluster.storage();
        let claims = volumes.claims.iter().filter_map(|used| storage.claim(&key(volumes, used)));
        let bound = claims.filter(|claim| claim.is_bound());
        let bound = bound.map(|claim| storage.volume(&claim.claim.spec.volume_name).cloned()).collect();
        Some(Box::new(Binding { bound, waiting: waiting(volumes, cluster) }))
    }

    fn reserve(&self, pod: PodRef<'_>, node: NodeRef<'_>) -> Option<VolumeWork> {
        let waiting = waiting(pod.volumes?, node.cluster);
        node.cluster.storage().plan(&waiting, node).ok().filter(|work| !work.is_empty())
    }

    fn bind_timeout_seconds(&self) -> Option<u64> {
        Some(self.bind_timeout_seconds)
    }

    fn helps(&self, _pod: PodRef<'_>, event: &ClusterEvent, _cluster: &Cluster) -> bool {
        match event {
            ClusterEvent::NodeAdded(_) | ClusterEvent::Storage(_) => true,
            ClusterEvent::NodeChanged(_, NodeChange { labels, .. }) => *labels,
            _ => false,
        }
    }
}

#[derive(Debug)]
struct Binding {
    /// The volumes of bound claims, as far as they exist.
    bound: Vec<Option<Arc<KnownVolume>>>,
    waiting: Vec<Arc<KnownClaim>>,
}

impl Tracker for Binding {
    fn interest(&self) -> Interest {
        Interest::None
    }

    fn filter(&self, node: NodeRef<'_>) -> Result<(), Refused> {
        let mut unreachable = false;
        for volume in &self.bound {
            let Some(volume) = volume else { return Err(MISSING) };
            unreachable |= !volume.is_reachable_from(node);
        }
        let plan = node.cluster.storage().plan(&self.waiting, node);
        Err(Refused::unresolvable(match (unreachable, plan.err()) {
            (false, None) => return Ok(()),
            (true, None) => &[UNREACHABLE],
            (false, Some(NoVolume::NoneToBind)) => &[NO_MATCH],
            (true, Some(NoVolume::NoneToBind)) => &[UNREACHABLE, NO_MATCH],
            (false, Some(NoVolume::NotEnoughSpace)) => &[NO_SPACE],
            (true, Some(NoVolume::NotEnoughSpace)) => &[UNREACHABLE, NO_SPACE],
        }))
    }
}

#[cfg(test)]
mod tests;
