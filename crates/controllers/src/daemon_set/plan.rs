//! From what is seen to writes.
//!
//! The status comes first: it tells what is seen, and pods that cannot be made must not keep it from being told.

use std::{collections::BTreeSet, sync::Arc};

use api_types::{
    k8s_openapi::api::apps::v1::ControllerRevision,
    object::Watched,
    plan::{Decision, Note, Pace, Plan, Step, Target, Write, reference},
    selector::Selector,
};
use serde_json::Value;

use super::{BURST, Judge, Observed, Retries, placement, placement::Changes, pods, revision, rolling, status};
use crate::{
    adoption::{self, Owner},
    history::{self, Revisions},
    view::Pod,
};

/// `retries` remembers, from one decision to the next, where pods failed.
pub fn reconcile(seen: &Observed<'_>, retries: &mut Retries) -> Decision {
    let mut plan = Plan::default();
    let Some(spec) = &seen.set.spec else { return Decision::Do(plan) };
    let Ok(selector) = Selector::from_label_selector(&spec.selector) else {
        // Validation does not let such a set in; there is nothing to do for it.
        return Decision::Do(plan);
    };
    if selector.is_everything() {
        let text = "This daemon set is selecting all pods. A non-empty selector is required.";
        plan.notes.push(Note::warning(reference(seen.set), "SelectingAll", text));
        return Decision::Do(plan);
    }
    if seen.set.metadata.deletion_timestamp.is_some() {
        return Decision::Do(plan);
    }
    let uid = seen.set.metadata.uid.as_deref().unwrap_or_default();
    let owner = Owner { uid, deleting: false, selector: &selector };
    let pods = adoption::claim(seen.set, owner, seen.pods, |_: &Pod| true, seen.live);
    let revisions = adoption::claim(seen.set, owner, seen.revisions, |_: &ControllerRevision| true, seen.live);
    let (Some(pods), Some(revisions)) = (pods, revisions) else { return Decision::Need(Target::of(seen.set)) };
    plan.stage(Pace::Together, pods.writes.into_iter().chain(revisions.writes).map(Step::from));
    let revisions = Revisions::new(revisions.mine);

    let Some(current) = revision::find(seen, spec, &revisions) else {
        status::report_collision(seen, &mut plan);
        return Decision::Do(plan);
    };
    let settled = current.write.is_none();
    plan.stage(Pace::InOrder, current.write.map(Step::from));
    let verdicts = Judge::new(seen.set).all(seen.nodes);
    let by_node = placement::by_node(&pods.mine);
    status::report(seen, &verdicts, &by_node, &current.hash, &mut plan);
    let mut changes = placement::place(seen, &verdicts, &by_node, &current.hash, retries);
    rolling::update(seen, &verdicts, &by_node, &current.hash, &mut changes);
    carry_out(seen, changes, &current.hash, &mut plan);
    if settled {
        let hashes = pods.mine.iter().filter_map(|pod| pod.metadata.labels.get(history::POD_LABEL));
        let alive: BTreeSet<&str> = hashes.map(String::as_str).collect();
        let in_use = |candidate: &ControllerRevision| {
            candidate.metadata.name.as_deref() == Some(&current.name) || alive.contains(revision::hash(candidate))
        };
        plan.stage(Pace::Together, revisions.forgotten(spec.revision_history_limit, in_use));
    }
    Decision::Do(plan)
}

fn carry_out(seen: &Observed<'_>, changes: Changes<'_>, hash: &str, plan: &mut Plan) {
    let fresh = pods::new_pod(seen.set, hash);
    let deletes = changes.delete.iter().take(BURST).map(|pod| delete(seen, pod));
    plan.stage(Pace::Together, deletes);
    let creates = changes.create.iter().take(BURST).map(|node| create(seen, pods::bound(&fresh, node)));
    plan.stage(Pace::SlowStart, creates);
    plan.notes.extend(changes.notes);
    if let Some(wait) = changes.again_in {
        plan.again(wait);
    }
}

fn create(seen: &Observed<'_>, object: Value) -> Step {
    let namespace = seen.set.metadata.namespace.clone().unwrap_or_default();
    let about = reference(seen.set);
    Step::from(Write::Create { resource: Pod::RESOURCE, namespace, object })
        .done(Note::normal(about.clone(), "SuccessfulCreate", "Created pod: {name}"))
        .failed(Note::warning(about, "FailedCreate", "Error creating: {error}"))
}

fn delete(seen: &Observed<'_>, pod: &Arc<Pod>) -> Step {
    let about = reference(seen.set);
    Step::from(Write::Delete { target: Target::of(&**pod), propagation: None, grace_seconds: None })
        .done(Note::normal(about.clone(), "SuccessfulDelete", "Deleted pod: {name}"))
        .failed(Note::warning(about, "FailedDelete", "Error deleting: {error}"))
}
