//! Which failures of pods count for what, and which successes are enough.

use std::collections::BTreeSet;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::batch::v1::{
        JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
        PodFailurePolicyRule, SuccessPolicy, SuccessPolicyRule,
    },
};
use serde_json::json;

use super::indexes;
use crate::names::{not_negative, one_of, qualified_name, report};

type Errors = Vec<FieldError>;

const MOST_RULES: usize = 20;
const MOST_PATTERNS: usize = 20;
const MOST_EXIT_CODES: usize = 255;
const LONGEST_INDEXES: usize = 64 * 1024;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const OPERATORS: [&str; 2] = ["In", "NotIn"];

pub fn failure(policy: &PodFailurePolicy, spec: &JobSpec, path: &Path, errors: &mut Errors) {
    let path = path.child("rules");
    if policy.rules.len() > MOST_RULES {
        errors.push(FieldError::too_many(&path, policy.rules.len(), MOST_RULES));
    }
    for (i, rule) in policy.rules.iter().enumerate() {
        failure_rule(rule, spec, &path.index(i), errors);
    }
}

fn failure_rule(rule: &PodFailurePolicyRule, spec: &JobSpec, path: &Path, errors: &mut Errors) {
    let at = path.child("action");
    if rule.action == "FailIndex" && spec.backoff_limit_per_index.is_none() {
        let why = "requires the backoffLimitPerIndex to be set";
        errors.push(FieldError::invalid(&at, rule.action.as_str(), why));
    }
    choice(&rule.action, &ACTIONS, &at, errors);
    let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
    if let Some(codes) = &rule.on_exit_codes {
        exit_codes(codes, spec, &path.child("onExitCodes"), errors);
    }
    conditions(patterns, &path.child("onPodConditions"), errors);
    let why = match (&rule.on_exit_codes, patterns.is_empty()) {
        (Some(_), false) => "specifying both OnExitCodes and OnPodConditions is not supported",
        (None, true) => "specifying one of OnExitCodes and OnPodConditions is required",
        _ => return,
    };
    errors.push(FieldError::invalid_as_a_whole(path, why));
}

/// One of `supported`, which the error about a missing one lists as Go shows a list.
fn choice(text: &str, supported: &[&str], path: &Path, errors: &mut Errors) {
    if text.is_empty() {
        let quoted: Vec<_> = supported.iter().map(|s| format!("{s:?}")).collect();
        errors.push(FieldError::required(path, format!("valid values: [{}]", quoted.join(" "))));
    } else {
        one_of(text, supported, path, errors);
    }
}

fn conditions(patterns: &[PodFailurePolicyOnPodConditionsPattern], path: &Path, errors: &mut Errors) {
    if patterns.len() > MOST_PATTERNS {
        errors.push(FieldError::too_many(path, patterns.len(), MOST_PATTERNS));
    }
    for (i, pattern) in patterns.iter().enumerate() {
        let at = path.index(i);
        report(qualified_name(&pattern.type_), &at.child("type"), &pattern.type_, errors);
        choice(pattern.status.as_deref().unwrap_or_default(), &STATUSES, &at.child("status"), errors);
    }
}

fn exit_codes(codes: &PodFailurePolicyOnExitCodesRequirement, spec: &JobSpec, path: &Path, errors: &mut Errors) {
    choice(&codes.operator, &OPERATORS, &path.child("operator"), errors);
    let pod = spec.template.spec.as_ref();
    if let Some(name) = &codes.container_name {
        let mut containers =
            pod.into_iter().flat_map(|p| p.containers.iter().chain(p.init_containers.iter().flatten()));
        if !containers.any(|c| c.name == *name) {
            errors.push(FieldError::invalid(
                &path.child("containerName"),
                name.as_str(),
                "must be one of the container or initContainer names in the pod template",
            ));
        }
    }
    let path = path.child("values");
    if codes.values.is_empty() {
        errors.push(FieldError::invalid(&path, json!(codes.values), "at least one value is required"));
    } else if codes.values.len() > MOST_EXIT_CODES {
        errors.push(FieldError::too_many(&path, codes.values.len(), MOST_EXIT_CODES));
    }
    let mut seen = BTreeSet::new();
    for (i, code) in codes.values.iter().enumerate() {
        if codes.operator == "In" && *code == 0 {
            errors.push(FieldError::invalid(&path.index(i), *code, "must not be 0 for the In operator"));
        }
        if !seen.insert(code) {
            errors.push(FieldError::duplicate(&path.index(i), *code));
        }
    }
    if !codes.values.is_sorted() {
        errors.push(FieldError::invalid(&path, json!(codes.values), "must be ordered"));
    }
}

pub fn success(policy: &SuccessPolicy, completions: i32, path: &Path, errors: &mut Errors) {
    let path = path.child("rules");
    if policy.rules.is_empty() {
        let why = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(&path, why));
    } else if policy.rules.len() > MOST_RULES {
        errors.push(FieldError::too_many(&path, policy.rules.len(), MOST_RULES));
    }
    for (i, rule) in policy.rules.iter().enumerate() {
        success_rule(rule, completions, &path.index(i), errors);
    }
}

fn success_rule(rule: &SuccessPolicyRule, completions: i32, path: &Path, errors: &mut Errors) {
    if rule.succeeded_count.is_none() && rule.succeeded_indexes.is_none() {
        errors.push(FieldError::required(path, "at least one of succeededCount or succeededIndexes must be specified"));
    }
    let mut listed = 0;
    if let Some(text) = &rule.succeeded_indexes {
        let at = path.child("succeededIndexes");
        if text.len() > LONGEST_INDEXES {
            errors.push(FieldError::too_long(&at, LONGEST_INDEXES));
        }
        match indexes::parse(text, completions) {
            Ok(ranges) => listed = indexes::count(&ranges),
            Err(why) => {
                let why = format!("error parsing succeededIndexes: {why}");
                errors.push(FieldError::invalid(&at, text.as_str(), why));
            }
        }
    }
    let Some(count) = rule.succeeded_count else { return };
    let at = path.child("succeededCount");
    not_negative(count.into(), &at, errors);
    if count > completions {
        let why = format!("must be less than or equal to {completions} (the number of specified completions)");
        errors.push(FieldError::invalid(&at, count, why));
    }
    if rule.succeeded_indexes.is_some() && i64::from(count) > listed {
        let why = format!(
            "must be less than or equal to {listed} (the number of indexes in the specified succeededIndexes field)"
        );
        errors.push(FieldError::invalid(&at, count, why));
    }
}
