//! MutatingAdmissionPolicyBinding: where a policy holds, and with which parameters.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::admissionregistration::v1,
};
use jiff::Timestamp;
use serde_json::Value;

use super::admission_policy::{self};
use crate::{
    kind::{Names, Scope, Storage},
    table::{cells, duration},
    typed::Resource,
    value,
};

pub struct MutatingAdmissionPolicyBinding;

impl Resource for MutatingAdmissionPolicyBinding {
    type Object = v1::MutatingAdmissionPolicyBinding;

    const NAMES: Names = Names {
        group: "admissionregistration.k8s.io",
        version: "v1",
        kind: "MutatingAdmissionPolicyBinding",
        list_kind: "MutatingAdmissionPolicyBindingList",
        plural: "mutatingadmissionpolicybindings",
        singular: "mutatingadmissionpolicybinding",
        short_names: &[],
        categories: &["api-extensions"],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "mutatingadmissionpolicybindings", cached: true });
    const UPDATES_UNCONDITIONALLY: bool = false;
    const GENERATION: bool = true;
    const NOT_ENFORCED: Option<&'static str> = Some(admission_policy::NOT_EVALUATED);

    fn set_defaults(object: &mut Value) {
        admission_policy::match_defaults(value::child(object, "spec"), "matchResources");
    }

    fn validate(object: &v1::MutatingAdmissionPolicyBinding, errors: &mut Vec<FieldError>) {
        let spec = object.spec.clone().unwrap_or_default();
        let path = Path::new("spec");
        let policy = spec.policy_name.as_deref().unwrap_or_default();
        let (params, resources) = (spec.param_ref.as_ref(), spec.match_resources.as_ref());
        admission_policy::validate_binding(policy, params, resources, &path, errors);
    }

    fn cells(object: &v1::MutatingAdmissionPolicyBinding, now: Timestamp) -> Vec<Value> {
        let spec = object.spec.clone().unwrap_or_default();
        vec![
            cells::name(&object.metadata),
            spec.policy_name.as_deref().unwrap_or_default().into(),
            admission_policy::param_ref_cell(spec.param_ref.as_ref()),
            duration::age(&object.metadata, now),
        ]
    }
}
