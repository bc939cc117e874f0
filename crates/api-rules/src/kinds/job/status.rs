//! What the status of a Job may become: numbers that make sense, and ends that stay what they are.

use std::collections::BTreeSet;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus},
};
use serde_json::json;

use super::{has, indexes, is_indexed};
use crate::kinds::workload::validate_counts;

type Errors = Vec<FieldError>;

/// Conditions that, once true, are true for ever.
const TERMINAL: [&str; 4] = ["Complete", "Failed", "FailureTarget", "SuccessCriteriaMet"];
/// Pairs of conditions that contradict each other, and upstream's words for it.
const CONTRADICTIONS: [(&str, &str, &str); 4] = [
    ("Complete", "Failed", "cannot set Complete=True and Failed=true conditions"),
    ("Complete", "FailureTarget", "cannot set Complete=True and FailureTarget=true conditions"),
    ("SuccessCriteriaMet", "Failed", "cannot set Failed=True and SuccessCriteriaMet=true conditions"),
    ("SuccessCriteriaMet", "FailureTarget", "cannot set FailureTarget=true and SuccessCriteriaMet=true conditions"),
];

pub fn validate(new: &Job, old: &Job, errors: &mut Errors) {
    let status = new.status.clone().unwrap_or_default();
    let before = old.status.clone().unwrap_or_default();
    let path = Path::new("status");
    let counts = [
        ("active", status.active),
        ("succeeded", status.succeeded),
        ("failed", status.failed),
        ("ready", status.ready),
        ("terminating", status.terminating),
    ];
    validate_counts(&counts, &path, errors);
    uncounted(&status, &path.child("uncountedTerminatedPods"), errors);
    if status == before {
        return;
    }
    conditions(&status, &before, &path.child("conditions"), errors);
    times(&status, &path, errors);
    if has(&status, "Complete") || has(&status, "Failed") {
        finished(&status, &path, errors);
    }
    if let Some(spec) = &new.spec {
        validate_indexes(&status, spec, &path, errors);
    }
    if let Some(ready) = status.ready.filter(|ready| *ready > status.active.unwrap_or(0)) {
        errors.push(FieldError::invalid(&path.child("ready"), ready, "cannot set more ready pods than active"));
    }
    counters(&status, &before, new.spec.as_ref().is_some_and(is_indexed), &path, errors);
}

fn uncounted(status: &JobStatus, path: &Path, errors: &mut Errors) {
    let Some(pods) = &status.uncounted_terminated_pods else { return };
    let mut seen = BTreeSet::new();
    for (member, uids) in [("succeeded", &pods.succeeded), ("failed", &pods.failed)] {
        for (i, uid) in uids.iter().flatten().enumerate() {
            let at = path.child(member).index(i);
            if uid.is_empty() {
                errors.push(FieldError::invalid(&at, "", "must not be empty"));
            } else if !seen.insert(uid) {
                errors.push(FieldError::duplicate(&at, uid.as_str()));
            }
        }
    }
}

fn conditions(status: &JobStatus, before: &JobStatus, path: &Path, errors: &mut Errors) {
    let mut refuse = |why: String| errors.push(FieldError::invalid_as_a_whole(path, why));
    for (one, other, why) in CONTRADICTIONS {
        if has(status, one) && has(status, other) {
            refuse(why.to_owned());
        }
    }
    if has(status, "Failed") && !has(status, "FailureTarget") && !has(before, "Failed") {
        refuse("cannot set Failed=True condition without the FailureTarget=true condition".to_owned());
    }
    if has(status, "Complete") && !has(status, "SuccessCriteriaMet") && !has(before, "Complete") {
        refuse("cannot set Complete=True condition without the SuccessCriteriaMet=true condition".to_owned());
    }
    for condition in TERMINAL.into_iter().filter(|c| has(before, c) && !has(status, c)) {
        refuse(format!("cannot disable the terminal {condition}=True condition"));
    }
}

fn times(status: &JobStatus, path: &Path, errors: &mut Errors) {
    let at = path.child("completionTime");
    match (&status.completion_time, has(status, "Complete")) {
        (Some(time), false) => {
            let why = "cannot set completionTime when there is no Complete=True condition";
            errors.push(FieldError::invalid(&at, json!(time), why));
        }
        (None, true) => errors.push(FieldError::required(&at, "completionTime is required for Complete jobs")),
        _ => {}
    }
    if let (Some(start), Some(end)) = (&status.start_time, &status.completion_time)
        && end.0 < start.0
    {
        errors.push(FieldError::invalid(&at, json!(end), "completionTime cannot be set before startTime"));
    }
}

fn finished(status: &JobStatus, path: &Path, errors: &mut Errors) {
    for (member, count) in [("active", status.active), ("terminating", status.terminating)] {
        if let Some(count) = count.filter(|count| *count > 0) {
            let why = format!("{member}>0 is invalid for finished job");
            errors.push(FieldError::invalid(&path.child(member), count, why));
        }
    }
    if status.start_time.is_none() {
        errors.push(FieldError::required(&path.child("startTime"), "startTime is required for finished job"));
    }
    if let Some(pods) = &status.uncounted_terminated_pods
        && [&pods.succeeded, &pods.failed].into_iter().flatten().any(|uids| !uids.is_empty())
    {
        errors.push(FieldError::invalid(
            &path.child("uncountedTerminatedPods"),
            json!(pods),
            "uncountedTerminatedPods needs to be empty for finished job",
        ));
    }
}

fn validate_indexes(status: &JobStatus, spec: &JobSpec, path: &Path, errors: &mut Errors) {
    let completed = status.completed_indexes.as_deref().unwrap_or_default();
    let mut refuse = |member: &str, text: &str, why: String| {
        errors.push(FieldError::invalid(&path.child(member), text, why));
    };
    if !completed.is_empty() && !is_indexed(spec) {
        let why = "cannot set non-empty completedIndexes when non-indexed completion mode";
        refuse("completedIndexes", completed, why.to_owned());
    }
    if let (Some(failed), None) = (&status.failed_indexes, spec.backoff_limit_per_index) {
        let why = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        refuse("failedIndexes", failed, why.to_owned());
    }
    let Some(completions) = spec.completions.filter(|_| is_indexed(spec)) else { return };
    let failed = status.failed_indexes.as_deref().unwrap_or_default();
    let mut read = |member: &str, text: &str| match indexes::parse(text, completions) {
        Ok(ranges) => ranges,
        Err(why) => {
            refuse(member, text, format!("error parsing {member}: {why}"));
            Vec::new()
        }
    };
    let both = (read("completedIndexes", completed), read("failedIndexes", failed));
    if let Some(index) = indexes::overlap(&both.0, &both.1) {
        refuse("failedIndexes", failed, format!("failedIndexes and completedIndexes overlap at index: {index}"));
    }
}

/// What has ended does not run again; but an indexed Job that shrinks counts fewer successes.
fn counters(status: &JobStatus, before: &JobStatus, indexed: bool, path: &Path, errors: &mut Errors) {
    let succeeded = ("succeeded", status.succeeded, before.succeeded.filter(|_| !indexed));
    for (member, new, old) in [succeeded, ("failed", status.failed, before.failed)] {
        if new.unwrap_or(0) < old.unwrap_or(0) {
            let why = format!("cannot decrease the {member} counter");
            errors.push(FieldError::invalid(&path.child(member), new.unwrap_or(0), why));
        }
    }
}
