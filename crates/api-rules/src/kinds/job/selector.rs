//! The selector that a Job gets from the server, so that no two Jobs select the same pods.

use std::collections::BTreeMap;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::batch::v1::{self, JobSpec},
    selector::Selector,
};
use serde_json::{Value, json};

use crate::{
    kinds::{validate_label_selector, workload},
    value,
};

pub const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
pub const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// The same labels as they were called before.
const OLD_CONTROLLER_UID: &str = "controller-uid";
const OLD_JOB_NAME: &str = "job-name";

/// Labels the template with uid and name, and selects by the uid. What the user set stays, to be refused if it is wrong.
pub fn generate(object: &mut Value) {
    if value::at(object, &["spec", "manualSelector"]) == Some(&json!(true)) {
        return;
    }
    let labels_of = |object: &Value, path: &[&str]| value::at(object, path).cloned().unwrap_or_else(|| json!({}));
    let (of_job, of_pods) =
        (labels_of(object, &["metadata", "labels"]), labels_of(object, &["spec", "template", "metadata", "labels"]));
    let own = |member: &str| value::at(object, &["metadata", member]).cloned().unwrap_or_else(|| "".into());
    let (name, uid) = (own("name"), own("uid"));
    let spec = value::child(object, "spec");
    let labels = value::child(value::child(value::child(spec, "template"), "metadata"), "labels");
    for (label, text) in [(JOB_NAME, &name), (OLD_JOB_NAME, &name), (CONTROLLER_UID, &uid), (OLD_CONTROLLER_UID, &uid)]
    {
        value::default(labels, label, text.clone());
    }
    let labels = labels.clone();
    value::default(value::child(value::child(spec, "selector"), "matchLabels"), CONTROLLER_UID, uid);
    // A Job without labels of its own has those of its pods, these included.
    if of_job == json!({}) || of_job == of_pods {
        value::set(object, &["metadata", "labels"], labels);
    }
}

/// The form of the selector, and that it fits the template.
pub fn validate(spec: &JobSpec, path: &Path, errors: &mut Vec<FieldError>) {
    let at = path.child("selector");
    match &spec.selector {
        None => errors.push(FieldError::required(&at, "")),
        Some(selector) => {
            validate_label_selector(selector, &at, errors);
            workload::validate_selects(selector, &spec.template, &path.child("template"), errors);
        }
    }
}

/// A selector that the server was to generate must be the one that it generates. Jobs from before the labels got
/// their prefix (`prefixed` is false) may lack the newer ones.
pub fn validate_generated(job: &v1::Job, prefixed: bool, errors: &mut Vec<FieldError>) {
    let Some(spec) = job.spec.as_ref().filter(|s| s.manual_selector != Some(true)) else { return };
    let Some(selector) = &spec.selector else { return };
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    let name = job.metadata.name.as_deref().unwrap_or_default();
    if uid.is_empty() {
        errors.push(FieldError::required(&Path::new("metadata").child("uid"), ""));
    }
    let mut expected = vec![(OLD_CONTROLLER_UID, uid), (OLD_JOB_NAME, name)];
    if prefixed {
        expected.extend([(CONTROLLER_UID, uid), (JOB_NAME, name)]);
    }
    let labels = spec.template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
    let path = Path::new("spec").child("template").child("metadata").child("labels");
    for (key, wanted) in &expected {
        let why = format!("must be '{wanted}'");
        match labels.get(*key) {
            None => errors.push(FieldError::required(&path.key(key), why)),
            Some(found) if found != wanted => errors.push(FieldError::invalid(&path.key(key), json!(labels), why)),
            Some(_) => {}
        }
    }
    let expected: BTreeMap<_, _> = expected.into_iter().map(|(key, text)| (key.to_owned(), text.to_owned())).collect();
    if Selector::from_label_selector(selector).is_ok_and(|s| !s.matches(&expected)) {
        let at = Path::new("spec").child("selector");
        errors.push(FieldError::invalid(&at, json!(selector), "`selector` not auto-generated"));
    }
}
