//! ReplicaSet: a number of pods of one template.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::apps::v1,
};
use jiff::Timestamp;
use serde_json::Value;

use super::workload;
use crate::{
    kind::{Context, Names, ScalePaths, Scope, Storage, Subresource},
    table::{cells, duration},
    typed::{GET_PATCH_UPDATE, Resource},
    value,
};

pub struct ReplicaSet;

impl Resource for ReplicaSet {
    type Object = v1::ReplicaSet;

    const NAMES: Names = Names {
        group: "apps",
        version: "v1",
        kind: "ReplicaSet",
        list_kind: "ReplicaSetList",
        plural: "replicasets",
        singular: "replicaset",
        short_names: &["rs"],
        categories: &["all"],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "replicasets", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[
        workload::SCALE_SUBRESOURCE,
        Subresource { name: "status", group: "apps", version: "v1", kind: "ReplicaSet", verbs: GET_PATCH_UPDATE },
    ];
    const SCALE: Option<ScalePaths> = Some(workload::SCALE);
    const FIELDS: &'static [&'static str] = &["status.replicas"];
    const GENERATION: bool = true;
    const STATUS_COUNTS: &'static [&'static str] = &["replicas"];

    fn set_defaults(object: &mut Value) {
        workload::default_template(object);
        value::default(value::child(object, "spec"), "replicas", 1);
    }

    fn prepare_update(new: &mut Value, old: &Value, subresource: Option<&str>, _: &Context) {
        workload::keep_labels(new, old, subresource);
    }

    fn validate(object: &v1::ReplicaSet, errors: &mut Vec<FieldError>) {
        let path = Path::new("spec");
        let Some(spec) = &object.spec else {
            errors.push(FieldError::required(&path.child("selector"), ""));
            return;
        };
        workload::validate_counts(
            &[("replicas", spec.replicas), ("minReadySeconds", spec.min_ready_seconds)],
            &path,
            errors,
        );
        workload::validate(&spec.selector, spec.template.as_ref(), workload::REPLICA_SET, &path, errors);
    }

    fn validate_update(
        new: &v1::ReplicaSet,
        old: &v1::ReplicaSet,
        subresource: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        workload::validate_selector_kept(
            new.spec.as_ref().map(|s| &s.selector),
            old.spec.as_ref().map(|s| &s.selector),
            errors,
        );
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

    fn warnings(object: &v1::ReplicaSet) -> Vec<String> {
        let mut warnings = workload::name_warning(&object.metadata);
        warnings.extend(workload::template_warnings(object.spec.as_ref().and_then(|s| s.template.as_ref())));
        warnings
    }

    fn field(object: &Value, field: &str) -> String {
        value::at(object, &field.split('.').collect::<Vec<_>>()).map_or_else(|| "0".to_owned(), value::plain)
    }

    fn cells(object: &v1::ReplicaSet, now: Timestamp) -> Vec<Value> {
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
            cells::selector(spec.map(|s| &s.selector)).into(),
        ]
    }
}
