//! Job: runs pods until enough of them succeeded.
//!
//! Decides which pods belong to the job, which to make and which to delete, when the job has failed or is complete, and
//! its status. A finished pod is counted in three steps, so that none is counted twice or lost, wherever the program
//! ends between them: its uid goes to `status.uncountedTerminatedPods`; its finalizer goes; the uid becomes a count. One
//! plan does the first two for some pods and the third for those of the plan before.
//!
//! It does not decide when a finished job is deleted ([`ttl_after_finished`](crate::ttl_after_finished)), and leaves
//! jobs alone that another controller manages (`spec.managedBy`).

mod backoff;
mod census;
mod indexes;
mod plan;
mod pods;
mod policy;
mod status;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use api_types::{
    k8s_openapi::api::batch::v1::{Job, JobCondition},
    object::{Object, Watched},
    plan::{Decision, Failure, Pace, PatchStyle, Plan, Step, Target, Write},
};
use jiff::Timestamp;
use serde_json::json;

use crate::{replica_set::Live, view::Pod};

pub use backoff::Backoff;
pub use indexes::Indexes;
pub use plan::reconcile;

/// On every pod that is not yet counted.
pub const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// Annotation and label of the pods of an Indexed job.
pub const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// The value of `spec.managedBy` that means this controller.
pub const CONTROLLER: &str = "kubernetes.io/job-controller";

/// Pods made or deleted, and pods waiting to be counted, in one plan.
pub const BURST: usize = 500;

/// All that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    pub job: &'a Job,
    /// Pods of the namespace whose controller is the job, and those without a controller.
    pub pods: &'a [Arc<Pod>],
    /// What is remembered of the job's failures, [told](learn) of the same pods.
    pub backoff: &'a Backoff,
    /// The job as the API has it now; asked for before adopting.
    pub live: Option<&'a Live>,
    /// The write at which the last plan stopped.
    pub failure: Option<&'a Failure>,
    pub now: Timestamp,
}

/// Takes note of what ended, for the wait before the next try.
pub fn learn(backoff: &mut Backoff, job: &Job, pods: &[Arc<Pod>]) {
    let wanted = census::Wanted::of(job);
    let mine = pods.iter().filter(|pod| pod.metadata.controller().is_some_and(|owner| owner.uid == job.uid()));
    // What lost its finalizer and is being deleted was ended by us, for another reason.
    for pod in mine.filter(|pod| tracked(pod) || !pod.metadata.deleting()) {
        if &*pod.status.phase == "Succeeded" {
            backoff.succeeded(pod);
        } else if wanted.is_failed(pod) {
            backoff.failed(pod);
        }
    }
}

/// Whether the pod is still to be counted.
pub fn tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().any(|finalizer| finalizer == FINALIZER)
}

/// A new finished pod would be counted: the view of the pods has to be at least as recent as that of the job, or it might
/// be one that was counted already.
pub fn counts_new(job: &Job, pods: &[Arc<Pod>]) -> bool {
    let noted = job.status.as_ref().and_then(|status| status.uncounted_terminated_pods.as_ref());
    let known = |uid: &str| {
        noted.is_some_and(|noted| {
            noted.succeeded.iter().chain(&noted.failed).any(|uids| uids.iter().any(|known| known == uid))
        })
    };
    pods.iter().any(|pod| tracked(pod) && (pod.finished() || pod.metadata.deleting()) && !known(&pod.metadata.uid))
}

/// The pods of a job that is gone: nobody counts them any more. `live` is what the API has under the job's name.
pub fn abandoned(namespace: &str, name: &str, pods: &[Arc<Pod>], live: Option<&Live>) -> Decision {
    let mut plan = Plan::default();
    if pods.is_empty() {
        return Decision::Do(plan);
    }
    let Some(live) = live else { return Decision::Need(Target::named(Job::RESOURCE, namespace, name)) };
    let theirs = |pod: &&Arc<Pod>| {
        let owner = pod.metadata.controller();
        tracked(pod) && owner.is_some_and(|owner| live.uid.as_deref() != Some(&*owner.uid))
    };
    plan.stage(Pace::Together, pods.iter().filter(theirs).map(|pod| Step::from(release(pod))));
    Decision::Do(plan)
}

fn release(pod: &Pod) -> Write {
    let body = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
    Write::Patch { target: Target::of(pod), subresource: None, style: PatchStyle::Strategic, body }
}

/// The job's condition of that type, if it is true.
pub fn condition<'a>(job: &'a Job, kind: &str) -> Option<&'a JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True")
}

/// The condition by which the job has ended, `Complete` or `Failed`.
pub fn finished(job: &Job) -> Option<&JobCondition> {
    condition(job, "Complete").or_else(|| condition(job, "Failed"))
}
