//! LimitRanger: containers get the default requests and limits of their namespace's LimitRanges; pods and claims that ask
//! for less or more than these allow are refused.
//!
//! Pods are judged when they are made and when they are resized: nothing else of what a LimitRange is about can change.

mod constraints;

use std::sync::Arc;

use api_types::Status;
use serde_json::{Value, json};

use super::{AdmissionRequest, Operation, Plugin, World};
use crate::value;

pub struct LimitRanger;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn mutate(&self, request: &AdmissionRequest, object: &mut Value, world: &dyn World) -> Result<(), Status> {
        if request.operation == Operation::Create && request.is_core("pods", "") {
            for range in ranges(request, world) {
                default_containers(object, &range);
            }
        }
        Ok(())
    }

    fn validate(&self, request: &AdmissionRequest, object: &Value, world: &dyn World) -> Result<(), Status> {
        if !concerns(request) {
            return Ok(());
        }
        let is_pod = request.resource.resource == "pods";
        for range in ranges(request, world) {
            let errors = if is_pod { constraints::pod(object, &range) } else { constraints::claim(object, &range) };
            match errors.as_slice() {
                [] => {}
                [one] => return Err(request.forbidden(one)),
                all => return Err(request.forbidden(format!("[{}]", all.join(", ")))),
            }
        }
        Ok(())
    }
}

fn concerns(request: &AdmissionRequest) -> bool {
    let deleted = request.old.is_some_and(|old| value::at(old, &["metadata", "deletionTimestamp"]).is_some());
    let written = matches!(request.operation, Operation::Create | Operation::Update);
    let pod =
        (request.operation == Operation::Create && request.is_core("pods", "")) || request.is_core("pods", "resize");
    written && !deleted && (pod || request.is_core("persistentvolumeclaims", ""))
}

/// In the order of their names.
fn ranges(request: &AdmissionRequest, world: &dyn World) -> Vec<Arc<Value>> {
    world.list_in("", "limitranges", request.namespace)
}

/// The limits of one kind of thing.
fn limits<'a>(range: &'a Value, kind: &str) -> impl Iterator<Item = &'a Value> {
    value::items(range, &["spec", "limits"]).iter().filter(move |limit| limit["type"] == kind)
}

fn default_containers(pod: &mut Value, range: &Value) {
    let mut set = Vec::new();
    for limit in limits(range, "Container") {
        for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
            let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                let name = value::text(container, &["name"]).to_owned();
                let requests = fill(container, "requests", &limit["defaultRequest"]);
                let limits = fill(container, "limits", &limit["default"]);
                for (names, which) in [(requests, "request"), (limits, "limit")] {
                    if !names.is_empty() {
                        set.push(format!("{} {which} for {what} {name}", names.join(", ")));
                    }
                }
            }
        }
    }
    if !set.is_empty() {
        let said = format!("LimitRanger plugin set: {}", set.join("; "));
        value::set(pod, &["metadata", "annotations", ANNOTATION], json!(said));
    }
}

/// The names of what was filled in, sorted.
fn fill(container: &mut Value, which: &str, defaults: &Value) -> Vec<String> {
    let mut filled = Vec::new();
    for (name, amount) in defaults.as_object().into_iter().flatten() {
        if value::at(container, &["resources", which, name]).is_none() {
            value::set(container, &["resources", which, name], amount.clone());
            filled.push(name.clone());
        }
    }
    filled.sort();
    filled
}

#[cfg(test)]
mod tests;
