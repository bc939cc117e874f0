//! Priority: the number behind a pod's priorityClassName, and at most one PriorityClass that is the default.

use std::sync::Arc;

use api_types::Status;
use serde_json::{Value, json};

use super::{AdmissionRequest, Operation, Plugin, World};

pub struct Priority;

const GROUP: &str = "scheduling.k8s.io";
const DEFAULT_POLICY: &str = "PreemptLowerPriority";

impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn mutate(&self, request: &AdmissionRequest, object: &mut Value, world: &dyn World) -> Result<(), Status> {
        if !request.is_core("pods", "") {
            return Ok(());
        }
        match request.operation {
            Operation::Create => on_create(request, object, world),
            Operation::Update => {
                keep(request, object);
                Ok(())
            }
            Operation::Delete | Operation::Connect => Ok(()),
        }
    }

    fn validate(&self, request: &AdmissionRequest, object: &Value, world: &dyn World) -> Result<(), Status> {
        let written = matches!(request.operation, Operation::Create | Operation::Update);
        if !written || !request.is(GROUP, "priorityclasses") || object["globalDefault"] != true {
            return Ok(());
        }
        match default_class(world) {
            Some(class) if class["metadata"]["name"] != object["metadata"]["name"] => {
                let name = class["metadata"]["name"].as_str().unwrap_or_default();
                let why = format!("PriorityClass {name} is already marked as default. Only one default can exist");
                Err(request.forbidden(why))
            }
            _ => Ok(()),
        }
    }
}

fn on_create(request: &AdmissionRequest, pod: &mut Value, world: &dyn World) -> Result<(), Status> {
    let wanted = pod["spec"]["priorityClassName"].as_str().unwrap_or_default().to_owned();
    let class = match wanted.as_str() {
        "" => default_class(world),
        name => {
            let found = world.get(GROUP, "priorityclasses", "", name);
            if found.is_none() {
                return Err(request.forbidden(format!("no PriorityClass with name {name} was found")));
            }
            found
        }
    };
    let Some(spec) = pod["spec"].as_object_mut() else { return Ok(()) };
    let (name, value, policy) = match &class {
        Some(class) => (
            class["metadata"]["name"].clone(),
            class["value"].as_i64().unwrap_or_default(),
            class["preemptionPolicy"].as_str().unwrap_or(DEFAULT_POLICY).to_owned(),
        ),
        None => (Value::Null, 0, DEFAULT_POLICY.to_owned()),
    };
    if let Some(given) = spec.get("priority").and_then(Value::as_i64)
        && given != value
    {
        return Err(request.forbidden(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
        )));
    }
    if let Some(given) = spec.get("preemptionPolicy").and_then(Value::as_str)
        && given != policy
    {
        return Err(request.forbidden(format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        )));
    }
    if !name.is_null() {
        spec.insert("priorityClassName".to_owned(), name);
    }
    spec.insert("priority".to_owned(), json!(value));
    spec.insert("preemptionPolicy".to_owned(), json!(policy));
    Ok(())
}

/// An update that does not know of the priority keeps it.
fn keep(request: &AdmissionRequest, pod: &mut Value) {
    let Some(old) = request.old else { return };
    let Some(spec) = pod["spec"].as_object_mut() else { return };
    for field in ["priority", "preemptionPolicy"] {
        if spec.get(field).is_none_or(Value::is_null) && !old["spec"][field].is_null() {
            spec.insert(field.to_owned(), old["spec"][field].clone());
        }
    }
}

/// Of several defaults, which only a race can leave, the lowest counts.
fn default_class(world: &dyn World) -> Option<Arc<Value>> {
    let mut classes = world.list(GROUP, "priorityclasses");
    classes.retain(|class| class["globalDefault"] == true);
    classes.into_iter().min_by_key(|class| class["value"].as_i64().unwrap_or_default())
}
