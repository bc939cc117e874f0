//! TaintNodesByCondition: a new node is tainted as not ready until its conditions say otherwise, so that no pod lands
//! there in between.

use api_types::Status;
use serde_json::{Value, json};

use super::{AdmissionRequest, Operation, Plugin, World};

pub struct TaintNodesByCondition;

const NOT_READY: &str = "node.kubernetes.io/not-ready";

impl Plugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn mutate(&self, request: &AdmissionRequest, object: &mut Value, _world: &dyn World) -> Result<(), Status> {
        if !request.is_core("nodes", "") || request.operation != Operation::Create || !object.is_object() {
            return Ok(());
        }
        let taints = &mut object["spec"]["taints"];
        if !taints.is_array() {
            *taints = json!([]);
        }
        let Some(taints) = taints.as_array_mut() else { return Ok(()) };
        if !taints.iter().any(|taint| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule") {
            taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
        }
        Ok(())
    }
}
