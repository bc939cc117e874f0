//! What a StatefulSet reports.

use std::{sync::Arc, time::Duration};

use api_types::{
    k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus},
    plan::Plan,
};

use super::{Observed, identity, revision::Both};
use crate::{time::from_seconds, view::Pod, workload::write_status};

/// Adds the write of the status, unless it says all already, and when the next pod becomes available by itself.
pub(super) fn report(seen: &Observed<'_>, spec: &StatefulSetSpec, both: &Both, pods: &[Arc<Pod>], plan: &mut Plan) {
    let mut status = seen.set.status.clone().unwrap_or_default();
    status.observed_generation = seen.set.metadata.generation;
    status.current_revision = Some(both.current.name.clone());
    status.update_revision = Some(both.update.name.clone());
    status.collision_count.get_or_insert_default();
    let waits = count(seen, spec, pods, &mut status);
    complete(spec, &mut status);
    write(seen.set, status, plan);
    if let Some(wait) = waits {
        plan.again(wait);
    }
}

/// Of a set that is being deleted only the counts are kept up.
pub(super) fn report_end(seen: &Observed<'_>, spec: &StatefulSetSpec, pods: &[Arc<Pod>], plan: &mut Plan) {
    let mut status = seen.set.status.clone().unwrap_or_default();
    status.observed_generation = seen.set.metadata.generation;
    count(seen, spec, pods, &mut status);
    write(seen.set, status, plan);
}

/// The name for the new revision is taken: the next hash is another.
pub(super) fn report_collision(seen: &Observed<'_>, plan: &mut Plan) {
    let mut status = seen.set.status.clone().unwrap_or_default();
    status.collision_count = Some(status.collision_count.unwrap_or_default().saturating_add(1));
    write(seen.set, status, plan);
}

fn count(
    seen: &Observed<'_>,
    spec: &StatefulSetSpec,
    pods: &[Arc<Pod>],
    status: &mut StatefulSetStatus,
) -> Option<Duration> {
    let min_ready = from_seconds(spec.min_ready_seconds.unwrap_or_default());
    let (mut ready, mut available, mut current, mut updated) = (0, 0, 0, 0);
    let mut waits: Option<Duration> = None;
    let mut replicas = 0;
    for pod in pods.iter().filter(|pod| identity::ordinal(seen.set, &pod.metadata.name).is_some()) {
        replicas += 1;
        if &*pod.status.phase == "Running"
            && let Some(wait) = pod.available_in(min_ready, seen.now)
        {
            ready += 1;
            if wait.is_zero() {
                available += 1;
            } else {
                waits = Some(waits.map_or(wait, |earlier| earlier.min(wait)));
            }
        }
        if !pod.metadata.deleting() {
            let revision = identity::revision(pod);
            current += i32::from(status.current_revision.as_deref() == Some(revision));
            updated += i32::from(status.update_revision.as_deref() == Some(revision));
        }
    }
    status.replicas = replicas;
    status.ready_replicas = Some(ready);
    status.available_replicas = Some(available);
    status.current_replicas = Some(current);
    status.updated_replicas = Some(updated);
    waits
}

/// Once every replica is ready at the new revision, that is the current one.
fn complete(spec: &StatefulSetSpec, status: &mut StatefulSetStatus) {
    let strategy = spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
    let wanted = spec.replicas.unwrap_or(1);
    if strategy != Some("OnDelete")
        && status.updated_replicas == Some(wanted)
        && status.ready_replicas == Some(wanted)
        && status.replicas == wanted
    {
        status.current_replicas = status.updated_replicas;
        status.current_revision.clone_from(&status.update_revision);
    }
}

fn write(set: &StatefulSet, status: StatefulSetStatus, plan: &mut Plan) {
    if same(&set.status.clone().unwrap_or_default(), &status) {
        return;
    }
    plan.write(write_status(set, &set.metadata, &status));
}

/// Unset and zero are the same on the wire.
fn same(a: &StatefulSetStatus, b: &StatefulSetStatus) -> bool {
    let counts = |status: &StatefulSetStatus| {
        [
            Some(status.replicas),
            status.ready_replicas,
            status.available_replicas,
            status.current_replicas,
            status.updated_replicas,
            status.collision_count,
        ]
        .map(Option::unwrap_or_default)
    };
    counts(a) == counts(b)
        && a.observed_generation.unwrap_or_default() == b.observed_generation.unwrap_or_default()
        && a.current_revision == b.current_revision
        && a.update_revision == b.update_revision
}
