//! From what is seen to writes.

use std::{collections::HashMap, sync::Arc};

use api_types::{
    k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::PodTemplateSpec},
    object::Watched,
    plan::{Decision, Note, Pace, Plan, Step, Target, Write, reference},
    selector::Selector,
};
use serde_json::{Value, json};

use super::{BURST, Observed, rank, status};
use crate::{
    adoption::{self, Candidate, Claim, Owner, controller_reference},
    view::Pod,
};

pub fn reconcile(seen: &Observed<'_>) -> Decision {
    let set = seen.set;
    let Some(spec) = &set.spec else { return Decision::Do(Plan::default()) };
    let Ok(selector) = Selector::from_label_selector(&spec.selector) else {
        // Validation does not let such a set in; there is nothing to do for it.
        return Decision::Do(Plan::default());
    };
    let uid = set.metadata.uid.as_deref().unwrap_or_default();
    let deleting = set.metadata.deletion_timestamp.is_some();
    let owner = Owner { uid, deleting, selector: &selector };

    let mut mine: Vec<&Arc<Pod>> = Vec::new();
    let mut claims = Vec::new();
    for pod in seen.pods.iter().filter(|pod| !pod.finished()) {
        match owner.claim(candidate(pod)) {
            Claim::Mine => mine.push(pod),
            Claim::Release => claims.push(adoption::release(&**pod, uid)),
            Claim::Foreign => {}
            Claim::Adopt => match seen.live {
                None => return Decision::Need(Target::of(set)),
                Some(live) if live.may_adopt(uid) => {
                    claims.push(adoption::adopt(&**pod, controller_reference(set)));
                    mine.push(pod);
                }
                Some(_) => {}
            },
        }
    }

    let mut plan = Plan::default();
    plan.stage(Pace::Together, claims.into_iter().map(Step::from));
    let report = status::report(seen, &mine);
    let scale = if deleting { None } else { scale(seen, &mine) };
    let failed = seen.failure.is_some();
    // A failure is reported before the write is tried again, or it might never be.
    let (before, after) = if failed { (report.write, None) } else { (None, report.write) };
    plan.stage(Pace::InOrder, before.map(Step::from));
    if let Some((pace, steps)) = scale {
        plan.stage(pace, steps);
    }
    plan.stage(Pace::InOrder, after.map(Step::from));
    if let Some(delay) = report.again_in {
        plan.again(delay);
    }
    Decision::Do(plan)
}

fn candidate(pod: &Pod) -> Candidate<'_> {
    Candidate { controller: pod.metadata.controller(), labels: &pod.metadata.labels, deleting: pod.metadata.deleting() }
}

/// The pods to make or to delete.
fn scale(seen: &Observed<'_>, mine: &[&Arc<Pod>]) -> Option<(Pace, Vec<Step>)> {
    let active: Vec<&Arc<Pod>> = mine.iter().copied().filter(|pod| pod.active()).collect();
    let spec = seen.set.spec.as_ref()?;
    let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or_default();
    if active.len() < wanted {
        let missing = (wanted - active.len()).min(BURST);
        let pod = new_pod(seen.set, spec.template.as_ref());
        return Some((Pace::SlowStart, (0..missing).map(|_| create(seen.set, pod.clone())).collect()));
    }
    let excess = (active.len() - wanted).min(BURST);
    if excess == 0 {
        return None;
    }
    let mut crowd: HashMap<&str, usize> = HashMap::new();
    for pod in seen.related.iter().filter(|pod| pod.active() && !pod.spec.node_name.is_empty()) {
        *crowd.entry(&pod.spec.node_name).or_default() += 1;
    }
    let victims = rank::first_to_go(active, &crowd, seen.now).into_iter().take(excess);
    Some((Pace::Together, victims.map(|pod| delete(seen.set, pod)).collect()))
}

fn create(set: &ReplicaSet, object: Value) -> Step {
    let namespace = set.metadata.namespace.clone().unwrap_or_default();
    Step::from(Write::Create { resource: Pod::RESOURCE, namespace, object })
        .done(Note::normal(reference(set), "SuccessfulCreate", "Created pod: {name}"))
        .failed(Note::warning(reference(set), "FailedCreate", "Error creating: {error}"))
}

fn delete(set: &ReplicaSet, pod: &Pod) -> Step {
    Step::from(Write::Delete { target: Target::of(pod), propagation: None, grace_seconds: None })
        .done(Note::normal(reference(set), "SuccessfulDelete", "Deleted pod: {name}"))
        .failed(Note::warning(reference(set), "FailedDelete", "Error deleting: {error}"))
}

/// A pod of the set's template; the server finishes its name.
fn new_pod(set: &ReplicaSet, template: Option<&PodTemplateSpec>) -> Value {
    let empty = PodTemplateSpec::default();
    let template = template.unwrap_or(&empty);
    let mut metadata = json!({
        "generateName": generate_name(set.metadata.name.as_deref().unwrap_or_default()),
        "ownerReferences": [controller_reference(set)],
    });
    if let Some(meta) = &template.metadata {
        for (field, value) in [
            ("labels", json!(meta.labels)),
            ("annotations", json!(meta.annotations)),
            ("finalizers", json!(meta.finalizers)),
        ] {
            if !value.is_null() {
                metadata[field] = value;
            }
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.spec})
}

/// `name-`, unless the server's suffix would make that too long for a pod's name.
fn generate_name(name: &str) -> String {
    if name.len() + 1 > 253 - 5 { name.to_owned() } else { format!("{name}-") }
}
