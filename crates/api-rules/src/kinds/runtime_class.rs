//! RuntimeClass: which handler of the container runtime runs a pod, what that costs, and where it works.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::node::v1,
};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    fields::kept,
    pod::validation::{resources, scheduling},
};
use crate::{
    kind::{Names, Scope, Storage},
    metadata,
    names::{self, report},
    table::{cells, duration},
    typed::Resource,
};

pub struct RuntimeClass;

impl Resource for RuntimeClass {
    type Object = v1::RuntimeClass;

    const NAMES: Names = Names {
        group: "node.k8s.io",
        version: "v1",
        kind: "RuntimeClass",
        list_kind: "RuntimeClassList",
        plural: "runtimeclasses",
        singular: "runtimeclass",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "runtimeclasses", cached: true });
    const UPDATES_UNCONDITIONALLY: bool = false;

    fn validate(object: &v1::RuntimeClass, errors: &mut Vec<FieldError>) {
        report(names::dns_label(&object.handler), &Path::new("handler"), &object.handler, errors);
        if let Some(fixed) = object.overhead.as_ref().and_then(|o| o.pod_fixed.as_ref()) {
            resources::list(fixed, &Path::new("overhead").child("limits"), errors);
        }
        if let Some(scheduling) = &object.scheduling {
            let path = Path::new("scheduling");
            metadata::validate_labels(scheduling.node_selector.as_ref(), &path.child("nodeSelector"), errors);
            let tolerations = scheduling.tolerations.as_deref().unwrap_or_default();
            scheduling::tolerations(tolerations, &path.child("tolerations"), errors);
        }
    }

    fn validate_update(new: &v1::RuntimeClass, old: &v1::RuntimeClass, _: Option<&str>, errors: &mut Vec<FieldError>) {
        kept(&new.handler, &old.handler, &Path::new("handler"), errors);
    }

    fn cells(object: &v1::RuntimeClass, now: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), object.handler.as_str().into(), duration::age(&object.metadata, now)]
    }
}
