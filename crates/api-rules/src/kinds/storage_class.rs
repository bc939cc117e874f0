//! StorageClass: how volumes of a class are made. Whoever makes them is named for ever.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::{core::v1::TopologySelectorTerm, storage::v1},
};
use jiff::Timestamp;
use serde_json::Value;

use super::fields::{self, kept};
use crate::{
    kind::{Names, Scope, Storage},
    names::{one_of, report},
    table::duration,
    typed::Resource,
    value,
};

/// Marks the class of claims that name none.
const DEFAULT_ANNOTATION: &str = "storageclass.kubernetes.io/is-default-class";
const DEFAULT_ANNOTATION_BETA: &str = "storageclass.beta.kubernetes.io/is-default-class";

pub struct StorageClass;

impl Resource for StorageClass {
    type Object = v1::StorageClass;

    const NAMES: Names = Names {
        group: "storage.k8s.io",
        version: "v1",
        kind: "StorageClass",
        list_kind: "StorageClassList",
        plural: "storageclasses",
        singular: "storageclass",
        short_names: &["sc"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "storageclasses", cached: true });
    const RETURNS_DELETED: bool = true;

    fn set_defaults(object: &mut Value) {
        value::default(object, "reclaimPolicy", "Delete");
        value::default(object, "volumeBindingMode", "Immediate");
    }

    fn validate(object: &v1::StorageClass, errors: &mut Vec<FieldError>) {
        fields::provisioner(&object.provisioner, &Path::new("provisioner"), errors);
        fields::parameters(object.parameters.as_ref(), &Path::new("parameters"), errors);
        if let Some(policy) = object.reclaim_policy.as_deref().filter(|p| !p.is_empty()) {
            one_of(policy, &["Delete", "Retain"], &Path::new("reclaimPolicy"), errors);
        }
        let at = Path::new("volumeBindingMode");
        match &object.volume_binding_mode {
            Some(mode) => one_of(mode, &["Immediate", "WaitForFirstConsumer"], &at, errors),
            None => errors.push(FieldError::required(&at, "")),
        }
        topologies(object.allowed_topologies.as_deref().unwrap_or_default(), errors);
    }

    fn validate_update(new: &v1::StorageClass, old: &v1::StorageClass, _: Option<&str>, errors: &mut Vec<FieldError>) {
        for (member, changed) in [
            ("parameters", new.parameters != old.parameters),
            ("provisioner", new.provisioner != old.provisioner),
            ("reclaimPolicy", new.reclaim_policy != old.reclaim_policy),
        ] {
            if changed {
                errors.push(FieldError::forbidden(&Path::new(member), format!("updates to {member} are forbidden.")));
            }
        }
        kept(&new.volume_binding_mode, &old.volume_binding_mode, &Path::new("volumeBindingMode"), errors);
    }

    fn warnings(object: &v1::StorageClass) -> Vec<String> {
        let mut warnings = Vec::new();
        for (i, term) in object.allowed_topologies.iter().flatten().enumerate() {
            for (j, expression) in term.match_label_expressions.iter().flatten().enumerate() {
                if let Some((_, label)) = REPLACED_LABELS.iter().find(|(old, _)| *old == expression.key) {
                    warnings.push(format!(
                        "allowedTopologies[{i}].matchLabelExpressions[{j}].key: deprecated since v1.17; use \"{label}\" instead"
                    ));
                }
            }
        }
        warnings
    }

    fn cells(object: &v1::StorageClass, now: Timestamp) -> Vec<Value> {
        let mut name = object.metadata.name.clone().unwrap_or_default();
        if is_default(object) {
            name.push_str(" (default)");
        }
        vec![
            name.into(),
            object.provisioner.as_str().into(),
            object.reclaim_policy.as_deref().unwrap_or("Delete").into(),
            object.volume_binding_mode.as_deref().unwrap_or("Immediate").into(),
            object.allow_volume_expansion.unwrap_or(false).into(),
            duration::age(&object.metadata, now),
        ]
    }
}

const REPLACED_LABELS: [(&str, &str); 2] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
];

fn is_default(object: &v1::StorageClass) -> bool {
    let says = |key: &str| object.metadata.annotations.as_ref().and_then(|a| a.get(key)).is_some_and(|v| v == "true");
    says(DEFAULT_ANNOTATION) || says(DEFAULT_ANNOTATION_BETA)
}

fn topologies(terms: &[TopologySelectorTerm], errors: &mut Vec<FieldError>) {
    let path = Path::new("allowedTopologies");
    for (i, term) in terms.iter().enumerate() {
        let at = path.index(i).child("matchLabelExpressions");
        let expressions = term.match_label_expressions.as_deref().unwrap_or_default();
        if expressions.is_empty() {
            errors.push(FieldError::required(&at, ""));
        }
        for (j, expression) in expressions.iter().enumerate() {
            let at = at.index(j);
            if expression.values.is_empty() {
                errors.push(FieldError::required(&at.child("values"), ""));
            }
            for (k, text) in expression.values.iter().enumerate() {
                if expression.values[..k].contains(text) {
                    errors.push(FieldError::duplicate(&at.child("values").index(k), text.as_str()));
                }
            }
            report(crate::names::qualified_name(&expression.key), &at.child("key"), &expression.key, errors);
            if expressions[..j].iter().any(|other| other.key == expression.key) {
                errors.push(FieldError::duplicate(&at.child("key"), expression.key.as_str()));
            }
        }
        if terms[..i].contains(term) {
            errors.push(FieldError::duplicate(&at, ""));
        }
    }
}
