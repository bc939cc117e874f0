//! What a request may set in a pod, by the path it came through.

use api_types::k8s_openapi::api::core::v1::PodSpec;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{own_labels, qos};
use crate::value;

/// A new pod is pending, whatever it says; whom its rules of placement mean is settled by its labels of this moment.
pub fn create(object: &mut Value) {
    own_labels::merge(object);
    let class = object
        .get("spec")
        .and_then(|spec| PodSpec::deserialize(spec).ok())
        .map_or("BestEffort", |spec| qos::class(&spec));
    let mut status = json!({"phase": "Pending", "qosClass": class});
    if !value::items(object, &["spec", "schedulingGates"]).is_empty() {
        status["conditions"] = json!([{
            "type": "PodScheduled",
            "status": "False",
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        }]);
    }
    value::set(object, &["status"], status);
}

pub fn update(new: &mut Value, old: &Value, subresource: Option<&str>) {
    match subresource {
        None => value::copy(new, old, &["spec", "ephemeralContainers"]),
        Some("status") => {
            for member in ["ownerReferences", "deletionTimestamp", "deletionGracePeriodSeconds"] {
                value::copy(new, old, &["metadata", member]);
            }
            if value::at(old, &["status", "qosClass"]).is_some() {
                value::copy(new, old, &["status", "qosClass"]);
            }
        }
        Some("ephemeralcontainers") => {
            let added = value::at(new, &["spec", "ephemeralContainers"]).cloned();
            restore(new, old);
            if let Some(added) = added {
                value::set(new, &["spec", "ephemeralContainers"], added);
            }
        }
        Some("resize") => resize(new, old),
        Some(_) => {}
    }
}

/// Everything but the metadata's concurrency marks goes back to the old state.
fn restore(new: &mut Value, old: &Value) {
    let version = value::at(new, &["metadata", "resourceVersion"]).cloned();
    *new = old.clone();
    if let Some(version) = version {
        value::set(new, &["metadata", "resourceVersion"], version);
    }
}

/// Only resources and the policies of resizing them come from the request.
fn resize(new: &mut Value, old: &Value) {
    let asked = new.clone();
    restore(new, old);
    for list in ["containers", "initContainers"] {
        let asked = value::items(&asked, &["spec", list]).to_vec();
        value::each(value::child(new, "spec"), list, |container| {
            let Some(from) = asked.iter().find(|c| c["name"] == container["name"]) else { return };
            for member in ["resources", "resizePolicy"] {
                value::copy(container, from, &[member]);
            }
        });
    }
}
