//! Claims, volumes and what serves them as they come off the wire: only the fields that decide.

use api_types::{
    k8s_openapi::{
        api::core::v1::{NodeSelector, TopologySelectorTerm},
        apimachinery::pkg::apis::meta::v1::LabelSelector,
    },
    object::Meta,
    watched,
};
use serde::Deserialize;

use crate::object::ResourceList;

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Claim {
    pub metadata: Meta<ClaimAnnotations>,
    pub spec: ClaimSpec,
    pub status: Phase,
}
watched!(Claim, "", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", namespaced);

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ClaimAnnotations {
    #[serde(rename = "pv.kubernetes.io/bind-completed")]
    pub bind_completed: Option<String>,
    #[serde(rename = "volume.kubernetes.io/selected-node")]
    pub selected_node: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimSpec {
    pub volume_name: String,
    pub storage_class_name: Option<String>,
    pub access_modes: Vec<String>,
    pub resources: Requests,
    pub selector: Option<LabelSelector>,
    pub volume_mode: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Requests {
    pub requests: ResourceList,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Phase {
    pub phase: Option<String>,
}

/// A PersistentVolume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Volume {
    pub metadata: Meta,
    pub spec: VolumeSpec,
    pub status: Phase,
}
watched!(Volume, "", "v1", "PersistentVolume", "persistentvolumes", cluster);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeSpec {
    pub capacity: ResourceList,
    pub access_modes: Vec<String>,
    pub storage_class_name: String,
    pub volume_mode: Option<String>,
    pub claim_ref: Option<ClaimRef>,
    pub node_affinity: Option<VolumeNodeAffinity>,
    pub csi: Option<CsiVolume>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClaimRef {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct VolumeNodeAffinity {
    pub required: Option<NodeSelector>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsiVolume {
    pub driver: String,
    pub volume_handle: String,
}

/// A StorageClass.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Class {
    pub metadata: Meta,
    pub provisioner: String,
    pub volume_binding_mode: Option<String>,
    pub allowed_topologies: Vec<TopologySelectorTerm>,
}
watched!(Class, "storage.k8s.io", "v1", "StorageClass", "storageclasses", cluster);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiNode {
    pub metadata: Meta,
    pub spec: CsiNodeSpec,
}
watched!(CsiNode, "storage.k8s.io", "v1", "CSINode", "csinodes", cluster);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiNodeSpec {
    pub drivers: Vec<CsiNodeDriver>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiNodeDriver {
    pub name: String,
    pub allocatable: Option<Attachable>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Attachable {
    pub count: Option<usize>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiDriver {
    pub metadata: Meta,
    pub spec: CsiDriverSpec,
}
watched!(CsiDriver, "storage.k8s.io", "v1", "CSIDriver", "csidrivers", cluster);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsiDriverSpec {
    pub storage_capacity: bool,
}

/// A CSIStorageCapacity.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Capacity {
    pub metadata: Meta,
    pub storage_class_name: String,
    pub node_topology: Option<LabelSelector>,
    pub capacity: Option<api_types::Quantity>,
    pub maximum_volume_size: Option<api_types::Quantity>,
}
watched!(Capacity, "storage.k8s.io", "v1", "CSIStorageCapacity", "csistoragecapacities", namespaced);
