//! Why no node would do, in upstream's words: "0/5 nodes are available: 3 Insufficient cpu, …".

use std::collections::{BTreeMap, BTreeSet};

use super::evaluation::Evaluation;
use crate::{
    cluster::{Cluster, NodeId},
    framework::{Point, Reason},
    profile::{PluginSet, Profile},
};

const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FitError {
    pub nodes: usize,
    /// Every plugin that refused the pod or a node.
    pub refused_by: PluginSet,
    before_nodes: Option<Reason>,
    counts: BTreeMap<Reason, usize>,
    /// Nodes that might take the pod if pods left them.
    resolvable: Vec<NodeId>,
}

impl FitError {
    /// A plugin refused the pod without looking at any node.
    pub(super) fn before_nodes(cluster: &Cluster, plugin: usize, reason: Reason) -> Self {
        let mut refused_by = PluginSet::default();
        refused_by.insert(plugin);
        Self {
            nodes: cluster.live().len(),
            refused_by,
            before_nodes: Some(reason),
            counts: BTreeMap::new(),
            resolvable: Vec::new(),
        }
    }

    /// Every node was refused; nodes that PreFilter left out count as refused by `narrowed_by`.
    pub(super) fn of_nodes(
        profile: &Profile,
        cluster: &Cluster,
        evaluation: &Evaluation,
        looked_at: &[NodeId],
        narrowed_by: Option<PluginSet>,
    ) -> Self {
        let mut error = Self {
            nodes: cluster.live().len(),
            refused_by: narrowed_by.unwrap_or_default(),
            before_nodes: None,
            counts: BTreeMap::new(),
            resolvable: Vec::new(),
        };
        // Many nodes are refused for the same reasons: count those first, then spell them out once.
        let mut tally = vec![0; evaluation.refusals().len()];
        for id in looked_at {
            let Some(at) = evaluation.refusal_of(*id) else { continue };
            tally[at] += 1;
            if evaluation.refusals()[at].resolvable {
                error.resolvable.push(*id);
            }
        }
        for (refusal, count) in evaluation.refusals().iter().zip(tally).filter(|(_, count)| *count > 0) {
            error.refused_by.insert(refusal.plugin);
            for reason in &refusal.reasons {
                *error.counts.entry(reason.clone()).or_insert(0) += count;
            }
        }
        if error.nodes == 0 {
            // Nobody was asked; whoever could be wants to hear of the first node.
            profile.at(Point::Filter).for_each(|(at, _)| error.refused_by.insert(at));
        }
        if let Some(plugins) = narrowed_by.filter(|_| error.nodes > looked_at.len()) {
            let names: BTreeSet<_> = profile.names(plugins).into_iter().collect();
            let names = names.into_iter().collect::<Vec<_>>().join(" ");
            let reason = format!("node(s) didn't satisfy plugin(s) [{names}]");
            *error.counts.entry(reason.into()).or_insert(0) += error.nodes - looked_at.len();
        }
        error
    }

    /// The message for the pod's condition and event. Whether evicting others would have helped is said only where the
    /// answer is no for every node.
    pub fn message(&self, cluster: &Cluster, priority: i32, may_preempt: bool) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let reasons = match &self.before_nodes {
            Some(reason) => reason.to_string(),
            None => histogram(self.counts.iter().map(|(reason, count)| (&**reason, *count))),
        };
        let mut message = format!("0/{} nodes are available: {reasons}.", self.nodes);
        if !may_preempt {
            message.push_str(" preemption: not eligible due to preemptionPolicy=Never.");
        } else if !self.resolvable.iter().any(|id| cluster.node(*id).has_pod_below(priority)) {
            let counts = [(NO_VICTIMS, self.resolvable.len()), (NOT_HELPFUL, self.nodes - self.resolvable.len())];
            let reasons = histogram(counts.into_iter().filter(|(_, count)| *count > 0));
            message.push_str(&format!(" preemption: 0/{} nodes are available: {reasons}.", self.nodes));
        }
        message
    }
}

/// Sorted as text, as upstream does.
fn histogram<'a>(counts: impl Iterator<Item = (&'a str, usize)>) -> String {
    let mut entries: Vec<_> = counts.map(|(reason, count)| format!("{count} {reason}")).collect();
    entries.sort();
    entries.join(", ")
}
