//! PodDisruptionBudgets as preemption counts with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use api_types::selector::Selector;

use super::{Cluster, Resident};
use crate::{object, peers::selector};

#[derive(Debug, PartialEq)]
struct Budget {
    selector: Selector,
    disruptions_allowed: i64,
    /// Pods whose eviction is under way and counted already.
    disrupted: BTreeSet<String>,
}

#[derive(Debug, Default)]
pub(super) struct Budgets {
    by_name: BTreeMap<(Arc<str>, Arc<str>), Budget>,
    generation: u64,
}

impl Cluster {
    /// Grows whenever a budget changes.
    pub fn budgets_generation(&self) -> u64 {
        self.budgets.generation
    }

    pub fn set_budget(&mut self, budget: &object::Budget) {
        let key = (budget.metadata.namespace.as_ref().into(), budget.metadata.name.as_ref().into());
        let budget = Budget {
            selector: selector(budget.spec.selector.as_ref(), Vec::new()),
            disruptions_allowed: budget.status.disruptions_allowed,
            disrupted: budget.status.disrupted_pods.keys().cloned().collect(),
        };
        if self.budgets.by_name.get(&key) != Some(&budget) {
            self.budgets.by_name.insert(key, budget);
            self.budgets.generation += 1;
        }
    }

    pub fn remove_budget(&mut self, namespace: &str, name: &str) {
        let gone = self.budgets.by_name.remove(&(namespace.into(), name.into()));
        self.budgets.generation += u64::from(gone.is_some());
    }

    /// Which of these pods, evicted in this order, would break a budget.
    pub fn violations<'a>(&self, pods: impl Iterator<Item = &'a Resident>) -> Vec<bool> {
        let mut allowed: Vec<i64> = self.budgets.by_name.values().map(|budget| budget.disruptions_allowed).collect();
        let breaks = |pod: &Resident| {
            let peers = &pod.held.peers;
            let mut broken = false;
            if peers.labels.is_empty() {
                return false;
            }
            for (((namespace, _), budget), allowed) in self.budgets.by_name.iter().zip(&mut allowed) {
                let covers = *namespace == peers.namespace
                    && !budget.selector.is_everything()
                    && budget.selector.matches(&peers.labels)
                    && !budget.disrupted.contains(&*pod.name);
                if covers {
                    *allowed -= 1;
                    broken |= *allowed < 0;
                }
            }
            broken
        };
        pods.map(breaks).collect()
    }
}
