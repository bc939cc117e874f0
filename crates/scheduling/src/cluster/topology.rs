//! Which domain of a topology (zone, host, …) each node belongs to, as numbers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Cluster, NodeId};

/// Keys remembered; all are forgotten when there are more.
const MAX_KEYS: usize = 64;

/// The domains of one topology key.
#[derive(Debug, PartialEq)]
pub struct Domains {
    /// By row; [`Domains::NONE`] for nodes without the label.
    of_node: Vec<u32>,
    count: usize,
}

impl Domains {
    const NONE: u32 = u32::MAX;

    fn of(cluster: &Cluster, key: &str) -> Self {
        let mut known: HashMap<&str, u32> = HashMap::new();
        let mut of_node = vec![Self::NONE; cluster.rows()];
        for id in cluster.live() {
            if let Some(value) = cluster.node(*id).label(key) {
                let next = known.len() as u32;
                of_node[id.index()] = *known.entry(value).or_insert(next);
            }
        }
        Self { of_node, count: known.len() }
    }

    /// The domain of a node, if it has one.
    pub fn of_node(&self, id: NodeId) -> Option<usize> {
        self.of_node.get(id.index()).filter(|domain| **domain != Self::NONE).map(|domain| *domain as usize)
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[derive(Debug, Default)]
pub(super) struct Topologies(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    generation: u64,
    domains: HashMap<Arc<str>, Arc<Domains>>,
}

impl Cluster {
    /// Worked out once for each key until labels change or nodes come and go.
    pub fn domains(&self, key: &Arc<str>) -> Arc<Domains> {
        let mut known = self.topologies.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.generation != self.labels_generation || known.domains.len() > MAX_KEYS {
            known.domains.clear();
            known.generation = self.labels_generation;
        }
        known.domains.entry(key.clone()).or_insert_with(|| Arc::new(Domains::of(self, key))).clone()
    }
}
