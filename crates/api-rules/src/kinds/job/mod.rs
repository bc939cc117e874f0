//! Job: pods that run to their end, so many at once, until enough have succeeded.
//!
//! Unless the user takes care of it, a Job selects its pods by its own uid ([`selector`]). What a Job may say is in
//! [`validation`], what may change in one that exists in [`update`], and what its status may become in [`status`].

mod indexes;
mod policies;
pub mod selector;
mod status;
mod update;
pub mod validation;
pub mod warnings;

#[cfg(test)]
mod tests;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::batch::v1::{self, JobSpec, JobStatus},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::workload;
use crate::{
    kind::{Context, Names, Scope, Storage, Subresource},
    names,
    table::{cells, duration},
    typed::{GET_PATCH_UPDATE, Resource},
    value,
};

pub struct Job;

impl Resource for Job {
    type Object = v1::Job;

    const NAMES: Names = Names {
        group: "batch",
        version: "v1",
        kind: "Job",
        list_kind: "JobList",
        plural: "jobs",
        singular: "job",
        short_names: &[],
        categories: &["all"],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "jobs", cached: true });
    const SUBRESOURCES: &'static [Subresource] =
        &[Subresource { name: "status", group: "batch", version: "v1", kind: "Job", verbs: GET_PATCH_UPDATE }];
    const FIELDS: &'static [&'static str] = &["status.successful"];
    const GENERATION: bool = true;

    fn set_defaults(object: &mut Value) {
        set_defaults(object);
    }

    fn prepare_create(object: &mut Value, _: &Context) {
        selector::generate(object);
    }

    fn validate(object: &v1::Job, errors: &mut Vec<FieldError>) {
        let path = Path::new("spec");
        let empty = JobSpec::default();
        let spec = object.spec.as_ref().unwrap_or(&empty);
        validation::spec(spec, &path, errors);
        selector::validate(spec, &path, errors);
        validate_hostnames(&object.metadata.name.clone().unwrap_or_default(), spec, errors);
    }

    fn validate_create(object: &v1::Job, errors: &mut Vec<FieldError>) {
        selector::validate_generated(object, true, errors);
    }

    fn validate_update(new: &v1::Job, old: &v1::Job, subresource: Option<&str>, errors: &mut Vec<FieldError>) {
        match subresource {
            None => update::validate(new, old, errors),
            Some(_) => status::validate(new, old, errors),
        }
    }

    fn warnings(object: &v1::Job) -> Vec<String> {
        let mut all = workload::name_warning(&object.metadata);
        if let Some(spec) = &object.spec {
            all.extend(warnings::of_spec(spec, &Path::new("spec")));
        }
        all
    }

    fn field(object: &Value, _: &str) -> String {
        value::at(object, &["status", "succeeded"]).map_or_else(|| "0".to_owned(), value::plain)
    }

    fn cells(object: &v1::Job, now: Timestamp) -> Vec<Value> {
        let spec = object.spec.as_ref();
        let status = object.status.clone().unwrap_or_default();
        let [names, images] = cells::containers(spec.map(|s| &s.template));
        vec![
            cells::name(&object.metadata),
            phase(object, &status).into(),
            completions(spec, &status).into(),
            took(&status, now).into(),
            duration::age(&object.metadata, now),
            names,
            images,
            cells::selector(spec.and_then(|s| s.selector.as_ref())).into(),
        ]
    }
}

fn set_defaults(object: &mut Value) {
    workload::default_template(object);
    let spec = value::child(object, "spec");
    if spec.get("completions").is_none() && spec.get("parallelism").is_none() {
        value::set(spec, &["completions"], json!(1));
    }
    value::default(spec, "parallelism", 1);
    let backoff = if spec.get("backoffLimitPerIndex").is_some() { i32::MAX } else { 6 };
    value::default(spec, "backoffLimit", backoff);
    value::default(spec, "completionMode", "NonIndexed");
    value::default(spec, "suspend", false);
    let replacement = match spec.get_mut("podFailurePolicy") {
        Some(policy) => {
            value::each(policy, "rules", |rule| {
                value::each(rule, "onPodConditions", |pattern| value::default(pattern, "status", "True"));
            });
            "Failed"
        }
        None => "TerminatingOrFailed",
    };
    value::default(spec, "podReplacementPolicy", replacement);
    let labels = value::at(spec, &["template", "metadata", "labels"]).cloned();
    let has_own = value::at(object, &["metadata", "labels"]).and_then(Value::as_object).is_some_and(|l| !l.is_empty());
    if let (Some(labels), false) = (labels, has_own) {
        value::set(object, &["metadata", "labels"], labels);
    }
}

/// Pods of an indexed Job are called by their numbers, and so are their hosts.
fn validate_hostnames(name: &str, spec: &JobSpec, errors: &mut Vec<FieldError>) {
    let Some(completions) = spec.completions.filter(|n| *n > 0 && is_indexed(spec)) else { return };
    let last = format!("{name}-{}", completions - 1);
    if !names::dns_label(&last).is_empty() {
        errors.push(FieldError::invalid(
            &Path::new("metadata").child("name"),
            name,
            format!("will not able to create pod with invalid DNS label: {last}"),
        ));
    }
}

fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

/// Whether a condition is there and true.
fn has(status: &JobStatus, condition: &str) -> bool {
    status.conditions.iter().flatten().any(|c| c.type_ == condition && c.status == "True")
}

fn phase(job: &v1::Job, status: &JobStatus) -> &'static str {
    if has(status, "Complete") {
        "Complete"
    } else if has(status, "Failed") {
        "Failed"
    } else if job.metadata.deletion_timestamp.is_some() {
        "Terminating"
    } else if has(status, "Suspended") {
        "Suspended"
    } else if has(status, "FailureTarget") {
        "FailureTarget"
    } else if has(status, "SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn completions(spec: Option<&JobSpec>, status: &JobStatus) -> String {
    let succeeded = status.succeeded.unwrap_or(0);
    match (spec.and_then(|s| s.completions), spec.and_then(|s| s.parallelism).unwrap_or(0)) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn took(status: &JobStatus, now: Timestamp) -> String {
    let Some(start) = &status.start_time else { return String::new() };
    let end = status.completion_time.as_ref().map_or(now, |t| t.0);
    duration::human(end.as_second() - start.0.as_second())
}
