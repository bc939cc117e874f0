//! The pods of each node, and which to make or delete because of the node.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api_types::plan::{Note, reference};

use super::{
    Observed, Retries,
    nodes::{Verdict, Verdicts},
    pods, rolling,
};
use crate::{time::from_seconds, view::Pod};

/// What one plan does with pods. The lists grow as the parts of the brain add to them.
#[derive(Default)]
pub(super) struct Changes<'a> {
    /// Nodes that get a pod.
    pub create: Vec<&'a str>,
    pub delete: Vec<&'a Arc<Pod>>,
    pub notes: Vec<Note>,
    pub again_in: Option<Duration>,
}

/// The set's pods by the node they are on or bound for. A pod that has ended and is being deleted is no longer there.
pub(super) type ByNode<'a> = BTreeMap<&'a str, Vec<&'a Arc<Pod>>>;

/// On each node the oldest first, and one that runs there before one that is only bound for it.
pub(super) fn by_node(pods: &[Arc<Pod>]) -> ByNode<'_> {
    let mut nodes: ByNode<'_> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !(pod.finished() && pod.metadata.deleting())) {
        if let Some(node) = pod.target_node() {
            nodes.entry(node).or_default().push(pod);
        }
    }
    for pods in nodes.values_mut() {
        pods.sort_by_key(|pod| (pod.spec.node_name.is_empty(), pod.created(), pod.metadata.name.clone()));
    }
    nodes
}

/// Where pods lack, fail or do not belong.
pub(super) fn place<'a>(
    seen: &Observed<'_>,
    nodes: &Verdicts<'a>,
    pods: &ByNode<'a>,
    hash: &str,
    retries: &mut Retries,
) -> Changes<'a> {
    let metadata = &seen.set.metadata;
    retries.of(metadata.uid.as_deref().unwrap_or_default(), metadata.generation.unwrap_or_default());
    let mut changes = Changes::default();
    for (name, verdict) in nodes {
        let here = pods.get(name).map(Vec::as_slice).unwrap_or_default();
        match (verdict, here) {
            (Verdict::Run, []) => changes.create.push(name),
            (Verdict::Leave, here) => changes.delete.extend(here.iter().filter(|pod| !pod.metadata.deleting())),
            (verdict, here) => settle(seen, name, here, *verdict, hash, retries, &mut changes),
        }
    }
    // The scheduler will never place a pod that is bound for a node that is gone, and nobody else will delete it.
    let lost = pods.iter().filter(|(node, _)| !nodes.contains_key(*node)).flat_map(|(_, here)| here);
    changes.delete.extend(lost.filter(|pod| pod.spec.node_name.is_empty() && !pod.metadata.deleting()));
    changes
}

/// Failed pods go, and of too many the younger ones.
fn settle<'a>(
    seen: &Observed<'_>,
    node: &'a str,
    here: &[&'a Arc<Pod>],
    verdict: Verdict,
    hash: &str,
    retries: &mut Retries,
    changes: &mut Changes<'a>,
) {
    let mut running = Vec::new();
    for pod in here.iter().filter(|pod| !pod.metadata.deleting()) {
        match &*pod.status.phase {
            "Failed" => match retries.ask(node, seen.now) {
                Ok(()) => {
                    changes.notes.push(ended(seen, pod, node, true));
                    changes.delete.push(pod);
                }
                Err(wait) => changes.again_in = Some(changes.again_in.map_or(wait, |earlier| earlier.min(wait))),
            },
            "Succeeded" => {
                changes.notes.push(ended(seen, pod, node, false));
                changes.delete.push(pod);
            }
            _ => running.push(*pod),
        }
    }
    if !rolling::surges(seen) {
        changes.delete.extend(running.into_iter().skip(1));
        return;
    }
    if running.is_empty() && verdict == Verdict::Run && here.iter().all(|pod| pod.metadata.deleting()) {
        // Its predecessor is on its way out: a set that may surge does not wait for that.
        changes.create.push(node);
        return;
    }
    keep_one_of_each(seen, running, hash, changes);
}

/// A surging set may have two pods on a node: an old one that is ready, until the new one is available.
fn keep_one_of_each<'a>(seen: &Observed<'_>, running: Vec<&'a Arc<Pod>>, hash: &str, changes: &mut Changes<'a>) {
    let (mut new, mut old) = (None, None);
    for pod in running {
        let slot = if pods::is_updated(pod, hash) { &mut new } else { &mut old };
        if slot.is_none() {
            *slot = Some(pod);
        } else {
            changes.delete.push(pod);
        }
    }
    let spec = seen.set.spec.as_ref();
    let min_ready = from_seconds(spec.and_then(|spec| spec.min_ready_seconds).unwrap_or_default());
    if let (Some(new), Some(old)) = (new, old)
        && (!old.ready() || new.available(min_ready, seen.now))
    {
        changes.delete.push(old);
    }
}

fn ended(seen: &Observed<'_>, pod: &Pod, node: &str, failed: bool) -> Note {
    let (about, name) = (reference(seen.set), pod.key());
    if failed {
        let text = format!("Found failed daemon pod {name} on node {node}, will try to kill it");
        Note::warning(about, "FailedDaemonPod", text)
    } else {
        let text = format!("Found succeeded daemon pod {name} on node {node}, will try to delete it");
        Note::normal(about, "SucceededDaemonPod", text)
    }
}
