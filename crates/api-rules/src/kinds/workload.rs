//! What the kinds share that keep copies of a pod: a selector, a template, a count.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::{
        api::core::v1::{PodSpec, PodTemplateSpec},
        apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
    },
    selector::Selector,
};
use serde_json::{Value, json};

use super::{pod, validate_label_selector};
use crate::{
    kind::{ScalePaths, SelectorPath, Subresource},
    names::{self, not_negative},
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

/// What upstream's messages call a workload.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// Whose empty selector is invalid.
    pub selector: &'static str,
    /// Whose pods may have no deadline.
    pub deadline: &'static str,
}

/// Deployments and replica sets are validated by the same words.
pub const REPLICA_SET: Words = Words { selector: "deployment", deadline: "ReplicaSet" };

/// The defaults of `spec.template`.
pub fn default_template(object: &mut Value) {
    default_pod_template(value::child(value::child(object, "spec"), "template"));
}

/// The defaults of a template of pods.
pub fn default_pod_template(template: &mut Value) {
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
    words: Words,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    let at = path.child("selector");
    validate_label_selector(selector, &at, errors);
    let empty = is_empty(selector);
    if empty {
        errors.push(FieldError::invalid(
            &at,
            json!(selector),
            format!("empty selector is invalid for {}", words.selector),
        ));
    }
    let at = path.child("template");
    let Some(template) = template else {
        errors.push(FieldError::required(&at, ""));
        return;
    };
    if !empty {
        validate_selects(selector, template, &at, errors);
    }
    pod::validation::template(template, &at, errors);
    if let Some(spec) = &template.spec {
        validate_endless(spec, words.deadline, &at.child("spec"), errors);
    }
}

/// Whether a selector says nothing at all.
pub fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(|l| l.is_empty())
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// A workload must select the pods that it makes.
pub fn validate_selects(
    selector: &LabelSelector,
    template: &PodTemplateSpec,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    let labels = template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
    if Selector::from_label_selector(selector).is_ok_and(|s| !s.matches(&labels)) {
        errors.push(FieldError::invalid(
            &path.child("metadata").child("labels"),
            json!(labels),
            "`selector` does not match template `labels`",
        ));
    }
}

/// Pods of most workloads are replaced for ever: they restart always and have no deadline.
pub fn validate_endless(spec: &PodSpec, workload: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if spec.restart_policy.as_deref() != Some("Always") {
        errors.push(FieldError::not_supported(
            &path.child("restartPolicy"),
            spec.restart_policy.clone().unwrap_or_default(),
            &["Always"],
        ));
    }
    if spec.active_deadline_seconds.is_some() {
        errors.push(FieldError::forbidden(
            &path.child("activeDeadlineSeconds"),
            format!("activeDeadlineSeconds in {workload} is not Supported"),
        ));
    }
}

pub fn validate_counts(counts: &[(&str, Option<i32>)], path: &Path, errors: &mut Vec<FieldError>) {
    for (member, count) in counts {
        not_negative(count.unwrap_or(0).into(), &path.child(member), errors);
    }
}

/// Reports `counts` that are greater than `whole`.
pub fn validate_parts(
    counts: &[(&str, Option<i32>)],
    whole: i32,
    why: &str,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    for (member, count) in counts {
        if let Some(count) = count.filter(|c| *c > whole) {
            errors.push(FieldError::invalid(&path.child(member), count, why));
        }
    }
}

/// A selector is for ever: changing it would orphan pods.
pub fn validate_selector_kept(new: Option<&LabelSelector>, old: Option<&LabelSelector>, errors: &mut Vec<FieldError>) {
    if new != old {
        errors.push(FieldError::invalid(&Path::new("spec").child("selector"), json!(new), "field is immutable"));
    }
}

/// The counter of name collisions never goes back.
pub fn validate_collisions(new: Option<i32>, old: Option<i32>, errors: &mut Vec<FieldError>) {
    if let Some(old) = old.filter(|old| new.is_none_or(|new| new < *old)) {
        let shown = new.unwrap_or(0);
        let at = Path::new("status").child("collisionCount");
        if shown < old {
            errors.push(FieldError::invalid(&at, shown, "cannot be decremented"));
        }
    }
}

/// The numbers in the status of a ReplicaSet or ReplicationController.
pub struct Replicas {
    pub replicas: i32,
    pub fully_labeled: Option<i32>,
    pub ready: Option<i32>,
    pub available: Option<i32>,
}

impl Replicas {
    pub fn validate(&self, errors: &mut Vec<FieldError>) {
        let path = Path::new("status");
        let parts = [
            ("fullyLabeledReplicas", self.fully_labeled),
            ("readyReplicas", self.ready),
            ("availableReplicas", self.available),
        ];
        validate_counts(&[("replicas", Some(self.replicas))], &path, errors);
        validate_counts(&parts, &path, errors);
        validate_parts(&parts, self.replicas, "cannot be greater than status.replicas", &path, errors);
        let available = [("availableReplicas", self.available)];
        validate_parts(&available, self.ready.unwrap_or(0), "cannot be greater than readyReplicas", &path, errors);
    }
}

/// What upstream warns of in `spec.template`.
pub fn template_warnings(template: Option<&PodTemplateSpec>) -> Vec<String> {
    let path = Path::new("spec").child("template").child("spec");
    let spec = template.and_then(|t| t.spec.as_ref());
    spec.map(|spec| pod::warnings::of_spec(spec, &path)).unwrap_or_default()
}

/// A name that pods' names and hostnames begin with should fit into both.
pub fn name_warning(meta: &ObjectMeta) -> Vec<String> {
    let name = meta.name.as_deref().unwrap_or_default();
    let wrong = names::dns_label(name);
    if name.is_empty() || wrong.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]",
        wrong.join(" ")
    )]
}
