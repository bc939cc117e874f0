//! What a deployment reports: counts, availability, and how its rollout goes.

use std::time::Duration;

use api_types::{
    k8s_openapi::{
        api::apps::v1::{DeploymentCondition, DeploymentStatus},
        apimachinery::pkg::apis::meta::v1::ObjectMeta,
    },
    plan::{Verb, Write},
};

use super::{
    Observed, revision, rolling,
    sets::{Set, Sets},
};
use crate::{
    time::{from_seconds, left, seconds},
    workload::{Deployment, DeploymentSpec, write_status},
};

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
pub(super) const SET_CREATE_ERROR: &str = "ReplicaSetCreateError";
const PAUSED: &str = "DeploymentPaused";

pub(super) struct Report {
    /// None when the status says it already.
    pub write: Option<Write>,
    /// When the progress deadline passes.
    pub again_in: Option<Duration>,
    pub complete: bool,
}

/// What this plan does that the conditions tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing<'a> {
    RollingOut,
    /// Paused, or scaled: progress is not judged.
    Holding,
    Creating(&'a str),
    /// The name for the new set is taken by another.
    Colliding,
}

pub(super) fn report(seen: &Observed<'_>, spec: &DeploymentSpec, sets: &Sets, doing: Doing<'_>) -> Report {
    let present = seen.deployment.status.clone().unwrap_or_default();
    let mut status = counts(seen.deployment, sets, &present);
    if doing == Doing::Colliding {
        status.collision_count = Some(status.collision_count.unwrap_or_default() + 1);
    }
    let complete = is_complete(spec, &status);
    let mut conditions = Conditions { all: present.conditions.clone().unwrap_or_default(), seen };
    conditions.availability(spec, &status);
    conditions.progress(spec, sets, &present, &status, doing);
    conditions.failures(sets);
    let again_in = conditions.deadline(spec, complete);
    status.conditions = Some(conditions.all).filter(|all| !all.is_empty());
    let mut metadata = seen.deployment.metadata.clone();
    let told = tell_revision(&mut metadata, sets);
    if same(&present, &status) && !told {
        return Report { write: None, again_in, complete };
    }
    let write = write_status(seen.deployment, &metadata, &status);
    Report { write: Some(write), again_in, complete }
}

/// The deployment carries the revision of its newest set; whether it did not before. Written with the status, as
/// upstream does: the generation stays what it was.
fn tell_revision(metadata: &mut ObjectMeta, sets: &Sets) -> bool {
    let Some(revision) = sets.new.as_ref().and_then(|new| new.annotation(revision::REVISION)) else { return false };
    let annotations = metadata.annotations.get_or_insert_default();
    let before = annotations.insert(revision::REVISION.to_owned(), revision.to_owned());
    before.as_deref() != Some(revision)
}

fn counts(deployment: &Deployment, sets: &Sets, present: &DeploymentStatus) -> DeploymentStatus {
    let sum = |count: fn(&Set) -> i32| sets.all().map(count).sum::<i32>();
    let available = sum(Set::available);
    let wanted: i32 = sets.all().map(|set| super::sets::wanted(&set.seen)).sum();
    DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: Some(sum(Set::actual)),
        updated_replicas: Some(sets.new.as_ref().map_or(0, Set::actual)),
        ready_replicas: Some(sum(Set::ready)),
        available_replicas: Some(available),
        unavailable_replicas: Some((wanted - available).max(0)),
        terminating_replicas: Some(sum(Set::terminating)),
        collision_count: present.collision_count,
        conditions: None,
    }
}

fn is_complete(spec: &DeploymentSpec, status: &DeploymentStatus) -> bool {
    let wanted = Some(rolling::wanted(spec));
    status.updated_replicas == wanted && status.replicas == wanted && status.available_replicas == wanted
}

/// Unset and zero are the same on the wire.
fn same(a: &DeploymentStatus, b: &DeploymentStatus) -> bool {
    let numbers = |status: &DeploymentStatus| {
        [
            status.replicas,
            status.updated_replicas,
            status.ready_replicas,
            status.available_replicas,
            status.unavailable_replicas,
            status.terminating_replicas,
            status.collision_count,
        ]
        .map(Option::unwrap_or_default)
    };
    numbers(a) == numbers(b)
        && a.observed_generation.unwrap_or_default() == b.observed_generation.unwrap_or_default()
        && a.conditions.as_deref().unwrap_or_default() == b.conditions.as_deref().unwrap_or_default()
}

/// Whether the rollout came nearer to its end since the last report.
fn progressed(before: &DeploymentStatus, now: &DeploymentStatus) -> bool {
    let number = |count: Option<i32>| count.unwrap_or_default();
    let old = |status: &DeploymentStatus| number(status.replicas) - number(status.updated_replicas);
    number(now.updated_replicas) > number(before.updated_replicas)
        || old(now) < old(before)
        || number(now.ready_replicas) > number(before.ready_replicas)
        || number(now.available_replicas) > number(before.available_replicas)
}

struct Conditions<'a> {
    all: Vec<DeploymentCondition>,
    seen: &'a Observed<'a>,
}

impl Conditions<'_> {
    fn get(&self, kind: &str) -> Option<&DeploymentCondition> {
        self.all.iter().find(|condition| condition.type_ == kind)
    }

    /// Same status and reason: nothing new. Same status: the transition stays when it was.
    fn set(&mut self, kind: &str, status: &str, reason: &str, message: String) {
        let known = self.get(kind);
        if known.is_some_and(|known| known.status == status && known.reason.as_deref() == Some(reason)) {
            return;
        }
        self.put(kind, status, reason, message);
    }

    fn put(&mut self, kind: &str, status: &str, reason: &str, message: String) {
        let now = Some(seconds(self.seen.now));
        let since = self.get(kind).filter(|known| known.status == status).and_then(|k| k.last_transition_time.clone());
        let condition = DeploymentCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_update_time: now.clone(),
            last_transition_time: since.or(now),
        };
        self.remove(kind);
        self.all.push(condition);
    }

    fn remove(&mut self, kind: &str) {
        self.all.retain(|condition| condition.type_ != kind);
    }

    fn availability(&mut self, spec: &DeploymentSpec, status: &DeploymentStatus) {
        let floor = rolling::wanted(spec) - rolling::limits(spec).unavailable;
        if status.available_replicas.unwrap_or_default() >= floor {
            let message = "Deployment has minimum availability.".to_owned();
            self.set(AVAILABLE, "True", "MinimumReplicasAvailable", message);
        } else {
            let message = "Deployment does not have minimum availability.".to_owned();
            self.set(AVAILABLE, "False", "MinimumReplicasUnavailable", message);
        }
    }

    fn progress(
        &mut self,
        spec: &DeploymentSpec,
        sets: &Sets,
        before: &DeploymentStatus,
        now: &DeploymentStatus,
        doing: Doing<'_>,
    ) {
        if spec.progress_deadline_seconds.is_none_or(|seconds| seconds == i32::MAX) {
            self.remove(PROGRESSING);
            return;
        }
        let reason = self.get(PROGRESSING).and_then(|known| known.reason.clone());
        if spec.paused == Some(true) {
            // A rollout that timed out stays so: it was not the pause.
            if reason.as_deref() != Some(TIMED_OUT) {
                self.set(PROGRESSING, "Unknown", PAUSED, "Deployment is paused".to_owned());
            }
            return;
        }
        if reason.as_deref() == Some(PAUSED) {
            self.set(PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed".to_owned());
        }
        if let Some(failure) = self.seen.failure
            && failure.verb == Verb::Create
            && let Doing::Creating(name) = doing
        {
            let message = format!("Failed to create new replica set {name:?}: {}", failure.message);
            self.set(PROGRESSING, "False", SET_CREATE_ERROR, message);
            return;
        }
        match doing {
            Doing::Creating(name) => {
                self.put(PROGRESSING, "True", "NewReplicaSetCreated", format!("Created new replica set {name:?}"));
            }
            Doing::Holding | Doing::Colliding => {}
            Doing::RollingOut => self.rollout(spec, sets, before, now),
        }
    }

    fn rollout(&mut self, spec: &DeploymentSpec, sets: &Sets, before: &DeploymentStatus, now: &DeploymentStatus) {
        if let Some(new) = &sets.new
            && self.get(PROGRESSING).is_none()
        {
            self.put(PROGRESSING, "True", "FoundNewReplicaSet", format!("Found new replica set {:?}", new.name()));
        }
        let known = self.get(PROGRESSING).cloned();
        let reason = known.as_ref().and_then(|known| known.reason.as_deref()).unwrap_or_default();
        if now.replicas == now.updated_replicas && reason == NEW_SET_AVAILABLE {
            // Complete already; pods that come and go later are no rollout.
            return;
        }
        let subject = match &sets.new {
            Some(new) => format!("ReplicaSet {:?}", new.name()),
            None => {
                let name = self.seen.deployment.metadata.name.as_deref().unwrap_or_default();
                format!("Deployment {name:?}")
            }
        };
        if is_complete(spec, now) {
            self.set(PROGRESSING, "True", NEW_SET_AVAILABLE, format!("{subject} has successfully progressed."));
        } else if progressed(before, now) {
            self.put(PROGRESSING, "True", "ReplicaSetUpdated", format!("{subject} is progressing."));
        } else if self.left(spec).is_some_and(|left| left.is_zero()) {
            self.set(PROGRESSING, "False", TIMED_OUT, format!("{subject} has timed out progressing."));
        }
    }

    /// Time left until the deadline; none when it does not apply.
    fn left(&self, spec: &DeploymentSpec) -> Option<Duration> {
        let deadline = from_seconds(spec.progress_deadline_seconds?);
        let condition = self.get(PROGRESSING)?;
        match condition.reason.as_deref() {
            Some(NEW_SET_AVAILABLE | PAUSED) => return None,
            Some(TIMED_OUT) => return Some(Duration::ZERO),
            _ => {}
        }
        Some(left(condition.last_update_time.as_ref()?.0, deadline, self.seen.now))
    }

    fn deadline(&self, spec: &DeploymentSpec, complete: bool) -> Option<Duration> {
        let timed_out = self.get(PROGRESSING).is_some_and(|known| known.reason.as_deref() == Some(TIMED_OUT));
        if complete || timed_out || spec.paused == Some(true) {
            return None;
        }
        // A second more, so that the whole seconds of the condition are over too.
        self.left(spec).map(|left| left + Duration::from_secs(1))
    }

    /// A set that cannot make its pods says why; the newest one's word counts first.
    fn failures(&mut self, sets: &Sets) {
        let failure = sets.new.iter().chain(&sets.old).find_map(|set| {
            let conditions = set.seen.status.as_ref()?.conditions.as_ref()?;
            conditions.iter().find(|condition| condition.type_ == REPLICA_FAILURE).cloned()
        });
        match failure {
            None => self.remove(REPLICA_FAILURE),
            Some(failure) => self.set(
                REPLICA_FAILURE,
                &failure.status,
                failure.reason.as_deref().unwrap_or_default(),
                failure.message.unwrap_or_default(),
            ),
        }
    }
}
