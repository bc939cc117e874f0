//! `pods/binding` (and the older `bindings`): the scheduler's decision, written once and never changed.

use api_rules::{kinds, value};
use api_types::{Status, status::Reason};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Call, update,
    write::{ATTEMPTS, Current},
};
use crate::{
    answer::{self, Answer},
    negotiate::body_encoding,
};

pub async fn create(call: &Call<'_>) -> Result<Answer, Status> {
    if call.info.verb != "create" {
        return Err(call.not_supported());
    }
    let form = call.form()?;
    let dry_run = call.query.dry_run()?;
    let kind = kinds::find_kind("", "v1", "Binding").ok_or_else(Status::path_not_found)?;
    let decoded = kind.decode(&call.body, body_encoding(call.headers)?, call.field_validation()?)?;
    call.warn(decoded.warnings);
    let binding = decoded.object;
    let name = match call.info.name {
        "" => value::text(&binding, &["metadata", "name"]),
        name => name,
    };
    let pods = call.core().served("", "v1", "pods").ok_or_else(Status::path_not_found)?;
    let errors = kind.validate_create(&binding);
    if !errors.is_empty() {
        return Err(Status::invalid(&kind.names().group_kind(), name, errors));
    }
    let pod = call.of_resource(&pods, call.info.namespace, name);
    let make = |current: &Current| bound(&pod, current, &binding);
    update::write(&pod, ATTEMPTS, dry_run, make).await?;
    let mut status = Status::success();
    status.code = 201;
    Ok(answer::document(StatusCode::CREATED, Bytes::from(status.to_json()), form))
}

/// The pod with its node, if nothing speaks against it.
fn bound(call: &Call<'_>, current: &Current, binding: &Value) -> Result<Value, Status> {
    let pod = &current.value;
    let name = call.info.name;
    let conflict = |why: String| Err(Status::conflict(&api_types::GroupResource::new("", "pods/binding"), name, why));
    let uid = value::text(binding, &["metadata", "uid"]);
    if !uid.is_empty() && uid != current.object.uid() {
        return conflict(format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            current.object.uid()
        ));
    }
    if value::at(pod, &["metadata", "deletionTimestamp"]).is_some() {
        return conflict(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let node = value::text(pod, &["spec", "nodeName"]);
    if !node.is_empty() {
        return conflict(format!("pod {name} is already assigned to node \"{node}\""));
    }
    if !value::items(pod, &["spec", "schedulingGates"]).is_empty() {
        let why = format!("pod {name} has non-empty .spec.schedulingGates");
        return Err(Status::failure(400, Reason::BadRequest, why));
    }
    let mut bound = pod.clone();
    value::set(&mut bound, &["spec", "nodeName"], value::text(binding, &["target", "name"]).into());
    for (key, text) in value::at(binding, &["metadata", "annotations"]).and_then(Value::as_object).into_iter().flatten()
    {
        value::set(&mut bound, &["metadata", "annotations", key], text.clone());
    }
    // It has got its place: what it was meant for is no news any more.
    value::remove(&mut bound, &["status", "nominatedNodeName"]);
    set_scheduled(&mut bound, &call.core().timestamp());
    Ok(bound)
}

fn set_scheduled(pod: &mut Value, now: &str) {
    let mut conditions = value::items(pod, &["status", "conditions"]).to_vec();
    conditions.retain(|condition| condition["type"] != "PodScheduled");
    let mut scheduled =
        json!({ "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now });
    if let Some(generation) = value::at(pod, &["metadata", "generation"]) {
        scheduled["observedGeneration"] = generation.clone();
    }
    conditions.push(scheduled);
    value::set(pod, &["status", "conditions"], conditions.into());
}
