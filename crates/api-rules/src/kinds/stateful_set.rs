//! StatefulSet: pods with names, addresses and volumes of their own, started and replaced in order.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::{
        apps::v1::{self, StatefulSetSpec, StatefulSetUpdateStrategy},
        core::v1::{PersistentVolumeClaimVolumeSource, PodTemplateSpec, Volume},
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    int_or_percent,
    workload::{self, Words},
};
use crate::{
    kind::{Names, ScalePaths, Scope, Storage, Subresource},
    metadata::{self, NameRule},
    names,
    table::{cells, duration},
    typed::{GET_PATCH_UPDATE, Resource},
    value,
};

const WORDS: Words = Words { selector: "statefulset", deadline: "StatefulSet" };
const UPDATABLE: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

pub struct StatefulSet;

impl Resource for StatefulSet {
    type Object = v1::StatefulSet;

    const NAMES: Names = Names {
        group: "apps",
        version: "v1",
        kind: "StatefulSet",
        list_kind: "StatefulSetList",
        plural: "statefulsets",
        singular: "statefulset",
        short_names: &["sts"],
        categories: &["all"],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "statefulsets", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[
        workload::SCALE_SUBRESOURCE,
        Subresource { name: "status", group: "apps", version: "v1", kind: "StatefulSet", verbs: GET_PATCH_UPDATE },
    ];
    const SCALE: Option<ScalePaths> = Some(workload::SCALE);
    /// Pods are named after their set, and their hostnames too.
    const NAME_RULE: NameRule = metadata::dns_label;
    const GENERATION: bool = true;
    const STATUS_COUNTS: &'static [&'static str] = &["replicas", "availableReplicas"];

    fn set_defaults(object: &mut Value) {
        workload::default_template(object);
        let spec = value::child(object, "spec");
        value::default(spec, "podManagementPolicy", "OrderedReady");
        value::default(spec, "replicas", 1);
        value::default(spec, "revisionHistoryLimit", 10);
        let strategy = value::child(spec, "updateStrategy");
        if value::text(strategy, &["type"]).is_empty() {
            value::set(strategy, &["type"], "RollingUpdate".into());
            value::default(strategy, "rollingUpdate", json!({}));
        }
        if strategy["type"] == "RollingUpdate"
            && let Some(rolling) = strategy.get_mut("rollingUpdate")
        {
            value::default(rolling, "partition", 0);
            value::default(rolling, "maxUnavailable", 1);
        }
        let retention = value::child(spec, "persistentVolumeClaimRetentionPolicy");
        value::default(retention, "whenDeleted", "Retain");
        value::default(retention, "whenScaled", "Retain");
        value::each(spec, "volumeClaimTemplates", |claim| {
            value::set(claim, &["apiVersion"], "v1".into());
            value::set(claim, &["kind"], "PersistentVolumeClaim".into());
            value::default(value::child(claim, "spec"), "volumeMode", "Filesystem");
            value::default(value::child(claim, "status"), "phase", "Pending");
        });
    }

    fn validate(object: &v1::StatefulSet, errors: &mut Vec<FieldError>) {
        let path = Path::new("spec");
        let Some(spec) = &object.spec else {
            errors.push(FieldError::required(&path.child("selector"), ""));
            return;
        };
        let policy = path.child("podManagementPolicy");
        match spec.pod_management_policy.as_deref().unwrap_or_default() {
            "" => errors.push(FieldError::required(&policy, "")),
            "OrderedReady" | "Parallel" => {}
            other => errors.push(FieldError::invalid(&policy, other, "must be 'OrderedReady' or 'Parallel'")),
        }
        let strategy = spec.update_strategy.clone().unwrap_or_default();
        validate_strategy(&strategy, &path.child("updateStrategy"), errors);
        validate_retention(spec, &path.child("persistentVolumeClaimRetentionPolicy"), errors);
        workload::validate_counts(
            &[("replicas", spec.replicas), ("minReadySeconds", spec.min_ready_seconds)],
            &path,
            errors,
        );
        if let Some(start) = spec.ordinals.as_ref().and_then(|o| o.start) {
            names::not_negative(start.into(), &path.child("ordinals.start"), errors);
        }
        workload::validate(&spec.selector, Some(&with_claims(spec)), WORDS, &path, errors);
    }

    fn validate_create(object: &v1::StatefulSet, errors: &mut Vec<FieldError>) {
        let name = object.spec.as_ref().and_then(|s| s.service_name.as_deref()).unwrap_or_default();
        if !name.is_empty() {
            names::report(names::dns_label(name), &Path::new("spec").child("serviceName"), name, errors);
        }
    }

    fn validate_update(
        new: &v1::StatefulSet,
        old: &v1::StatefulSet,
        subresource: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        if subresource == Some("status") {
            if let Some(status) = &new.status {
                validate_status(status, errors);
            }
            return;
        }
        let (Some(new), Some(old)) = (&new.spec, &old.spec) else { return };
        let munged = StatefulSetSpec {
            replicas: old.replicas,
            ordinals: old.ordinals.clone(),
            template: old.template.clone(),
            update_strategy: old.update_strategy.clone(),
            min_ready_seconds: old.min_ready_seconds,
            revision_history_limit: old.revision_history_limit,
            persistent_volume_claim_retention_policy: old.persistent_volume_claim_retention_policy.clone(),
            ..new.clone()
        };
        if munged != *old {
            errors.push(FieldError::forbidden(&Path::new("spec"), UPDATABLE));
        }
    }

    fn warnings(object: &v1::StatefulSet) -> Vec<String> {
        let mut warnings = workload::template_warnings(object.spec.as_ref().map(|s| &s.template));
        if object.spec.as_ref().and_then(|s| s.revision_history_limit).is_some_and(|n| n < 0) {
            warnings.push("spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended".to_owned());
        }
        warnings
    }

    fn cells(object: &v1::StatefulSet, now: Timestamp) -> Vec<Value> {
        let spec = object.spec.as_ref();
        let ready = object.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0);
        let [names, images] = cells::containers(spec.map(|s| &s.template));
        vec![
            cells::name(&object.metadata),
            format!("{ready}/{}", spec.and_then(|s| s.replicas).unwrap_or(0)).into(),
            duration::age(&object.metadata, now),
            names,
            images,
        ]
    }
}

/// The template with the volumes that its pods get from their claims.
fn with_claims(spec: &StatefulSetSpec) -> PodTemplateSpec {
    let mut template = spec.template.clone();
    let claims = spec.volume_claim_templates.iter().flatten().filter_map(|claim| claim.metadata.name.clone());
    let (claims, Some(pod)) = (claims.collect::<Vec<_>>(), &mut template.spec) else { return template };
    if !claims.is_empty() {
        let volumes = pod.volumes.get_or_insert_default();
        volumes.retain(|volume| !claims.contains(&volume.name));
        volumes.extend(claims.into_iter().map(|name| Volume {
            name: name.clone(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource { claim_name: name, read_only: None }),
            ..Volume::default()
        }));
    }
    template
}

fn validate_strategy(strategy: &StatefulSetUpdateStrategy, path: &Path, errors: &mut Vec<FieldError>) {
    let at = path.child("rollingUpdate");
    match (strategy.type_.as_deref().unwrap_or_default(), &strategy.rolling_update) {
        ("", _) => errors.push(FieldError::required(path, "")),
        ("OnDelete", Some(rolling)) => {
            errors.push(FieldError::invalid(&at, json!(rolling), "only allowed for updateStrategy 'RollingUpdate'"));
        }
        ("RollingUpdate", Some(rolling)) => {
            names::not_negative(rolling.partition.unwrap_or(0).into(), &at.child("partition"), errors);
            if let Some(unavailable) = &rolling.max_unavailable {
                let at = at.child("maxUnavailable");
                int_or_percent::validate(unavailable, &at, errors);
                if int_or_percent::number(unavailable) == 0 {
                    errors.push(FieldError::invalid(&at, json!(unavailable), "cannot be 0"));
                }
                int_or_percent::validate_at_most_all(unavailable, &at, errors);
            }
        }
        ("OnDelete" | "RollingUpdate", None) => {}
        _ => errors.push(FieldError::invalid(path, json!(strategy), "must be 'RollingUpdate' or 'OnDelete'")),
    }
}

fn validate_retention(spec: &StatefulSetSpec, path: &Path, errors: &mut Vec<FieldError>) {
    let Some(policy) = &spec.persistent_volume_claim_retention_policy else { return };
    for (member, when) in [("whenDeleted", &policy.when_deleted), ("whenScaled", &policy.when_scaled)] {
        names::one_of(when.as_deref().unwrap_or_default(), &["Delete", "Retain"], &path.child(member), errors);
    }
}

fn validate_status(status: &v1::StatefulSetStatus, errors: &mut Vec<FieldError>) {
    let path = Path::new("status");
    let parts = [
        ("readyReplicas", status.ready_replicas),
        ("currentReplicas", status.current_replicas),
        ("updatedReplicas", status.updated_replicas),
        ("availableReplicas", status.available_replicas),
    ];
    workload::validate_counts(&[("replicas", Some(status.replicas))], &path, errors);
    workload::validate_counts(&parts, &path, errors);
    names::not_negative(status.observed_generation.unwrap_or(0), &path.child("observedGeneration"), errors);
    workload::validate_counts(&[("collisionCount", status.collision_count)], &path, errors);
    workload::validate_parts(&parts, status.replicas, "cannot be greater than status.replicas", &path, errors);
    let ready = status.ready_replicas.unwrap_or(0);
    let available = [("availableReplicas", status.available_replicas)];
    workload::validate_parts(&available, ready, "cannot be greater than status.readyReplicas", &path, errors);
}
