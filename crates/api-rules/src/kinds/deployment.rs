//! Deployment: pods of one template, replaced step by step when the template changes.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::{
        api::apps::v1::{self, DeploymentStrategy},
        apimachinery::pkg::util::intstr::IntOrString,
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{int_or_percent, workload};
use crate::{
    kind::{Context, Names, ScalePaths, Scope, Storage, Subresource},
    table::{cells, duration},
    typed::{GET_PATCH_UPDATE, Resource},
    value,
};

pub struct Deployment;

impl Resource for Deployment {
    type Object = v1::Deployment;

    const NAMES: Names = Names {
        group: "apps",
        version: "v1",
        kind: "Deployment",
        list_kind: "DeploymentList",
        plural: "deployments",
        singular: "deployment",
        short_names: &["deploy"],
        categories: &["all"],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "deployments", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[
        workload::SCALE_SUBRESOURCE,
        Subresource { name: "status", group: "apps", version: "v1", kind: "Deployment", verbs: GET_PATCH_UPDATE },
    ];
    const SCALE: Option<ScalePaths> = Some(workload::SCALE);
    const GENERATION: bool = true;

    fn set_defaults(object: &mut Value) {
        workload::default_template(object);
        let spec = value::child(object, "spec");
        value::default(spec, "replicas", 1);
        value::default(spec, "revisionHistoryLimit", 10);
        value::default(spec, "progressDeadlineSeconds", 600);
        let strategy = value::child(spec, "strategy");
        value::default(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate" {
            let rolling = value::child(strategy, "rollingUpdate");
            value::default(rolling, "maxUnavailable", "25%");
            value::default(rolling, "maxSurge", "25%");
        }
    }

    fn prepare_update(new: &mut Value, old: &Value, subresource: Option<&str>, _: &Context) {
        workload::keep_labels(new, old, subresource);
        // The controller copies annotations to replica sets, so they count as a change to act on.
        let annotations = |object| value::at(object, &["metadata", "annotations"]).cloned();
        if subresource != Some("status") && annotations(new) != annotations(old) && new["spec"] == old["spec"] {
            let generation = value::at(old, &["metadata", "generation"]).and_then(Value::as_i64).unwrap_or(0);
            value::set(new, &["metadata", "generation"], json!(generation + 1));
        }
    }

    fn validate(object: &v1::Deployment, errors: &mut Vec<FieldError>) {
        let path = Path::new("spec");
        let Some(spec) = &object.spec else {
            errors.push(FieldError::required(&path.child("selector"), ""));
            return;
        };
        workload::validate_counts(
            &[
                ("replicas", spec.replicas),
                ("minReadySeconds", spec.min_ready_seconds),
                ("revisionHistoryLimit", spec.revision_history_limit),
                ("progressDeadlineSeconds", spec.progress_deadline_seconds),
            ],
            &path,
            errors,
        );
        workload::validate(&spec.selector, Some(&spec.template), workload::REPLICA_SET, &path, errors);
        if let Some(strategy) = &spec.strategy {
            validate_strategy(strategy, &path.child("strategy"), errors);
        }
        if let Some(deadline) = spec.progress_deadline_seconds
            && deadline <= spec.min_ready_seconds.unwrap_or(0)
        {
            errors.push(FieldError::invalid(
                &path.child("progressDeadlineSeconds"),
                deadline,
                "must be greater than minReadySeconds",
            ));
        }
    }

    fn validate_update(new: &v1::Deployment, old: &v1::Deployment, _: Option<&str>, errors: &mut Vec<FieldError>) {
        workload::validate_selector_kept(
            new.spec.as_ref().map(|s| &s.selector),
            old.spec.as_ref().map(|s| &s.selector),
            errors,
        );
    }

    fn warnings(object: &v1::Deployment) -> Vec<String> {
        let mut warnings = workload::name_warning(&object.metadata);
        warnings.extend(workload::template_warnings(object.spec.as_ref().map(|s| &s.template)));
        warnings
    }

    fn cells(object: &v1::Deployment, now: Timestamp) -> Vec<Value> {
        let status = object.status.clone().unwrap_or_default();
        let spec = object.spec.as_ref();
        let desired = spec.and_then(|s| s.replicas).unwrap_or(0);
        let [names, images] = cells::containers(spec.map(|s| &s.template));
        vec![
            cells::name(&object.metadata),
            format!("{}/{desired}", status.ready_replicas.unwrap_or(0)).into(),
            status.updated_replicas.unwrap_or(0).into(),
            status.available_replicas.unwrap_or(0).into(),
            duration::age(&object.metadata, now),
            names,
            images,
            cells::selector(spec.map(|s| &s.selector)).into(),
        ]
    }
}

fn validate_strategy(strategy: &DeploymentStrategy, path: &Path, errors: &mut Vec<FieldError>) {
    let at = path.child("rollingUpdate");
    match (strategy.type_.as_deref().unwrap_or_default(), &strategy.rolling_update) {
        ("Recreate", Some(_)) => {
            errors.push(FieldError::forbidden(&at, "may not be specified when strategy `type` is 'Recreate'"));
        }
        ("RollingUpdate", None) => errors.push(FieldError::required(&at, "this should be defaulted and never be nil")),
        ("RollingUpdate", Some(rolling)) => {
            let zero = IntOrString::Int(0);
            let unavailable = rolling.max_unavailable.as_ref().unwrap_or(&zero);
            let surge = rolling.max_surge.as_ref().unwrap_or(&zero);
            int_or_percent::validate(unavailable, &at.child("maxUnavailable"), errors);
            int_or_percent::validate(surge, &at.child("maxSurge"), errors);
            if int_or_percent::number(unavailable) == 0 && int_or_percent::number(surge) == 0 {
                errors.push(FieldError::invalid(
                    &at.child("maxUnavailable"),
                    json!(unavailable),
                    "may not be 0 when `maxSurge` is 0",
                ));
            }
            int_or_percent::validate_at_most_all(unavailable, &at.child("maxUnavailable"), errors);
        }
        ("Recreate", None) => {}
        (other, _) => {
            errors.push(FieldError::not_supported(&path.child("type"), other, &["Recreate", "RollingUpdate"]))
        }
    }
}
