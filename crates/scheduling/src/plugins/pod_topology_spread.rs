//! Pods spread evenly over the domains of a topology: strictly (`DoNotSchedule`) or by score (`ScheduleAnyway`), as the
//! pod says, or else as the configuration says, by the selectors of its Services and controller.

use std::sync::Arc;

use crate::{
    cluster::{Cluster, Domains, NodeId, NodeRef},
    framework::{ClusterEvent, Interest, MAX_NODE_SCORE, Plugin, PodRef, Point, Refused, Tracker},
    node_selector::NodeView,
    peers::Peers,
    shape::Shape,
    spread::Constraint,
};

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
const SKEWED: Refused = Refused::unschedulable(&["node(s) didn't match pod topology spread constraints"]);
const NO_LABEL: Refused =
    Refused::unresolvable(&["node(s) didn't match pod topology spread constraints (missing required label)"]);

/// A constraint for pods that have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultConstraint {
    pub max_skew: i64,
    pub topology_key: String,
    /// `DoNotSchedule`.
    pub hard: bool,
}

#[derive(Debug)]
pub struct PodTopologySpread {
    pub defaults: Vec<DefaultConstraint>,
    /// Nodes without a label of the default constraints count too, as one domain.
    pub system_defaulted: bool,
}

impl Default for PodTopologySpread {
    fn default() -> Self {
        let soft = |max_skew, key: &str| DefaultConstraint { max_skew, topology_key: key.into(), hard: false };
        Self { defaults: vec![soft(3, HOSTNAME), soft(5, ZONE)], system_defaulted: true }
    }
}

impl PodTopologySpread {
    /// (strict, by score) for a pod, its own or the default ones.
    fn constraints(&self, pod: PodRef<'_>, cluster: &Cluster) -> (Vec<Constraint>, Vec<Constraint>) {
        let own = &pod.shape.spread;
        if !own.is_empty() || self.defaults.is_empty() {
            return (own.hard.clone(), own.soft.clone());
        }
        let Some(selector) = cluster.default_selector(pod.peers) else { return (Vec::new(), Vec::new()) };
        let of_kind = |hard: bool| {
            let constraints = self.defaults.iter().filter(|c| c.hard == hard);
            constraints.map(|c| Constraint::new(c.max_skew, &c.topology_key, selector.clone())).collect()
        };
        (of_kind(true), of_kind(false))
    }
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::PreFilter, Point::Filter, Point::PreScore, Point::Score]
    }

    fn tracks(&self) -> bool {
        true
    }

    fn generation(&self, cluster: &Cluster) -> u64 {
        cluster.topology_generation() + cluster.workloads_generation()
    }

    fn track(&self, pod: PodRef<'_>, cluster: &Cluster) -> Option<Box<dyn Tracker>> {
        let (hard, soft) = self.constraints(pod, cluster);
        if hard.is_empty() && soft.is_empty() {
            return None;
        }
        let all_keys = !pod.shape.spread.is_empty() || !self.system_defaulted;
        Some(Box::new(Spreading::new(pod, cluster, hard, soft, all_keys)))
    }

    fn helps(&self, pod: PodRef<'_>, event: &ClusterEvent, cluster: &Cluster) -> bool {
        let (hard, _) = self.constraints(pod, cluster);
        let counted = |peers: &Peers| {
            peers.namespace == pod.peers.namespace && hard.iter().any(|c| c.selector.matches(&peers.labels))
        };
        match event {
            ClusterEvent::NodeAdded(id) | ClusterEvent::NodeChanged(id, _) if cluster.is_live(*id) => {
                let node = cluster.node(*id);
                hard.iter().all(|c| node.label(&c.topology_key).is_some())
            }
            ClusterEvent::NodeRemoved => true,
            ClusterEvent::PodPlaced { held, .. } | ClusterEvent::PodFreed { held, .. } => counted(&held.peers),
            _ => false,
        }
    }
}

/// The counts of one constraint.
#[derive(Debug)]
struct Counts {
    constraint: Constraint,
    domains: Arc<Domains>,
    /// By row: this node's pods count, and its domain exists.
    eligible: Vec<bool>,
    /// By domain; one more at the end for nodes without any.
    pods: Vec<i64>,
    /// By domain: one of its nodes is eligible.
    exists: Vec<bool>,
    /// By row, where each node is its own domain whatever else holds.
    on_node: Vec<i64>,
    matches_itself: bool,
    /// What the least of the domains has, or nothing if there are too few.
    least: i64,
}

impl Counts {
    fn new(constraint: Constraint, pod: PodRef<'_>, cluster: &Cluster, has_keys: &dyn Fn(NodeId) -> bool) -> Self {
        let domains = cluster.domains(&constraint.topology_key);
        let mut counts = Self {
            eligible: vec![false; cluster.rows()],
            pods: vec![0; domains.len() + 1],
            exists: vec![false; domains.len()],
            on_node: Vec::new(),
            matches_itself: constraint.selector.matches(&pod.peers.labels),
            least: 0,
            constraint,
            domains,
        };
        for id in cluster.live() {
            let eligible = has_keys(*id) && includes(&counts.constraint, pod.shape, cluster.node(*id));
            counts.eligible[id.index()] = eligible;
            if let Some(domain) = counts.domains.of_node(*id).filter(|_| eligible) {
                counts.exists[domain] = true;
            }
        }
        counts
    }

    /// Each node by itself.
    fn by_node(mut self, cluster: &Cluster) -> Self {
        self.on_node = vec![0; cluster.rows()];
        self
    }

    fn count(&mut self, own: &Peers, peers: &Peers, node: NodeId, count: i64) {
        let selector = &self.constraint.selector;
        if peers.deleting || peers.namespace != own.namespace || selector.is_everything() {
            return;
        }
        let i = node.index();
        let counts = !self.on_node.is_empty() || self.eligible.get(i).copied().unwrap_or(false);
        if !counts || !selector.matches(&peers.labels) {
            return;
        }
        if let Some(here) = self.on_node.get_mut(i) {
            *here += count;
        } else {
            let domain = self.domains.of_node(node).unwrap_or(self.domains.len());
            self.pods[domain] += count;
        }
    }

    fn settle(&mut self) {
        let existing = self.pods.iter().zip(&self.exists).filter(|(_, exists)| **exists).map(|(pods, _)| *pods);
        let (mut number, mut least) = (0, i64::MAX);
        for pods in existing {
            number += 1;
            least = least.min(pods);
        }
        self.least = if number < self.constraint.min_domains || number == 0 { 0 } else { least };
    }

    fn filter(&self, node: NodeId) -> Result<(), Refused> {
        let Some(domain) = self.domains.of_node(node) else { return Err(NO_LABEL) };
        let skew = self.pods[domain] + i64::from(self.matches_itself) - self.least;
        if skew > self.constraint.max_skew { Err(SKEWED) } else { Ok(()) }
    }
}

/// Does the constraint count this node's pods (KEP-3094)?
fn includes(constraint: &Constraint, shape: &Shape, node: NodeRef<'_>) -> bool {
    let view = NodeView { name: node.name(), labels: node.labels() };
    let strict = |effect: &str| matches!(effect, "NoSchedule" | "NoExecute");
    (!constraint.honor_affinity || shape.required.matches(view))
        && (!constraint.honor_taints
            || node.taints().iter().all(|t| !strict(&t.effect) || shape.tolerates(&t.key, &t.value, &t.effect)))
}

#[derive(Debug)]
struct Spreading {
    own: Arc<Peers>,
    hard: Vec<Counts>,
    soft: Vec<Counts>,
    /// Nodes that lack a key of any soft constraint are not scored.
    all_keys: bool,
}

impl Spreading {
    fn new(pod: PodRef<'_>, cluster: &Cluster, hard: Vec<Constraint>, soft: Vec<Constraint>, all_keys: bool) -> Self {
        let build = |constraints: Vec<Constraint>, all_keys: bool| -> Vec<Counts> {
            let domains: Vec<_> = constraints.iter().map(|c| cluster.domains(&c.topology_key)).collect();
            let has_keys = |id: NodeId| !all_keys || domains.iter().all(|d| d.of_node(id).is_some());
            constraints.into_iter().map(|c| Counts::new(c, pod, cluster, &has_keys)).collect()
        };
        let by_node = |counts: Counts| {
            if *counts.constraint.topology_key == *HOSTNAME { counts.by_node(cluster) } else { counts }
        };
        Self {
            own: pod.peers.clone(),
            hard: build(hard, true),
            soft: build(soft, all_keys).into_iter().map(by_node).collect(),
            all_keys,
        }
    }

    fn is_ignored(&self, node: NodeId) -> bool {
        self.all_keys && self.soft.iter().any(|counts| counts.domains.of_node(node).is_none())
    }

    /// How much each constraint weighs: the more domains the nodes lie in, the more.
    fn weights(&self, nodes: &[NodeId]) -> Vec<f64> {
        let scored = nodes.iter().filter(|node| !self.is_ignored(**node));
        let size = |counts: &Counts| {
            if !counts.on_node.is_empty() {
                return scored.clone().count();
            }
            let mut seen = vec![false; counts.domains.len() + 1];
            for node in scored.clone() {
                seen[counts.domains.of_node(*node).unwrap_or(counts.domains.len())] = true;
            }
            seen.into_iter().filter(|seen| *seen).count()
        };
        self.soft.iter().map(|counts| ((size(counts) + 2) as f64).ln()).collect()
    }

    fn crowding(&self, node: NodeId, weights: &[f64]) -> i64 {
        let mut sum = 0.0;
        for (counts, weight) in self.soft.iter().zip(weights) {
            let Some(domain) = counts.domains.of_node(node) else { continue };
            let pods = counts.on_node.get(node.index()).copied().unwrap_or_else(|| counts.pods[domain]);
            sum += pods as f64 * weight + (counts.constraint.max_skew - 1) as f64;
        }
        sum.round() as i64
    }
}

impl Tracker for Spreading {
    fn interest(&self) -> Interest {
        Interest::All
    }

    fn count(&mut self, peers: &Peers, node: NodeId, count: i64, _cluster: &Cluster) {
        for counts in self.hard.iter_mut().chain(&mut self.soft) {
            counts.count(&self.own, peers, node, count);
        }
    }

    fn settle(&mut self) {
        self.hard.iter_mut().for_each(Counts::settle);
    }

    fn filters(&self) -> bool {
        !self.hard.is_empty()
    }

    fn filter(&self, node: NodeRef<'_>) -> Result<(), Refused> {
        self.hard.iter().try_for_each(|counts| counts.filter(node.id))
    }

    fn score(&self, nodes: &[NodeId], _cluster: &Cluster, scores: &mut Vec<i64>) {
        if self.soft.is_empty() {
            return;
        }
        let weights = self.weights(nodes);
        let first = scores.len();
        scores.extend(nodes.iter().map(|n| if self.is_ignored(*n) { -1 } else { self.crowding(*n, &weights) }));
        let scored = scores[first..].iter().copied().filter(|score| *score >= 0);
        let least = scored.clone().min().unwrap_or(0);
        let most = scored.max().unwrap_or(0);
        for score in &mut scores[first..] {
            *score = match *score {
                -1 => 0,
                _ if most == 0 => MAX_NODE_SCORE,
                crowding => MAX_NODE_SCORE * (most + least - crowding) / most,
            };
        }
    }
}

#[cfg(test)]
mod tests;
