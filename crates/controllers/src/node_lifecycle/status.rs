//! What is written about nodes that fell silent, and about the pods on nodes that are not ready.

use api_types::{
    k8s_openapi::api::core::v1::{NodeCondition, PodCondition},
    object::Object,
    plan::{Note, PatchStyle, Step, Target, Write},
};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    endpoint_slice::pod_reference,
    time::seconds,
    view::{Node, Pod},
};

/// The kubelet's conditions, which nobody keeps up when it is gone.
const KUBELETS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// The conditions of a node that has been silent for too long, as far as they change.
pub(super) fn unknown(node: &Node, now: Timestamp) -> Vec<NodeCondition> {
    let made = |kind: &str| match node.condition(kind) {
        None => Some(NodeCondition {
            type_: kind.to_owned(),
            status: "Unknown".to_owned(),
            reason: Some("NodeStatusNeverUpdated".to_owned()),
            message: Some("Kubelet never posted node status.".to_owned()),
            last_heartbeat_time: node.metadata.creation_timestamp.clone(),
            last_transition_time: Some(seconds(now)),
        }),
        Some(known) if known.status != "Unknown" => Some(NodeCondition {
            status: "Unknown".to_owned(),
            reason: Some("NodeStatusUnknown".to_owned()),
            message: Some("Kubelet stopped posting node status.".to_owned()),
            last_transition_time: Some(seconds(now)),
            ..known.clone()
        }),
        Some(_) => None,
    };
    KUBELETS.iter().filter_map(|kind| made(kind)).collect()
}

pub(super) fn write(node: &Node, conditions: &[NodeCondition]) -> Step {
    // A status that the kubelet writes meanwhile is a sign of life and must win.
    let target = Target::of(node).unchanged(node.resource_version());
    let body = json!({"status": {"conditions": conditions}});
    Step::from(Write::Patch { target, subresource: Some("status"), style: PatchStyle::Strategic, body })
}

/// A pod on a node that is not ready is not ready either: services must not use it.
pub(super) fn pod_not_ready(pod: &Pod, now: Timestamp) -> Option<Step> {
    let ready = pod.condition("Ready").filter(|ready| ready.status == "True")?;
    let condition =
        PodCondition { status: "False".to_owned(), last_transition_time: Some(seconds(now)), ..ready.clone() };
    let body = json!({"status": {"conditions": [condition]}});
    let write =
        Write::Patch { target: Target::of(pod), subresource: Some("status"), style: PatchStyle::Strategic, body };
    let mut regarding = pod_reference(pod);
    regarding.api_version = Some("v1".into());
    Some(Step::from(write).done(Note::warning(regarding, "NodeNotReady", "Node is not ready")))
}
