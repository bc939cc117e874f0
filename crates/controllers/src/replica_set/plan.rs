//! From what is seen to writes.

use std::{collections::HashMap, sync::Arc};

use api_types::{
    object::Watched,
    plan::{Decision, Note, Pace, Plan, Step, Target, Write, reference},
};
use serde_json::Value;

use super::{BURST, Observed, Replicated, rank, status};
use crate::{
    adoption::{self, Owner},
    template,
    view::Pod,
};

pub fn reconcile<S: Replicated>(seen: &Observed<'_, S>) -> Decision {
    let set = seen.set;
    let Some(selector) = set.selector() else { return Decision::Do(Plan::default()) };
    let deleting = set.metadata().deletion_timestamp.is_some();
    let owner = Owner { uid: set.uid(), deleting, selector: &selector };
    let living: Vec<Arc<Pod>> = seen.pods.iter().filter(|pod| !pod.finished()).cloned().collect();
    let Some(claims) = adoption::claim(set, owner, &living, |_: &Pod| true, seen.live) else {
        return Decision::Need(Target::of(set));
    };
    let mine: Vec<&Arc<Pod>> = claims.mine.iter().collect();

    let mut plan = Plan::default();
    plan.stage(Pace::Together, claims.writes.into_iter().map(Step::from));
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

/// The pods to make or to delete.
fn scale<S: Replicated>(seen: &Observed<'_, S>, mine: &[&Arc<Pod>]) -> Option<(Pace, Vec<Step>)> {
    let active: Vec<&Arc<Pod>> = mine.iter().copied().filter(|pod| pod.active()).collect();
    let wanted = seen.set.wanted();
    if active.len() < wanted {
        let missing = (wanted - active.len()).min(BURST);
        let pod = template::pod(seen.set, &seen.set.template());
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

fn create<S: Replicated>(set: &S, object: Value) -> Step {
    let namespace = set.namespace().to_owned();
    Step::from(Write::Create { resource: Pod::RESOURCE, namespace, object })
        .done(Note::normal(reference(set), "SuccessfulCreate", "Created pod: {name}"))
        .failed(Note::warning(reference(set), "FailedCreate", "Error creating: {error}"))
}

fn delete<S: Replicated>(set: &S, pod: &Pod) -> Step {
    Step::from(Write::Delete { target: Target::of(pod), propagation: None, grace_seconds: None })
        .done(Note::normal(reference(set), "SuccessfulDelete", "Deleted pod: {name}"))
        .failed(Note::warning(reference(set), "FailedDelete", "Error deleting: {error}"))
}
