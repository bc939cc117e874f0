//! Pods and nodes as the scheduler reads them off the wire: only the fields that decide, the rest is skipped unread.

use std::collections::BTreeMap;

use api_types::{
    Quantity,
    k8s_openapi::api::core::v1::{NodeSelector, PreferredSchedulingTerm, Taint, Toleration},
    object::Meta,
    watched,
};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

pub type ResourceList = BTreeMap<String, Quantity>;
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
    pub scheduler_name: Option<String>,
    pub priority: Option<i32>,
    pub preemption_policy: Option<String>,
    pub node_selector: BTreeMap<String, String>,
    pub affinity: Option<Affinity>,
    pub tolerations: Vec<Toleration>,
    pub containers: Vec<Container>,
    pub init_containers: Vec<Container>,
    pub overhead: ResourceList,
    /// The pod's own requests, which override the sum of its containers (KEP-2837).
    pub resources: Option<ResourceRequirements>,
    pub scheduling_gates: Vec<SchedulingGate>,
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
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
    pub required_during_scheduling_ignored_during_execution: Vec<IgnoredAny>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    pub image: Option<String>,
    pub ports: Vec<ContainerPort>,
    pub resources: ResourceRequirements,
    pub restart_policy: Option<String>,
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
    pub when_unsatisfiable: String,
}

/// Only the sources that bind a pod to a place.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    pub persistent_volume_claim: Option<IgnoredAny>,
    pub ephemeral: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    pub phase: Option<String>,
    /// The condition that says why the pod waits; nothing while there is none or once it is scheduled.
    #[serde(rename = "conditions", deserialize_with = "not_scheduled")]
    pub not_scheduled: Option<NotScheduled>,
}

/// A `PodScheduled` condition that is not true.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct NotScheduled {
    pub reason: String,
    pub message: String,
    pub last_transition_time: Option<String>,
    pub observed_generation: Option<i64>,
}

fn not_scheduled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NotScheduled>, D::Error> {
    #[derive(Deserialize)]
    struct Condition {
        r#type: String,
        status: String,
        #[serde(flatten)]
        rest: NotScheduled,
    }
    let conditions: Option<Vec<Condition>> = Deserialize::deserialize(deserializer)?;
    let mut all = conditions.into_iter().flatten();
    Ok(all.find(|c| c.r#type == "PodScheduled").filter(|c| c.status != "True").map(|c| c.rest))
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
#[serde(default)]
pub struct NodeStatus {
    pub allocatable: ResourceList,
    pub images: Vec<ContainerImage>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerImage {
    pub names: Vec<String>,
    pub size_bytes: i64,
}
