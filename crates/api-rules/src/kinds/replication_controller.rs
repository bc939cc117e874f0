//! ReplicationController: the oldest workload, with a plain map of labels for its selector.

use std::collections::BTreeMap;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1::{self, PodTemplateSpec},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{pod, workload};
use crate::{
    kind::{Names, ScalePaths, Scope, SelectorPath, Storage, Subresource},
    table::{cells, duration},
    typed::{GET_PATCH_UPDATE, Resource},
    value,
};

pub struct ReplicationController;

impl Resource for ReplicationController {
    type Object = v1::ReplicationController;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "ReplicationController",
        list_kind: "ReplicationControllerList",
        plural: "replicationcontrollers",
        singular: "replicationcontroller",
        short_names: &["rc"],
        categories: &["all"],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "controllers", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[
        workload::SCALE_SUBRESOURCE,
        Subresource {
            name: "status",
            group: "",
            version: "v1",
            kind: "ReplicationController",
            verbs: GET_PATCH_UPDATE,
        },
    ];
    const SCALE: Option<ScalePaths> =
        Some(ScalePaths { selector: SelectorPath::Labels(&["spec", "selector"]), ..workload::SCALE });
    const FIELDS: &'static [&'static str] = &["status.replicas"];
    const GENERATION: bool = true;
    const STATUS_COUNTS: &'static [&'static str] = &["replicas"];

    fn set_defaults(object: &mut Value) {
        if value::at(object, &["spec", "template"]).is_some() {
            workload::default_template(object);
        }
        let spec = value::child(object, "spec");
        value::default(spec, "replicas", 1);
        let labels = value::at(spec, &["template", "metadata", "labels"]).cloned();
        let Some(labels) = labels.filter(|l| !is_empty(Some(l))) else { return };
        if is_empty(spec.get("selector")) {
            value::set(spec, &["selector"], labels.clone());
        }
        if is_empty(value::at(object, &["metadata", "labels"])) {
            value::set(object, &["metadata", "labels"], labels);
        }
    }

    fn validate(object: &v1::ReplicationController, errors: &mut Vec<FieldError>) {
        let path = Path::new("spec");
        let empty = v1::ReplicationControllerSpec::default();
        let spec = object.spec.as_ref().unwrap_or(&empty);
        workload::validate_counts(&[("minReadySeconds", spec.min_ready_seconds)], &path, errors);
        let selector = spec.selector.clone().unwrap_or_default();
        if selector.is_empty() {
            errors.push(FieldError::required(&path.child("selector"), ""));
        }
        match spec.replicas {
            Some(_) => workload::validate_counts(&[("replicas", spec.replicas)], &path, errors),
            None => errors.push(FieldError::required(&path.child("replicas"), "")),
        }
        let at = path.child("template");
        match &spec.template {
            Some(template) => validate_template(template, &selector, &at, errors),
            None => errors.push(FieldError::required(&at, "")),
        }
    }

    fn validate_update(
        new: &v1::ReplicationController,
        _: &v1::ReplicationController,
        subresource: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        if let (Some("status"), Some(status)) = (subresource, &new.status) {
            workload::Replicas {
                replicas: status.replicas,
                fully_labeled: status.fully_labeled_replicas,
                ready: status.ready_replicas,
                available: status.available_replicas,
            }
            .validate(errors);
        }
    }

    fn warnings(object: &v1::ReplicationController) -> Vec<String> {
        let mut warnings = workload::name_warning(&object.metadata);
        warnings.extend(workload::template_warnings(object.spec.as_ref().and_then(|s| s.template.as_ref())));
        warnings
    }

    fn field(object: &Value, field: &str) -> String {
        value::at(object, &field.split('.').collect::<Vec<_>>()).map_or_else(|| "0".to_owned(), value::plain)
    }

    fn cells(object: &v1::ReplicationController, now: Timestamp) -> Vec<Value> {
        let status = object.status.clone().unwrap_or_default();
        let spec = object.spec.as_ref();
        let [names, images] = cells::containers(spec.and_then(|s| s.template.as_ref()));
        vec![
            cells::name(&object.metadata),
            spec.and_then(|s| s.replicas).unwrap_or(0).into(),
            status.replicas.into(),
            status.ready_replicas.unwrap_or(0).into(),
            duration::age(&object.metadata, now),
            names,
            images,
            cells::labels(spec.and_then(|s| s.selector.as_ref())).into(),
        ]
    }
}

fn is_empty(labels: Option<&Value>) -> bool {
    labels.and_then(Value::as_object).is_none_or(|labels| labels.is_empty())
}

fn validate_template(
    template: &PodTemplateSpec,
    selector: &BTreeMap<String, String>,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    let labels = template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
    if selector.iter().any(|(key, wanted)| labels.get(key) != Some(wanted)) {
        errors.push(FieldError::invalid(
            &path.child("metadata").child("labels"),
            json!(labels),
            "`selector` does not match template `labels`",
        ));
    }
    pod::validation::template(template, path, errors);
    if let Some(spec) = &template.spec {
        workload::validate_endless(spec, "ReplicationController", &path.child("spec"), errors);
    }
}
