//! Pods and nodes as the scheduler reads them off the wire: only the fields that decide, the rest is skipped unread.

use std::collections::BTreeMap;

use api_types::{
    FlatMap, Quantity,
    k8s_openapi::{
        api::core::v1::{NodeSelector, PreferredSchedulingTerm, Taint, Toleration},
        apimachinery::pkg::apis::meta::v1::{LabelSelector, Time},
    },
    object,
    object::{Meta, exact},
    watched,
};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

pub type ResourceList = FlatMap<Quantity>;
pub type Labels = BTreeMap<String, String>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    pub metadata: Meta,
    pub spec: PodSpec,
    pub status: PodStatus,
}
watched!(Pod, "", "v1", "Pod", "pods", namespaced);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    pub node_name: Option<String>,
    pub host_network: bool,
    pub host_users: Option<bool>,
    pub scheduler_name: Option<String>,
    pub priority: Option<i32>,
    pub preemption_policy: Option<String>,
    pub node_selector: BTreeMap<String, String>,
    pub affinity: Option<Affinity>,
    #[serde(deserialize_with = "exact")]
    pub tolerations: Vec<Toleration>,
    #[serde(deserialize_with = "exact")]
    pub containers: Vec<Container>,
    #[serde(deserialize_with = "exact")]
    pub init_containers: Vec<Container>,
    pub overhead: ResourceList,
    /// The pod's own requests, which override the sum of its containers (KEP-2837).
    pub resources: Option<ResourceRequirements>,
    pub scheduling_gates: Vec<SchedulingGate>,
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    #[serde(deserialize_with = "binding")]
    pub volumes: Vec<Volume>,
    pub resource_claims: Vec<IgnoredAny>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    pub node_affinity: Option<NodeAffinity>,
    pub pod_affinity: Option<PodAffinity>,
    pub pod_anti_affinity: Option<PodAffinity>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeAffinity {
    pub required_during_scheduling_ignored_during_execution: Option<NodeSelector>,
    pub preferred_during_scheduling_ignored_during_execution: Vec<PreferredSchedulingTerm>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodAffinity {
    pub required_during_scheduling_ignored_during_execution: Vec<PodAffinityTerm>,
    pub preferred_during_scheduling_ignored_during_execution: Vec<WeightedPodAffinityTerm>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodAffinityTerm {
    pub label_selector: Option<LabelSelector>,
    pub topology_key: String,
    pub namespaces: Vec<String>,
    pub namespace_selector: Option<LabelSelector>,
    pub match_label_keys: Vec<String>,
    pub mismatch_label_keys: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WeightedPodAffinityTerm {
    pub weight: i64,
    pub pod_affinity_term: PodAffinityTerm,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    pub image: Option<String>,
    pub ports: Vec<ContainerPort>,
    pub resources: ResourceRequirements,
    pub restart_policy: Option<String>,
    pub restart_policy_rules: Vec<RestartRule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RestartRule {
    pub action: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    pub host_port: Option<i32>,
    #[serde(rename = "hostIP")]
    pub host_ip: Option<String>,
    pub protocol: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourceRequirements {
    pub requests: ResourceList,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct SchedulingGate {
    pub name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopologySpreadConstraint {
    pub max_skew: i64,
    pub topology_key: String,
    pub when_unsatisfiable: String,
    pub label_selector: Option<LabelSelector>,
    pub min_domains: Option<i64>,
    pub node_affinity_policy: Option<String>,
    pub node_taints_policy: Option<String>,
    pub match_label_keys: Vec<String>,
}

/// Only the sources that bind a pod to a place or to a device of its node; volumes without any are not kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    pub name: String,
    pub persistent_volume_claim: Option<ClaimSource>,
    pub ephemeral: Option<IgnoredAny>,
    pub csi: Option<CsiSource>,
    pub gce_persistent_disk: Option<GceDisk>,
    pub aws_elastic_block_store: Option<AwsDisk>,
    pub iscsi: Option<Iscsi>,
    pub rbd: Option<Rbd>,
}

impl Volume {
    fn binds(&self) -> bool {
        self.persistent_volume_claim.is_some()
            || self.ephemeral.is_some()
            || self.csi.is_some()
            || self.gce_persistent_disk.is_some()
            || self.aws_elastic_block_store.is_some()
            || self.iscsi.is_some()
            || self.rbd.is_some()
    }
}

fn binding<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Volume>, D::Error> {
    let volumes: Option<Vec<Volume>> = Deserialize::deserialize(deserializer)?;
    Ok(volumes.into_iter().flatten().filter(Volume::binds).collect::<Box<[_]>>().into_vec())
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimSource {
    pub claim_name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CsiSource {
    pub driver: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GceDisk {
    pub pd_name: String,
    pub read_only: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AwsDisk {
    #[serde(rename = "volumeID")]
    pub volume_id: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Iscsi {
    pub iqn: String,
    pub read_only: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rbd {
    pub monitors: Vec<String>,
    pub pool: Option<String>,
    pub image: String,
    pub read_only: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    pub phase: Option<String>,
    pub start_time: Option<Time>,
    /// Where preemption has made room for the pod.
    pub nominated_node_name: Option<String>,
    pub conditions: Conditions,
}

/// Of a pod's conditions, what the scheduler reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    /// Why the pod waits; nothing while it has not been said or once it is scheduled.
    pub not_scheduled: Option<NotScheduled>,
    /// A scheduler has chosen it as a victim.
    pub preempted: bool,
}

/// The reason of the condition `DisruptionTarget` of a victim.
pub const PREEMPTION_BY_SCHEDULER: &str = "PreemptionByScheduler";

/// A `PodScheduled` condition that is not true.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct NotScheduled {
    pub reason: String,
    pub message: String,
    pub last_transition_time: Option<String>,
    pub observed_generation: Option<i64>,
}

impl<'de> Deserialize<'de> for Conditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Condition {
            r#type: String,
            status: String,
            #[serde(flatten)]
            rest: NotScheduled,
        }
        let all: Option<Vec<Condition>> = Deserialize::deserialize(deserializer)?;
        let mut seen = Self::default();
        for Condition { r#type, status, rest } in all.into_iter().flatten() {
            match (&*r#type, &*status) {
                ("DisruptionTarget", "True") => seen.preempted = rest.reason == PREEMPTION_BY_SCHEDULER,
                ("PodScheduled", "True") => {}
                ("PodScheduled", _) => seen.not_scheduled = Some(rest),
                _ => {}
            }
        }
        Ok(seen)
    }
}

impl Pod {
    /// Bound to a node, whether it runs there already or not.
    pub fn is_bound(&self) -> bool {
        self.node().is_some()
    }

    pub fn node(&self) -> Option<&str> {
        self.spec.node_name.as_deref().filter(|name| !name.is_empty())
    }

    /// Its containers have ended for good: it holds nothing of its node any more.
    pub fn is_terminal(&self) -> bool {
        matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    pub fn nominated_node(&self) -> Option<&str> {
        self.status.nominated_node_name.as_deref().filter(|name| !name.is_empty())
    }

    pub fn is_deleting(&self) -> bool {
        self.metadata.deleting()
    }

    pub fn scheduler_name(&self) -> &str {
        self.spec.scheduler_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("default-scheduler")
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    pub metadata: Meta,
    pub spec: NodeSpec,
    pub status: NodeStatus,
}
watched!(Node, "", "v1", "Node", "nodes", cluster);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    pub declared_features: Vec<String>,
    pub allocatable: ResourceList,
    #[serde(deserialize_with = "exact")]
    pub images: Vec<ContainerImage>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerImage {
    pub names: Vec<String>,
    pub size_bytes: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Namespace {
    pub metadata: Meta,
}
watched!(Namespace, "", "v1", "Namespace", "namespaces", cluster);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    pub metadata: Meta,
    pub spec: ServiceSpec,
}
watched!(Service, "", "v1", "Service", "services", namespaced);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceSpec {
    pub selector: BTreeMap<String, String>,
}

/// A ReplicaSet or StatefulSet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Controller {
    pub metadata: Meta,
    pub spec: ControllerSpec,
}
object!(Controller);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ControllerSpec {
    pub selector: Option<ControllerSelector>,
}

/// A ReplicationController's selector is a plain map, the others' is not.
#[derive(Clone, Debug)]
pub enum ControllerSelector {
    Labels(Labels),
    Selector(LabelSelector),
}

impl<'de> Deserialize<'de> for ControllerSelector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let is_plain = value.as_object().is_some_and(|map| map.values().all(serde_json::Value::is_string));
        let parsed = if is_plain {
            serde_json::from_value(value).map(Self::Labels)
        } else {
            serde_json::from_value(value).map(Self::Selector)
        };
        parsed.map_err(serde::de::Error::custom)
    }
}

/// A PodDisruptionBudget.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Budget {
    pub metadata: Meta,
    pub spec: BudgetSpec,
    pub status: BudgetStatus,
}
watched!(Budget, "policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", namespaced);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BudgetSpec {
    pub selector: Option<LabelSelector>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetStatus {
    pub disruptions_allowed: i64,
    pub disrupted_pods: BTreeMap<String, IgnoredAny>,
}
