//! What may change in a pod that exists, by the path the change came through.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1::{Container, Pod, PodSpec},
};
use serde_json::{Value, json};

use super::{Errors, resize, status};

const UPDATABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub fn validate(new: &Pod, old: &Pod, subresource: Option<&str>, errors: &mut Errors) {
    let (Some(new_spec), Some(old_spec)) = (&new.spec, &old.spec) else { return };
    let path = Path::new("spec");
    match subresource {
        None => spec(new_spec, old_spec, &path, errors),
        Some("status") => status::validate(new, old, errors),
        Some("ephemeralcontainers") => {
            if old.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(resize::MIRROR)) {
                errors.push(FieldError::forbidden(&Path::root(), "static pods do not support ephemeral containers"));
                return;
            }
            ephemeral(new_spec, old_spec, &path, errors);
        }
        Some("resize") => resize::validate(new, old, errors),
        Some(_) => {}
    }
}

fn spec(new: &PodSpec, old: &PodSpec, path: &Path, errors: &mut Errors) {
    for (member, new, old) in [
        ("containers", &new.containers[..], &old.containers[..]),
        (
            "initContainers",
            new.init_containers.as_deref().unwrap_or_default(),
            old.init_containers.as_deref().unwrap_or_default(),
        ),
    ] {
        if new.len() != old.len() {
            errors.push(FieldError::forbidden(&path.child(member), "pod updates may not add or remove containers"));
            return;
        }
    }
    deadline(new, old, path, errors);
    let gated = old.scheduling_gates.as_ref().is_some_and(|g| !g.is_empty());
    for (i, gate) in new.scheduling_gates.iter().flatten().enumerate() {
        if !old.scheduling_gates.iter().flatten().any(|g| g == gate) {
            errors.push(FieldError::forbidden(
                &path.child("schedulingGates").index(i),
                "only deletion is allowed, but found new scheduling gate",
            ));
        }
    }
    let kept = old.tolerations.iter().flatten().all(|t| {
        // The seconds of a toleration may change.
        new.tolerations
            .iter()
            .flatten()
            .any(|n| (&n.key, &n.operator, &n.value, &n.effect) == (&t.key, &t.operator, &t.value, &t.effect))
    });
    if !kept {
        errors.push(FieldError::forbidden(
            &path.child("tolerations"),
            "existing toleration can not be modified except its tolerationSeconds",
        ));
    }
    let wanted = allowed(new, old, gated);
    let difference = differences(&json!(wanted), &json!(old), "spec");
    if !difference.is_empty() {
        errors.push(FieldError::forbidden(path, format!("{UPDATABLE}\n{}", difference.join("\n"))));
    }
}

/// The new spec with everything that may change taken back to the old state.
fn allowed(new: &PodSpec, old: &PodSpec, gated: bool) -> PodSpec {
    let images = |new: &[Container], old: &[Container]| -> Vec<Container> {
        new.iter().zip(old).map(|(n, o)| Container { image: o.image.clone(), ..n.clone() }).collect()
    };
    let mut munged = new.clone();
    munged.containers = images(&new.containers, &old.containers);
    munged.init_containers =
        new.init_containers.as_deref().map(|n| images(n, old.init_containers.as_deref().unwrap_or_default()));
    munged.active_deadline_seconds = old.active_deadline_seconds;
    munged.tolerations.clone_from(&old.tolerations);
    munged.scheduling_gates.clone_from(&old.scheduling_gates);
    if old.termination_grace_period_seconds.is_some_and(|s| s < 0) && new.termination_grace_period_seconds == Some(1) {
        munged.termination_grace_period_seconds = old.termination_grace_period_seconds;
    }
    // While it waits at a gate, a pod's choice of nodes may become narrower.
    if gated {
        let chosen = new.node_selector.as_ref();
        if old.node_selector.iter().flatten().all(|(key, value)| chosen.and_then(|c| c.get(key)) == Some(value)) {
            munged.node_selector.clone_from(&old.node_selector);
        }
        munged.affinity.clone_from(&old.affinity);
    }
    munged
}

fn deadline(new: &PodSpec, old: &PodSpec, path: &Path, errors: &mut Errors) {
    let at = path.child("activeDeadlineSeconds");
    match (new.active_deadline_seconds, old.active_deadline_seconds) {
        (Some(new), Some(old)) if new > old => {
            errors.push(FieldError::invalid(&at, new, "must be less than or equal to previous value"));
        }
        (None, Some(_)) => {
            errors.push(FieldError::invalid(&at, Value::Null, "must not update from a positive integer to nil value"))
        }
        _ => {}
    }
}

fn ephemeral(new: &PodSpec, old: &PodSpec, path: &Path, errors: &mut Errors) {
    let at = path.child("ephemeralContainers");
    let added = new.ephemeral_containers.as_deref().unwrap_or_default();
    for before in old.ephemeral_containers.iter().flatten() {
        match added.iter().find(|c| c.name == before.name) {
            None => errors.push(FieldError::forbidden(
                &at,
                format!("existing ephemeral containers {:?} may not be removed\n", before.name),
            )),
            Some(after) if after != before => {
                let difference = differences(&json!(after), &json!(before), "ephemeralContainer").join("\n");
                errors.push(FieldError::forbidden(
                    &at,
                    format!("existing ephemeral containers {:?} may not be changed\n{difference}", before.name),
                ));
            }
            Some(_) => {}
        }
    }
}

/// Where two values differ, one line each: `spec.x: old -> new`.
pub fn differences(new: &Value, old: &Value, path: &str) -> Vec<String> {
    match (new, old) {
        _ if new == old => Vec::new(),
        (Value::Object(n), Value::Object(o)) => {
            let mut names: Vec<_> = n.keys().chain(o.keys().filter(|k| !n.contains_key(*k))).collect();
            names.sort();
            names
                .into_iter()
                .flat_map(|k| {
                    differences(
                        &n.get(k).cloned().unwrap_or_default(),
                        &o.get(k).cloned().unwrap_or_default(),
                        &format!("{path}.{k}"),
                    )
                })
                .collect()
        }
        (Value::Array(n), Value::Array(o)) if n.len() == o.len() => {
            n.iter().zip(o).enumerate().flat_map(|(i, (n, o))| differences(n, o, &format!("{path}[{i}]"))).collect()
        }
        _ => vec![format!("{path}: {old} -> {new}")],
    }
}
