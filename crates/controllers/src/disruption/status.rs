//! The status of a budget, and its one condition.

use std::collections::BTreeMap;

use api_types::{
    k8s_openapi::{
        api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus},
        apimachinery::pkg::apis::meta::v1::{Condition, Time},
    },
    plan::{Target, Write},
};
use serde_json::json;

use super::Observed;
use crate::time::seconds;

const ALLOWED: &str = "DisruptionAllowed";

pub(super) fn counted(
    seen: &Observed<'_>,
    expected: i32,
    desired: i32,
    healthy: i32,
    disrupted: BTreeMap<String, Time>,
) -> PodDisruptionBudgetStatus {
    // A budget without pods allows nothing, so that its first pods are safe before they are counted.
    let allowed = if expected <= 0 { 0 } else { (healthy - desired).max(0) };
    let generation = seen.budget.metadata.generation;
    let reason = if allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
    PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        expected_pods: Some(expected),
        disruptions_allowed: Some(allowed),
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        observed_generation: generation,
        conditions: Some(conditions(seen, allowed > 0, reason, "", generation)),
    }
}

/// Nothing may be disrupted while the number of pods is not known.
pub(super) fn failed(seen: &Observed<'_>, why: &str) -> PodDisruptionBudgetStatus {
    let present = seen.budget.status.clone().unwrap_or_default();
    let generation = present.observed_generation;
    PodDisruptionBudgetStatus {
        disruptions_allowed: Some(0),
        conditions: Some(conditions(seen, false, "SyncFailed", why, generation)),
        ..present
    }
}

fn conditions(
    seen: &Observed<'_>,
    allowed: bool,
    reason: &str,
    message: &str,
    generation: Option<i64>,
) -> Vec<Condition> {
    let present = seen.budget.status.as_ref().and_then(|status| status.conditions.clone());
    let mut conditions = present.unwrap_or_default();
    let status = if allowed { "True" } else { "False" };
    let known = conditions.iter_mut().find(|condition| condition.type_ == ALLOWED);
    let since = known.as_ref().filter(|known| known.status == status).map(|known| known.last_transition_time.clone());
    let condition = Condition {
        type_: ALLOWED.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: since.unwrap_or_else(|| seconds(seen.now)),
    };
    match known {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
    conditions
}

/// None when the budget says it already.
pub(super) fn write(seen: &Observed<'_>, status: PodDisruptionBudgetStatus) -> Option<Write> {
    if seen.budget.status.as_ref().is_some_and(|present| same(present, &status)) {
        return None;
    }
    let object = PodDisruptionBudget { status: Some(status), ..seen.budget.clone() };
    Some(Write::Replace { target: Target::of(seen.budget), subresource: Some("status"), object: json!(object) })
}

/// Unset and zero are the same on the wire.
fn same(a: &PodDisruptionBudgetStatus, b: &PodDisruptionBudgetStatus) -> bool {
    let plain = |status: &PodDisruptionBudgetStatus| PodDisruptionBudgetStatus {
        current_healthy: Some(status.current_healthy.unwrap_or(0)),
        desired_healthy: Some(status.desired_healthy.unwrap_or(0)),
        expected_pods: Some(status.expected_pods.unwrap_or(0)),
        disruptions_allowed: Some(status.disruptions_allowed.unwrap_or(0)),
        disrupted_pods: status.disrupted_pods.clone().filter(|pods| !pods.is_empty()),
        observed_generation: Some(status.observed_generation.unwrap_or(0)),
        conditions: status.conditions.clone(),
    };
    plain(a) == plain(b)
}
