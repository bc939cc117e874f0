//! MutatingAdmissionPolicy: expressions that change what is written.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::admissionregistration::v1::{self, Mutation},
};
use jiff::Timestamp;
use serde_json::Value;

use super::admission_policy::{self, Policy};
use crate::{
    kind::{Names, Scope, Storage},
    names::one_of,
    table::{cells, duration},
    typed::Resource,
    value,
};

pub struct MutatingAdmissionPolicy;

impl Resource for MutatingAdmissionPolicy {
    type Object = v1::MutatingAdmissionPolicy;

    const NAMES: Names = Names {
        group: "admissionregistration.k8s.io",
        version: "v1",
        kind: "MutatingAdmissionPolicy",
        list_kind: "MutatingAdmissionPolicyList",
        plural: "mutatingadmissionpolicies",
        singular: "mutatingadmissionpolicy",
        short_names: &[],
        categories: &["api-extensions"],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "mutatingadmissionpolicies", cached: true });
    const UPDATES_UNCONDITIONALLY: bool = false;
    const GENERATION: bool = true;
    const NOT_ENFORCED: Option<&'static str> = Some(admission_policy::NOT_EVALUATED);

    fn set_defaults(object: &mut Value) {
        let spec = value::child(object, "spec");
        admission_policy::defaults(spec);
        value::default(spec, "reinvocationPolicy", "Never");
    }

    fn validate(object: &v1::MutatingAdmissionPolicy, errors: &mut Vec<FieldError>) {
        let spec = object.spec.clone().unwrap_or_default();
        let path = Path::new("spec");
        let policy = Policy {
            failure_policy: spec.failure_policy.as_deref(),
            param_kind: spec.param_kind.as_ref(),
            match_constraints: spec.match_constraints.as_ref(),
            match_conditions: spec.match_conditions.as_ref(),
            variables: spec.variables.as_ref(),
        };
        admission_policy::validate(&policy, &path, errors);
        let mutations = spec.mutations.unwrap_or_default();
        if mutations.is_empty() {
            errors.push(FieldError::required(&path.child("mutations"), "mutations must contain at least one item"));
        }
        for (i, mutation) in mutations.iter().enumerate() {
            validate_mutation(mutation, &path.child("mutations").index(i), errors);
        }
        let at = path.child("reinvocationPolicy");
        match spec.reinvocation_policy.as_deref().unwrap_or_default() {
            "" => errors.push(FieldError::required(&at, "")),
            text => one_of(text, &["IfNeeded", "Never"], &at, errors),
        }
    }

    fn cells(object: &v1::MutatingAdmissionPolicy, now: Timestamp) -> Vec<Value> {
        let spec = object.spec.clone().unwrap_or_default();
        vec![
            cells::name(&object.metadata),
            spec.mutations.map_or(0, |m| m.len()).into(),
            admission_policy::param_kind_cell(spec.param_kind.as_ref()),
            duration::age(&object.metadata, now),
        ]
    }
}

fn validate_mutation(mutation: &Mutation, path: &Path, errors: &mut Vec<FieldError>) {
    let apply = ("applyConfiguration", mutation.apply_configuration.as_ref().map(|a| a.expression.as_deref()));
    let patch = ("jsonPatch", mutation.json_patch.as_ref().map(|p| p.expression.as_deref()));
    let ((member, given), (other, misplaced)) = match mutation.patch_type.as_str() {
        "ApplyConfiguration" => (apply, patch),
        "JSONPatch" => (patch, apply),
        "" => return errors.push(FieldError::required(&path.child("patchType"), "")),
        text => return one_of(text, &["ApplyConfiguration", "JSONPatch"], &path.child("patchType"), errors),
    };
    let type_ = &mutation.patch_type;
    match given.map(|expression| expression.unwrap_or_default().trim()) {
        None => {
            let why = format!("must be specified when patchType is {type_}");
            errors.push(FieldError::required(&path.child(member), why));
        }
        Some("") => {
            errors.push(FieldError::required(&path.child(member).child("expression"), "expression is not specified"));
        }
        Some(_) => {}
    }
    if misplaced.is_some() {
        let why = format!("must not be specified when patchType is {type_}");
        errors.push(FieldError::invalid(&path.child(other), "{}", why));
    }
}
