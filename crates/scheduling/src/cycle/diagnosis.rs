//! Why no node would do, in upstream's words: "0/5 nodes are available: 3 Insufficient cpu, …".

use std::collections::{BTreeMap, BTreeSet};

use super::{Refusals, evaluation::Evaluation};
use crate::{
    cluster::{Cluster, NodeId},
    framework::{Point, Reason},
    profile::{PluginSet, Profile},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FitError {
    pub nodes: usize,
    /// Every plugin that refused the pod or a node.
    pub refused_by: PluginSet,
    before_nodes: Option<Reason>,
    counts: BTreeMap<Reason, usize>,
    /// Nodes that might take the pod if pods left them.
    pub resolvable: Vec<NodeId>,
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
        refusals: &Refusals,
        only: Option<&[NodeId]>,
        narrowed_by: PluginSet,
    ) -> Self {
        let mut error = Self {
            nodes: cluster.live().len(),
            refused_by: narrowed_by,
            before_nodes: None,
            counts: BTreeMap::new(),
            resolvable: Vec::new(),
        };
        // Many nodes are refused for the same reasons: count those first, then spell them out once.
        let looked_at = only.unwrap_or(cluster.live());
        let mut tally = vec![0; evaluation.refusals().len()];
        for id in looked_at {
            let Some(at) = evaluation.refusal_of(*id) else { continue };
            tally[at] += 1;
            if evaluation.refusals()[at].resolvable {
                error.resolvable.push(*id);
            }
        }
        for (id, at) in &refusals.beside {
            tally[*at as usize] += 1;
            if evaluation.refusals()[*at as usize].resolvable {
                error.resolvable.push(*id);
            }
        }
        let mut more = vec![0; refusals.kinds.len()];
        for (id, at) in &refusals.nodes {
            more[*at as usize] += 1;
            if refusals.kinds[*at as usize].resolvable {
                error.resolvable.push(*id);
            }
        }
        let all = evaluation.refusals().iter().zip(tally).chain(refusals.kinds.iter().zip(more));
        for (refusal, count) in all.filter(|(_, count)| *count > 0) {
            error.refused_by.insert(refusal.plugin);
            for reason in &refusal.reasons {
                *error.counts.entry(reason.clone()).or_insert(0) += count;
            }
        }
        if error.nodes == 0 {
            // Nobody was asked; whoever could be wants to hear of the first node.
            profile.at(Point::Filter).for_each(|(at, _)| error.refused_by.insert(at));
        }
        if only.is_some() && error.nodes > looked_at.len() {
            let names: BTreeSet<_> = profile.names(narrowed_by).into_iter().collect();
            let names = names.into_iter().collect::<Vec<_>>().join(" ");
            let reason = format!("node(s) didn't satisfy plugin(s) [{names}]");
            *error.counts.entry(reason.into()).or_insert(0) += error.nodes - looked_at.len();
        }
        error
    }

    /// One more node is refused, by somebody whose reasons no plugin knows: whatever happens may change his mind.
    pub(crate) fn refuse(&mut self, profile: &Profile, node: NodeId, reason: String, resolvable: bool) {
        profile.at(Point::Filter).for_each(|(at, _)| self.refused_by.insert(at));
        *self.counts.entry(reason.into()).or_insert(0) += 1;
        if resolvable {
            self.resolvable.push(node);
        }
    }

    /// Why no node would do; preemption's own word may follow.
    pub fn message(&self) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let reasons = match &self.before_nodes {
            Some(reason) => reason.to_string(),
            None => histogram(self.counts.iter().map(|(reason, count)| (&**reason, *count))),
        };
        format!("0/{} nodes are available: {reasons}.", self.nodes)
    }
}

/// Sorted as text, as upstream does.
pub fn histogram<'a>(counts: impl Iterator<Item = (&'a str, usize)>) -> String {
    let mut entries: Vec<_> = counts.map(|(reason, count)| format!("{count} {reason}")).collect();
    entries.sort();
    entries.join(", ")
}
