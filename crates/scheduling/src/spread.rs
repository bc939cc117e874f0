//! Topology spread constraints, compiled once per shape of pod (KEP-895, KEP-3022, KEP-3094, KEP-3243).

use std::sync::Arc;

use api_types::selector::{Operator, Selector};

use crate::{
    object::{Pod, TopologySpreadConstraint},
    peers::{LabelSet, own_values, selector},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Constraint {
    pub max_skew: i64,
    pub topology_key: Arc<str>,
    /// Whom to count, in the pod's own namespace.
    pub selector: Selector,
    /// With fewer domains than this the smallest counts as empty.
    pub min_domains: i64,
    /// Nodes that the pod's own node affinity rules out are not counted.
    pub honor_affinity: bool,
    /// Nodes with taints that the pod does not tolerate are not counted.
    pub honor_taints: bool,
}

impl Constraint {
    /// With upstream's policies for nodes where nothing is said.
    pub fn new(max_skew: i64, topology_key: &str, selector: Selector) -> Self {
        Self {
            max_skew,
            topology_key: topology_key.into(),
            selector,
            min_domains: 1,
            honor_affinity: true,
            honor_taints: false,
        }
    }
}

/// What a pod itself says about being spread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spread {
    /// `DoNotSchedule`.
    pub hard: Vec<Constraint>,
    /// `ScheduleAnyway`.
    pub soft: Vec<Constraint>,
}

impl Spread {
    pub fn of(pod: &Pod, labels: &LabelSet) -> Self {
        let of_kind = |kind: &str| {
            let constraints = pod.spec.topology_spread_constraints.iter();
            constraints.filter(|c| c.when_unsatisfiable == kind).map(|c| compile(c, labels)).collect()
        };
        Self { hard: of_kind("DoNotSchedule"), soft: of_kind("ScheduleAnyway") }
    }

    pub fn is_empty(&self) -> bool {
        self.hard.is_empty() && self.soft.is_empty()
    }
}

fn compile(c: &TopologySpreadConstraint, labels: &LabelSet) -> Constraint {
    let own = own_values(labels, Operator::In, &c.match_label_keys);
    Constraint {
        min_domains: c.min_domains.unwrap_or(1),
        honor_affinity: c.node_affinity_policy.as_deref() != Some("Ignore"),
        honor_taints: c.node_taints_policy.as_deref() == Some("Honor"),
        ..Constraint::new(c.max_skew, &c.topology_key, selector(c.label_selector.as_ref(), own))
    }
}
