//! TTL: tells kubelets for how long they may keep secrets and config maps, the longer the larger the cluster is.

use api_types::{
    object::Object,
    plan::{PatchStyle, Plan, Target, Write},
};
use serde_json::json;

use crate::view::Node;

const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";

/// Sizes overlap, so that a cluster at a boundary does not have all its nodes written time and again.
const STEPS: &[Step] = &[
    Step { least: 0, most: 100, seconds: 0 },
    Step { least: 90, most: 500, seconds: 15 },
    Step { least: 450, most: 1000, seconds: 30 },
    Step { least: 900, most: 2000, seconds: 60 },
    Step { least: 1800, most: 10_000, seconds: 300 },
    Step { least: 9000, most: usize::MAX, seconds: 600 },
];

struct Step {
    least: usize,
    most: usize,
    seconds: u32,
}

/// Where a cluster stands among the sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size(usize);

impl Size {
    /// After the number of nodes changed.
    #[must_use]
    pub fn at(self, nodes: usize) -> Self {
        let mut step = self.0;
        while nodes > STEPS[step].most {
            step += 1;
        }
        while nodes < STEPS[step].least {
            step -= 1;
        }
        Self(step)
    }
}

pub fn reconcile(node: &Node, size: Size) -> Plan {
    let mut plan = Plan::default();
    let wanted = STEPS[size.0].seconds.to_string();
    if node.metadata.annotations.ttl.as_deref() != Some(&*wanted) {
        plan.write(Write::Patch {
            target: Target::named(<Node as api_types::object::Watched>::RESOURCE, "", node.name()),
            subresource: None,
            style: PatchStyle::Merge,
            body: json!({"metadata": {"annotations": {ANNOTATION: wanted}}}),
        });
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_overlap() {
        let mut size = Size::default();
        for (nodes, seconds) in [(1, 0), (100, 0), (101, 15), (95, 15), (89, 0), (20_000, 600), (9500, 600), (0, 0)] {
            size = size.at(nodes);
            assert_eq!(STEPS[size.0].seconds, seconds, "{nodes}");
        }
    }

    #[test]
    fn writes_only_what_differs() {
        let node = |ttl: &str| -> Node {
            serde_json::from_value(json!({"metadata": {"name": "a", "annotations": {ANNOTATION: ttl}}})).unwrap()
        };
        assert!(reconcile(&node("0"), Size::default()).is_empty());
        assert!(!reconcile(&node("0"), Size::default().at(200)).is_empty());
    }
}
