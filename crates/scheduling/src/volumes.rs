//! The volumes of a pod that decide about its place, compiled once per pod: claims, and disks that only one node or
//! one writer at a time can have.

use std::sync::Arc;

use crate::{
    object::{Pod, Rbd, Volume},
    storage::Key,
};

/// A claim that a pod uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimUse {
    pub name: Arc<str>,
    /// Made for this pod from the template in its spec, and owned by it.
    pub ephemeral: bool,
}

/// A disk named in the pod itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Disk {
    Gce { name: String, read_only: bool },
    Aws { id: String },
    Iscsi { iqn: String, read_only: bool },
    Rbd { monitors: Vec<String>, pool: String, image: String, read_only: bool },
}

impl Disk {
    /// Both cannot be in use on one node.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        use Disk::{Aws, Gce, Iscsi, Rbd};
        match (self, other) {
            (Gce { name: a, read_only: x }, Gce { name: b, read_only: y }) => a == b && !(*x && *y),
            (Aws { id: a }, Aws { id: b }) => a == b,
            (Iscsi { iqn: a, read_only: x }, Iscsi { iqn: b, read_only: y }) => a == b && !(*x && *y),
            (
                Rbd { monitors: m, pool: p, image: i, read_only: x },
                Rbd { monitors: n, pool: q, image: j, read_only: y },
            ) => m.iter().any(|monitor| n.contains(monitor)) && p == q && i == j && !(*x && *y),
            _ => false,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Volumes {
    pub namespace: Arc<str>,
    pub pod: Arc<str>,
    pub claims: Vec<ClaimUse>,
    pub disks: Vec<Disk>,
    /// Drivers of CSI volumes written in the pod itself, one for each volume.
    pub inline_drivers: Vec<Arc<str>>,
}

impl Volumes {
    /// Nothing if the pod has no volume that matters here, as most.
    pub fn of(pod: &Pod) -> Option<Arc<Self>> {
        let mut volumes = Self::default();
        for volume in &pod.spec.volumes {
            volumes.add(volume, &pod.metadata.name);
        }
        if volumes == Self::default() {
            return None;
        }
        volumes.namespace = pod.metadata.namespace.as_ref().into();
        volumes.pod = pod.metadata.uid.as_ref().into();
        Some(Arc::new(volumes))
    }

    /// The claims, by namespace and name.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.claims.iter().map(|claim| (self.namespace.clone(), claim.name.clone()))
    }

    fn add(&mut self, volume: &Volume, pod: &str) {
        if let Some(claim) = &volume.persistent_volume_claim {
            self.claims.push(ClaimUse { name: claim.claim_name.as_str().into(), ephemeral: false });
        }
        if volume.ephemeral.is_some() {
            self.claims.push(ClaimUse { name: format!("{pod}-{}", volume.name).into(), ephemeral: true });
        }
        if let Some(csi) = &volume.csi {
            self.inline_drivers.push(csi.driver.as_str().into());
        }
        if let Some(disk) = &volume.gce_persistent_disk {
            self.disks.push(Disk::Gce { name: disk.pd_name.clone(), read_only: disk.read_only });
        }
        if let Some(disk) = &volume.aws_elastic_block_store {
            self.disks.push(Disk::Aws { id: disk.volume_id.clone() });
        }
        if let Some(disk) = &volume.iscsi {
            self.disks.push(Disk::Iscsi { iqn: disk.iqn.clone(), read_only: disk.read_only });
        }
        if let Some(Rbd { monitors, pool, image, read_only }) = volume.rbd.clone() {
            let pool = pool.unwrap_or_else(|| "rbd".into());
            self.disks.push(Disk::Rbd { monitors, pool, image, read_only });
        }
    }
}
