//! A pod as a workload's template has it.

use api_types::{
    k8s_openapi::{
        api::core::v1::PodTemplateSpec, apimachinery::pkg::apis::meta::v1::OwnerReference, serde::Serialize,
    },
    object::Watched,
};
use serde_json::{Value, json};

use crate::adoption::controller_reference;

/// A pod of `template` that `owner` controls; the server finishes its name.
pub fn pod<O: Watched>(owner: &O, template: &PodTemplateSpec) -> Value {
    build(owner.name(), &controller_reference(owner), template)
}

fn build(owner: &str, reference: &OwnerReference, template: &PodTemplateSpec) -> Value {
    let mut metadata = json!({"generateName": prefix(owner), "ownerReferences": [reference]});
    if let Some(meta) = &template.metadata {
        put(&mut metadata, "labels", &meta.labels);
        put(&mut metadata, "annotations", &meta.annotations);
        put(&mut metadata, "finalizers", &meta.finalizers);
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.spec})
}

fn put<T: Serialize>(metadata: &mut Value, field: &str, value: &Option<T>) {
    if let Some(value) = value {
        metadata[field] = json!(value);
    }
}

/// `name-`, unless the server's suffix would make that too long for a pod's name.
fn prefix(name: &str) -> String {
    if name.len() + 1 > 253 - 5 { name.to_owned() } else { format!("{name}-") }
}
