//! From what is seen to writes.
//!
//! The status comes first: it tells what is seen, and pods that cannot be made must not keep it from being told.

use api_types::{
    k8s_openapi::api::apps::v1::ControllerRevision,
    plan::{Decision, Pace, Plan, Step, Target},
    selector::Selector,
};

use super::{Observed, identity, replicas::Replicas, revision, status};
use crate::{
    adoption::{self, Owner},
    history::Revisions,
    view::Pod,
};

pub fn reconcile(seen: &Observed<'_>) -> Decision {
    let mut plan = Plan::default();
    let Some(spec) = &seen.set.spec else { return Decision::Do(plan) };
    let Ok(selector) = Selector::from_label_selector(&spec.selector) else {
        // Validation does not let such a set in; there is nothing to do for it.
        return Decision::Do(plan);
    };
    let uid = seen.set.metadata.uid.as_deref().unwrap_or_default();
    let deleting = seen.set.metadata.deletion_timestamp.is_some();
    let owner = Owner { uid, deleting, selector: &selector };
    let is_named_so = |pod: &Pod| identity::ordinal(seen.set, &pod.metadata.name).is_some();
    let pods = adoption::claim(seen.set, owner, seen.pods, is_named_so, seen.live);
    let revisions = adoption::claim(seen.set, owner, seen.revisions, |_: &ControllerRevision| true, seen.live);
    let (Some(pods), Some(revisions)) = (pods, revisions) else { return Decision::Need(Target::of(seen.set)) };
    plan.stage(Pace::Together, pods.writes.into_iter().chain(revisions.writes).map(Step::from));
    let (pods, revisions) = (pods.mine, Revisions::new(revisions.mine));

    if deleting {
        status::report_end(seen, spec, &pods, &mut plan);
        return Decision::Do(plan);
    }
    let Some(both) = revision::find(seen, spec, &revisions) else {
        status::report_collision(seen, &mut plan);
        return Decision::Do(plan);
    };
    let settled = both.write.is_none();
    plan.stage(Pace::InOrder, both.write.clone().map(Step::from));
    status::report(seen, spec, &both, &pods, &mut plan);
    Replicas::new(seen, spec, &both, &pods).decide(&mut plan);
    if settled {
        let in_use = |candidate: &ControllerRevision| {
            let name = candidate.metadata.name.as_deref().unwrap_or_default();
            name == both.current.name
                || name == both.update.name
                || pods.iter().any(|pod| identity::revision(pod) == name)
        };
        plan.stage(Pace::Together, revisions.forgotten(spec.revision_history_limit, in_use));
    }
    Decision::Do(plan)
}
