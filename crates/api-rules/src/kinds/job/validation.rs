//! What the spec of a Job, or of a CronJob's Jobs, may say; the selector is not looked at.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::batch::v1::JobSpec,
};
use serde_json::json;

use super::{is_indexed, policies};
use crate::{
    kinds::{pod, workload::validate_counts},
    names::{not_negative, one_of, qualified_name, report},
};

type Errors = Vec<FieldError>;

/// Indexed Jobs keep their indexes in their status, which bounds them.
const MOST_AT_ONCE: i32 = 100_000;
const MOST_FAILED: i32 = 100_000;
/// From here on a Job with limits per index has to be modest.
const MANY_COMPLETIONS: i32 = 100_000;
const MODEST: i32 = 10_000;
const LONGEST_MANAGER: usize = 63;

pub fn spec(spec: &JobSpec, path: &Path, errors: &mut Errors) {
    let counts = [
        ("parallelism", spec.parallelism),
        ("completions", spec.completions),
        ("backoffLimit", spec.backoff_limit),
        ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished),
        ("backoffLimitPerIndex", spec.backoff_limit_per_index),
        ("maxFailedIndexes", spec.max_failed_indexes),
    ];
    validate_counts(&counts, path, errors);
    not_negative(spec.active_deadline_seconds.unwrap_or(0), &path.child("activeDeadlineSeconds"), errors);
    if spec.max_failed_indexes.is_some() && spec.backoff_limit_per_index.is_none() {
        let at = path.child("backoffLimitPerIndex");
        errors.push(FieldError::required(&at, "when maxFailedIndexes is specified"));
    }
    if let Some(manager) = &spec.managed_by {
        managed_by(manager, &path.child("managedBy"), errors);
    }
    let mode = spec.completion_mode.as_deref().unwrap_or("NonIndexed");
    one_of(mode, &["NonIndexed", "Indexed"], &path.child("completionMode"), errors);
    match mode {
        "Indexed" => indexed(spec, path, errors),
        "NonIndexed" => {
            for (member, count) in &counts[4..] {
                if let Some(count) = count {
                    errors.push(FieldError::invalid(&path.child(member), *count, "requires indexed completion mode"));
                }
            }
        }
        _ => {}
    }
    if let Some(policy) = &spec.pod_failure_policy {
        policies::failure(policy, spec, &path.child("podFailurePolicy"), errors);
    }
    if let Some(policy) = &spec.success_policy {
        let at = path.child("successPolicy");
        if is_indexed(spec) {
            policies::success(policy, spec.completions.unwrap_or(0), &at, errors);
        } else {
            errors.push(FieldError::invalid(&at, json!(policy), "requires indexed completion mode"));
        }
    }
    if let Some(policy) = &spec.pod_replacement_policy {
        let supported: &[&str] = match spec.pod_failure_policy {
            Some(_) => &["Failed"],
            None => &["Failed", "TerminatingOrFailed"],
        };
        one_of(policy, supported, &path.child("podReplacementPolicy"), errors);
    }
    pod::validation::template(&spec.template, &path.child("template"), errors);
    restart_policy(spec, &path.child("template").child("spec").child("restartPolicy"), errors);
}

/// A domain and a path, as annotations and finalizers have.
fn managed_by(manager: &str, path: &Path, errors: &mut Errors) {
    match manager.split_once('/') {
        Some((domain, rest)) if !domain.is_empty() && !rest.is_empty() => {
            report(qualified_name(manager), path, manager, errors);
        }
        _ => {
            errors.push(FieldError::invalid(path, manager, "must be a domain-prefixed path (such as \"acme.io/foo\")"))
        }
    }
    if manager.len() > LONGEST_MANAGER {
        errors.push(FieldError::too_long(path, LONGEST_MANAGER));
    }
}

fn indexed(spec: &JobSpec, path: &Path, errors: &mut Errors) {
    let Some(completions) = spec.completions else {
        errors.push(FieldError::required(&path.child("completions"), "when completion mode is Indexed"));
        return;
    };
    let mut at_most = |member: &str, count: Option<i32>, limit: i32, why: String| {
        if let Some(count) = count.filter(|count| *count > limit) {
            errors.push(FieldError::invalid(&path.child(member), count, why));
        }
    };
    let (parallelism, failed) = (spec.parallelism, spec.max_failed_indexes);
    let why = format!("must be less than or equal to {MOST_AT_ONCE} when completion mode is Indexed");
    at_most("parallelism", parallelism, MOST_AT_ONCE, why);
    at_most("maxFailedIndexes", failed, completions, "must be less than or equal to completions".to_owned());
    at_most("maxFailedIndexes", failed, MOST_FAILED, format!("must be less than or equal to {MOST_FAILED}"));
    if completions <= MANY_COMPLETIONS || spec.backoff_limit_per_index.is_none() {
        return;
    }
    let why = format!(
        "must be less than or equal to {MODEST} when completions are above {MANY_COMPLETIONS} and used with backoff limit per index"
    );
    at_most("parallelism", parallelism, MODEST, why.clone());
    at_most("maxFailedIndexes", failed, MODEST, why);
    if failed.is_none() {
        let why = format!("must be specified when completions is above {MANY_COMPLETIONS}");
        errors.push(FieldError::required(&path.child("maxFailedIndexes"), why));
    }
}

/// `Always` is what one gets by not saying, so it counts as not said.
fn restart_policy(spec: &JobSpec, path: &Path, errors: &mut Errors) {
    let policy = spec.template.spec.as_ref().and_then(|s| s.restart_policy.as_deref()).unwrap_or_default();
    match policy {
        "" | "Always" => errors.push(FieldError::required(path, "valid values: \"OnFailure\", \"Never\"")),
        "OnFailure" if spec.pod_failure_policy.is_some() => errors.push(FieldError::invalid(
            path,
            policy,
            "only \"Never\" is supported when podFailurePolicy is specified",
        )),
        "OnFailure" | "Never" => {}
        other => errors.push(FieldError::not_supported(path, other, &["OnFailure", "Never"])),
    }
}
