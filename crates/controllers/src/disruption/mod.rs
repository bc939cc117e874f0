//! Disruption: how many pods of a PodDisruptionBudget may be evicted now, and `DisruptionTarget` conditions that came to
//! nothing.
//!
//! Decides the budget's status only. Evictions are granted by the API server, which takes them off the status in the same
//! transaction; here they stand in `disruptedPods` until the pod is really being deleted, or two minutes have passed.

mod status;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api_types::{
    k8s_openapi::{
        api::policy::v1::PodDisruptionBudget,
        apimachinery::pkg::{
            apis::meta::v1::{OwnerReference, Time},
            util::intstr::IntOrString,
        },
    },
    object::Object,
    plan::{Note, Pace, PatchStyle, Plan, Step, Target, Write, reference},
    selector::Selector,
};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    time::{left, seconds},
    view::Pod,
};

/// How long an evicted pod may take until it is being deleted.
const DELETION_TIMEOUT: Duration = Duration::from_secs(120);
/// After which a `DisruptionTarget` of a pod that is still there is taken back.
const STALE_CONDITION: Duration = Duration::from_secs(120);

/// What a controller wants of its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Of the object that has the scale: the Deployment, for a pod of one of its sets.
    pub uid: String,
    pub replicas: i32,
}

/// All that a decision depends on.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    pub budget: &'a PodDisruptionBudget,
    /// The pods that its selector matches.
    pub pods: &'a [Arc<Pod>],
    /// The scale behind the controller of a pod; None for one that has none.
    pub scale: &'a dyn Fn(&OwnerReference) -> Option<Scale>,
    pub now: Timestamp,
}

/// The pods that a budget is about. In policy/v1 an empty selector means all pods, none at all means none.
pub fn selector(budget: &PodDisruptionBudget) -> Selector {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.and_then(|selector| Selector::from_label_selector(selector).ok()).unwrap_or_else(Selector::nothing)
}

/// Whether the budget is a share of what its pods' controllers want, rather than a number of pods.
pub fn needs_scale(budget: &PodDisruptionBudget) -> bool {
    let spec = budget.spec.as_ref();
    spec.is_some_and(|spec| {
        spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
    })
}

pub fn reconcile(seen: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    if seen.budget.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let (disrupted, late) = disrupted(seen, &mut plan);
    let (status, note) = match wanted(seen) {
        Ok((expected, desired)) => {
            let healthy = healthy(seen, &disrupted);
            let note =
                seen.pods.is_empty().then(|| Note::normal(reference(seen.budget), "NoPods", "No matching pods found"));
            (status::counted(seen, expected, desired, healthy, disrupted), note)
        }
        Err(why) => {
            let text = format!("Failed to calculate the number of expected pods: {why}");
            let note = Note::warning(reference(seen.budget), "CalculateExpectedPodCountFailed", text);
            (status::failed(seen, &why), Some(note))
        }
    };
    if let Some(write) = status::write(seen, status) {
        let mut step = Step::from(write);
        step.done = note;
        plan.stage(Pace::InOrder, [step]);
        plan.notes.extend(late);
    }
    plan
}

/// The evictions that are still under way, and complaints about those that are not.
fn disrupted(seen: &Observed<'_>, plan: &mut Plan) -> (BTreeMap<String, Time>, Vec<Note>) {
    let known = seen.budget.status.as_ref().and_then(|status| status.disrupted_pods.as_ref());
    let (mut disrupted, mut notes) = (BTreeMap::new(), Vec::new());
    for pod in seen.pods.iter().filter(|pod| !pod.metadata.deleting()) {
        let Some(since) = known.and_then(|known| known.get(pod.name())) else { continue };
        let left = left(since.0, DELETION_TIMEOUT, seen.now);
        if left.is_zero() {
            let text = format!(
                "Pod was expected by PDB {}/{} to be deleted but it wasn't",
                seen.budget.namespace(),
                seen.budget.name()
            );
            notes.push(Note::warning(reference(&**pod), "NotDeleted", text));
        } else {
            plan.again(left);
            disrupted.insert(pod.name().to_owned(), since.clone());
        }
    }
    (disrupted, notes)
}

fn healthy(seen: &Observed<'_>, disrupted: &BTreeMap<String, Time>) -> i32 {
    let stays = |pod: &&Arc<Pod>| !pod.metadata.deleting() && !disrupted.contains_key(pod.name());
    count(seen.pods.iter().filter(stays).filter(|pod| pod.ready()))
}

/// The pods expected, and how many of them shall be healthy.
fn wanted(seen: &Observed<'_>) -> Result<(i32, i32), String> {
    let spec = seen.budget.spec.as_ref();
    if let Some(most) = spec.and_then(|spec| spec.max_unavailable.as_ref()) {
        let expected = expected(seen)?;
        return Ok((expected, (expected - share(most, expected)?).max(0)));
    }
    match spec.and_then(|spec| spec.min_available.as_ref()) {
        None => Ok((0, 0)),
        Some(IntOrString::Int(least)) => Ok((count(seen.pods.iter()), *least)),
        Some(least) => {
            let expected = expected(seen)?;
            Ok((expected, share(least, expected)?))
        }
    }
}

/// The sum of the scales of all controllers that the pods have; a pod without one counts for nothing.
fn expected(seen: &Observed<'_>) -> Result<i32, String> {
    let mut asked: BTreeMap<&str, Scale> = BTreeMap::new();
    for pod in seen.pods {
        let Some(owner) = pod.metadata.controller() else { continue };
        if asked.contains_key(owner.uid.as_str()) {
            continue;
        }
        let scale = (seen.scale)(owner).ok_or_else(|| format!("found no controllers for pod {:?}", pod.name()))?;
        asked.insert(&owner.uid, scale);
    }
    // The sets of one Deployment have one scale.
    let scales: BTreeMap<&str, i32> = asked.values().map(|scale| (scale.uid.as_str(), scale.replicas)).collect();
    Ok(scales.values().fold(0, |sum: i32, replicas| sum.saturating_add(*replicas)))
}

/// A number, or a percentage of `total`, rounded up.
fn share(value: &IntOrString, total: i32) -> Result<i32, String> {
    match value {
        IntOrString::Int(number) => Ok(*number),
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|number| number.parse::<i64>().ok());
            let percent = percent.ok_or_else(|| format!("invalid value {text:?}: string is not a percentage"))?;
            let scaled = (percent.saturating_mul(i64::from(total)).saturating_add(99)).div_euclid(100);
            Ok(i32::try_from(scaled).unwrap_or(i32::MAX))
        }
    }
}

fn count<T>(items: impl Iterator<Item = T>) -> i32 {
    i32::try_from(items.count()).unwrap_or(i32::MAX)
}

/// Takes back a pod's condition `DisruptionTarget` when the pod lives on; what the kubelet set stays, it may take long.
pub fn stale_condition(pod: &Pod, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(condition) = pod.condition("DisruptionTarget").filter(|condition| condition.status == "True") else {
        return plan;
    };
    if pod.metadata.deleting() || pod.finished() || condition.reason.as_deref() == Some("TerminationByKubelet") {
        return plan;
    }
    let since = condition.last_transition_time.as_ref().map_or(now, |time| time.0);
    let left = left(since, STALE_CONDITION, now);
    if !left.is_zero() {
        plan.again(left);
        return plan;
    }
    let condition = json!({"type": "DisruptionTarget", "status": "False", "lastTransitionTime": seconds(now)});
    plan.write(Write::Patch {
        target: Target::of(pod),
        subresource: Some("status"),
        style: PatchStyle::Strategic,
        body: json!({"status": {"conditions": [condition]}}),
    });
    plan
}
