//! Where a pod wants to run: affinity, tolerations, spreading.

use std::collections::BTreeSet;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::{
        api::core::v1::{
            NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, PodSpec,
            Toleration, TopologySpreadConstraint,
        },
        apimachinery::pkg::apis::meta::v1::LabelSelector,
    },
};
use serde_json::json;

use super::Errors;
use crate::{
    kinds::{pod::own_labels, validate_label_selector},
    names::{self, one_of, report},
};

pub fn validate(spec: &PodSpec, path: &Path, errors: &mut Errors) {
    tolerations(spec.tolerations.as_deref().unwrap_or_default(), &path.child("tolerations"), errors);
    spreading(
        spec.topology_spread_constraints.as_deref().unwrap_or_default(),
        &path.child("topologySpreadConstraints"),
        errors,
    );
    let Some(affinity) = &spec.affinity else { return };
    let path = path.child("affinity");
    if let Some(node) = &affinity.node_affinity {
        node_affinity(node, &path.child("nodeAffinity"), errors);
    }
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let pod = affinity.pod_affinity.as_ref().map(|a| {
        (
            &a.required_during_scheduling_ignored_during_execution,
            &a.preferred_during_scheduling_ignored_during_execution,
        )
    });
    let anti = affinity.pod_anti_affinity.as_ref().map(|a| {
        (
            &a.required_during_scheduling_ignored_during_execution,
            &a.preferred_during_scheduling_ignored_during_execution,
        )
    });
    for (member, terms) in [("podAffinity", pod), ("podAntiAffinity", anti)] {
        let Some((required, preferred)) = terms else { continue };
        let at = path.child(member);
        for (i, term) in required.iter().flatten().enumerate() {
            pod_term(term, &at.child(REQUIRED).index(i), errors);
        }
        for (i, weighted) in preferred.iter().flatten().enumerate() {
            let at = at.child(PREFERRED).index(i);
            weight(weighted.weight, &at.child("weight"), errors);
            pod_term(&weighted.pod_affinity_term, &at.child("podAffinityTerm"), errors);
        }
    }
}

fn weight(weight: i32, path: &Path, errors: &mut Errors) {
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(path, weight, "must be in the range 1-100"));
    }
}

fn node_affinity(affinity: &NodeAffinity, path: &Path, errors: &mut Errors) {
    if let Some(required) = &affinity.required_during_scheduling_ignored_during_execution {
        node_selector(required, &path.child("requiredDuringSchedulingIgnoredDuringExecution"), errors);
    }
    for (i, preferred) in affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten().enumerate() {
        let at = path.child("preferredDuringSchedulingIgnoredDuringExecution").index(i);
        weight(preferred.weight, &at.child("weight"), errors);
        node_term(&preferred.preference, &at.child("preference"), errors);
    }
}

/// A choice of nodes: any of its terms.
pub fn node_selector(selector: &NodeSelector, path: &Path, errors: &mut Errors) {
    let at = path.child("nodeSelectorTerms");
    if selector.node_selector_terms.is_empty() {
        errors.push(FieldError::required(&at, "must have at least one node selector term"));
    }
    for (i, term) in selector.node_selector_terms.iter().enumerate() {
        node_term(term, &at.index(i), errors);
    }
}

fn node_term(term: &NodeSelectorTerm, path: &Path, errors: &mut Errors) {
    for (i, requirement) in term.match_expressions.iter().flatten().enumerate() {
        let at = path.child("matchExpressions").index(i);
        report(names::qualified_name(&requirement.key), &at.child("key"), &requirement.key, errors);
        node_requirement(requirement, &at, errors);
    }
    for (i, requirement) in term.match_fields.iter().flatten().enumerate() {
        let at = path.child("matchFields").index(i);
        one_of(&requirement.operator, &["In", "NotIn"], &at.child("operator"), errors);
        if requirement.values.as_ref().is_none_or(|v| v.len() != 1) {
            errors.push(FieldError::required(
                &at.child("values"),
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
            ));
        }
        one_of(&requirement.key, &["metadata.name"], &at.child("key"), errors);
    }
}

fn node_requirement(requirement: &NodeSelectorRequirement, path: &Path, errors: &mut Errors) {
    let values = requirement.values.as_deref().unwrap_or_default();
    let at = path.child("values");
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => {
            errors.push(FieldError::required(&at, "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors
                .push(FieldError::forbidden(&at, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
        }
        "Gt" | "Lt" if values.len() != 1 => {
            errors.push(FieldError::required(&at, "must be specified single value when `operator` is 'Lt' or 'Gt'"));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.push(FieldError::invalid(&path.child("operator"), other, "not a valid selector operator")),
    }
}

fn pod_term(term: &PodAffinityTerm, path: &Path, errors: &mut Errors) {
    let selectors: [(&str, &Option<LabelSelector>); 2] =
        [("labelSelector", &term.label_selector), ("namespaceSelector", &term.namespace_selector)];
    for (member, selector) in selectors {
        if let Some(selector) = selector {
            validate_label_selector(selector, &path.child(member), errors);
        }
    }
    let fields = [("matchLabelKeys", &term.match_label_keys), ("mismatchLabelKeys", &term.mismatch_label_keys)];
    own_labels::validate(term.label_selector.as_ref(), fields, path, errors);
    for namespace in term.namespaces.iter().flatten() {
        report(names::dns_label(namespace), &path.child("namespace"), namespace, errors);
    }
    let at = path.child("topologyKey");
    if term.topology_key.is_empty() {
        errors.push(FieldError::required(&at, "can not be empty"));
    }
    report(names::qualified_name(&term.topology_key), &at, &term.topology_key, errors);
}

fn spreading(constraints: &[TopologySpreadConstraint], path: &Path, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (i, constraint) in constraints.iter().enumerate() {
        let at = path.index(i);
        if constraint.max_skew <= 0 {
            errors.push(FieldError::invalid(&at.child("maxSkew"), constraint.max_skew, "must be greater than zero"));
        }
        if constraint.topology_key.is_empty() {
            errors.push(FieldError::required(&at.child("topologyKey"), "can not be empty"));
        } else {
            report(
                names::qualified_name(&constraint.topology_key),
                &at.child("topologyKey"),
                &constraint.topology_key,
                errors,
            );
        }
        one_of(
            &constraint.when_unsatisfiable,
            &["DoNotSchedule", "ScheduleAnyway"],
            &at.child("whenUnsatisfiable"),
            errors,
        );
        if !seen.insert((&constraint.topology_key, &constraint.when_unsatisfiable)) {
            let pair = format!("{{{}, {}}}", constraint.topology_key, constraint.when_unsatisfiable);
            errors.push(FieldError::duplicate(&at.child("{topologyKey, whenUnsatisfiable}"), pair));
        }
        if let Some(least) = constraint.min_domains {
            if least <= 0 {
                errors.push(FieldError::invalid(&at.child("minDomains"), least, "must be greater than zero"));
            }
            if constraint.when_unsatisfiable != "DoNotSchedule" {
                errors.push(FieldError::invalid(
                    &at.child("minDomains"),
                    least,
                    format!(
                        "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {}",
                        constraint.when_unsatisfiable
                    ),
                ));
            }
        }
        for (member, policy) in [
            ("nodeAffinityPolicy", &constraint.node_affinity_policy),
            ("nodeTaintsPolicy", &constraint.node_taints_policy),
        ] {
            if let Some(policy) = policy.as_deref() {
                one_of(policy, &["Honor", "Ignore"], &at.child(member), errors);
            }
        }
        let fields = [("matchLabelKeys", &constraint.match_label_keys), ("mismatchLabelKeys", &None)];
        own_labels::validate(constraint.label_selector.as_ref(), fields, &at, errors);
        if let Some(selector) = &constraint.label_selector {
            validate_label_selector(selector, &at.child("labelSelector"), errors);
        }
    }
}

pub fn tolerations(tolerations: &[Toleration], path: &Path, errors: &mut Errors) {
    for (i, toleration) in tolerations.iter().enumerate() {
        let at = path.index(i);
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let (key, operator, value, effect) =
            (text(&toleration.key), text(&toleration.operator), text(&toleration.value), text(&toleration.effect));
        if !key.is_empty() {
            report(names::qualified_name(&key), &at.child("key"), &key, errors);
        } else if operator != "Exists" {
            errors.push(FieldError::invalid(
                &at.child("operator"),
                operator.as_str(),
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            ));
        }
        if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
            errors.push(FieldError::invalid(
                &at.child("effect"),
                effect.as_str(),
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            ));
        }
        match operator.as_str() {
            "" | "Equal" => report(names::label_value(&value), &at.child("operator"), &value, errors),
            "Exists" if !value.is_empty() => {
                errors.push(FieldError::invalid(
                    &at.child("operator"),
                    json!(toleration),
                    "value must be empty when `operator` is 'Exists'",
                ));
            }
            "Exists" => {}
            other => errors.push(FieldError::not_supported(&at.child("operator"), other, &["Equal", "Exists"])),
        }
        if !effect.is_empty() {
            one_of(&effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"], &at.child("effect"), errors);
        }
    }
}
