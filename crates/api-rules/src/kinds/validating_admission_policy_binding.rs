//! ValidatingAdmissionPolicyBinding: where a policy holds, and with which parameters.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::admissionregistration::v1,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::admission_policy::{self};
use crate::{
    kind::{Names, Scope, Storage},
    names::one_of,
    table::{cells, duration},
    typed::Resource,
    value,
};

pub struct ValidatingAdmissionPolicyBinding;

impl Resource for ValidatingAdmissionPolicyBinding {
    type Object = v1::ValidatingAdmissionPolicyBinding;

    const NAMES: Names = Names {
        group: "admissionregistration.k8s.io",
        version: "v1",
        kind: "ValidatingAdmissionPolicyBinding",
        list_kind: "ValidatingAdmissionPolicyBindingList",
        plural: "validatingadmissionpolicybindings",
        singular: "validatingadmissionpolicybinding",
        short_names: &[],
        categories: &["api-extensions"],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "validatingadmissionpolicybindings", cached: true });
    const UPDATES_UNCONDITIONALLY: bool = false;
    const GENERATION: bool = true;
    const NOT_ENFORCED: Option<&'static str> = Some(admission_policy::NOT_EVALUATED);

    fn set_defaults(object: &mut Value) {
        admission_policy::match_defaults(value::child(object, "spec"), "matchResources");
    }

    fn validate(object: &v1::ValidatingAdmissionPolicyBinding, errors: &mut Vec<FieldError>) {
        let spec = &object.spec;
        let path = Path::new("spec");
        let policy = &spec.policy_name;
        let (params, resources) = (spec.param_ref.as_ref(), spec.match_resources.as_ref());
        admission_policy::validate_binding(policy, params, resources, &path, errors);
        actions(&spec.validation_actions, &path.child("validationActions"), errors);
    }

    fn cells(object: &v1::ValidatingAdmissionPolicyBinding, now: Timestamp) -> Vec<Value> {
        let spec = &object.spec;
        vec![
            cells::name(&object.metadata),
            spec.policy_name.as_str().into(),
            admission_policy::param_ref_cell(spec.param_ref.as_ref()),
            duration::age(&object.metadata, now),
        ]
    }
}

fn actions(actions: &[String], path: &Path, errors: &mut Vec<FieldError>) {
    for (i, action) in actions.iter().enumerate() {
        one_of(action, &["Audit", "Deny", "Warn"], &path.index(i), errors);
        if actions[..i].contains(action) {
            errors.push(FieldError::duplicate(&path.index(i), action.as_str()));
        }
    }
    let has = |wanted: &str| actions.iter().any(|a| a == wanted);
    if has("Deny") && has("Warn") {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        errors.push(FieldError::invalid(path, json!(actions), why));
    }
    if actions.is_empty() {
        errors.push(FieldError::required(path, "at least one validation action is required"));
    }
}
