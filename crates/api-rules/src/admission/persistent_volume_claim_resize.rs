//! PersistentVolumeClaimResize: a claim grows only once it is bound, and only if its class allows that.

use api_types::{Quantity, Status};
use serde_json::Value;

use super::{AdmissionRequest, Operation, Plugin, World};

pub struct PersistentVolumeClaimResize;

const UNBOUND: &str = "Only bound persistent volume claims can be expanded";
const FIXED: &str =
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";

impl Plugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn validate(&self, request: &AdmissionRequest, object: &Value, world: &dyn World) -> Result<(), Status> {
        let is_update = request.operation == Operation::Update && request.is_core("persistentvolumeclaims", "");
        let Some(old) = request.old.filter(|_| is_update) else { return Ok(()) };
        if size(object) <= size(old) {
            return Ok(());
        }
        if old["status"]["phase"] != "Bound" {
            return Err(request.forbidden(UNBOUND));
        }
        let class = class(object).filter(|name| !name.is_empty() && class(old) == Some(*name));
        let class = class.and_then(|name| world.get("storage.k8s.io", "storageclasses", "", name));
        match class {
            Some(class) if class["allowVolumeExpansion"] == true => Ok(()),
            _ => Err(request.forbidden(FIXED)),
        }
    }
}

fn size(claim: &Value) -> Quantity {
    let text = claim["spec"]["resources"]["requests"]["storage"].as_str().unwrap_or_default();
    Quantity::parse(text).unwrap_or_default()
}

fn class(claim: &Value) -> Option<&str> {
    let annotated = &claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
    annotated.as_str().or(claim["spec"]["storageClassName"].as_str())
}
