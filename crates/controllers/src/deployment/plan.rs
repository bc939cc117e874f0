//! From what is seen to writes. One step of a rollout a plan: the change it makes brings the next.

use std::sync::Arc;

use api_types::{
    k8s_openapi::api::apps::v1::{DeploymentSpec, ReplicaSet},
    plan::{Decision, Pace, Plan, Step, Target, Write},
    selector::Selector,
};

use super::{
    Observed, revision, rolling, scaling,
    sets::{Set, Sets},
    status::{self, Doing},
};
use crate::adoption::{self, Candidate, Claim, Owner, controller_reference};

pub fn reconcile(seen: &Observed<'_>) -> Decision {
    let Some(spec) = &seen.deployment.spec else { return Decision::Do(Plan::default()) };
    let Ok(selector) = Selector::from_label_selector(&spec.selector) else {
        return Decision::Do(Plan::default());
    };
    let mut plan = Plan::default();
    match claim(seen, &selector, &mut plan) {
        Err(need) => Decision::Need(need),
        Ok(own) => {
            Rollout { seen, spec, sets: revision::sort(spec, own) }.decide(&mut plan);
            Decision::Do(plan)
        }
    }
}

/// The sets that are the deployment's, or the live read that is needed first.
fn claim(seen: &Observed<'_>, selector: &Selector, plan: &mut Plan) -> Result<Vec<Arc<ReplicaSet>>, Target> {
    let deployment = seen.deployment;
    let uid = deployment.metadata.uid.as_deref().unwrap_or_default();
    let owner = Owner { uid, deleting: deployment.metadata.deletion_timestamp.is_some(), selector };
    let (mut own, mut writes) = (Vec::new(), Vec::new());
    let none = std::collections::BTreeMap::new();
    for set in seen.sets {
        let controller = set.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let labels = set.metadata.labels.as_ref().unwrap_or(&none);
        let deleting = set.metadata.deletion_timestamp.is_some();
        match owner.claim(Candidate { controller, labels, deleting }) {
            Claim::Mine => own.push(set.clone()),
            Claim::Foreign => {}
            Claim::Release => writes.push(adoption::release(&**set, uid)),
            Claim::Adopt => match seen.live {
                None => return Err(Target::of(deployment)),
                Some(live) if live.may_adopt(uid) => {
                    writes.push(adoption::adopt(&**set, controller_reference(deployment)));
                }
                Some(_) => {}
            },
        }
    }
    plan.stage(Pace::Together, writes.into_iter().map(Step::from));
    Ok(own)
}

struct Rollout<'a> {
    seen: &'a Observed<'a>,
    spec: &'a DeploymentSpec,
    sets: Sets,
}

impl Rollout<'_> {
    fn decide(mut self, plan: &mut Plan) {
        if self.seen.deployment.metadata.deletion_timestamp.is_some() {
            return self.report(plan, Doing::Holding);
        }
        let paused = self.spec.paused == Some(true);
        if paused || scaling::is_due(self.spec, &self.sets) {
            if !paused {
                revision::annotate_new(self.seen.deployment, self.spec, &mut self.sets);
            }
            scaling::scale(self.seen.deployment, self.spec, &mut self.sets);
            self.change_sets(plan);
            if paused {
                self.forget_old(plan);
            }
            return self.report(plan, Doing::Holding);
        }
        if rolling::is_rolling(self.spec) { self.roll(plan) } else { self.recreate(plan) }
    }

    fn roll(mut self, plan: &mut Plan) {
        if self.sets.new.is_none() {
            return self.create_new(plan);
        }
        revision::annotate_new(self.seen.deployment, self.spec, &mut self.sets);
        if !rolling::scale_new(self.spec, &mut self.sets) {
            rolling::scale_old(self.spec, &mut self.sets);
        }
        self.finish(plan);
    }

    fn recreate(mut self, plan: &mut Plan) {
        let busy = self.sets.old.iter().any(|set| set.replicas > 0);
        for old in &mut self.sets.old {
            old.replicas = 0;
        }
        if busy || self.old_pods_run() {
            self.change_sets(plan);
            return self.report(plan, Doing::RollingOut);
        }
        if self.sets.new.is_none() {
            return self.create_new(plan);
        }
        revision::annotate_new(self.seen.deployment, self.spec, &mut self.sets);
        rolling::scale_new(self.spec, &mut self.sets);
        self.finish(plan);
    }

    /// Whether a pod of a former template has not come to its end.
    fn old_pods_run(&self) -> bool {
        let new = self.sets.new.as_ref().map(Set::uid);
        let is_old = |uid: &str| Some(uid) != new;
        self.seen
            .pods
            .iter()
            .any(|pod| !pod.finished() && pod.metadata.controller().is_some_and(|owner| is_old(&owner.uid)))
    }

    fn create_new(self, plan: &mut Plan) {
        let fresh = revision::fresh(self.seen.deployment, self.spec, &self.sets);
        if (self.seen.name_taken)(&fresh.name) {
            return self.report(plan, Doing::Colliding);
        }
        // A failure is told before the write is tried again, or it might never be.
        if self.seen.failure.is_some() {
            self.report(plan, Doing::Creating(&fresh.name));
        }
        plan.stage(Pace::InOrder, [fresh.step(self.seen.deployment, self.spec, &self.sets)]);
        if self.seen.failure.is_none() {
            self.report(plan, Doing::Creating(&fresh.name));
        }
    }

    fn finish(mut self, plan: &mut Plan) {
        for set in self.sets.all_mut().filter(|set| set.replicas > 0) {
            for (key, value) in revision::size_annotations(self.spec) {
                set.annotate(&key, value);
            }
        }
        let changing = self.sets.changed();
        self.change_sets(plan);
        let report = status::report(self.seen, self.spec, &self.sets, Doing::RollingOut);
        if report.complete && !changing {
            self.forget_old(plan);
        }
        Self::add(plan, report);
    }

    fn change_sets(&self, plan: &mut Plan) {
        plan.stage(Pace::InOrder, self.sets.steps(self.seen.deployment));
    }

    fn forget_old(&self, plan: &mut Plan) {
        let delete = |set: &Set| {
            let target =
                Target::of(&*set.seen).unchanged(set.seen.metadata.resource_version.as_deref().unwrap_or_default());
            Step::from(Write::Delete { target, propagation: None, grace_seconds: None })
        };
        plan.stage(Pace::InOrder, revision::forgotten(self.spec, &self.sets).into_iter().map(delete));
    }

    fn report(&self, plan: &mut Plan, doing: Doing<'_>) {
        let report = status::report(self.seen, self.spec, &self.sets, doing);
        Self::add(plan, report);
    }

    fn add(plan: &mut Plan, report: status::Report) {
        plan.stage(Pace::InOrder, report.write.map(Step::from));
        if let Some(delay) = report.again_in {
            plan.again(delay);
        }
    }
}
