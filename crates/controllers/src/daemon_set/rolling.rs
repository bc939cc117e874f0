//! A rolling update: how many nodes may be without a pod of the set, or have two, while the template changes.

use std::{collections::BTreeSet, sync::Arc};

use api_types::k8s_openapi::api::apps::v1::DaemonSetSpec;

use super::{
    Observed,
    nodes::{Verdict, Verdicts},
    placement::{ByNode, Changes},
    pods,
};
use crate::{share, time::from_seconds, view::Pod};

/// The strategy's limits in nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    surge: usize,
    unavailable: usize,
}

fn is_rolling(spec: &DaemonSetSpec) -> bool {
    spec.update_strategy.as_ref().is_none_or(|strategy| strategy.type_.as_deref() != Some("OnDelete"))
}

/// Of `desired` nodes; percentages are rounded up, and one of both is at least 1.
fn limits(spec: &DaemonSetSpec, desired: usize) -> Limits {
    let rolling = spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let total = i32::try_from(desired).unwrap_or(i32::MAX);
    let count = |value: i32| usize::try_from(value).unwrap_or_default();
    let surge = rolling.and_then(|r| r.max_surge.as_ref()).map_or(0, |value| share::of(value, total, true));
    let unavailable = rolling.and_then(|r| r.max_unavailable.as_ref()).map_or(1, |value| share::of(value, total, true));
    let unavailable = if surge == 0 { unavailable.max(1) } else { unavailable };
    Limits { surge: count(surge), unavailable: count(unavailable) }
}

/// Whether the set may have two pods on a node during an update.
pub(super) fn surges(seen: &Observed<'_>) -> bool {
    seen.set.spec.as_ref().is_some_and(|spec| is_rolling(spec) && limits(spec, 1).surge > 0)
}

/// Adds the pods that the update replaces now. Nodes that placement is busy with are left to it.
pub(super) fn update<'a>(
    seen: &Observed<'_>,
    verdicts: &Verdicts<'a>,
    pods: &ByNode<'a>,
    hash: &str,
    changes: &mut Changes<'a>,
) {
    let Some(spec) = seen.set.spec.as_ref().filter(|spec| is_rolling(spec)) else { return };
    let wanted = verdicts.iter().filter(|(_, verdict)| **verdict == Verdict::Run).map(|(name, _)| *name);
    let limits = limits(spec, wanted.clone().count());
    let busy: BTreeSet<&str> =
        changes.create.iter().copied().chain(changes.delete.iter().filter_map(|pod| pod.target_node())).collect();
    let nodes: BTreeSet<&'a str> = pods.keys().copied().chain(wanted).collect();
    let sort = |node: &'a str| {
        let here = pods.get(node).map(Vec::as_slice).unwrap_or_default();
        (node, if busy.contains(node) { Here::Busy } else { Here::of(here, hash) })
    };
    let here: Vec<(&'a str, Here<'a>)> = nodes.into_iter().map(sort).collect();
    let min_ready = from_seconds(spec.min_ready_seconds.unwrap_or_default());
    let available = |pod: &Pod| pod.available(min_ready, seen.now);
    if limits.surge == 0 {
        replace(&here, limits.unavailable, available, changes);
    } else {
        surge(&here, limits.surge, available, changes);
    }
}

/// The pods of one node that are not on their way out.
enum Here<'a> {
    None,
    Old(&'a Arc<Pod>),
    New(&'a Arc<Pod>),
    Both {
        old: &'a Arc<Pod>,
        new: &'a Arc<Pod>,
    },
    /// Placement acts here, or will: there are more than there may be.
    Busy,
}

impl<'a> Here<'a> {
    fn of(pods: &[&'a Arc<Pod>], hash: &str) -> Self {
        let (mut old, mut new) = (None, None);
        for pod in pods.iter().filter(|pod| !pod.metadata.deleting()) {
            let slot = if pods::is_updated(pod, hash) { &mut new } else { &mut old };
            if slot.replace(*pod).is_some() {
                return Self::Busy;
            }
        }
        match (old, new) {
            (None, None) => Self::None,
            (Some(old), None) => Self::Old(old),
            (None, Some(new)) => Self::New(new),
            (Some(old), Some(new)) => Self::Both { old, new },
        }
    }
}

/// Without a surge old pods are deleted, and placement makes new ones where they were.
fn replace<'a>(
    nodes: &[(&'a str, Here<'a>)],
    may_lack: usize,
    available: impl Fn(&Pod) -> bool,
    changes: &mut Changes<'a>,
) {
    let (mut lacking, mut candidates) = (0, Vec::new());
    for (_, here) in nodes {
        match here {
            Here::New(new) if available(new) => {}
            Here::Old(old) if available(old) => candidates.push(*old),
            // An old pod that serves nobody costs nothing.
            Here::Old(old) => changes.delete.push(old),
            Here::None | Here::New(_) | Here::Both { .. } | Here::Busy => lacking += 1,
        }
    }
    changes.delete.extend(candidates.into_iter().take(may_lack.saturating_sub(lacking)));
}

/// With a surge new pods come first, and old ones go when those are available.
fn surge<'a>(
    nodes: &[(&'a str, Here<'a>)],
    may_exceed: usize,
    available: impl Fn(&Pod) -> bool,
    changes: &mut Changes<'a>,
) {
    let (mut surging, mut candidates) = (0, Vec::new());
    for (name, here) in nodes {
        match here {
            Here::None | Here::New(_) => {}
            Here::Old(old) if available(old) => candidates.push(*name),
            Here::Old(_) => changes.create.push(name),
            Here::Both { old, new } if available(new) => changes.delete.push(old),
            Here::Both { .. } | Here::Busy => surging += 1,
        }
    }
    changes.create.extend(candidates.into_iter().take(may_exceed.saturating_sub(surging)));
}
