//! What `pods/resize` may change: processor and memory of containers that run, and how they take it.

use std::collections::BTreeMap;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::{
        api::core::v1::{Container, Pod, PodSpec, ResourceRequirements},
        apimachinery::pkg::api::resource::Quantity,
    },
};
use serde_json::json;

use super::{Errors, update};
use crate::kinds::pod::qos;

type List = BTreeMap<String, Quantity>;

const RESIZABLE: [&str; 2] = ["cpu", "memory"];
/// Pods with it are copies of what a kubelet reads from a file.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

pub fn validate(new: &Pod, old: &Pod, errors: &mut Errors) {
    let (Some(spec), Some(old_spec)) = (&new.spec, &old.spec) else { return };
    let path = Path::new("spec");
    if old.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(MIRROR)) {
        errors.push(FieldError::forbidden(&Path::root(), "static pods cannot be resized"));
        return;
    }
    if old_spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        errors.push(FieldError::forbidden(&Path::root(), "windows pods cannot be resized"));
        return;
    }
    let before = errors.len();
    let class = qos::class(spec);
    if class != qos::class(old_spec) {
        errors.push(FieldError::invalid(&path, class, "Pod QOS Class may not change as a result of resizing"));
    }
    if !is_supported(old) {
        errors.push(FieldError::forbidden(&path, "Pod running on node without support for resize"));
    }
    containers(spec, old_spec, &path, errors);
    if errors.len() == before {
        nothing_else(spec, old_spec, &path, errors);
    }
}

/// A kubelet that can resize says in the status what its containers have.
fn is_supported(pod: &Pod) -> bool {
    let statuses = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten());
    let mut running = statuses.filter(|s| s.state.as_ref().is_some_and(|state| state.running.is_some()));
    running.next().is_none_or(|status| status.resources.is_some())
}

fn containers(new: &PodSpec, old: &PodSpec, path: &Path, errors: &mut Errors) {
    let at = path.child("containers");
    for (i, (container, before)) in new.containers.iter().zip(&old.containers).enumerate() {
        kept(container, before, &at.index(i), errors);
        if without_resizable(container, before) != *before {
            errors.push(FieldError::forbidden(path, "only cpu and memory resources are mutable"));
        }
    }
    let at = path.child("initContainers");
    let before = old.init_containers.iter().flatten();
    for (i, (container, before)) in new.init_containers.iter().flatten().zip(before).enumerate() {
        let sidecar = before.restart_policy.as_deref() == Some("Always");
        if !sidecar && container != before {
            let why = "resources for non-sidecar init containers are immutable";
            errors.push(FieldError::forbidden(path, why));
        } else if sidecar {
            kept(container, before, &at.index(i), errors);
            if without_resizable(container, before) != *before {
                let why = "only cpu and memory resources for sidecar containers are mutable";
                errors.push(FieldError::forbidden(path, why));
            }
        }
    }
}

/// What was asked for may change, but not be left out from then on.
fn kept(new: &Container, old: &Container, path: &Path, errors: &mut Errors) {
    let empty = ResourceRequirements::default();
    let (new, old) = (new.resources.as_ref().unwrap_or(&empty), old.resources.as_ref().unwrap_or(&empty));
    let lost = |new: &Option<List>, old: &Option<List>| {
        old.iter().flatten().any(|(name, _)| new.as_ref().is_none_or(|new| !new.contains_key(name)))
    };
    let path = path.child("resources");
    if lost(&new.requests, &old.requests) {
        errors.push(FieldError::forbidden(&path.child("requests"), "resource requests cannot be removed"));
    }
    if lost(&new.limits, &old.limits) {
        errors.push(FieldError::forbidden(&path.child("limits"), "resource limits cannot be removed"));
    }
}

/// The new container with what may change taken back.
fn without_resizable(new: &Container, old: &Container) -> Container {
    let back = |new: Option<&List>, old: Option<&List>| {
        let mut list = new.cloned().unwrap_or_default();
        for name in RESIZABLE {
            match old.and_then(|old| old.get(name)) {
                Some(quantity) => drop(list.insert(name.to_owned(), quantity.clone())),
                None => drop(list.remove(name)),
            }
        }
        (!list.is_empty() || old.is_some()).then_some(list)
    };
    let before = old.resources.as_ref();
    let resources = new.resources.as_ref().map(|new| ResourceRequirements {
        limits: back(new.limits.as_ref(), before.and_then(|r| r.limits.as_ref())),
        requests: back(new.requests.as_ref(), before.and_then(|r| r.requests.as_ref())),
        claims: new.claims.clone(),
    });
    Container { resources, resize_policy: old.resize_policy.clone(), ..new.clone() }
}

fn nothing_else(new: &PodSpec, old: &PodSpec, path: &Path, errors: &mut Errors) {
    let munged =
        PodSpec { containers: old.containers.clone(), init_containers: old.init_containers.clone(), ..new.clone() };
    let difference = update::differences(&json!(munged), &json!(old), "spec");
    if !difference.is_empty() || new.containers.len() != old.containers.len() {
        let why = format!("only cpu and memory resources are mutable\n{}", difference.join("\n"));
        errors.push(FieldError::forbidden(path, why));
    }
}
