//! What a DaemonSet reports: counts of nodes.

use std::time::Duration;

use api_types::{
    k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus},
    plan::Plan,
};

use super::{
    Observed,
    nodes::{Verdict, Verdicts},
    placement::ByNode,
    pods,
};
use crate::{time::from_seconds, workload::write_status};

/// Adds the write of the status, unless it says all already, and when the next pod becomes available by itself.
pub(super) fn report(seen: &Observed<'_>, nodes: &Verdicts<'_>, pods: &ByNode<'_>, hash: &str, plan: &mut Plan) {
    let present = seen.set.status.clone().unwrap_or_default();
    let spec = seen.set.spec.as_ref();
    let min_ready = from_seconds(spec.and_then(|spec| spec.min_ready_seconds).unwrap_or_default());
    let mut status = DaemonSetStatus {
        observed_generation: seen.set.metadata.generation,
        collision_count: present.collision_count,
        conditions: present.conditions.clone(),
        ..DaemonSetStatus::default()
    };
    let (mut updated, mut available) = (0, 0);
    let mut waits: Option<Duration> = None;
    for (name, verdict) in nodes {
        let oldest = pods.get(name).and_then(|pods| pods.first());
        if *verdict != Verdict::Run {
            status.number_misscheduled += i32::from(oldest.is_some());
            continue;
        }
        status.desired_number_scheduled += 1;
        let Some(pod) = oldest else { continue };
        status.current_number_scheduled += 1;
        updated += i32::from(pods::is_updated(pod, hash));
        if let Some(wait) = pod.available_in(min_ready, seen.now) {
            status.number_ready += 1;
            if wait.is_zero() {
                available += 1;
            } else {
                waits = Some(waits.map_or(wait, |earlier| earlier.min(wait)));
            }
        }
    }
    status.updated_number_scheduled = Some(updated);
    status.number_available = Some(available);
    status.number_unavailable = Some(status.desired_number_scheduled - available);
    write(seen.set, &present, status, plan);
    if let Some(wait) = waits {
        plan.again(wait);
    }
}

/// The name for the new revision is taken: the next hash is another.
pub(super) fn report_collision(seen: &Observed<'_>, plan: &mut Plan) {
    let present = seen.set.status.clone().unwrap_or_default();
    let mut status = present.clone();
    status.collision_count = Some(status.collision_count.unwrap_or_default().saturating_add(1));
    write(seen.set, &present, status, plan);
}

fn write(set: &DaemonSet, present: &DaemonSetStatus, status: DaemonSetStatus, plan: &mut Plan) {
    // A set that was never reported on is, were it with zeros only: the generation tells that it was seen.
    if same(present, &status) {
        return;
    }
    plan.write(write_status(set, &set.metadata, &status));
}

/// Unset and zero are the same on the wire.
fn same(a: &DaemonSetStatus, b: &DaemonSetStatus) -> bool {
    let counts = |status: &DaemonSetStatus| {
        [
            Some(status.desired_number_scheduled),
            Some(status.current_number_scheduled),
            Some(status.number_misscheduled),
            Some(status.number_ready),
            status.number_available,
            status.number_unavailable,
            status.updated_number_scheduled,
            status.collision_count,
        ]
        .map(Option::unwrap_or_default)
    };
    counts(a) == counts(b) && a.observed_generation.unwrap_or_default() == b.observed_generation.unwrap_or_default()
}
