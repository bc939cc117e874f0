//! What the `binding` subresource does: gives a pod its node, once.

use api_types::{
    GroupResource, Status,
    field::{FieldError, Path},
};
use serde_json::{Value, json};

use crate::{names, value};

/// What is wrong with a Binding by itself.
pub fn validate(binding: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::new("target");
    let kind = value::text(binding, &["target", "kind"]);
    if !kind.is_empty() && kind != "Node" {
        errors.push(FieldError::not_supported(&path.child("kind"), kind, &["Node", "<empty>"]));
    }
    match value::text(binding, &["target", "name"]) {
        "" => errors.push(FieldError::required(&path.child("name"), "")),
        name => names::report(names::dns_subdomain(name), &path.child("name"), name, &mut errors),
    }
    errors
}

/// Binds `pod` as `binding` says: the node, the binding's annotations, and the condition `PodScheduled`.
/// 409 if the pod has a node, is being deleted, is gated, or is another one than was meant.
pub fn apply(pod: &mut Value, binding: &Value, now: jiff::Timestamp) -> Result<(), Status> {
    let name = value::text(pod, &["metadata", "name"]).to_owned();
    let conflict = |why: String| Status::conflict(&GroupResource::new("", "pods/binding"), &name, why);
    let uid = value::text(binding, &["metadata", "uid"]);
    if !uid.is_empty() && uid != value::text(pod, &["metadata", "uid"]) {
        return Err(conflict(format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            value::text(pod, &["metadata", "uid"])
        )));
    }
    if value::at(pod, &["metadata", "deletionTimestamp"]).is_some() {
        return Err(conflict(format!("pod {name} is being deleted, cannot be assigned to a host")));
    }
    let host = value::text(pod, &["spec", "nodeName"]);
    if !host.is_empty() {
        return Err(conflict(format!("pod {name} is already assigned to node {host:?}")));
    }
    if !value::items(pod, &["spec", "schedulingGates"]).is_empty() {
        return Err(conflict(format!("pod {name} has non-empty .spec.schedulingGates")));
    }
    value::set(pod, &["spec", "nodeName"], value::text(binding, &["target", "name"]).into());
    for (key, text) in value::at(binding, &["metadata", "annotations"]).and_then(Value::as_object).into_iter().flatten()
    {
        value::set(pod, &["metadata", "annotations", key], text.clone());
    }
    scheduled(pod, now);
    Ok(())
}

fn scheduled(pod: &mut Value, now: jiff::Timestamp) {
    let time = jiff::fmt::strtime::format("%Y-%m-%dT%H:%M:%SZ", now).unwrap_or_default();
    let condition = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": time});
    let conditions = value::child(value::child(pod, "status"), "conditions");
    match conditions.as_array_mut() {
        None => *conditions = json!([condition]),
        Some(list) => match list.iter_mut().find(|c| c["type"] == "PodScheduled") {
            Some(old) => *old = condition,
            None => list.push(condition),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mut pod: Value, wanted: Result<&str, &str>) {
        let binding = json!({"metadata": {"name": "p", "uid": "u"}, "target": {"kind": "Node", "name": "n"}});
        let got = apply(&mut pod, &binding, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(
            got.as_ref().map(|()| value::text(&pod, &["spec", "nodeName"])).map_err(|s| s.message.as_str()),
            wanted
        );
    }

    #[test]
    fn a_pod_is_bound_once() {
        check(json!({"metadata": {"name": "p", "uid": "u"}, "spec": {}}), Ok("n"));
        check(
            json!({"metadata": {"name": "p", "uid": "u"}, "spec": {"nodeName": "m"}}),
            Err("Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"m\""),
        );
        check(
            json!({"metadata": {"name": "p", "uid": "other"}, "spec": {}}),
            Err(
                "Operation cannot be fulfilled on pods/binding \"p\": Precondition failed: UID in precondition: u, UID in object meta: other",
            ),
        );
    }
}
