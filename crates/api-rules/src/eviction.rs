//! What an eviction has to ask before a pod goes: whether a budget guards it, and whether the budget has room.
//!
//! A disruption that is granted is taken from the budget's status at once and the pod's name is left there, so that the
//! next eviction and the controller know of it before the pod is gone. Who writes this, and deletes, is the API server.

use std::collections::BTreeMap;

use api_types::{
    GroupResource, Status, k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector, selector::Selector,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::value;

/// So many granted evictions may wait for the controller to see them.
const MOST_DISRUPTED_PODS: usize = 2000;
const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
/// The reason of the cause that clients such as `kubectl drain` look for.
const CAUSE: &str = "DisruptionBudget";
/// Seconds after which to try again.
const RETRY_AFTER: u32 = 10;

/// What guards a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Nothing: it may go.
    None,
    /// Nothing, as long as it does not become ready before it goes.
    WhileUnready,
    /// The budget has to have room.
    Budget,
}

/// Whether a pod may go whatever its budgets say: it does not run, or goes anyway.
pub fn ignores_budgets(pod: &Value) -> bool {
    matches!(value::text(pod, &["status", "phase"]), "Succeeded" | "Failed" | "Pending")
        || value::at(pod, &["metadata", "deletionTimestamp"]).is_some()
}

/// Of those, whether it could still start to run while it is evicted.
pub fn may_become_ready(pod: &Value) -> bool {
    value::text(pod, &["status", "phase"]) == "Pending" && value::at(pod, &["metadata", "deletionTimestamp"]).is_none()
}

/// Whether a budget covers a pod. One that selects everything covers nothing, for safety's sake.
pub fn covers(budget: &Value, pod: &Value) -> bool {
    let selector = value::at(budget, &["spec", "selector"]).and_then(|s| LabelSelector::deserialize(s).ok());
    let Some(Ok(selector)) = selector.as_ref().map(Selector::from_label_selector) else { return false };
    let labels = value::at(pod, &["metadata", "labels"]).and_then(|l| BTreeMap::<String, String>::deserialize(l).ok());
    !selector.is_everything() && selector.matches(&labels.unwrap_or_default())
}

/// What a budget has to say about a pod that it covers.
pub fn guard(budget: &Value, pod: &Value) -> Guard {
    let ready = value::items(pod, &["status", "conditions"])
        .iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let (healthy, desired) = (number(budget, "currentHealthy"), number(budget, "desiredHealthy"));
    let always = value::text(budget, &["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow";
    if !ready && (always || (healthy >= desired && desired > 0)) { Guard::WhileUnready } else { Guard::Budget }
}

/// Takes one disruption for the pod of that name, or says why there is none. `now` as objects carry it.
///
/// # Errors
/// 429 if there is no room, or the controller is behind; 403 for a budget whose numbers make no sense.
pub fn take(budget: &mut Value, pod: &str, now: &str) -> Result<(), Status> {
    let name = value::text(budget, &["metadata", "name"]).to_owned();
    let generation = value::at(budget, &["metadata", "generation"]).and_then(Value::as_i64).unwrap_or(0);
    if number(budget, "observedGeneration") < generation {
        return Err(still_processed(&name));
    }
    let forbidden =
        |why: &str| Err(Status::forbidden(&GroupResource::new("policy", "poddisruptionbudget"), &name, why));
    let allowed = number(budget, "disruptionsAllowed");
    if allowed < 0 {
        return forbidden("pdb disruptions allowed is negative");
    }
    let disrupted = value::at(budget, &["status", "disruptedPods"]).and_then(Value::as_object);
    if disrupted.is_some_and(|pods| pods.len() > MOST_DISRUPTED_PODS) {
        return forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    }
    if allowed == 0 {
        return Err(refused(0, &why_none(budget, &name)));
    }
    value::set(budget, &["status", "disruptionsAllowed"], (allowed - 1).into());
    value::set(budget, &["status", "disruptedPods", pod], now.into());
    if allowed == 1 {
        let observed = number(budget, "observedGeneration");
        let condition = json!({
            "type": "DisruptionAllowed", "status": "False", "observedGeneration": observed,
            "lastTransitionTime": now, "reason": "InsufficientPods", "message": "",
        });
        set_condition(budget, condition);
    }
    Ok(())
}

/// Why a budget has no room.
fn why_none(budget: &Value, name: &str) -> String {
    let (healthy, desired) = (number(budget, "currentHealthy"), number(budget, "desiredHealthy"));
    let failed = value::items(budget, &["status", "conditions"])
        .iter()
        .find(|c| c["type"] == "DisruptionAllowed" && c["status"] == "False" && c["reason"] == "SyncFailed");
    if let Some(condition) = failed {
        let why = value::text(condition, &["message"]);
        format!("The disruption budget {name} does not allow evicting pods currently because it failed sync: {why}")
    } else if healthy <= desired {
        format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently")
    } else {
        format!("The disruption budget {name} does not allow evicting pods currently")
    }
}

/// The refusal while a budget's controller, or the pod itself, is about to change what counts.
pub fn still_processed(budget: &str) -> Status {
    refused(RETRY_AFTER, &format!("The disruption budget {budget} is still being processed by the server."))
}

fn refused(retry_after: u32, why: &str) -> Status {
    Status::too_many_requests(REFUSED, retry_after).with_cause(CAUSE, why, "")
}

/// Says in the pod why it goes.
pub fn mark(pod: &mut Value, now: &str) {
    let mut condition = json!({
        "type": "DisruptionTarget", "status": "True", "lastProbeTime": null, "lastTransitionTime": now,
        "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
    });
    if let Some(generation) = value::at(pod, &["metadata", "generation"]) {
        condition["observedGeneration"] = generation.clone();
    }
    set_condition(pod, condition);
}

/// Puts a condition in its place. If its status was the same before, so is the time of the last transition.
fn set_condition(object: &mut Value, mut condition: Value) {
    let mut conditions = value::items(object, &["status", "conditions"]).to_vec();
    match conditions.iter_mut().find(|c| c["type"] == condition["type"]) {
        Some(found) => {
            if found["status"] == condition["status"] {
                value::copy(&mut condition, found, &["lastTransitionTime"]);
            }
            *found = condition;
        }
        None => conditions.push(condition),
    }
    value::set(object, &["status", "conditions"], conditions.into());
}

fn number(budget: &Value, member: &str) -> i64 {
    value::at(budget, &["status", member]).and_then(Value::as_i64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn budget(status: Value) -> Value {
        let mut budget = json!({"metadata": {"name": "b", "generation": 1}, "spec": {"selector": {"matchLabels": {"a": "b"}}},
            "status": {"observedGeneration": 1, "currentHealthy": 3, "desiredHealthy": 2, "disruptionsAllowed": 1}});
        json_patch::merge(&mut budget, &json!({"status": status}));
        budget
    }

    #[test]
    fn what_is_granted_is_taken() {
        let mut budget = budget(json!({}));
        take(&mut budget, "p", NOW).unwrap();
        let status = &budget["status"];
        assert_eq!((&status["disruptionsAllowed"], &status["disruptedPods"]), (&json!(0), &json!({"p": NOW})));
        assert_eq!(status["conditions"][0]["reason"], "InsufficientPods");
    }

    #[test]
    fn refusals() {
        let check = |status: Value, code: u16, why: &str| {
            let mut budget = budget(status);
            let before = budget.clone();
            let refusal = take(&mut budget, "p", NOW).unwrap_err();
            let cause = refusal.details.as_ref().and_then(|d| d.causes.first()).map(|c| c.message.clone());
            assert_eq!((refusal.code, cause.unwrap_or(refusal.message)), (code, why.to_owned()));
            assert_eq!(budget, before);
        };
        check(
            json!({"disruptionsAllowed": 0, "currentHealthy": 2}),
            429,
            "The disruption budget b needs 2 healthy pods and has 2 currently",
        );
        check(json!({"disruptionsAllowed": 0}), 429, "The disruption budget b does not allow evicting pods currently");
        check(json!({"observedGeneration": 0}), 429, "The disruption budget b is still being processed by the server.");
        let failed =
            json!([{"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no scale"}]);
        check(
            json!({"disruptionsAllowed": 0, "conditions": failed}),
            429,
            "The disruption budget b does not allow evicting pods currently because it failed sync: no scale",
        );
        check(
            json!({"disruptionsAllowed": -1}),
            403,
            "poddisruptionbudget.policy \"b\" is forbidden: pdb disruptions allowed is negative",
        );
    }

    #[test]
    fn guards() {
        let pod = |ready: &str| json!({"status": {"conditions": [{"type": "Ready", "status": ready}]}});
        assert_eq!(guard(&budget(json!({})), &pod("True")), Guard::Budget);
        assert_eq!(guard(&budget(json!({})), &pod("False")), Guard::WhileUnready);
        let short = budget(json!({"currentHealthy": 1}));
        assert_eq!(guard(&short, &pod("False")), Guard::Budget);
        let mut lenient = short.clone();
        lenient["spec"]["unhealthyPodEvictionPolicy"] = "AlwaysAllow".into();
        assert_eq!(guard(&lenient, &pod("False")), Guard::WhileUnready);
        assert_eq!(guard(&lenient, &pod("True")), Guard::Budget);
    }

    #[test]
    fn covered_pods() {
        let pod = |labels: Value| json!({"metadata": {"labels": labels}});
        assert!(covers(&budget(json!({})), &pod(json!({"a": "b", "c": "d"}))));
        assert!(!covers(&budget(json!({})), &pod(json!({"a": "c"}))));
        assert!(!covers(&json!({"spec": {"selector": {}}}), &pod(json!({"a": "c"}))));
        assert!(!covers(&json!({"spec": {}}), &pod(json!({}))));
    }

    #[test]
    fn a_mark_keeps_its_first_time() {
        let mut pod = json!({"metadata": {"generation": 2}, "status": {}});
        mark(&mut pod, NOW);
        mark(&mut pod, "2026-01-02T00:00:00Z");
        assert_eq!(
            pod["status"]["conditions"],
            json!([{"type": "DisruptionTarget", "status": "True", "lastProbeTime": null, "lastTransitionTime": NOW,
                "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting", "observedGeneration": 2}])
        );
    }
}
