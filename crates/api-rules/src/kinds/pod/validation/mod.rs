//! What a pod, or a template of pods, may say: upstream's `ValidatePodSpec` and what hangs below it, a file per topic.

mod containers;
mod dns;
mod env;
mod handlers;
mod mounts;
mod resize;
pub mod resources;
pub mod scheduling;
mod security_context;
mod status;
pub mod update;
pub mod volumes;

use std::collections::BTreeSet;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec},
};

use crate::{
    metadata,
    names::{self, not_negative, one_of, report},
};

type Errors = Vec<FieldError>;

/// The labels, annotations and spec of a template.
pub fn template(template: &PodTemplateSpec, path: &Path, errors: &mut Errors) {
    if let Some(meta) = &template.metadata {
        metadata::validate_labels(meta.labels.as_ref(), &path.child("labels"), errors);
        metadata::validate_annotations(meta.annotations.as_ref(), &path.child("annotations"), errors);
    }
    let spec = path.child("spec");
    match &template.spec {
        Some(pod) => {
            pod_spec(pod, &spec, errors);
            if pod.ephemeral_containers.as_ref().is_some_and(|e| !e.is_empty()) {
                errors.push(FieldError::forbidden(
                    &spec.child("ephemeralContainers"),
                    "ephemeral containers not allowed in pod template",
                ));
            }
        }
        None => errors.push(FieldError::required(&spec.child("containers"), "")),
    }
}

pub fn pod_spec(spec: &PodSpec, path: &Path, errors: &mut Errors) {
    let volumes = volumes::validate(spec.volumes.as_deref().unwrap_or_default(), &path.child("volumes"), errors);
    containers::validate(spec, &volumes, path, errors);
    let choice = |text: &Option<String>, member: &str, supported: &[&str], errors: &mut Errors| match text.as_deref() {
        None | Some("") => errors.push(FieldError::required(&path.child(member), "")),
        Some(text) => one_of(text, supported, &path.child(member), errors),
    };
    choice(&spec.restart_policy, "restartPolicy", &["Always", "OnFailure", "Never"], errors);
    choice(&spec.dns_policy, "dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], errors);
    metadata::validate_labels(spec.node_selector.as_ref(), &path.child("nodeSelector"), errors);
    identity(spec, path, errors);
    times(spec, path, errors);
    dns::validate(spec, path, errors);
    scheduling::validate(spec, path, errors);
    if let Some(context) = &spec.security_context {
        security_context::pod(context, spec, &path.child("securityContext"), errors);
    }
    if let Some(resources) = &spec.resources {
        resources::validate(resources, &path.child("resources"), errors);
    }
    for (i, secret) in spec.image_pull_secrets.iter().flatten().enumerate() {
        if secret.name.is_empty() {
            errors.push(FieldError::required(&path.child("imagePullSecrets").index(i).child("name"), ""));
        }
    }
    if let Some(overhead) = &spec.overhead {
        resources::list(overhead, &path.child("overhead"), errors);
    }
}

/// Names of other things a pod refers to.
fn identity(spec: &PodSpec, path: &Path, errors: &mut Errors) {
    let mut named = |text: &Option<String>, member: &str, rule: fn(&str) -> Vec<String>| {
        if let Some(text) = text.as_deref().filter(|t| !t.is_empty()) {
            report(rule(text), &path.child(member), text, errors);
        }
    };
    named(&spec.service_account_name, "serviceAccountName", names::dns_subdomain);
    named(&spec.node_name, "nodeName", names::dns_subdomain);
    named(&spec.hostname, "hostname", names::dns_label);
    named(&spec.subdomain, "subdomain", names::dns_label);
    named(&spec.priority_class_name, "priorityClassName", names::dns_subdomain);
    named(&spec.runtime_class_name, "runtimeClassName", names::dns_subdomain);
    if let Some(policy) = spec.preemption_policy.as_deref() {
        one_of(policy, &["Never", "PreemptLowerPriority"], &path.child("preemptionPolicy"), errors);
    }
    if let Some(os) = &spec.os {
        let at = path.child("os").child("name");
        if os.name.is_empty() {
            errors.push(FieldError::required(&at, "cannot be empty"));
        } else {
            one_of(&os.name, &["linux", "windows"], &at, errors);
        }
    }
    for (i, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let at = path.child("readinessGates").index(i).child("conditionType");
        report(names::qualified_name(&gate.condition_type), &at, &gate.condition_type, errors);
    }
    let mut seen = BTreeSet::new();
    for (i, gate) in spec.scheduling_gates.iter().flatten().enumerate() {
        let at = path.child("schedulingGates").index(i);
        report(names::qualified_name(&gate.name), &at, &gate.name, errors);
        if !seen.insert(&gate.name) {
            errors.push(FieldError::duplicate(&at, gate.name.as_str()));
        }
    }
    if spec.scheduling_gates.as_ref().is_some_and(|g| !g.is_empty())
        && spec.node_name.as_ref().is_some_and(|n| !n.is_empty())
    {
        errors.push(FieldError::forbidden(
            &path.child("nodeName"),
            "cannot be set until all schedulingGates have been cleared",
        ));
    }
}

fn times(spec: &PodSpec, path: &Path, errors: &mut Errors) {
    if let Some(seconds) = spec.active_deadline_seconds
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        errors.push(FieldError::invalid(
            &path.child("activeDeadlineSeconds"),
            seconds,
            format!("must be between 1 and {}, inclusive", i32::MAX),
        ));
    }
    if let Some(seconds) = spec.termination_grace_period_seconds {
        not_negative(seconds, &path.child("terminationGracePeriodSeconds"), errors);
    }
}
