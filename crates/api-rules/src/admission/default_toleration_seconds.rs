//! DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or unreachable, unless it says
//! something else.

use api_types::Status;
use serde_json::{Value, json};

use super::{AdmissionRequest, Operation, Plugin, World};

pub struct DefaultTolerationSeconds;

const SECONDS: i64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn mutate(&self, request: &AdmissionRequest, object: &mut Value, _world: &dyn World) -> Result<(), Status> {
        if !request.is_core("pods", "") || !matches!(request.operation, Operation::Create | Operation::Update) {
            return Ok(());
        }
        let Some(spec) = object["spec"].as_object_mut() else { return Ok(()) };
        let present = spec.get("tolerations").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let missing: Vec<_> =
            TAINTS.into_iter().filter(|taint| !present.iter().any(|one| covers(one, taint))).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let list = spec.entry("tolerations").or_insert_with(|| json!([]));
        if list.is_null() {
            *list = json!([]);
        }
        let Some(list) = list.as_array_mut() else { return Ok(()) };
        for taint in missing {
            list.push(json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}));
        }
        Ok(())
    }
}

/// Whether the toleration speaks of this taint's NoExecute effect; an empty key or effect speaks of all.
fn covers(toleration: &Value, taint: &str) -> bool {
    let text = |field: &str| toleration[field].as_str().unwrap_or_default();
    (text("key").is_empty() || text("key") == taint) && matches!(text("effect"), "" | "NoExecute")
}
