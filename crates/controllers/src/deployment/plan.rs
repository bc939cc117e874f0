//! From what is seen to writes. One step of a rollout a plan: the change it makes brings the next.

use api_types::{
    k8s_openapi::api::core::v1::PodTemplateSpec,
    plan::{Decision, Note, Pace, Plan, Step, Target, Write, reference},
    selector::Selector,
};

use super::{
    Observed, revision, rolling, scaling,
    sets::{Set, Sets},
    status::{self, Doing},
};
use crate::{
    adoption::{self, Owner},
    workload::{DeploymentSpec, ReplicaSet, write_status},
};

pub fn reconcile(seen: &Observed<'_>) -> Decision {
    let Some(spec) = &seen.deployment.spec else { return Decision::Do(Plan::default()) };
    let Ok(selector) = Selector::from_label_selector(&spec.selector) else {
        return Decision::Do(Plan::default());
    };
    let deployment = seen.deployment;
    if selector.is_everything() {
        return Decision::Do(selects_all(seen));
    }
    let uid = deployment.metadata.uid.as_deref().unwrap_or_default();
    let owner = Owner { uid, deleting: deployment.metadata.deletion_timestamp.is_some(), selector: &selector };
    let Some(claims) = adoption::claim(deployment, owner, seen.sets, |_: &ReplicaSet| true, seen.live) else {
        return Decision::Need(Target::of(deployment));
    };
    let mut plan = Plan::default();
    plan.stage(Pace::Together, claims.writes.into_iter().map(Step::from));
    let template = spec.template.decode();
    let sets = revision::sort(&template, claims.mine);
    Rollout { seen, spec, template, sets }.decide(&mut plan);
    Decision::Do(plan)
}

/// A deployment without a selector is told so once, and otherwise left alone.
fn selects_all(seen: &Observed<'_>) -> Plan {
    let mut plan = Plan::default();
    let deployment = seen.deployment;
    let mut status = deployment.status.clone().unwrap_or_default();
    if status.observed_generation < deployment.metadata.generation {
        status.observed_generation = deployment.metadata.generation;
        plan.write(write_status(deployment, &deployment.metadata, &status));
        let text = "This deployment is selecting all pods. A non-empty selector is required.";
        plan.notes.push(Note::warning(reference(deployment), "SelectingAll", text));
    }
    plan
}

struct Rollout<'a> {
    seen: &'a Observed<'a>,
    spec: &'a DeploymentSpec,
    template: PodTemplateSpec,
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
        let fresh = revision::fresh(self.seen.deployment, self.spec, &self.template, &self.sets);
        if (self.seen.name_taken)(&fresh.name) {
            return self.report(plan, Doing::Colliding);
        }
        // A failure is told before the write is tried again, or it might never be.
        if self.seen.failure.is_some() {
            self.report(plan, Doing::Creating(&fresh.name));
        }
        plan.stage(Pace::InOrder, [fresh.step(self.seen.deployment, self.spec, self.template.clone(), &self.sets)]);
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
