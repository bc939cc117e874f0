//! Ranges of pod addresses for nodes, each given once.
//!
//! An incremental state machine: it is told of every node before it gives anything away, and of every node that goes. A
//! range counts as taken from the moment it is chosen until the node is known to be gone or the server refused the
//! write; a write whose outcome is unknown keeps it taken.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use api_types::{
    k8s_openapi::api::core::v1::ObjectReference,
    object::Object,
    plan::{Note, PatchStyle, Plan, Target, Write},
};
use serde_json::json;

use crate::{cidr::Cidr, view::Node};

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("the cluster CIDR {0} has no ranges of prefix length {1}")]
    Prefix(Cidr, u8),
    #[error("more than one cluster CIDR of one address family")]
    Families,
}

/// All ranges of the cluster and who has them.
#[derive(Clone, Debug)]
pub struct Allocator {
    pools: Vec<Pool>,
    nodes: BTreeMap<String, Vec<Cidr>>,
}

/// The ranges of one address family.
#[derive(Clone, Debug)]
struct Pool {
    cluster: Cidr,
    prefix: u8,
    /// Taken ranges by number, and how often: a range that somebody gave to two nodes is free when both are gone.
    taken: BTreeMap<u64, usize>,
    /// Where the search for a free one begins: a range just given back is not given away at once.
    next: u64,
}

impl Allocator {
    /// `prefix` is the length of a node's range, by family (IPv4, IPv6); nothing is taken from `excluded`.
    pub fn new(cluster: &[Cidr], prefix: (u8, u8), excluded: &[Cidr]) -> Result<Self, ConfigError> {
        let families: BTreeSet<bool> = cluster.iter().map(Cidr::is_v6).collect();
        if families.len() != cluster.len() {
            return Err(ConfigError::Families);
        }
        let pool = |cluster: &Cidr| {
            let prefix = if cluster.is_v6() { prefix.1 } else { prefix.0 };
            if prefix < cluster.prefix() || prefix > cluster.width() {
                return Err(ConfigError::Prefix(*cluster, prefix));
            }
            let mut pool = Pool { cluster: *cluster, prefix, taken: BTreeMap::new(), next: 0 };
            excluded.iter().for_each(|range| pool.take(range));
            Ok(pool)
        };
        Ok(Self { pools: cluster.iter().map(pool).collect::<Result<_, _>>()?, nodes: BTreeMap::new() })
    }

    /// The node has these ranges, whoever gave them.
    pub fn seen(&mut self, node: &str, ranges: &[Cidr]) {
        if ranges.is_empty() || self.nodes.get(node).is_some_and(|known| known == ranges) {
            return;
        }
        self.gone(node);
        for pool in &mut self.pools {
            ranges.iter().for_each(|range| pool.take(range));
        }
        self.nodes.insert(node.to_owned(), ranges.to_vec());
    }

    /// The node is gone, or the server refused what was chosen for it.
    pub fn gone(&mut self, node: &str) {
        for range in self.nodes.remove(node).unwrap_or_default() {
            self.pools.iter_mut().for_each(|pool| pool.give_back(&range));
        }
    }

    /// Ranges for the node, one per family: those it has, or new ones. `None` when none are left.
    pub fn choose(&mut self, node: &str) -> Option<Vec<Cidr>> {
        if let Some(ranges) = self.nodes.get(node) {
            return Some(ranges.clone());
        }
        let ranges: Option<Vec<Cidr>> = self.pools.iter_mut().map(Pool::free).collect();
        let ranges = ranges?;
        for pool in &mut self.pools {
            ranges.iter().for_each(|range| pool.take(range));
        }
        self.nodes.insert(node.to_owned(), ranges.clone());
        Some(ranges)
    }
}

impl Pool {
    fn take(&mut self, range: &Cidr) {
        for number in self.cluster.touched(self.prefix, range).into_iter().flatten() {
            *self.taken.entry(number).or_default() += 1;
        }
    }

    fn give_back(&mut self, range: &Cidr) {
        for number in self.cluster.touched(self.prefix, range).into_iter().flatten() {
            if let Some(count) = self.taken.get_mut(&number) {
                *count -= 1;
                if *count == 0 {
                    self.taken.remove(&number);
                }
            }
        }
    }

    fn free(&mut self) -> Option<Cidr> {
        let all = self.cluster.parts(self.prefix);
        let found = (self.next..all).chain(0..self.next).find(|number| !self.taken.contains_key(number))?;
        self.next = if found + 1 == all { 0 } else { found + 1 };
        Some(self.cluster.part(self.prefix, found))
    }
}

/// The ranges that a node has; those that cannot be read are nobody's.
pub fn ranges(node: &Node) -> Vec<Cidr> {
    let all = if node.spec.pod_cidrs.is_empty() { node.spec.pod_cidr.as_slice() } else { &node.spec.pod_cidrs };
    all.iter().filter_map(|text| text.parse().ok()).collect()
}

/// Gives the node what was chosen.
pub fn assign(node: &Node, chosen: Option<Vec<Cidr>>) -> Plan {
    let mut plan = Plan::default();
    let Some(chosen) = chosen else {
        let text = format!("Node {} status is now: CIDRNotAvailable", node.name());
        plan.notes.push(Note::normal(node_reference(node), "CIDRNotAvailable", text));
        return plan;
    };
    let texts: Vec<String> = chosen.iter().map(Cidr::to_string).collect();
    let target = Target::of(node).unchanged(node.resource_version());
    let body = json!({"spec": {"podCIDR": texts.first(), "podCIDRs": texts}});
    plan.write(Write::Patch { target, subresource: None, style: PatchStyle::Merge, body });
    plan
}

/// Events of nodes name the node as their uid too, as upstream's do.
pub(crate) fn node_reference(node: &Node) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Node".into()),
        name: Some(node.name().to_owned()),
        uid: Some(node.uid().to_owned()),
        ..ObjectReference::default()
    }
}
