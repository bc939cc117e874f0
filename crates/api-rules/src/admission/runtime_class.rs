//! RuntimeClass: a pod of a class costs what the class says on top, and runs only where the class works.

use std::sync::Arc;

use api_types::Status;
use serde_json::{Map, Value, json};

use super::{AdmissionRequest, Operation, Plugin, World};

pub struct RuntimeClass;

const DIFFERS: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
const UNFOUNDED: &str = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";

impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn mutate(&self, request: &AdmissionRequest, pod: &mut Value, world: &dyn World) -> Result<(), Status> {
        let Some(class) = class_of(request, pod, world)? else { return Ok(()) };
        let Some(spec) = pod["spec"].as_object_mut() else { return Ok(()) };
        if let Some(overhead) = overhead(&class) {
            if spec.get("overhead").is_some_and(|given| given != overhead) {
                return Err(request.forbidden(DIFFERS));
            }
            spec.insert("overhead".to_owned(), overhead.clone());
        }
        select_nodes(request, spec, &class["scheduling"]["nodeSelector"])?;
        if let Some(more) = class["scheduling"]["tolerations"].as_array().filter(|list| !list.is_empty()) {
            let own = spec.get("tolerations").and_then(Value::as_array).cloned().unwrap_or_default();
            spec.insert("tolerations".to_owned(), merged(own.into_iter().chain(more.iter().cloned()).collect()).into());
        }
        Ok(())
    }

    fn validate(&self, request: &AdmissionRequest, pod: &Value, world: &dyn World) -> Result<(), Status> {
        if !applies(request) {
            return Ok(());
        }
        let class = class_of(request, pod, world)?;
        let given = pod["spec"].get("overhead");
        match class.as_ref().and_then(|class| overhead(class)) {
            Some(overhead) if given != Some(overhead) => Err(request.forbidden(DIFFERS)),
            None if given.is_some() => Err(request.forbidden(UNFOUNDED)),
            _ => Ok(()),
        }
    }
}

fn applies(request: &AdmissionRequest) -> bool {
    request.operation == Operation::Create && request.is_core("pods", "")
}

fn class_of(request: &AdmissionRequest, pod: &Value, world: &dyn World) -> Result<Option<Arc<Value>>, Status> {
    let name = pod["spec"]["runtimeClassName"].as_str().filter(|_| applies(request));
    let Some(name) = name else { return Ok(None) };
    match world.get("node.k8s.io", "runtimeclasses", "", name) {
        Some(class) => Ok(Some(class)),
        None => Err(request.forbidden(format!("pod rejected: RuntimeClass {name:?} not found"))),
    }
}

fn overhead(class: &Value) -> Option<&Value> {
    class["overhead"].get("podFixed").filter(|fixed| fixed.is_object())
}

fn select_nodes(request: &AdmissionRequest, spec: &mut Map<String, Value>, wanted: &Value) -> Result<(), Status> {
    let Some(wanted) = wanted.as_object().filter(|wanted| !wanted.is_empty()) else { return Ok(()) };
    let selector = spec.entry("nodeSelector").or_insert_with(|| json!({}));
    for (key, value) in wanted {
        if let Some(other) = selector.get(key).filter(|other| *other != value) {
            let (value, other) = (value.as_str().unwrap_or_default(), other.as_str().unwrap_or_default());
            return Err(request.forbidden(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {other}"
            )));
        }
        selector[key] = value.clone();
    }
    Ok(())
}

/// Tolerations without those that others cover.
fn merged(all: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for (i, one) in all.iter().enumerate() {
        let covered = kept.iter().any(|other| covers(other, one))
            || all[i + 1..].iter().any(|later| later != one && covers(later, one));
        if !covered {
            kept.push(one.clone());
        }
    }
    kept
}

/// Whether whatever `one` tolerates, `other` does.
fn covers(other: &Value, one: &Value) -> bool {
    let text = |toleration: &Value, member: &str| toleration[member].as_str().unwrap_or_default().to_owned();
    let operator = |toleration: &Value| match text(toleration, "operator") {
        empty if empty.is_empty() => "Equal".to_owned(),
        given => given,
    };
    if other == one {
        return true;
    }
    let any_key = text(other, "key").is_empty() && operator(other) == "Exists";
    if text(other, "key") != text(one, "key") && !any_key {
        return false;
    }
    let effect = text(other, "effect");
    if !effect.is_empty() && effect != text(one, "effect") {
        return false;
    }
    if let (true, Some(seconds)) = (effect == "NoExecute", other["tolerationSeconds"].as_i64())
        && one["tolerationSeconds"].as_i64().is_none_or(|own| own > seconds)
    {
        return false;
    }
    operator(other) == "Exists" || (operator(one) == "Equal" && text(one, "value") == text(other, "value"))
}
