//! Objects as the controllers see them: only the fields that some controller decides by.
//!
//! One type per kind serves all controllers, so that a process has one cache of it.

use std::{collections::BTreeMap, time::Duration};

use api_types::{
    k8s_openapi::{
        api::core::v1::{
            ContainerPort, NodeCondition, NodeSelectorRequirement, PodCondition, PodIP, Taint, Toleration,
        },
        apimachinery::pkg::apis::meta::v1::Time,
    },
    object,
    object::{Meta, Object as _, exact},
    watched,
};
use jiff::Timestamp;
use serde::Deserialize;

use crate::time::left;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Pod {
    pub metadata: Meta<PodAnnotations>,
    pub spec: PodSpec,
    pub status: PodStatus,
}
watched!(Pod, "", "v1", "Pod", "pods", namespaced);

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PodAnnotations {
    #[serde(rename = "controller.kubernetes.io/pod-deletion-cost")]
    pub deletion_cost: Option<Box<str>>,
    #[serde(rename = "batch.kubernetes.io/job-completion-index")]
    pub completion_index: Option<Box<str>>,
    #[serde(rename = "batch.kubernetes.io/job-index-failure-count")]
    pub index_failures: Option<Box<str>>,
    #[serde(rename = "batch.kubernetes.io/job-index-ignored-failure-count")]
    pub index_ignored_failures: Option<Box<str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    pub node_name: Box<str>,
    pub hostname: Box<str>,
    pub subdomain: Box<str>,
    pub restart_policy: Box<str>,
    #[serde(deserialize_with = "exact")]
    pub containers: Vec<Container>,
    #[serde(deserialize_with = "exact")]
    pub init_containers: Vec<Container>,
    #[serde(deserialize_with = "exact")]
    pub tolerations: Vec<Toleration>,
    pub affinity: Option<Box<Affinity>>,
    /// Of the volumes only those that are claims.
    #[serde(rename = "volumes", deserialize_with = "claims")]
    pub claims: Vec<ClaimUse>,
}

/// How a pod uses a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimUse {
    /// By the claim's name.
    Named(Box<str>),
    /// By the volume's: the claim is the pod's own.
    Ephemeral(Box<str>),
}

fn claims<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<ClaimUse>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Volume {
        name: Box<str>,
        persistent_volume_claim: Option<Claim>,
        ephemeral: Option<serde::de::IgnoredAny>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Claim {
        claim_name: Box<str>,
    }
    let volumes = Option::<Vec<Volume>>::deserialize(deserializer)?.unwrap_or_default();
    let claims = volumes.into_iter().filter_map(|volume| match (volume.persistent_volume_claim, volume.ephemeral) {
        (Some(claim), _) => Some(ClaimUse::Named(claim.claim_name)),
        (None, Some(_)) => Some(ClaimUse::Ephemeral(volume.name)),
        (None, None) => None,
    });
    Ok(claims.collect())
}

/// Of a pod's affinity the names of nodes it demands: what a daemon's pod is bound to before it is scheduled.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    pub node_affinity: NodeAffinity,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub required: NodeTerms,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeTerms {
    pub node_selector_terms: Vec<NodeTerm>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeTerm {
    pub match_fields: Vec<NodeSelectorRequirement>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    pub restart_policy: Option<Box<str>>,
    #[serde(deserialize_with = "exact")]
    pub ports: Vec<ContainerPort>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    pub phase: Box<str>,
    #[serde(deserialize_with = "exact")]
    pub conditions: Vec<PodCondition>,
    #[serde(rename = "podIP")]
    pub pod_ip: Box<str>,
    #[serde(rename = "podIPs", deserialize_with = "exact")]
    pub pod_ips: Vec<PodIP>,
    #[serde(deserialize_with = "exact")]
    pub container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "exact")]
    pub init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    pub name: Box<str>,
    pub restart_count: i32,
    pub state: ContainerState,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    pub terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    pub exit_code: i32,
    pub finished_at: Option<Time>,
}

impl Pod {
    /// Has run to its end.
    pub fn finished(&self) -> bool {
        matches!(&*self.status.phase, "Succeeded" | "Failed")
    }

    /// Counts towards its owner's replicas.
    pub fn active(&self) -> bool {
        !self.finished() && !self.metadata.deleting()
    }

    pub fn condition(&self, kind: &str) -> Option<&PodCondition> {
        self.status.conditions.iter().find(|condition| condition.type_ == kind)
    }

    pub fn ready(&self) -> bool {
        self.condition("Ready").is_some_and(|condition| condition.status == "True")
    }

    /// Since when the pod is ready.
    pub fn ready_since(&self) -> Option<Timestamp> {
        let condition = self.condition("Ready").filter(|condition| condition.status == "True")?;
        condition.last_transition_time.as_ref().map(|time| time.0)
    }

    /// How long until the pod is available by the mere passing of time: zero when it is, none when it is not ready.
    pub fn available_in(&self, min_ready: Duration, now: Timestamp) -> Option<Duration> {
        if !self.ready() {
            return None;
        }
        Some(match self.ready_since() {
            _ if min_ready.is_zero() => Duration::ZERO,
            Some(since) => left(since, min_ready, now),
            None => min_ready,
        })
    }

    pub fn available(&self, min_ready: Duration, now: Timestamp) -> bool {
        self.available_in(min_ready, now).is_some_and(|wait| wait.is_zero())
    }

    /// The node the pod runs on, or else the one that its affinity names.
    pub fn target_node(&self) -> Option<&str> {
        if !self.spec.node_name.is_empty() {
            return Some(&self.spec.node_name);
        }
        let terms = &self.spec.affinity.as_ref()?.node_affinity.required.node_selector_terms;
        let mut fields = terms.iter().flat_map(|term| &term.match_fields);
        let pinned = fields.find(|field| field.key == "metadata.name" && field.operator == "In")?;
        match pinned.values.as_deref()? {
            [only] => Some(only),
            _ => None,
        }
    }

    pub fn created(&self) -> Option<Timestamp> {
        self.metadata.creation_timestamp.as_ref().map(|time| time.0)
    }

    /// `namespace/name`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace(), self.name())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Node {
    pub metadata: Meta<NodeAnnotations>,
    pub spec: NodeSpec,
    pub status: NodeStatus,
}
watched!(Node, "", "v1", "Node", "nodes", cluster);

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NodeAnnotations {
    #[serde(rename = "node.alpha.kubernetes.io/ttl")]
    pub ttl: Option<Box<str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    #[serde(rename = "podCIDR")]
    pub pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Vec<String>,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    pub conditions: Vec<NodeCondition>,
}

impl Node {
    pub fn condition(&self, kind: &str) -> Option<&NodeCondition> {
        self.status.conditions.iter().find(|condition| condition.type_ == kind)
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.get(key).map(String::as_str)
    }

    pub fn zone(&self) -> Option<&str> {
        self.label("topology.kubernetes.io/zone").filter(|zone| !zone.is_empty())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Service {
    pub metadata: Meta<ServiceAnnotations>,
    pub spec: ServiceSpec,
}
watched!(Service, "", "v1", "Service", "services", namespaced);

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ServiceAnnotations {
    #[serde(rename = "service.kubernetes.io/topology-mode")]
    pub topology_mode: Option<Box<str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    #[serde(rename = "type")]
    pub type_: Box<str>,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Box<str>,
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<Box<str>>,
    pub ip_families: Vec<Box<str>>,
    pub selector: Option<BTreeMap<String, String>>,
    pub ports: Vec<api_types::k8s_openapi::api::core::v1::ServicePort>,
    pub publish_not_ready_addresses: bool,
    pub traffic_distribution: Option<Box<str>>,
}

/// A Lease of `kube-node-lease`: that a node's kubelet is alive.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Lease {
    pub metadata: Meta,
    pub spec: LeaseSpec,
}
watched!(Lease, "coordination.k8s.io", "v1", "Lease", "leases", namespaced);

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseSpec {
    pub renew_time: Option<Box<str>>,
}

/// Any object of which only its metadata matters.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Bare {
    pub metadata: Meta,
}
object!(Bare);

macro_rules! bare {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $plural:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[serde(default)]
        pub struct $type {
            pub metadata: Meta,
        }
        watched!($type, "", "v1", $kind, $plural, namespaced);
    };
}
bare!(
    /// That a service account exists.
    ServiceAccount, "ServiceAccount", "serviceaccounts"
);

/// The trust bundle published to every namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RootCa {
    pub metadata: Meta,
    pub data: RootCaData,
}
watched!(RootCa, "", "v1", "ConfigMap", "configmaps", namespaced);

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RootCaData {
    #[serde(rename = "ca.crt")]
    pub ca: Box<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Namespace {
    pub metadata: Meta,
    pub status: NamespaceStatus,
}
watched!(Namespace, "", "v1", "Namespace", "namespaces", cluster);

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NamespaceStatus {
    pub phase: Box<str>,
}

impl Namespace {
    pub fn terminating(&self) -> bool {
        self.metadata.deleting() || &*self.status.phase == "Terminating"
    }
}

/// Whether `time` lies in the past by at least `span` seconds.
pub fn older_than(time: &Time, span: Duration, now: Timestamp) -> bool {
    left(time.0, span, now).is_zero()
}
