//! The pods: which to make, to replace and to let go, in order.
//!
//! One after the other (`OrderedReady`) a pod waits until all before it are available, and goes only when all after it
//! are gone. `Parallel` waits for nothing when it makes pods or scales down; an update is bounded by `maxUnavailable`
//! in both.

use std::{sync::Arc, time::Duration};

use api_types::{
    k8s_openapi::api::apps::v1::StatefulSetSpec,
    object::Watched,
    plan::{Note, Pace, PatchStyle, Plan, Step, Target, Write, reference},
};

use super::{
    Observed, claims,
    identity::{self, Range},
    revision::Both,
};
use crate::{share, time::from_seconds, view::Pod};

pub(super) struct Replicas<'a> {
    seen: &'a Observed<'a>,
    spec: &'a StatefulSetSpec,
    both: &'a Both,
    /// By place; none where there is no pod.
    wanted: Vec<Option<&'a Arc<Pod>>>,
    /// Pods outside the range with their ordinals, the highest first.
    condemned: Vec<(i32, &'a Arc<Pod>)>,
    range: Range,
    ordered: bool,
    min_ready: Duration,
}

/// The steps of one plan, by what has to come first.
#[derive(Default)]
struct Work {
    deletes: Vec<Step>,
    fixes: Vec<Step>,
    creates: Vec<Step>,
    claims: Vec<Step>,
    /// Pods whose claims are made in the same plan.
    after_claims: Vec<Step>,
    notes: Vec<Note>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Next,
    Wait,
}

impl<'a> Replicas<'a> {
    pub fn new(seen: &'a Observed<'a>, spec: &'a StatefulSetSpec, both: &'a Both, pods: &'a [Arc<Pod>]) -> Self {
        let range = Range::of(spec);
        let mut wanted = vec![None; usize::try_from(range.count).unwrap_or_default()];
        let mut condemned = Vec::new();
        for pod in pods {
            let Some(ordinal) = identity::ordinal(seen.set, &pod.metadata.name) else { continue };
            match range.index(ordinal) {
                Some(index) => wanted[index] = Some(pod),
                None => condemned.push((ordinal, pod)),
            }
        }
        condemned.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
        Self {
            ordered: spec.pod_management_policy.as_deref() != Some("Parallel"),
            min_ready: from_seconds(spec.min_ready_seconds.unwrap_or_default()),
            seen,
            spec,
            both,
            wanted,
            condemned,
            range,
        }
    }

    pub fn decide(&self, plan: &mut Plan) {
        let mut work = Work::default();
        if self.make(&mut work) == Turn::Next && self.scale_down(&mut work) == Turn::Next {
            self.update(&mut work);
        }
        plan.stage(Pace::Together, work.deletes);
        plan.stage(Pace::Together, work.fixes);
        plan.stage(Pace::SlowStart, work.creates);
        plan.stage(Pace::SlowStart, work.claims);
        plan.stage(Pace::SlowStart, work.after_claims);
        plan.notes.extend(work.notes);
    }

    fn available(&self, pod: &Pod) -> bool {
        &*pod.status.phase == "Running" && pod.available(self.min_ready, self.seen.now)
    }

    fn unavailable(&self, pod: &Pod) -> bool {
        pod.metadata.deleting() || !self.available(pod)
    }

    fn make(&self, work: &mut Work) -> Turn {
        for (ordinal, pod) in (self.range.start..).zip(&self.wanted) {
            let turn = match pod {
                None => self.create(ordinal, work),
                Some(pod) => self.keep(ordinal, pod, work),
            };
            if turn == Turn::Wait && self.ordered {
                return Turn::Wait;
            }
        }
        Turn::Next
    }

    fn create(&self, ordinal: i32, work: &mut Work) -> Turn {
        if claims::blocked(self.seen, ordinal) {
            return Turn::Wait;
        }
        let missing = claims::missing(self.seen, ordinal);
        let step = self.create_step(ordinal);
        if missing.is_empty() {
            work.creates.push(step);
        } else {
            work.claims.extend(missing);
            work.after_claims.push(step);
        }
        Turn::Wait
    }

    fn keep(&self, ordinal: i32, pod: &Pod, work: &mut Work) -> Turn {
        if pod.finished() {
            // Whatever its exit code: a pod that the node ended has one too.
            if !pod.metadata.deleting() {
                work.deletes.push(self.delete_step(pod));
                work.notes.push(self.recreating(pod));
            }
            return Turn::Wait;
        }
        if &*pod.status.phase == "Pending" {
            work.claims.extend(claims::missing(self.seen, ordinal));
        }
        if self.ordered && self.unavailable(pod) {
            return Turn::Wait;
        }
        work.fixes.extend(identity::missing_labels(pod, ordinal).map(|body| self.label_step(pod, body)));
        work.fixes.extend(claims::owners(self.seen, pod, false));
        Turn::Next
    }

    /// From the highest ordinal down.
    fn scale_down(&self, work: &mut Work) -> Turn {
        for (_, pod) in &self.condemned {
            work.fixes.extend(claims::owners(self.seen, pod, true));
        }
        if !work.fixes.is_empty() && !self.condemned.is_empty() {
            // A claim that goes with its pod has to be the pod's before the pod goes.
            return Turn::Wait;
        }
        if !self.ordered {
            let alive = self.condemned.iter().filter(|(_, pod)| !pod.metadata.deleting());
            work.deletes.extend(alive.map(|(_, pod)| self.delete_step(pod)));
            return Turn::Next;
        }
        let Some((_, last)) = self.condemned.first() else { return Turn::Next };
        let first_unavailable = self.condemned.iter().rev().find(|(_, pod)| self.unavailable(pod));
        let is_it = first_unavailable.is_some_and(|(_, pod)| pod.metadata.uid == last.metadata.uid);
        if !last.metadata.deleting() && (self.available(last) || is_it) {
            work.deletes.push(self.delete_step(last));
        }
        Turn::Wait
    }

    /// Deletes pods of other revisions, so that they are made anew; from the highest ordinal down to the partition.
    fn update(&self, work: &mut Work) {
        let strategy = self.spec.update_strategy.as_ref();
        if strategy.is_some_and(|strategy| strategy.type_.as_deref() == Some("OnDelete")) {
            return;
        }
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let partition = rolling.and_then(|rolling| rolling.partition).unwrap_or_default();
        let may_lack = rolling
            .and_then(|rolling| rolling.max_unavailable.as_ref())
            .map_or(1, |value| share::of(value, self.range.count, false));
        let lacking = self.wanted.iter().filter(|pod| pod.is_none_or(|pod| self.unavailable(pod))).count();
        let mut left = usize::try_from(may_lack.max(1)).unwrap_or_default().saturating_sub(lacking);
        let updated = self.wanted.iter().enumerate().skip(usize::try_from(partition).unwrap_or_default());
        for (_, pod) in updated.rev() {
            let Some(pod) = pod else { continue };
            if identity::revision(pod) == self.both.update.name || pod.metadata.deleting() || pod.finished() {
                continue;
            }
            // One that serves nobody costs nothing.
            if self.available(pod) {
                if left == 0 {
                    continue;
                }
                left -= 1;
            }
            work.deletes.push(self.delete_step(pod));
        }
    }

    fn create_step(&self, ordinal: i32) -> Step {
        let set = self.seen.set;
        let strategy = self.spec.update_strategy.as_ref();
        let partition = strategy
            .filter(|strategy| strategy.type_.as_deref() != Some("OnDelete"))
            .and_then(|strategy| strategy.rolling_update.as_ref()?.partition)
            .unwrap_or_default();
        let is_held = ordinal < self.range.start.saturating_add(partition);
        let revision = if is_held { &self.both.current } else { &self.both.update };
        let object = identity::new_pod(set, ordinal, &revision.template, &revision.name);
        let namespace = set.metadata.namespace.clone().unwrap_or_default();
        let write = Write::Create { resource: Pod::RESOURCE, namespace, object };
        self.told(write, "create", ("SuccessfulCreate", "FailedCreate"), &identity::pod_name(set, ordinal))
    }

    fn delete_step(&self, pod: &Pod) -> Step {
        let write = Write::Delete { target: Target::of(pod), propagation: None, grace_seconds: None };
        self.told(write, "delete", ("SuccessfulDelete", "FailedDelete"), &pod.metadata.name)
    }

    fn label_step(&self, pod: &Pod, body: serde_json::Value) -> Step {
        let write = Write::Patch { target: Target::of(pod), subresource: None, style: PatchStyle::Merge, body };
        self.told(write, "update", ("SuccessfulUpdate", "FailedUpdate"), &pod.metadata.name)
    }

    fn told(&self, write: Write, verb: &str, (done, failed): (&'static str, &'static str), pod: &str) -> Step {
        let (about, what) = (reference(self.seen.set), format!("{verb} Pod {pod} in StatefulSet"));
        let set = identity::set_name(self.seen.set);
        Step::from(write)
            .done(Note::normal(about.clone(), done, format!("{what} {set} successful")))
            .failed(Note::warning(about, failed, format!("{what} {set} failed error: {{error}}")))
    }

    fn recreating(&self, pod: &Pod) -> Note {
        let about = reference(self.seen.set);
        let set = format!("{}/{}", pod.metadata.namespace, identity::set_name(self.seen.set));
        let text = |kind: &str| format!("StatefulSet {set} is recreating {kind} Pod {}", pod.metadata.name);
        if &*pod.status.phase == "Failed" {
            Note::warning(about, "RecreatingFailedPod", text("failed"))
        } else {
            Note::normal(about, "RecreatingTerminatedPod", text("terminated"))
        }
    }
}
