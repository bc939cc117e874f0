//! Who would have to leave so that a pod fits: for each node the least important pods, budgets spared where possible;
//! then the node where this hurts least. The rules and their order are upstream's `DefaultPreemption`.
//!
//! What a node would have to give up for a pod of one shape and priority is remembered with the node's generation, so
//! that many equal pods that preempt cost one trial a node together.

use std::{cmp::Reverse, sync::Arc};

use super::{Cycle, FitError, diagnosis::histogram, evaluation::Refusal, what_if::WhatIf};
use crate::{
    cluster::{Cluster, NodeId, PodId, Resident},
    framework::{PodRef, Reason},
    plugins::DefaultPreemption,
    profile::Profile,
    shape::Shape,
};

const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";
/// Upstream's word when all candidates have been struck off.
pub(crate) const NO_CANDIDATE: &str = "no candidate node for preemption";
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";
/// (shape, priority) pairs whose trials are remembered.
const MAX_TRIALS: usize = 16;

/// A node, and who has to leave it.
#[derive(Clone, Debug)]
pub struct Eviction {
    pub node: NodeId,
    /// The most important first.
    pub victims: Vec<Resident>,
    pub broken_budgets: usize,
}

/// What a node would have to give up.
#[derive(Clone, Debug)]
struct Sacrifice {
    victims: Vec<PodId>,
    harm: Harm,
}

/// In the order in which it is avoided: budgets broken, the highest priority among the victims, the sum of their
/// priorities, their number, and how long the most important of them has run.
type Harm = (usize, i32, i64, usize, Reverse<i64>);

/// A trial's end: what it would take, or why nothing helps.
type Trial = Result<Sacrifice, Vec<Reason>>;

#[derive(Debug)]
pub(super) struct Trials {
    scheduler_name: Arc<str>,
    shape: Arc<Shape>,
    priority: i32,
    budgets_generation: u64,
    /// By row, with the generation that it holds for.
    rows: Vec<Option<(u64, Trial)>>,
    last_used: u64,
}

impl Cycle {
    /// The best node for a pod that fits nowhere, right after [`Cycle::run`] has said so. `offset` says where to begin.
    ///
    /// # Errors
    /// Why preemption does not help either, as upstream words it.
    pub fn preempt(
        &mut self,
        profile: &Profile,
        settings: &DefaultPreemption,
        pod: PodRef<'_>,
        cluster: &mut Cluster,
        error: &FitError,
        offset: u64,
    ) -> Result<Eviction, String> {
        let mut best: Option<(Harm, NodeId)> = None;
        let trials = self.try_nodes(profile, settings, pod, cluster, error, offset, &mut |node, sacrifice, _| {
            if best.as_ref().is_none_or(|(harm, _)| sacrifice.harm < *harm) {
                best = Some((sacrifice.harm, node));
            }
        })?;
        let chosen = best.and_then(|(_, node)| match &self.trials[trials].rows[node.index()] {
            Some((_, Ok(sacrifice))) => Some(eviction(cluster, node, sacrifice)),
            _ => None,
        });
        chosen.ok_or_else(|| NO_CANDIDATE.to_owned())
    }

    /// All the nodes tried that would do, for somebody else to choose from.
    ///
    /// # Errors
    /// Why there is none.
    pub fn preempt_candidates(
        &mut self,
        profile: &Profile,
        settings: &DefaultPreemption,
        pod: PodRef<'_>,
        cluster: &mut Cluster,
        error: &FitError,
        offset: u64,
    ) -> Result<Vec<Eviction>, String> {
        let mut all = Vec::new();
        self.try_nodes(profile, settings, pod, cluster, error, offset, &mut |node, sacrifice, cluster| {
            all.push(eviction(cluster, node, sacrifice));
        })?;
        Ok(all)
    }

    /// Tries node after node until there are enough that would do, and tells of each of these; answers the place of
    /// what was found out.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a preemption, and whom to tell")]
    fn try_nodes(
        &mut self,
        profile: &Profile,
        settings: &DefaultPreemption,
        pod: PodRef<'_>,
        cluster: &mut Cluster,
        error: &FitError,
        offset: u64,
        tell: &mut dyn FnMut(NodeId, &Sacrifice, &Cluster),
    ) -> Result<usize, String> {
        let nodes = &error.resolvable;
        let of_all = error.nodes;
        let mut reasons: Vec<(Reason, usize)> = vec![(NOT_HELPFUL.into(), of_all - nodes.len())];
        let said = |reasons: Vec<(Reason, usize)>| {
            let counts = reasons.iter().filter(|(_, count)| *count > 0).map(|(reason, count)| (&**reason, *count));
            format!("0/{of_all} nodes are available: {}.", histogram(counts))
        };
        let (Some(evaluation), Some(tracking)) = (
            self.evaluations.iter().position(|e| e.is_of(profile, pod.shape)),
            self.trackings.iter().position(|t| t.is_of(profile, pod)),
        ) else {
            return Err(said(reasons));
        };
        let place = self.trials(profile, pod, cluster);
        let (evaluation, tracking) = (&self.evaluations[evaluation], &mut self.trackings[tracking]);
        let remembers = !tracking.filters();
        let trials = &mut self.trials[place];
        let meant_for = cluster.nominated_node(pod.uid);

        let wanted = settings.candidates(nodes.len());
        let (mut found, mut spares_budgets) = (0, false);
        let first = if nodes.is_empty() { 0 } else { offset as usize % nodes.len() };
        for node in nodes[first..].iter().chain(&nodes[..first]) {
            let generation = cluster.generation(*node);
            let row = &mut trials.rows[node.index()];
            let known = row.as_ref().is_some_and(|(of, _)| *of == generation);
            if !known || !remembers || meant_for == Some(*node) {
                let mut what_if = WhatIf { profile, pod, evaluation, tracking, cluster };
                *row = Some((generation, try_node(&mut what_if, *node)));
            }
            match row {
                Some((_, Ok(sacrifice))) => {
                    found += 1;
                    spares_budgets |= sacrifice.harm.0 == 0;
                    tell(*node, sacrifice, cluster);
                    if found >= wanted && spares_budgets {
                        break;
                    }
                }
                Some((_, Err(why))) => why.iter().for_each(|reason| add(&mut reasons, reason)),
                None => {}
            }
        }
        if found == 0 { Err(said(reasons)) } else { Ok(place) }
    }

    fn trials(&mut self, profile: &Profile, pod: PodRef<'_>, cluster: &Cluster) -> usize {
        let is_same = |t: &Trials| {
            Arc::ptr_eq(&t.shape, pod.shape) && t.priority == pod.priority && t.scheduler_name == profile.scheduler_name
        };
        let at = self.trials.iter().position(is_same).unwrap_or_else(|| {
            if self.trials.len() >= MAX_TRIALS {
                let oldest = self.trials.iter().enumerate().min_by_key(|(_, t)| t.last_used);
                self.trials.swap_remove(oldest.map_or(0, |(at, _)| at));
            }
            self.trials.push(Trials {
                scheduler_name: profile.scheduler_name.clone(),
                shape: pod.shape.clone(),
                priority: pod.priority,
                budgets_generation: 0,
                rows: Vec::new(),
                last_used: 0,
            });
            self.trials.len() - 1
        });
        let trials = &mut self.trials[at];
        trials.last_used = self.clock;
        if trials.budgets_generation != cluster.budgets_generation() {
            trials.rows.clear();
            trials.budgets_generation = cluster.budgets_generation();
        }
        trials.rows.resize(cluster.rows(), None);
        at
    }
}

fn eviction(cluster: &Cluster, node: NodeId, sacrifice: &Sacrifice) -> Eviction {
    let victims = sacrifice.victims.iter().filter_map(|id| cluster.resident(*id).cloned()).collect();
    Eviction { node, victims, broken_budgets: sacrifice.harm.0 }
}

/// The place of the one that hurts least; the first among equals.
pub(crate) fn least_harm<'a>(candidates: impl Iterator<Item = (&'a [Resident], usize)>) -> Option<usize> {
    let harms = candidates.map(|(victims, broken)| {
        let (_, highest, sum, number, started) = harm(victims.iter().map(|victim| (victim, false)));
        (broken, highest, sum, number, started)
    });
    harms.enumerate().min_by_key(|(at, harm)| (*harm, *at)).map(|(at, _)| at)
}

fn add(reasons: &mut Vec<(Reason, usize)>, reason: &Reason) {
    match reasons.iter_mut().find(|(known, _)| known == reason) {
        Some((_, count)) => *count += 1,
        None => reasons.push((reason.clone(), 1)),
    }
}

/// More important pods first: by priority, then by how long they run.
fn importance(pod: &Resident) -> (Reverse<i32>, i64) {
    (Reverse(pod.priority), pod.started)
}

/// Takes all less important pods off the node; if that makes the pod fit, puts back as many as can stay, those that a
/// budget protects and the most important first.
fn try_node(what_if: &mut WhatIf<'_>, node: NodeId) -> Trial {
    let priority = what_if.pod.priority;
    let lower = what_if.cluster.pods_on(node).filter(|(_, resident)| resident.priority < priority);
    let mut lower: Vec<(PodId, Resident)> = lower.map(|(id, resident)| (id, resident.clone())).collect();
    if lower.is_empty() {
        return Err(vec![NO_VICTIMS.into()]);
    }
    lower.iter().for_each(|(id, _)| what_if.take_off(node, *id));
    let outcome = what_if.fits(node).map_err(|refusal: Refusal| refusal.reasons).map(|()| {
        lower.sort_by_key(|(_, resident)| importance(resident));
        let broken = what_if.cluster.violations(lower.iter().map(|(_, resident)| resident));
        let mut order: Vec<usize> = (0..lower.len()).collect();
        order.sort_by_key(|at| !broken[*at]);
        let mut stays = vec![false; lower.len()];
        for at in order {
            what_if.put_back(node, lower[at].0);
            stays[at] = what_if.fits(node).is_ok();
            if !stays[at] {
                what_if.take_off(node, lower[at].0);
            }
        }
        let victims = || (0..lower.len()).filter(|at| !stays[*at]);
        Sacrifice {
            harm: harm(victims().map(|at| (&lower[at].1, broken[at]))),
            victims: victims().map(|at| lower[at].0).collect(),
        }
    });
    lower.iter().for_each(|(id, _)| what_if.put_back(node, *id));
    outcome
}

fn harm<'a>(victims: impl Iterator<Item = (&'a Resident, bool)>) -> Harm {
    let (mut broken, mut highest, mut sum, mut number, mut started) = (0, i32::MIN, 0, 0, i64::MAX);
    for (pod, breaks) in victims {
        broken += usize::from(breaks);
        sum += i64::from(pod.priority) + i64::from(i32::MAX) + 1;
        number += 1;
        // The most important come first.
        highest = highest.max(pod.priority);
        if pod.priority == highest {
            started = started.min(pod.started);
        }
    }
    (broken, highest, sum, number, Reverse(started))
}
