//! ValidatingAdmissionPolicy: expressions that refuse what is written.

use std::collections::BTreeSet;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::admissionregistration::v1::{self, AuditAnnotation, Validation},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::admission_policy::{self, Policy};
use crate::{
    kind::{Names, Scope, Storage, Subresource},
    names::{self, one_of, report},
    table::{cells, duration},
    typed::{Resource, status_of},
    value,
};

const ANNOTATIONS_MAX: usize = 20;
const ANNOTATION_BYTES_MAX: usize = 5 * 1024;

pub struct ValidatingAdmissionPolicy;

impl Resource for ValidatingAdmissionPolicy {
    type Object = v1::ValidatingAdmissionPolicy;

    const NAMES: Names = Names {
        group: "admissionregistration.k8s.io",
        version: "v1",
        kind: "ValidatingAdmissionPolicy",
        list_kind: "ValidatingAdmissionPolicyList",
        plural: "validatingadmissionpolicies",
        singular: "validatingadmissionpolicy",
        short_names: &[],
        categories: &["api-extensions"],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "validatingadmissionpolicies", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[status_of(&Self::NAMES)];
    const UPDATES_UNCONDITIONALLY: bool = false;
    const GENERATION: bool = true;
    const NOT_ENFORCED: Option<&'static str> = Some(admission_policy::NOT_EVALUATED);

    fn set_defaults(object: &mut Value) {
        admission_policy::defaults(value::child(object, "spec"));
    }

    fn validate(object: &v1::ValidatingAdmissionPolicy, errors: &mut Vec<FieldError>) {
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
        let validations = spec.validations.unwrap_or_default();
        let annotations = spec.audit_annotations.unwrap_or_default();
        if validations.is_empty() && annotations.is_empty() {
            let why = "validations or auditAnnotations must contain at least one item";
            errors.push(FieldError::required(&path.child("validations"), why));
            errors.push(FieldError::required(&path.child("auditAnnotations"), why));
        }
        for (i, validation) in validations.iter().enumerate() {
            validate_validation(validation, &path.child("validations").index(i), errors);
        }
        let name = object.metadata.name.as_deref().unwrap_or_default();
        audit_annotations(name, &annotations, &path.child("auditAnnotations"), errors);
    }

    fn cells(object: &v1::ValidatingAdmissionPolicy, now: Timestamp) -> Vec<Value> {
        let spec = object.spec.clone().unwrap_or_default();
        vec![
            cells::name(&object.metadata),
            spec.validations.map_or(0, |v| v.len()).into(),
            admission_policy::param_kind_cell(spec.param_kind.as_ref()),
            duration::age(&object.metadata, now),
        ]
    }
}

fn validate_validation(validation: &Validation, path: &Path, errors: &mut Vec<FieldError>) {
    if validation.expression.trim().is_empty() {
        errors.push(FieldError::required(&path.child("expression"), "expression is not specified"));
    }
    let blank = |text: &Option<String>| text.as_ref().is_some_and(|t| !t.is_empty() && t.trim().is_empty());
    if blank(&validation.message_expression) {
        let at = path.child("messageExpression");
        errors.push(FieldError::invalid(&at, json!(validation.message_expression), "must be non-empty if specified"));
    }
    let at = path.child("message");
    let message = validation.message.as_deref().unwrap_or_default();
    if blank(&validation.message) {
        errors.push(FieldError::invalid(&at, message, "message must be non-empty if specified"));
    } else if message.trim().contains(['\n', '\r']) {
        errors.push(FieldError::invalid(&at, message, "message must not contain line breaks"));
    }
    if let Some(reason) = &validation.reason {
        one_of(reason, &["Forbidden", "Invalid", "RequestEntityTooLarge"], &path.child("reason"), errors);
    }
}

fn audit_annotations(name: &str, annotations: &[AuditAnnotation], path: &Path, errors: &mut Vec<FieldError>) {
    if annotations.len() > ANNOTATIONS_MAX {
        let why = format!("must not have more than {ANNOTATIONS_MAX} auditAnnotations");
        errors.push(FieldError::invalid(path, json!(annotations), why));
    }
    let mut seen = BTreeSet::new();
    for (i, annotation) in annotations.iter().enumerate() {
        let (at, key) = (path.index(i), format!("{name}/{}", annotation.key));
        report(names::qualified_name(&key), &at.child("key"), &key, errors);
        let expression = annotation.value_expression.trim();
        if expression.is_empty() {
            errors.push(FieldError::required(&at.child("valueExpression"), "valueExpression is not specified"));
        } else if expression.len() > ANNOTATION_BYTES_MAX {
            let why = format!("must not exceed {ANNOTATION_BYTES_MAX} bytes in length");
            errors.push(FieldError::required(&at.child("valueExpression"), why));
        }
        if !seen.insert(&annotation.key) {
            errors.push(FieldError::duplicate(&at.child("key"), annotation.key.as_str()));
        }
    }
}
