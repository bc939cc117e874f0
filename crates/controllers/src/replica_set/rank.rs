//! Which pods go first when there are too many; upstream's `ActivePodsWithRanks`.

use std::{cmp::Ordering, collections::HashMap, sync::Arc};

use jiff::Timestamp;

use crate::view::Pod;

/// The pods in the order in which to delete them. `crowd` is the number of related pods on each node.
pub(super) fn first_to_go<'a>(
    mut pods: Vec<&'a Arc<Pod>>,
    crowd: &HashMap<&str, usize>,
    now: Timestamp,
) -> Vec<&'a Arc<Pod>> {
    pods.sort_by(|a, b| compare(a, b, crowd, now));
    pods
}

/// Less goes first.
fn compare(a: &Pod, b: &Pod, crowd: &HashMap<&str, usize>, now: Timestamp) -> Ordering {
    let assigned = |pod: &Pod| !pod.spec.node_name.is_empty();
    let neighbours = |pod: &Pod| crowd.get(&*pod.spec.node_name).copied().unwrap_or_default();
    assigned(a)
        .cmp(&assigned(b))
        .then_with(|| phase(a).cmp(&phase(b)))
        .then_with(|| a.ready().cmp(&b.ready()))
        .then_with(|| cost(a).cmp(&cost(b)))
        // From the fullest node.
        .then_with(|| neighbours(b).cmp(&neighbours(a)))
        .then_with(|| magnitude(a.ready_since(), now).cmp(&magnitude(b.ready_since(), now)))
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| magnitude(a.created(), now).cmp(&magnitude(b.created(), now)))
        .then_with(|| a.metadata.uid.cmp(&b.metadata.uid))
}

fn phase(pod: &Pod) -> u8 {
    match &*pod.status.phase {
        "Running" => 2,
        "Unknown" => 1,
        _ => 0,
    }
}

/// Of the annotation `controller.kubernetes.io/pod-deletion-cost`.
fn cost(pod: &Pod) -> i32 {
    pod.metadata.annotations.deletion_cost.as_deref().and_then(|cost| cost.parse().ok()).unwrap_or_default()
}

fn restarts(pod: &Pod) -> i32 {
    pod.status.container_statuses.iter().map(|status| status.restart_count).max().unwrap_or_default()
}

/// Ages are compared by their magnitude (powers of two of nanoseconds), so that a slightly younger pod is no better a
/// victim.
fn magnitude(since: Option<Timestamp>, now: Timestamp) -> Option<u32> {
    u128::try_from(now.duration_since(since?).as_nanos()).ok()?.checked_ilog2()
}
