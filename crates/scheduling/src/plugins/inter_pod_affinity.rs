//! Pods that are to be near or far from others: `podAffinity` and `podAntiAffinity`, and the anti-affinity of the pods
//! that are there already, which holds in both directions.
//!
//! Counts are kept for each rule and domain of its topology, so that a node is judged by a few look-ups. A pod that
//! requires to be near itself may be the first one anywhere.

use std::sync::Arc;

use crate::{
    cluster::{Cluster, Domains, NodeChange, NodeId, NodeRef},
    framework::{ClusterEvent, Interest, MAX_NODE_SCORE, Plugin, PodRef, Point, Refused, Tracker},
    peers::{Peers, Term},
};

const AFFINITY: Refused = Refused::unresolvable(&["node(s) didn't match pod affinity rules"]);
const ANTI_AFFINITY: Refused = Refused::unschedulable(&["node(s) didn't match pod anti-affinity rules"]);
const EXISTING: Refused = Refused::unschedulable(&["node(s) didn't satisfy existing pods anti-affinity rules"]);

#[derive(Debug)]
pub struct InterPodAffinity {
    /// What a required affinity of a placed pod for this one is worth.
    pub hard_pod_affinity_weight: i64,
    /// Wishes of placed pods count only for pods that have wishes themselves.
    pub ignore_preferred_terms_of_existing_pods: bool,
}

impl Default for InterPodAffinity {
    fn default() -> Self {
        Self { hard_pod_affinity_weight: 1, ignore_preferred_terms_of_existing_pods: false }
    }
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::PreFilter, Point::Filter, Point::PreScore, Point::Score]
    }

    fn tracks(&self) -> bool {
        true
    }

    fn track(&self, pod: PodRef<'_>, cluster: &Cluster) -> Option<Box<dyn Tracker>> {
        Some(Box::new(Affinity::new(self, pod.peers, cluster)))
    }

    fn helps(&self, pod: PodRef<'_>, event: &ClusterEvent, cluster: &Cluster) -> bool {
        let rules = &pod.peers.rules;
        match event {
            ClusterEvent::NodeAdded(_) | ClusterEvent::NodeChanged(_, NodeChange { labels: true, .. }) => true,
            ClusterEvent::PodPlaced { held, .. } => {
                !rules.required_affinity.is_empty() && matches_all(&rules.required_affinity, &held.peers, cluster)
            }
            ClusterEvent::PodFreed { held, .. } => {
                let theirs = cluster.namespace_labels(&held.peers.namespace);
                let own = cluster.namespace_labels(&pod.peers.namespace);
                rules.required_anti_affinity.iter().any(|term| term.matches(&held.peers, &theirs))
                    || held.peers.rules.required_anti_affinity.iter().any(|term| term.matches(pod.peers, &own))
            }
            ClusterEvent::NamespaceChanged => {
                rules.required_affinity.iter().chain(&rules.required_anti_affinity).any(Term::looks_at_namespaces)
            }
            _ => false,
        }
    }
}

fn matches_all(terms: &[Term], peers: &Peers, cluster: &Cluster) -> bool {
    let labels = cluster.namespace_labels(&peers.namespace);
    terms.iter().all(|term| term.matches(peers, &labels))
}

/// How much there is in each domain of one topology.
#[derive(Debug)]
struct Tally {
    key: Arc<str>,
    domains: Arc<Domains>,
    amounts: Vec<i64>,
}

impl Tally {
    fn new(key: &Arc<str>, cluster: &Cluster) -> Self {
        let domains = cluster.domains(key);
        Self { key: key.clone(), amounts: vec![0; domains.len()], domains }
    }

    /// Answers how much there is now, if the node has a domain.
    fn add(&mut self, node: NodeId, amount: i64) -> Option<i64> {
        let slot = &mut self.amounts[self.domains.of_node(node)?];
        *slot += amount;
        Some(*slot)
    }

    fn at(&self, node: NodeId) -> Option<i64> {
        self.domains.of_node(node).map(|domain| self.amounts[domain])
    }
}

/// A tally for each topology key that the rules of placed pods name, as far as they concern this pod.
#[derive(Debug, Default)]
struct Tallies(Vec<Tally>);

impl Tallies {
    fn add(&mut self, key: &Arc<str>, node: NodeId, amount: i64, cluster: &Cluster) {
        let at = self.0.iter().position(|tally| tally.key == *key).unwrap_or_else(|| {
            self.0.push(Tally::new(key, cluster));
            self.0.len() - 1
        });
        self.0[at].add(node, amount);
    }
}

/// The counts for one kind of pod.
#[derive(Debug)]
struct Affinity {
    own: Arc<Peers>,
    hard_weight: i64,
    ignores_wishes_of_others: bool,
    /// For each required term: the pods that match all of them.
    near: Vec<Tally>,
    /// How many such pods there are in a domain of any term.
    near_anywhere: i64,
    /// For each required anti-affinity term: the pods that match it.
    far: Vec<Tally>,
    /// Placed pods whose required anti-affinity means this pod.
    existing: Tallies,
    /// The weight of all wishes.
    wishes: Tallies,
    /// The pod meets its own required affinity.
    matches_itself: bool,
}

impl Affinity {
    fn new(plugin: &InterPodAffinity, own: &Arc<Peers>, cluster: &Cluster) -> Self {
        let tallies = |terms: &[Term]| terms.iter().map(|term| Tally::new(&term.topology_key, cluster)).collect();
        Self {
            hard_weight: plugin.hard_pod_affinity_weight,
            ignores_wishes_of_others: plugin.ignore_preferred_terms_of_existing_pods && own.rules.preferred.is_empty(),
            near: tallies(&own.rules.required_affinity),
            near_anywhere: 0,
            far: tallies(&own.rules.required_anti_affinity),
            existing: Tallies::default(),
            wishes: Tallies::default(),
            matches_itself: matches_all(&own.rules.required_affinity, own, cluster),
            own: own.clone(),
        }
    }

    fn count_own_rules(&mut self, peers: &Peers, node: NodeId, count: i64, cluster: &Cluster) {
        let own = self.own.clone();
        let labels = cluster.namespace_labels(&peers.namespace);
        if !self.near.is_empty() && own.rules.required_affinity.iter().all(|term| term.matches(peers, &labels)) {
            for tally in &mut self.near {
                self.near_anywhere += tally.add(node, count).map_or(0, |_| count);
            }
        }
        for (term, tally) in own.rules.required_anti_affinity.iter().zip(&mut self.far) {
            if term.matches(peers, &labels) {
                tally.add(node, count);
            }
        }
        for (weight, term) in own.rules.preferred.iter().filter(|(_, term)| term.matches(peers, &labels)) {
            self.wishes.add(&term.topology_key, node, weight * count, cluster);
        }
    }

    fn count_their_rules(&mut self, peers: &Peers, node: NodeId, count: i64, cluster: &Cluster) {
        let own = self.own.clone();
        let labels = cluster.namespace_labels(&own.namespace);
        for term in peers.rules.required_anti_affinity.iter().filter(|term| term.matches(&own, &labels)) {
            self.existing.add(&term.topology_key, node, count, cluster);
        }
        if self.ignores_wishes_of_others {
            return;
        }
        if self.hard_weight > 0 {
            for term in peers.rules.required_affinity.iter().filter(|term| term.matches(&own, &labels)) {
                self.wishes.add(&term.topology_key, node, self.hard_weight * count, cluster);
            }
        }
        for (weight, term) in peers.rules.preferred.iter().filter(|(_, term)| term.matches(&own, &labels)) {
            self.wishes.add(&term.topology_key, node, weight * count, cluster);
        }
    }

    fn is_near_enough(&self, node: NodeId) -> bool {
        let mut all = true;
        for tally in &self.near {
            match tally.at(node) {
                None => return false,
                Some(count) => all &= count > 0,
            }
        }
        all || (self.near_anywhere == 0 && self.matches_itself)
    }
}

impl Tracker for Affinity {
    fn interest(&self) -> Interest {
        if self.own.rules.is_empty() { Interest::WithRules } else { Interest::All }
    }

    fn count(&mut self, peers: &Peers, node: NodeId, count: i64, cluster: &Cluster) {
        if !self.own.rules.is_empty() {
            self.count_own_rules(peers, node, count, cluster);
        }
        if !peers.rules.is_empty() {
            self.count_their_rules(peers, node, count, cluster);
        }
    }

    fn filters(&self) -> bool {
        !self.near.is_empty() || !self.far.is_empty() || !self.existing.0.is_empty()
    }

    fn filter(&self, node: NodeRef<'_>) -> Result<(), Refused> {
        let taken = |tally: &Tally| tally.at(node.id).is_some_and(|count| count > 0);
        if !self.is_near_enough(node.id) {
            return Err(AFFINITY);
        }
        if self.far.iter().any(taken) {
            return Err(ANTI_AFFINITY);
        }
        if self.existing.0.iter().any(taken) {
            return Err(EXISTING);
        }
        Ok(())
    }

    fn score(&self, nodes: &[NodeId], _cluster: &Cluster, scores: &mut Vec<i64>) {
        let of = |node: &NodeId| -> i64 { self.wishes.0.iter().filter_map(|tally| tally.at(*node)).sum() };
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        for score in nodes.iter().map(of) {
            (least, most) = (least.min(score), most.max(score));
        }
        if self.wishes.0.is_empty() || least >= most {
            return;
        }
        let stretch = |score: i64| (MAX_NODE_SCORE as f64 * ((score - least) as f64 / (most - least) as f64)) as i64;
        scores.extend(nodes.iter().map(of).map(stretch));
    }
}

#[cfg(test)]
mod tests;
