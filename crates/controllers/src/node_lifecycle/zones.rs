//! How fast nodes may be emptied, by the health of their zone: when most of a zone is gone at once, it is more likely
//! the network's fault, or our own.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::view::Node;

#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Nodes a second in a healthy zone.
    pub normal: f64,
    /// The same in a large zone of which most is gone.
    pub secondary: f64,
    /// Zones up to this size stop instead.
    pub large: usize,
    /// Share of unready nodes from which a zone is unhealthy.
    pub unhealthy: f64,
}

/// What a node's eviction may do now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Allowance {
    Now,
    After(Duration),
    /// Not until the health of some node changes.
    Halted,
    /// Every node of the cluster is gone: so are we, probably. Taints that are there are taken off.
    AllGone,
}

/// When each zone may empty its next node, and which one was the last: its taint may have failed to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits(BTreeMap<String, (Timestamp, Box<str>)>);

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    ready: usize,
    unready: usize,
}

fn zone_of(node: &Node) -> String {
    let region = node.label("topology.kubernetes.io/region").unwrap_or_default();
    format!("{region}:{}", node.zone().unwrap_or_default())
}

fn count(nodes: &[Arc<Node>]) -> BTreeMap<String, Count> {
    let mut zones: BTreeMap<String, Count> = BTreeMap::new();
    for node in nodes {
        let count = zones.entry(zone_of(node)).or_default();
        let ready = node.condition("Ready").is_some_and(|ready| ready.status == "True");
        if ready { count.ready += 1 } else { count.unready += 1 }
    }
    zones
}

impl Limits {
    /// Whether this node may be emptied now; if so, the next of its zone has to wait.
    pub fn ask(&mut self, rates: &Rates, node: &Node, nodes: &[Arc<Node>], now: Timestamp) -> Allowance {
        let zones = count(nodes);
        if zones.values().all(|zone| zone.ready == 0) {
            return Allowance::AllGone;
        }
        let zone = zone_of(node);
        let Count { ready, unready } = zones.get(&zone).copied().unwrap_or_default();
        let size = ready + unready;
        let partly = unready > 2 && unready as f64 / size as f64 >= rates.unhealthy && ready > 0;
        let rate = match partly {
            // A zone that is gone as a whole is emptied at the normal rate: the others are there to take over.
            false => rates.normal,
            true if size > rates.large => rates.secondary,
            true => 0.0,
        };
        if rate <= 0.0 {
            return Allowance::Halted;
        }
        if let Some((next, last)) = self.0.get(&zone)
            && *next > now
        {
            if *last == node.metadata.name {
                return Allowance::Now;
            }
            let wait = Duration::try_from(next.duration_since(now)).unwrap_or_default();
            return Allowance::After(wait);
        }
        let interval = SignedDuration::try_from_secs_f64(1.0 / rate).unwrap_or(SignedDuration::MAX);
        let next = now.saturating_add(interval).unwrap_or(Timestamp::MAX);
        self.0.insert(zone, (next, node.metadata.name.clone()));
        Allowance::Now
    }
}
