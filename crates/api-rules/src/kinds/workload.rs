//! What the kinds share that keep copies of a pod: a selector, a template, a count.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::{api::core::v1::PodTemplateSpec, apimachinery::pkg::apis::meta::v1::LabelSelector},
    selector::Selector,
};
use serde_json::{Value, json};

use super::{pod, validate_label_selector};
use crate::{
    kind::{ScalePaths, SelectorPath, Subresource},
    names::not_negative,
    typed::GET_PATCH_UPDATE,
    value,
};

/// How `scale` finds its numbers in workloads.
pub const SCALE: ScalePaths = ScalePaths {
    spec_replicas: &["spec", "replicas"],
    status_replicas: &["status", "replicas"],
    selector: SelectorPath::Selector(&["spec", "selector"]),
};

/// The `scale` subresource.
pub const SCALE_SUBRESOURCE: Subresource =
    Subresource { name: "scale", group: "autoscaling", version: "v1", kind: "Scale", verbs: GET_PATCH_UPDATE };

/// The defaults of `spec.template`.
pub fn default_template(object: &mut Value) {
    let template = value::child(value::child(object, "spec"), "template");
    value::default(template, "metadata", json!({}));
    pod::defaults::pod_spec(value::child(template, "spec"));
}

/// On the status subresource, labels stay as they are.
pub fn keep_labels(new: &mut Value, old: &Value, subresource: Option<&str>) {
    if subresource == Some("status") {
        value::copy(new, old, &["metadata", "labels"]);
    }
}

/// Selector and template of a workload whose pods always restart.
pub fn validate(
    selector: &LabelSelector,
    template: Option<&PodTemplateSpec>,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    let at = path.child("selector");
    validate_label_selector(selector, &at, errors);
    let empty = selector.match_labels.as_ref().is_none_or(|l| l.is_empty())
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty);
    if empty {
        errors.push(FieldError::invalid(&at, json!(selector), "empty selector is invalid for deployment"));
    }
    let at = path.child("template");
    let Some(template) = template else {
        errors.push(FieldError::required(&at, ""));
        return;
    };
    if !empty {
        let labels = template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
        if Selector::from_label_selector(selector).is_ok_and(|s| !s.matches(&labels)) {
            errors.push(FieldError::invalid(
                &at.child("metadata").child("labels"),
                json!(labels),
                "`selector` does not match template `labels`",
            ));
        }
    }
    pod::validation::template(template, &at, errors);
    let Some(spec) = &template.spec else { return };
    let at = at.child("spec");
    if spec.restart_policy.as_deref() != Some("Always") {
        errors.push(FieldError::not_supported(
            &at.child("restartPolicy"),
            spec.restart_policy.clone().unwrap_or_default(),
            &["Always"],
        ));
    }
    if spec.active_deadline_seconds.is_some() {
        errors.push(FieldError::forbidden(
            &at.child("activeDeadlineSeconds"),
            "activeDeadlineSeconds in ReplicaSet is not Supported",
        ));
    }
}

pub fn validate_counts(counts: &[(&str, Option<i32>)], path: &Path, errors: &mut Vec<FieldError>) {
    for (member, count) in counts {
        not_negative(count.unwrap_or(0).into(), &path.child(member), errors);
    }
}

/// A selector is for ever: changing it would orphan pods.
pub fn validate_selector_kept(new: Option<&LabelSelector>, old: Option<&LabelSelector>, errors: &mut Vec<FieldError>) {
    if new != old {
        errors.push(FieldError::invalid(&Path::new("spec").child("selector"), json!(new), "field is immutable"));
    }
}
