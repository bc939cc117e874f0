//! What events are about: pods, their containers, the node.

use api_types::plan;
use pod_lifecycle::{
    core::{ObjectReference, Pod},
    names,
};

pub fn pod(pod: &Pod) -> ObjectReference {
    plan::reference(pod)
}

pub fn container(pod: &Pod, name: &str) -> ObjectReference {
    ObjectReference { field_path: Some(names::field_path(pod, name)), ..plan::reference(pod) }
}

/// Upstream's events about a node carry its name as uid.
pub fn node(name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Node".into()),
        name: Some(name.to_owned()),
        uid: Some(name.to_owned()),
        ..ObjectReference::default()
    }
}
