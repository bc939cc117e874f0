//! NamespaceLifecycle: nothing is made in a namespace that does not exist or is going away, and the namespaces the
//! cluster itself lives in are not deleted.

use api_types::{GroupResource, Status};
use serde_json::Value;

use super::{AdmissionRequest, Operation, Plugin, World};

pub struct NamespaceLifecycle;

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn mutate(&self, request: &AdmissionRequest, _object: &mut Value, world: &dyn World) -> Result<(), Status> {
        let on_namespace = request.is("", "namespaces");
        if on_namespace && request.operation == Operation::Delete && IMMORTAL.contains(&request.name) {
            return Err(request.forbidden("this namespace may not be deleted"));
        }
        if on_namespace
            || request.namespace.is_empty()
            || request.operation != Operation::Create
            || is_access_review(request)
        {
            return Ok(());
        }
        let Some(namespace) = world.get("", "namespaces", "", request.namespace) else {
            return Err(Status::not_found(&GroupResource::new("", "namespaces"), request.namespace));
        };
        if namespace["status"]["phase"] != "Terminating" {
            return Ok(());
        }
        let why =
            format!("unable to create new content in namespace {} because it is being terminated", request.namespace);
        let cause = format!("namespace {} is being terminated", request.namespace);
        Err(request.forbidden(why).with_cause("NamespaceTerminating", &cause, "metadata.namespace"))
    }
}

/// Asking about a namespace makes nothing in it.
fn is_access_review(request: &AdmissionRequest) -> bool {
    request.is("authorization.k8s.io", "localsubjectaccessreviews")
}
