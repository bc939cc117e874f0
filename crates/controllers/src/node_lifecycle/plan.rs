//! From what is seen of a node to writes.

use std::time::Duration;

use api_types::{
    k8s_openapi::api::core::v1::NodeCondition,
    object::Object,
    plan::{Note, Pace, PatchStyle, Plan, Step, Target, Write},
};
use serde_json::json;

use super::{
    Monitor, Observed, status,
    taints::{self, NO_EXECUTE},
    zones::Allowance,
};
use crate::{node_ipam::node_reference, view::Node};

impl Monitor {
    pub fn reconcile(&mut self, seen: &Observed<'_>) -> Plan {
        let mut plan = Plan::default();
        let node = seen.node;
        let patience = self.patience(seen);
        let lost = if patience.is_zero() { status::unknown(node, seen.now) } else { Vec::new() };
        if !patience.is_zero() {
            plan.again(patience);
        }
        let is = |kind: &str| condition(node, &lost, kind);
        let ready = is("Ready").unwrap_or("Unknown");
        // A node that never said anything has its time first.
        let silent = node.condition("Ready").is_none() && lost.is_empty();
        let ready = if silent { "False" } else { ready };
        let was = node.condition("Ready").map(|known| known.status.as_str());

        let evict = if silent { None } else { self.evict(seen, ready, &mut plan) };
        let status_of = |kind: &str| if kind == "Ready" { Some(ready) } else { is(kind) };
        if let Some(taints) = taints::wanted(node, status_of, evict, seen.now) {
            let target = Target::of(node).unchanged(node.resource_version());
            let body = json!({"spec": {"taints": taints}});
            plan.write(Write::Patch { target, subresource: None, style: PatchStyle::Merge, body });
        }
        if ready != "True" {
            // Pods first: once the node's condition is written, nobody need look at them again.
            let pods = (seen.pods)();
            plan.stage(Pace::Together, pods.iter().filter_map(|pod| status::pod_not_ready(pod, seen.now)));
        }
        if !lost.is_empty() {
            if plan.stages.iter().any(|stage| stage.steps.iter().any(writes_node)) {
                // The taint changes the node: its status follows in the next plan.
                plan.again(Duration::from_millis(1));
            } else {
                let mut step = status::write(node, &lost);
                if was == Some("True") {
                    let text = format!("Node {} status is now: NodeNotReady", node.name());
                    step = step.done(Note::normal(node_reference(node), "NodeNotReady", text));
                }
                plan.stage(Pace::InOrder, [step]);
            }
        }
        plan
    }

    /// The `NoExecute` taint that the node shall carry now.
    fn evict(&mut self, seen: &Observed<'_>, ready: &str, plan: &mut Plan) -> Option<&'static str> {
        let key = taints::evicting(ready)?;
        let present = |key| taints::has(seen.node, key, NO_EXECUTE);
        // A node that is being emptied goes on being emptied, under the name that fits now.
        let begun = present(taints::NOT_READY) || present(taints::UNREACHABLE);
        let nodes = (seen.nodes)();
        if begun && nodes.iter().any(|node| node.condition("Ready").is_some_and(|ready| ready.status == "True")) {
            return Some(key);
        }
        match self.zones.ask(&self.config.rates, seen.node, &nodes, seen.now) {
            Allowance::Now => Some(key),
            Allowance::After(wait) => {
                plan.again(wait);
                None
            }
            Allowance::Halted | Allowance::AllGone => None,
        }
    }
}

/// The status of a condition, as it is after what this plan writes.
fn condition<'a>(node: &'a Node, changed: &'a [NodeCondition], kind: &str) -> Option<&'a str> {
    let changed = changed.iter().find(|condition| condition.type_ == kind);
    changed.or_else(|| node.condition(kind)).map(|condition| condition.status.as_str())
}

fn writes_node(step: &Step) -> bool {
    step.write.resource().plural == "nodes"
}

/// Whether a change of the node's readiness may let others be emptied, or stop it.
pub fn changes_zone(old: Option<&Node>, new: Option<&Node>) -> bool {
    let ready = |node: Option<&Node>| node.map(|node| node.condition("Ready").map(|ready| ready.status == "True"));
    ready(old) != ready(new)
}
