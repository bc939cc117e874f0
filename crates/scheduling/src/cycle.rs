//! The scheduling cycle for one pod: PreFilter, Filter, PreScore, Score, and the choice among the best.
//!
//! What the plugins say about a shape of pod and a node is remembered with the node's generation: the next pod of this
//! shape costs a comparison a node, and only nodes that changed meanwhile are asked again. In large clusters only part
//! of the nodes is looked at for each pod (`percentageOfNodesToScore`), going around from pod to pod.

mod diagnosis;
mod evaluation;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use diagnosis::FitError;
use evaluation::Evaluation;

use crate::{
    cluster::{Cluster, NodeId},
    framework::{MAX_NODE_SCORE, Point, PreFilter},
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
    /// Where the next pod starts to look.
    start: usize,
    clock: u64,
    candidates: Vec<NodeId>,
    totals: Vec<i64>,
    column: Vec<i64>,
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
    /// The node for a pod of this shape. `tie` picks among equals; `enter` is told of each extension point reached.
    pub fn run(
        &mut self,
        profile: &Profile,
        shape: &Arc<Shape>,
        cluster: &Cluster,
        tie: u64,
        enter: &mut dyn FnMut(Point),
    ) -> Result<NodeId, Box<FitError>> {
        enter(Point::PreFilter);
        let scope = pre_filter(profile, shape, cluster)?;
        enter(Point::Filter);
        let evaluation = self.evaluation(profile, shape, cluster, scope.skipped);
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();

        let all = cluster.live();
        let looked_at: &[NodeId] = scope.only.as_deref().unwrap_or(all);
        let wanted = enough(looked_at.len(), profile.percentage_of_nodes_to_score);
        let start = if scope.only.is_some() || all.is_empty() { 0 } else { self.start % all.len() };
        let mut seen = 0;
        for id in looked_at[start..].iter().chain(&looked_at[..start]) {
            if candidates.len() == wanted {
                break;
            }
            seen += 1;
            if self.evaluations[evaluation].fits(profile, cluster, *id) {
                candidates.push(*id);
            }
        }
        if scope.only.is_none() && !all.is_empty() {
            self.start = (start + seen) % all.len();
        }

        let chosen = match candidates.as_slice() {
            [] => Err(Box::new(FitError::of_nodes(
                profile,
                cluster,
                &self.evaluations[evaluation],
                looked_at,
                scope.only.is_some().then_some(scope.narrowed_by),
            ))),
            [only] => Ok(*only),
            several => {
                enter(Point::Score);
                self.score(profile, evaluation, several);
                Ok(several[best(&self.totals, tie)])
            }
        };
        self.candidates = candidates;
        chosen
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

    /// Fills `totals` with the weighted sum of all normalised scores of the candidates.
    fn score(&mut self, profile: &Profile, evaluation: usize, candidates: &[NodeId]) {
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
    }
}

fn pre_filter(profile: &Profile, shape: &Shape, cluster: &Cluster) -> Result<Scope, Box<FitError>> {
    let mut scope = Scope { only: None, narrowed_by: PluginSet::default(), skipped: PluginSet::default() };
    for (at, enabled) in profile.at(Point::PreFilter) {
        match enabled.plugin.pre_filter(shape, cluster) {
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
