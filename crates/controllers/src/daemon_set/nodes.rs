//! Whether a node should run a pod of the set, and whether one that runs there may stay.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    k8s_openapi::api::{
        apps::v1::DaemonSet,
        core::v1::{NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Toleration},
    },
    selector::{Operator, Requirement},
};

use super::pods;
use crate::{taint_eviction::tolerates, view::Node};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Run,
    /// None is made, and one that is there may stay: a taint keeps new pods away.
    Stay,
    Leave,
}

/// What the set asks of nodes, made once for all of them.
pub struct Judge<'a> {
    spec: Option<&'a PodSpec>,
    tolerations: Vec<Toleration>,
}

/// The nodes there are, by name.
pub(super) type Verdicts<'a> = BTreeMap<&'a str, Verdict>;

impl<'a> Judge<'a> {
    pub fn new(set: &'a DaemonSet) -> Self {
        let spec = set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        Self { spec, tolerations: spec.map(pods::tolerations).unwrap_or_default() }
    }

    pub(super) fn all<'n>(&self, nodes: &'n [Arc<Node>]) -> Verdicts<'n> {
        nodes.iter().map(|node| (&*node.metadata.name, self.verdict(node))).collect()
    }

    pub fn verdict(&self, node: &Node) -> Verdict {
        let Some(spec) = self.spec else { return Verdict::Leave };
        let elsewhere = spec.node_name.as_ref().is_some_and(|name| !name.is_empty() && **name != *node.metadata.name);
        if elsewhere || !is_selected(spec, node) {
            return Verdict::Leave;
        }
        let tolerated = |effects: &[&str]| {
            let mut taints = node.spec.taints.iter().filter(|taint| effects.contains(&&*taint.effect));
            taints.all(|taint| self.tolerations.iter().any(|toleration| tolerates(toleration, taint)))
        };
        match (tolerated(&["NoSchedule", "NoExecute"]), tolerated(&["NoExecute"])) {
            (true, _) => Verdict::Run,
            (false, true) => Verdict::Stay,
            (false, false) => Verdict::Leave,
        }
    }
}

/// The template's node selector and required node affinity.
fn is_selected(spec: &PodSpec, node: &Node) -> bool {
    let labels = &node.metadata.labels;
    let selected = spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    selected && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| matches(term, node)))
}

/// All requirements must hold; a term without any matches nothing.
fn matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let (labels, fields) = (term.match_expressions.as_deref(), term.match_fields.as_deref());
    let (labels, fields) = (labels.unwrap_or_default(), fields.unwrap_or_default());
    let own = [("metadata.name", &*node.metadata.name)];
    let holds = |given: &NodeSelectorRequirement, labels: &dyn Fn(&Requirement) -> bool| {
        requirement(given).is_some_and(|requirement| labels(&requirement))
    };
    !(labels.is_empty() && fields.is_empty())
        && labels.iter().all(|given| holds(given, &|requirement| requirement.matches(&node.metadata.labels)))
        && fields.iter().all(|given| holds(given, &|requirement| requirement.matches(own.as_slice())))
}

fn requirement(given: &NodeSelectorRequirement) -> Option<Requirement> {
    let operator = match given.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return None,
    };
    Some(Requirement { key: given.key.clone(), operator, values: given.values.clone().unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(labels: Value, taints: Value) -> Node {
        serde_json::from_value(json!({"metadata": {"name": "one", "labels": labels}, "spec": {"taints": taints}}))
            .unwrap()
    }

    #[test]
    fn verdicts() {
        let check = |spec: Value, node: &Node, expected: Verdict| {
            let text = spec.to_string();
            let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": spec});
            let set = json!({"metadata": {"name": "d"}, "spec": {"selector": {}, "template": template}});
            let set = serde_json::from_value(set).unwrap();
            assert_eq!(Judge::new(&set).verdict(node), expected, "{text}");
        };
        let plain = node(json!({"disk": "ssd"}), json!([]));
        check(json!({"containers": []}), &plain, Verdict::Run);
        check(json!({"containers": [], "nodeSelector": {"disk": "ssd"}}), &plain, Verdict::Run);
        check(json!({"containers": [], "nodeSelector": {"disk": "hdd"}}), &plain, Verdict::Leave);
        check(json!({"containers": [], "nodeName": "two"}), &plain, Verdict::Leave);
        check(json!({"containers": [], "nodeName": "one"}), &plain, Verdict::Run);

        let affinity = |terms: Value| {
            let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
            json!({"containers": [], "affinity": {"nodeAffinity": required}})
        };
        let has = |operator: &str, values: &[&str]| {
            affinity(json!([{"matchExpressions": [{"key": "disk", "operator": operator, "values": values}]}]))
        };
        check(has("In", &["hdd", "ssd"]), &plain, Verdict::Run);
        check(has("NotIn", &["ssd"]), &plain, Verdict::Leave);
        check(has("DoesNotExist", &[]), &plain, Verdict::Leave);
        let named = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["one"]}]}]);
        check(affinity(named), &plain, Verdict::Run);
        check(affinity(json!([{}])), &plain, Verdict::Leave);

        let taint = |key: &str, effect: &str| json!([{"key": key, "effect": effect}]);
        let none = json!({"containers": []});
        check(none.clone(), &node(json!({}), taint("x", "NoSchedule")), Verdict::Stay);
        check(none.clone(), &node(json!({}), taint("x", "NoExecute")), Verdict::Leave);
        check(none.clone(), &node(json!({}), taint("x", "PreferNoSchedule")), Verdict::Run);
        for key in ["not-ready", "unreachable"] {
            let key = format!("node.kubernetes.io/{key}");
            check(none.clone(), &node(json!({}), taint(&key, "NoExecute")), Verdict::Run);
        }
        check(none.clone(), &node(json!({}), taint("node.kubernetes.io/unschedulable", "NoSchedule")), Verdict::Run);
        let no_network = node(json!({}), taint("node.kubernetes.io/network-unavailable", "NoSchedule"));
        check(none, &no_network, Verdict::Stay);
        check(json!({"containers": [], "hostNetwork": true}), &no_network, Verdict::Run);
        let tolerant = json!({"containers": [], "tolerations": [{"operator": "Exists"}]});
        check(tolerant, &node(json!({}), taint("x", "NoExecute")), Verdict::Run);
    }
}
