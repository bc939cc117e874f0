//! The scheduling cycle for one pod: PreFilter, Filter, PreScore, Score, and the choice among the best.
//!
//! What the plugins say about a shape of pod and a node is remembered with the node's generation: the next pod of this
//! shape costs a comparison a node, and only nodes that changed meanwhile are asked again. Rules about other pods are
//! asked of running counts. In large clusters only part of the nodes is looked at for each pod
//! (`percentageOfNodesToScore`), going around from pod to pod.

mod diagnosis;
mod evaluation;
mod preemption;
#[cfg(test)]
mod tests;
mod tracking;
mod what_if;

use std::sync::Arc;

pub use diagnosis::FitError;
use evaluation::Evaluation;
pub use evaluation::Refusal;
pub use preemption::Eviction;
use preemption::Trials;
pub(crate) use preemption::{NO_CANDIDATE, least_harm};
pub(crate) use tracking::Tracking;
use what_if::WhatIf;

use crate::{
    cluster::{Cluster, NodeId},
    framework::{MAX_NODE_SCORE, PodRef, Point, PreFilter, Refused},
    profile::{PluginSet, Profile},
    shape::Shape,
};

/// Fewer nodes than this are always all looked at, and at least so many that fit are looked for.
const MIN_FEASIBLE_NODES: usize = 100;
const MIN_PERCENTAGE: usize = 5;
/// Shapes remembered at a time, and (shape, node) pairs: the memory limit of the cycle.
const MAX_SHAPES: usize = 64;
const MAX_PAIRS: usize = 200_000;

#[derive(Debug, Default)]
pub struct Cycle {
    evaluations: Vec<Evaluation>,
    trackings: Vec<Tracking>,
    trials: Vec<Trials>,
    /// Where the next pod starts to look.
    start: usize,
    clock: u64,
    candidates: Vec<NodeId>,
    totals: Vec<i64>,
    column: Vec<i64>,
    refusals: Refusals,
}

/// Why nodes were refused that the remembered evaluation had nothing against; of one pod.
#[derive(Debug, Default)]
struct Refusals {
    kinds: Vec<Refusal>,
    by_trackers: Vec<(usize, Refused, u32)>,
    nodes: Vec<(NodeId, u32)>,
    /// Because of pods that are meant for the node; by the refusal's place in the evaluation.
    beside: Vec<(NodeId, u32)>,
}

impl Refusals {
    fn clear(&mut self) {
        self.kinds.clear();
        self.by_trackers.clear();
        self.nodes.clear();
        self.beside.clear();
    }

    fn by_tracker(&mut self, node: NodeId, plugin: usize, refused: Refused) {
        let known = self.by_trackers.iter().find(|(by, for_this, _)| *by == plugin && *for_this == refused);
        let kind = match known.map(|(_, _, kind)| *kind) {
            Some(kind) => kind,
            None => {
                let kind = self.kinds.len() as u32;
                self.kinds.push(Refusal::of_tracker(plugin, refused));
                self.by_trackers.push((plugin, refused, kind));
                kind
            }
        };
        self.nodes.push((node, kind));
    }
}

/// What stays the same while node after node is asked about.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    profile: &'a Profile,
    pod: PodRef<'a>,
    /// Places in the lists of what is remembered.
    evaluation: usize,
    tracking: usize,
    /// Some tracker may refuse nodes.
    filters: bool,
    meant_for: Option<NodeId>,
}

/// What is known of a pod once its nodes have been looked at.
struct Looked {
    /// Places in what the cycle remembers.
    evaluation: usize,
    tracking: usize,
    scope: Scope,
}

/// The part of the nodes that PreFilter leaves.
struct Scope {
    /// All of them, if none.
    only: Option<Vec<NodeId>>,
    /// Who narrowed them down.
    narrowed_by: PluginSet,
    /// Whose Filter need not be asked.
    skipped: PluginSet,
}

/// The nodes that fit a pod.
#[derive(Debug)]
pub struct Survey {
    pub nodes: Vec<NodeId>,
    /// Why the others do not.
    pub refused: Box<FitError>,
    /// Only the node was looked at that room had been made on.
    pub only_meant: bool,
}

/// How many fitting nodes are enough.
fn enough(nodes: usize, percentage: u32) -> usize {
    if nodes < MIN_FEASIBLE_NODES {
        return nodes;
    }
    let percentage = match percentage as usize {
        0 => 50_usize.saturating_sub(nodes / 125).max(MIN_PERCENTAGE),
        given => given.min(100),
    };
    (nodes * percentage / 100).max(MIN_FEASIBLE_NODES)
}

impl Cycle {
    /// The node for this pod. `tie` picks among equals; `enter` is told of each extension point reached.
    ///
    /// # Errors
    /// Why there is none.
    pub fn run(
        &mut self,
        profile: &Profile,
        pod: PodRef<'_>,
        cluster: &mut Cluster,
        tie: u64,
        enter: &mut dyn FnMut(Point),
    ) -> Result<NodeId, Box<FitError>> {
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        let looked = self.look(profile, pod, cluster, true, enter, &mut candidates);
        let chosen = match (looked, candidates.as_slice()) {
            (Err(error), _) => Err(error),
            (Ok(looked), []) => Err(self.refused(profile, cluster, &looked)),
            (Ok(_), [only]) => Ok(*only),
            (Ok(looked), several) => {
                enter(Point::Score);
                self.score(profile, cluster, looked.evaluation, looked.tracking, several);
                Ok(several[best(&self.totals, tie)])
            }
        };
        self.candidates = candidates;
        chosen
    }

    /// All nodes that fit, for somebody else to choose from; `prefers_meant`: if room was made for the pod on a node,
    /// and it fits there, that one alone.
    ///
    /// # Errors
    /// Why there is none.
    pub fn survey(
        &mut self,
        profile: &Profile,
        pod: PodRef<'_>,
        cluster: &mut Cluster,
        prefers_meant: bool,
        enter: &mut dyn FnMut(Point),
    ) -> Result<Survey, Box<FitError>> {
        let mut nodes = Vec::new();
        let looked = self.look(profile, pod, cluster, prefers_meant, enter, &mut nodes)?;
        let refused = self.refused(profile, cluster, &looked);
        if nodes.is_empty() {
            return Err(refused);
        }
        let only_meant = prefers_meant && cluster.nominated_node(pod.uid).is_some_and(|meant| *nodes == [meant]);
        Ok(Survey { nodes, refused, only_meant })
    }

    /// Finds the nodes that fit.
    fn look(
        &mut self,
        profile: &Profile,
        pod: PodRef<'_>,
        cluster: &mut Cluster,
        prefers_meant: bool,
        enter: &mut dyn FnMut(Point),
        found: &mut Vec<NodeId>,
    ) -> Result<Looked, Box<FitError>> {
        enter(Point::PreFilter);
        let scope = pre_filter(profile, pod, cluster)?;
        enter(Point::Filter);
        let evaluation = self.evaluation(profile, pod.shape, cluster, scope.skipped);
        let tracking = self.tracking(profile, pod, cluster);
        self.find(profile, pod, cluster, (evaluation, tracking), &scope, prefers_meant, found);
        Ok(Looked { evaluation, tracking, scope })
    }

    /// Why the others do not fit.
    fn refused(&self, profile: &Profile, cluster: &Cluster, looked: &Looked) -> Box<FitError> {
        let (evaluation, scope) = (&self.evaluations[looked.evaluation], &looked.scope);
        let error =
            FitError::of_nodes(profile, cluster, evaluation, &self.refusals, scope.only.as_deref(), scope.narrowed_by);
        Box::new(error)
    }

    /// The best of these nodes, which a survey has found for the pod; `more` is added to their scores.
    pub fn choose(
        &mut self,
        profile: &Profile,
        pod: PodRef<'_>,
        cluster: &Cluster,
        nodes: &[(NodeId, i64)],
        tie: u64,
    ) -> Option<NodeId> {
        let evaluation = self.evaluations.iter().position(|e| e.is_of(profile, pod.shape))?;
        let tracking = self.trackings.iter().position(|t| t.is_of(profile, pod))?;
        let ids: Vec<NodeId> = nodes.iter().map(|(id, _)| *id).collect();
        self.score(profile, cluster, evaluation, tracking, &ids);
        for (total, (_, more)) in self.totals.iter_mut().zip(nodes) {
            *total += more;
        }
        ids.get(best(&self.totals, tie)).copied()
    }

    #[expect(clippy::too_many_arguments, reason = "one step of two ways through the cycle")]
    fn find(
        &mut self,
        profile: &Profile,
        pod: PodRef<'_>,
        cluster: &mut Cluster,
        (evaluation, tracking): (usize, usize),
        scope: &Scope,
        prefers_meant: bool,
        candidates: &mut Vec<NodeId>,
    ) {
        self.refusals.clear();
        let filters = self.trackings[tracking].filters();
        let meant_for = cluster.nominated_node(pod.uid);
        let attempt = Attempt { profile, pod, evaluation, tracking, filters, meant_for };
        let is_in_scope =
            |id: &NodeId| cluster.is_live(*id) && scope.only.as_ref().is_none_or(|only| only.contains(id));
        if let Some(id) = meant_for.filter(|id| prefers_meant && is_in_scope(id)) {
            // Room was made for it here: if it fits now, there is nothing to choose.
            if self.fits(&attempt, cluster, id) {
                candidates.push(id);
                return;
            }
            self.refusals.clear();
        }
        let number = scope.only.as_ref().map_or(cluster.live().len(), Vec::len);
        let wanted = enough(number, profile.percentage_of_nodes_to_score);
        let start = if scope.only.is_some() || number == 0 { 0 } else { self.start % number };
        let mut seen = 0;
        while seen < number && candidates.len() < wanted {
            let at = (start + seen) % number;
            let id = scope.only.as_ref().map_or_else(|| cluster.live()[at], |only| only[at]);
            seen += 1;
            if self.fits(&attempt, cluster, id) {
                candidates.push(id);
            }
        }
        if scope.only.is_none() && number != 0 {
            self.start = (start + seen) % number;
        }
    }

    fn fits(&mut self, attempt: &Attempt<'_>, cluster: &mut Cluster, id: NodeId) -> bool {
        let Attempt { profile, pod, filters, .. } = *attempt;
        let evaluation = &mut self.evaluations[attempt.evaluation];
        if !evaluation.fits(profile, cluster, id) {
            return false;
        }
        let tracking = &mut self.trackings[attempt.tracking];
        if filters && let Err((plugin, refused)) = tracking.filter(cluster, id) {
            self.refusals.by_tracker(id, plugin, refused);
            return false;
        }
        if !cluster.has_nominations() {
            return true;
        }
        // The answer depends on nothing but the node, the shape and the priority.
        let remembers = !filters && attempt.meant_for != Some(id);
        let generation = cluster.generation(id);
        let known = evaluation.beside(id, generation, pod.priority).filter(|_| remembers);
        let found = known.unwrap_or_else(|| {
            let alone = cluster.nominated_on(id).next().is_none();
            let found = if alone { Ok(()) } else { WhatIf { profile, pod, evaluation, tracking, cluster }.fits(id) };
            if remembers {
                return evaluation.remember_beside(id, generation, pod.priority, found);
            }
            found.map_err(|refusal| evaluation.place(refusal) - 1)
        });
        found.map_err(|at| self.refusals.beside.push((id, at))).is_ok()
    }

    fn evaluation(&mut self, profile: &Profile, shape: &Arc<Shape>, cluster: &Cluster, skipped: PluginSet) -> usize {
        self.clock += 1;
        let known = self.evaluations.iter().position(|e| e.is_of(profile, shape));
        let at = known.unwrap_or_else(|| {
            let limit = (MAX_PAIRS / cluster.rows().max(1)).clamp(1, MAX_SHAPES);
            while self.evaluations.len() >= limit {
                let oldest = self.evaluations.iter().enumerate().min_by_key(|(_, e)| e.last_used);
                let oldest = oldest.map_or(0, |(at, _)| at);
                self.evaluations.swap_remove(oldest);
            }
            self.evaluations.push(Evaluation::new(profile, shape.clone(), skipped));
            self.evaluations.len() - 1
        });
        self.evaluations[at].prepare(cluster, self.clock);
        at
    }

    fn tracking(&mut self, profile: &Profile, pod: PodRef<'_>, cluster: &Cluster) -> usize {
        let known = self.trackings.iter().position(|t| t.is_of(profile, pod));
        let at = known.unwrap_or_else(|| {
            if self.trackings.len() >= MAX_SHAPES {
                let oldest = self.trackings.iter().enumerate().min_by_key(|(_, t)| t.last_used);
                self.trackings.swap_remove(oldest.map_or(0, |(at, _)| at));
            }
            self.trackings.push(Tracking::new(profile, pod));
            self.trackings.len() - 1
        });
        self.trackings[at].follow(profile, pod, cluster, self.clock);
        at
    }

    /// Fills `totals` with the weighted sum of all normalised scores of the candidates.
    fn score(
        &mut self,
        profile: &Profile,
        cluster: &Cluster,
        evaluation: usize,
        tracking: usize,
        candidates: &[NodeId],
    ) {
        let evaluation = &self.evaluations[evaluation];
        self.totals.clear();
        self.totals.resize(candidates.len(), 0);
        for (place, plugin) in evaluation.scorers().iter().enumerate() {
            let enabled = &profile.plugins[*plugin];
            self.column.clear();
            self.column.extend(candidates.iter().map(|id| evaluation.score(*id, place)));
            enabled.plugin.normalize(&mut self.column);
            for (total, score) in self.totals.iter_mut().zip(&self.column) {
                *total += enabled.weight * (*score).clamp(0, MAX_NODE_SCORE);
            }
        }
        self.trackings[tracking].score(profile, cluster, candidates, &mut self.column, &mut self.totals);
    }
}

fn pre_filter(profile: &Profile, pod: PodRef<'_>, cluster: &Cluster) -> Result<Scope, Box<FitError>> {
    let mut scope = Scope { only: None, narrowed_by: PluginSet::default(), skipped: PluginSet::default() };
    for (at, enabled) in profile.at(Point::PreFilter) {
        match enabled.plugin.pre_filter(pod, cluster) {
            PreFilter::Continue => {}
            PreFilter::Skip => scope.skipped.insert(at),
            PreFilter::Only(nodes) => {
                scope.narrowed_by.insert(at);
                scope.only = Some(match scope.only {
                    None => nodes,
                    Some(before) => before.into_iter().filter(|id| nodes.contains(id)).collect(),
                });
            }
            PreFilter::Reject(reason) => {
                return Err(Box::new(FitError::before_nodes(cluster, at, reason)));
            }
        }
    }
    Ok(scope)
}

/// The place of the largest; among equals, every one is as likely if `tie` is evenly spread.
fn best(totals: &[i64], tie: u64) -> usize {
    let largest = totals.iter().copied().max().unwrap_or(0);
    let equals = totals.iter().filter(|total| **total == largest).count().max(1) as u64;
    let pick = (tie % equals) as usize;
    totals.iter().enumerate().filter(|(_, total)| **total == largest).nth(pick).map_or(0, |(at, _)| at)
}
