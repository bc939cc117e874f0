//! DaemonSet: one pod on every node that it fits.
//!
//! `deprecated.daemonset.template.generation` is a number that the server keeps: it starts at 1 and grows with each
//! change of the template, whatever a client writes there.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::{
        api::apps::v1::{self, DaemonSetUpdateStrategy},
        apimachinery::pkg::util::intstr::IntOrString,
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    int_or_percent,
    workload::{self, Words},
};
use crate::{
    kind::{Context, Names, Scope, Storage, Subresource},
    names,
    table::{cells, duration},
    typed::{GET_PATCH_UPDATE, Resource},
    value,
};

const WORDS: Words = Words { selector: "daemonset", deadline: "DaemonSet" };
const TEMPLATE_GENERATION: [&str; 3] = ["metadata", "annotations", "deprecated.daemonset.template.generation"];

pub struct DaemonSet;

impl Resource for DaemonSet {
    type Object = v1::DaemonSet;

    const NAMES: Names = Names {
        group: "apps",
        version: "v1",
        kind: "DaemonSet",
        list_kind: "DaemonSetList",
        plural: "daemonsets",
        singular: "daemonset",
        short_names: &["ds"],
        categories: &["all"],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "daemonsets", cached: true });
    const SUBRESOURCES: &'static [Subresource] =
        &[Subresource { name: "status", group: "apps", version: "v1", kind: "DaemonSet", verbs: GET_PATCH_UPDATE }];
    const GENERATION: bool = true;
    const STATUS_COUNTS: &'static [&'static str] =
        &["currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"];

    fn set_defaults(object: &mut Value) {
        workload::default_template(object);
        let spec = value::child(object, "spec");
        value::default(spec, "revisionHistoryLimit", 10);
        let strategy = value::child(spec, "updateStrategy");
        value::default(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate" {
            let rolling = value::child(strategy, "rollingUpdate");
            value::default(rolling, "maxUnavailable", 1);
            value::default(rolling, "maxSurge", 0);
        }
    }

    fn prepare_create(object: &mut Value, _: &Context) {
        let given = template_generation(object).max(1);
        value::set(object, &TEMPLATE_GENERATION, given.to_string().into());
    }

    fn prepare_update(new: &mut Value, old: &Value, subresource: Option<&str>, _: &Context) {
        let had = template_generation(old);
        let template = |object| value::at(object, &["spec", "template"]);
        let changed = subresource != Some("status") && template(new) != template(old);
        value::set(new, &TEMPLATE_GENERATION, (had + i64::from(changed)).to_string().into());
    }

    fn validate(object: &v1::DaemonSet, errors: &mut Vec<FieldError>) {
        let path = Path::new("spec");
        let Some(spec) = &object.spec else {
            errors.push(FieldError::required(&path.child("selector"), ""));
            return;
        };
        workload::validate(&spec.selector, Some(&spec.template), WORDS, &path, errors);
        let counts =
            [("minReadySeconds", spec.min_ready_seconds), ("revisionHistoryLimit", spec.revision_history_limit)];
        workload::validate_counts(&counts, &path, errors);
        let strategy = spec.update_strategy.clone().unwrap_or_default();
        validate_strategy(&strategy, &path.child("updateStrategy"), errors);
    }

    fn validate_update(
        new: &v1::DaemonSet,
        old: &v1::DaemonSet,
        subresource: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        if subresource == Some("status") {
            if let Some(status) = &new.status {
                validate_status(status, errors);
                let had = old.status.as_ref().and_then(|s| s.collision_count);
                workload::validate_collisions(status.collision_count, had, errors);
            }
            return;
        }
        workload::validate_selector_kept(
            new.spec.as_ref().map(|s| &s.selector),
            old.spec.as_ref().map(|s| &s.selector),
            errors,
        );
    }

    fn warnings(object: &v1::DaemonSet) -> Vec<String> {
        workload::template_warnings(object.spec.as_ref().map(|s| &s.template))
    }

    fn cells(object: &v1::DaemonSet, now: Timestamp) -> Vec<Value> {
        let status = object.status.clone().unwrap_or_default();
        let spec = object.spec.as_ref();
        let [names, images] = cells::containers(spec.map(|s| &s.template));
        let node_selector =
            spec.and_then(|s| s.template.spec.as_ref()).map(|s| cells::labels(s.node_selector.as_ref()));
        vec![
            cells::name(&object.metadata),
            status.desired_number_scheduled.into(),
            status.current_number_scheduled.into(),
            status.number_ready.into(),
            status.updated_number_scheduled.unwrap_or(0).into(),
            status.number_available.unwrap_or(0).into(),
            node_selector.unwrap_or_else(|| cells::NONE.to_owned()).into(),
            duration::age(&object.metadata, now),
            names,
            images,
            cells::selector(spec.map(|s| &s.selector)).into(),
        ]
    }
}

/// What the annotation says; 0 if nothing that is a number.
fn template_generation(object: &Value) -> i64 {
    value::text(object, &TEMPLATE_GENERATION).parse().unwrap_or(0)
}

fn validate_strategy(strategy: &DaemonSetUpdateStrategy, path: &Path, errors: &mut Vec<FieldError>) {
    let at = path.child("rollingUpdate");
    match (strategy.type_.as_deref().unwrap_or_default(), &strategy.rolling_update) {
        ("OnDelete", _) => {}
        ("RollingUpdate", None) => errors.push(FieldError::required(&at, "")),
        ("RollingUpdate", Some(rolling)) => {
            let zero = IntOrString::Int(0);
            let unavailable = rolling.max_unavailable.as_ref().unwrap_or(&zero);
            let surge = rolling.max_surge.as_ref().unwrap_or(&zero);
            for (member, share) in [("maxUnavailable", unavailable), ("maxSurge", surge)] {
                int_or_percent::validate(share, &at.child(member), errors);
                int_or_percent::validate_at_most_all(share, &at.child(member), errors);
            }
            match (int_or_percent::number(unavailable) != 0, int_or_percent::number(surge) != 0) {
                (true, true) => errors.push(FieldError::invalid(
                    &at.child("maxSurge"),
                    json!(surge),
                    "may not be set when maxUnavailable is non-zero",
                )),
                (false, false) => {
                    errors.push(FieldError::required(&at.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"));
                }
                _ => {}
            }
        }
        _ => errors.push(FieldError::not_supported(path, json!(strategy), &["RollingUpdate", "OnDelete"])),
    }
}

fn validate_status(status: &v1::DaemonSetStatus, errors: &mut Vec<FieldError>) {
    let path = Path::new("status");
    let counts = [
        ("currentNumberScheduled", Some(status.current_number_scheduled)),
        ("numberMisscheduled", Some(status.number_misscheduled)),
        ("desiredNumberScheduled", Some(status.desired_number_scheduled)),
        ("numberReady", Some(status.number_ready)),
        ("updatedNumberScheduled", status.updated_number_scheduled),
        ("numberAvailable", status.number_available),
        ("numberUnavailable", status.number_unavailable),
        ("collisionCount", status.collision_count),
    ];
    workload::validate_counts(&counts, &path, errors);
    names::not_negative(status.observed_generation.unwrap_or(0), &path.child("observedGeneration"), errors);
}
