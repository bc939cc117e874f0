//! The pods that a job makes, and which of them go first.

use std::{cmp::Reverse, collections::BTreeSet};

use api_types::{
    k8s_openapi::api::batch::v1::Job,
    object::{Object, Watched},
    plan::{Note, Step, Target, Write, reference},
};
use serde_json::{Value, json};

use super::{
    COMPLETION_INDEX, FINALIZER,
    census::{Census, index, index_failures},
    policy::Verdict,
};
use crate::{adoption::controller_reference, view::Pod};

const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// The server adds five characters and cuts what is longer than 63.
const LONGEST_PREFIX: usize = 58;

/// A pod of the job's template; for an Indexed job that of `index`, in the place of `replaced`.
pub(super) fn create(census: &Census<'_>, index: Option<i32>, replaced: Option<&Pod>) -> Step {
    let job = census.wanted.job;
    let mut pod = from_template(job);
    match index {
        None => pod["metadata"]["generateName"] = json!(format!("{}-", job.name())),
        Some(index) => {
            let metadata = &mut pod["metadata"];
            metadata["generateName"] = json!(prefix(job.name(), index));
            metadata["labels"][COMPLETION_INDEX] = json!(index.to_string());
            metadata["annotations"][COMPLETION_INDEX] = json!(index.to_string());
            if census.wanted.backoff_limit_per_index.is_some() {
                let (counted, ignored) = failures(census, replaced);
                metadata["annotations"][FAILURES] = json!(counted.to_string());
                if ignored > 0 {
                    metadata["annotations"][IGNORED_FAILURES] = json!(ignored.to_string());
                }
            }
            pod["spec"]["hostname"] = json!(format!("{}-{index}", job.name()));
            for list in ["containers", "initContainers"] {
                let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
                containers.into_iter().flatten().for_each(tell_index);
            }
        }
    }
    Step::from(Write::Create { resource: Pod::RESOURCE, namespace: job.namespace().to_owned(), object: pod })
        .done(Note::normal(reference(job), "SuccessfulCreate", "Created pod: {name}"))
        .failed(Note::warning(reference(job), "FailedCreate", "Error creating: {error}"))
}

fn from_template(job: &Job) -> Value {
    let template = job.spec.as_ref().map(|spec| &spec.template);
    let mut metadata = json!({"ownerReferences": [controller_reference(job)]});
    let given = template.and_then(|template| template.metadata.as_ref());
    for (field, value) in
        [("labels", given.map(|meta| json!(meta.labels))), ("annotations", given.map(|meta| json!(meta.annotations)))]
    {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            metadata[field] = value;
        }
    }
    let mut finalizers = given.and_then(|meta| meta.finalizers.clone()).unwrap_or_default();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
    }
    metadata["finalizers"] = json!(finalizers);
    let spec = template.and_then(|template| template.spec.as_ref());
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

fn prefix(name: &str, index: i32) -> String {
    let end = format!("-{index}-");
    let kept = name.len().min(LONGEST_PREFIX - end.len());
    format!("{}{end}", name.get(..kept).unwrap_or(name))
}

fn failures(census: &Census<'_>, replaced: Option<&Pod>) -> (i32, i32) {
    let Some(pod) = replaced else { return (0, 0) };
    let (counted, ignored) = index_failures(pod);
    match census.wanted.judge(pod) {
        Verdict::Ignored => (counted, ignored + 1),
        _ => (counted + 1, ignored),
    }
}

/// What the user set under that name stays.
fn tell_index(container: &mut Value) {
    let set = container["env"].as_array().is_some_and(|env| env.iter().any(|item| item["name"] == INDEX_VARIABLE));
    if set {
        return;
    }
    if !container["env"].is_array() {
        container["env"] = json!([]);
    }
    let path = format!("metadata.labels['{COMPLETION_INDEX}']");
    if let Some(env) = container["env"].as_array_mut() {
        env.push(json!({"name": INDEX_VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": path}}}));
    }
}

pub(super) fn delete(job: &Job, pod: &Pod) -> Step {
    Step::from(Write::Delete { target: Target::of(pod), propagation: None, grace_seconds: None })
        .done(Note::normal(reference(job), "SuccessfulDelete", "Deleted pod: {name}"))
        .failed(Note::warning(reference(job), "FailedDelete", "Error deleting: {error}"))
}

/// Active pods that no index needs, and then those with the least progress, up to `at_least` in all.
pub(super) fn surplus<'a>(census: &Census<'a>, at_least: usize) -> Vec<&'a Pod> {
    let mut left = census.active.clone();
    left.sort_by_key(|pod| by_progress(pod));
    let mut surplus = Vec::new();
    if census.wanted.indexed {
        let mut seen = BTreeSet::new();
        // Of several pods of one index the one with the most progress stays.
        let mut kept: Vec<&Pod> = Vec::with_capacity(left.len());
        for pod in left.into_iter().rev() {
            let needed = census.wanted.index(pod).is_some_and(|index| seen.insert(index));
            if needed { kept.push(pod) } else { surplus.push(pod) }
        }
        kept.reverse();
        left = kept;
    }
    let more = at_least.saturating_sub(surplus.len());
    surplus.extend(left.into_iter().take(more));
    surplus
}

/// Less goes first; upstream's `ActivePods`.
fn by_progress(pod: &Pod) -> impl Ord + use<> {
    let phase = match &*pod.status.phase {
        "Running" => 2_u8,
        "Unknown" => 1,
        _ => 0,
    };
    let restarts = pod.status.container_statuses.iter().map(|status| status.restart_count).max().unwrap_or_default();
    (
        !pod.spec.node_name.is_empty(),
        phase,
        pod.ready(),
        Reverse(pod.ready_since()),
        Reverse(restarts),
        Reverse(pod.created()),
        pod.metadata.name.clone(),
    )
}

/// The indexes to make pods for, smallest first, at most `number`.
pub(super) fn pending(census: &Census<'_>, number: usize) -> Vec<i32> {
    let wanted = &census.wanted;
    let waits_for =
        |pod: &&&Pod| pod.active() || (wanted.replaces_failed_only && pod.metadata.deleting() && !pod.finished());
    let taken = census.pods.iter().filter(waits_for).filter_map(|pod| index(pod));
    let mut done = census.completed.with(taken);
    if let Some(failed) = &census.failed_indexes {
        done = done.union(failed);
    }
    done.missing(wanted.size()).take(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_prefixes() {
        assert_eq!(prefix("j", 3), "j-3-");
        assert_eq!(prefix(&"x".repeat(63), 10).len(), LONGEST_PREFIX);
        assert!(prefix(&"x".repeat(63), 10).ends_with("x-10-"));
    }
}
