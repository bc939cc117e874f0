//! What a ReplicaSet reports: counts, and whether making or deleting pods fails.

use std::{sync::Arc, time::Duration};

use api_types::{
    k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus},
    plan::{Verb, Write},
};

use super::{Observed, Replicated};
use crate::{time::seconds, view::Pod};

const REPLICA_FAILURE: &str = "ReplicaFailure";

pub(super) struct Report {
    /// None when the status says it already.
    pub write: Option<Write>,
    /// When the next pod becomes available by the mere passing of time.
    pub again_in: Option<Duration>,
}

pub(super) fn report<S: Replicated>(seen: &Observed<'_, S>, mine: &[&Arc<Pod>]) -> Report {
    let (status, again_in) = status(seen, mine);
    if same(&seen.set.status(), &status) {
        return Report { write: None, again_in };
    }
    Report { write: Some(seen.set.write(status)), again_in }
}

fn status<S: Replicated>(seen: &Observed<'_, S>, mine: &[&Arc<Pod>]) -> (ReplicaSetStatus, Option<Duration>) {
    let (template_labels, min_ready) = (seen.set.template_labels(), seen.set.min_ready());
    let (mut replicas, mut labelled, mut ready, mut available) = (0, 0, 0, 0);
    let mut again_in: Option<Duration> = None;
    for pod in mine.iter().filter(|pod| pod.active()) {
        replicas += 1;
        let fully = template_labels.iter().all(|(key, value)| pod.metadata.labels.get(key) == Some(value));
        labelled += i32::from(fully);
        let Some(wait) = pod.available_in(min_ready, seen.now) else { continue };
        ready += 1;
        if wait.is_zero() {
            available += 1;
        } else {
            again_in = Some(again_in.map_or(wait, |earlier| earlier.min(wait)));
        }
    }
    let terminating = count(mine.iter().filter(|pod| pod.metadata.deleting()));
    let present = seen.set.status();
    let status = ReplicaSetStatus {
        replicas,
        fully_labeled_replicas: Some(labelled),
        ready_replicas: Some(ready),
        available_replicas: Some(available),
        terminating_replicas: S::COUNTS_TERMINATING.then_some(terminating),
        observed_generation: seen.set.metadata().generation,
        conditions: conditions(seen, present.conditions.unwrap_or_default()),
    };
    (status, again_in)
}

fn count<T>(items: impl Iterator<Item = T>) -> i32 {
    i32::try_from(items.count()).unwrap_or(i32::MAX)
}

/// The conditions there are, with `ReplicaFailure` when the last plan failed and without when there is nothing to do
/// or it worked.
fn conditions<S: Replicated>(
    seen: &Observed<'_, S>,
    mut conditions: Vec<ReplicaSetCondition>,
) -> Option<Vec<ReplicaSetCondition>> {
    let failure = seen.failure.and_then(|failure| match failure.verb {
        Verb::Create => Some(("FailedCreate", &failure.message)),
        Verb::Delete => Some(("FailedDelete", &failure.message)),
        Verb::Patch | Verb::Update => None,
    });
    match failure {
        None => conditions.retain(|condition| condition.type_ != REPLICA_FAILURE),
        Some((reason, message)) => {
            if !conditions.iter().any(|condition| condition.type_ == REPLICA_FAILURE) {
                conditions.push(ReplicaSetCondition {
                    type_: REPLICA_FAILURE.to_owned(),
                    status: "True".to_owned(),
                    reason: Some(reason.to_owned()),
                    message: Some(message.clone()),
                    last_transition_time: Some(seconds(seen.now)),
                });
            }
        }
    }
    (!conditions.is_empty()).then_some(conditions)
}

/// Unset and zero are the same on the wire.
fn same(a: &ReplicaSetStatus, b: &ReplicaSetStatus) -> bool {
    let counts = |status: &ReplicaSetStatus| {
        [status.fully_labeled_replicas, status.ready_replicas, status.available_replicas, status.terminating_replicas]
            .map(Option::unwrap_or_default)
    };
    a.replicas == b.replicas
        && counts(a) == counts(b)
        && a.observed_generation.unwrap_or_default() == b.observed_generation.unwrap_or_default()
        && a.conditions.as_deref().unwrap_or_default() == b.conditions.as_deref().unwrap_or_default()
}
