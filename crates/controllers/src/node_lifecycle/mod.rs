//! Node lifecycle: notices nodes that fell silent or report trouble, and says so by conditions and taints.
//!
//! Decides when a node counts as gone, which taints keep pods off it, and how fast its pods may be evicted. The eviction
//! itself is `taint_eviction`'s.

mod plan;
mod status;
mod taints;
mod zones;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::view::{Lease, Node, Pod};

pub use plan::changes_zone;
pub use taints::{NOT_READY, OUT_OF_SERVICE, UNREACHABLE};
pub use zones::Rates;

#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Silence after which a node counts as gone.
    pub grace: Duration,
    pub rates: Rates,
}

/// All that a decision about one node depends on.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    pub node: &'a Node,
    pub lease: Option<&'a Lease>,
    /// All nodes, for the health of the zones.
    pub nodes: &'a dyn Fn() -> Vec<Arc<Node>>,
    /// Pods on the node.
    pub pods: &'a dyn Fn() -> Vec<Arc<Pod>>,
    /// For how long we have heard the server without a gap. Silence while we were deaf means nothing.
    pub listening: Duration,
    pub now: Timestamp,
}

/// What is remembered from one look to the next.
///
/// Silence is measured from when a sign of life was seen last, on our clock: the node's may differ.
#[derive(Clone, Debug)]
pub struct Monitor {
    config: Config,
    health: BTreeMap<String, Health>,
    zones: zones::Limits,
}

#[derive(Clone, Debug)]
struct Health {
    seen: Timestamp,
    renewed: Option<Box<str>>,
    heartbeat: Option<Timestamp>,
}

impl Monitor {
    pub fn new(config: Config) -> Self {
        Self { config, health: BTreeMap::new(), zones: zones::Limits::default() }
    }

    /// The node is gone from the API.
    pub fn forget(&mut self, node: &str) {
        self.health.remove(node);
    }

    /// Notes a sign of life, and returns how long the node may still be silent.
    fn patience(&mut self, seen: &Observed<'_>) -> Duration {
        let renewed = seen.lease.and_then(|lease| lease.spec.renew_time.clone());
        // What we write ourselves is no sign of life.
        let ready = seen.node.condition("Ready").filter(|ready| ready.status != "Unknown");
        let heartbeat = ready.and_then(|ready| ready.last_heartbeat_time.as_ref()).map(|time| time.0);
        let name = seen.node.metadata.name.to_string();
        let known = self.health.get(&name);
        let alive = known.is_none_or(|known| {
            known.renewed != renewed || heartbeat.is_some_and(|beat| known.heartbeat.is_none_or(|last| beat > last))
        });
        let since = match known {
            Some(known) if !alive => known.seen,
            _ => seen.now,
        };
        let heartbeat = heartbeat.max(known.and_then(|known| known.heartbeat));
        self.health.insert(name, Health { seen: since, renewed, heartbeat });
        let deaf = self.config.grace.saturating_sub(seen.listening);
        crate::time::left(since, self.config.grace, seen.now).max(deaf)
    }
}
