//! PodDisruptionBudget: how many pods of a set may be away by choice. Evictions take from `status.disruptionsAllowed`; who
//! fills it is a controller.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::{
        api::policy::v1::{self, PodDisruptionBudgetSpec},
        apimachinery::pkg::util::intstr::IntOrString,
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{conditions, int_or_percent, validate_label_selector, workload};
use crate::{
    kind::{Names, Scope, Storage, Subresource},
    names::one_of,
    table::{cells, duration},
    typed::{GET_PATCH_UPDATE, Resource},
};

pub struct PodDisruptionBudget;

impl Resource for PodDisruptionBudget {
    type Object = v1::PodDisruptionBudget;

    const NAMES: Names = Names {
        group: "policy",
        version: "v1",
        kind: "PodDisruptionBudget",
        list_kind: "PodDisruptionBudgetList",
        plural: "poddisruptionbudgets",
        singular: "poddisruptionbudget",
        short_names: &["pdb"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "poddisruptionbudgets", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[Subresource {
        name: "status",
        group: "policy",
        version: "v1",
        kind: "PodDisruptionBudget",
        verbs: GET_PATCH_UPDATE,
    }];
    const GENERATION: bool = true;
    const STATUS_COUNTS: &'static [&'static str] =
        &["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
    const UPDATES_UNCONDITIONALLY: bool = false;

    fn validate(object: &v1::PodDisruptionBudget, errors: &mut Vec<FieldError>) {
        if let Some(spec) = &object.spec {
            validate_spec(spec, &Path::new("spec"), errors);
        }
    }

    fn validate_update(
        new: &v1::PodDisruptionBudget,
        _: &v1::PodDisruptionBudget,
        subresource: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        let (Some("status"), Some(status)) = (subresource, &new.status) else { return };
        let path = Path::new("status");
        conditions::validate(status.conditions.as_deref().unwrap_or_default(), &path.child("conditions"), errors);
        let counts = [
            ("disruptionsAllowed", status.disruptions_allowed),
            ("currentHealthy", status.current_healthy),
            ("desiredHealthy", status.desired_healthy),
            ("expectedPods", status.expected_pods),
        ];
        workload::validate_counts(&counts, &path, errors);
    }

    fn cells(object: &v1::PodDisruptionBudget, now: Timestamp) -> Vec<Value> {
        let spec = object.spec.clone().unwrap_or_default();
        let share = |share: Option<IntOrString>| match share {
            None => Value::from("N/A"),
            Some(IntOrString::Int(n)) => n.to_string().into(),
            Some(IntOrString::String(text)) => text.into(),
        };
        vec![
            cells::name(&object.metadata),
            share(spec.min_available),
            share(spec.max_unavailable),
            object.status.as_ref().and_then(|s| s.disruptions_allowed).unwrap_or(0).into(),
            duration::age(&object.metadata, now),
        ]
    }
}

fn validate_spec(spec: &PodDisruptionBudgetSpec, path: &Path, errors: &mut Vec<FieldError>) {
    if spec.min_available.is_some() && spec.max_unavailable.is_some() {
        let why = "minAvailable and maxUnavailable cannot be both set";
        errors.push(FieldError::invalid(path, json!(spec), why));
    }
    for (member, share) in [("minAvailable", &spec.min_available), ("maxUnavailable", &spec.max_unavailable)] {
        if let Some(share) = share {
            int_or_percent::validate(share, &path.child(member), errors);
            int_or_percent::validate_at_most_all(share, &path.child(member), errors);
        }
    }
    if let Some(selector) = &spec.selector {
        validate_label_selector(selector, &path.child("selector"), errors);
    }
    if let Some(policy) = &spec.unhealthy_pod_eviction_policy {
        one_of(policy, &["AlwaysAllow", "IfHealthyBudget"], &path.child("unhealthyPodEvictionPolicy"), errors);
    }
}
