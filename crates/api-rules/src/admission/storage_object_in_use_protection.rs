//! StorageObjectInUseProtection: new volumes and claims get the finalizer that keeps them while they are used. The
//! protection controllers take it off.

use api_types::Status;
use serde_json::{Value, json};

use super::{AdmissionRequest, Operation, Plugin, World};
use crate::value;

pub struct StorageObjectInUseProtection;

impl Plugin for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn mutate(&self, request: &AdmissionRequest, object: &mut Value, _world: &dyn World) -> Result<(), Status> {
        let finalizer = if request.is_core("persistentvolumeclaims", "") {
            "kubernetes.io/pvc-protection"
        } else if request.is_core("persistentvolumes", "") {
            "kubernetes.io/pv-protection"
        } else {
            return Ok(());
        };
        let present = value::items(object, &["metadata", "finalizers"]);
        if request.operation == Operation::Create && !present.iter().any(|name| name == finalizer) {
            let finalizers: Vec<Value> = present.iter().cloned().chain([json!(finalizer)]).collect();
            value::set(object, &["metadata", "finalizers"], finalizers.into());
        }
        Ok(())
    }
}
