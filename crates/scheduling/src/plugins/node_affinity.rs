//! `spec.nodeSelector` and `spec.affinity.nodeAffinity`: what the pod demands of its node's labels, and what it likes.

use crate::{
    cluster::{Cluster, NodeRef},
    framework::{ClusterEvent, Plugin, PodRef, Point, PreFilter, Verdict, node_of, normalize_by_largest},
    node_selector::{NodeView, Preferred, Required},
    shape::Shape,
};

/// Affinity that the configuration adds to every pod of the profile (`NodeAffinityArgs.addedAffinity`).
#[derive(Debug, Default)]
pub struct NodeAffinity {
    pub added_required: Required,
    pub added_preferred: Preferred,
}

fn view(node: NodeRef<'_>) -> NodeView<'_> {
    NodeView { name: node.name(), labels: node.labels() }
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::PreFilter, Point::Filter, Point::PreScore, Point::Score]
    }

    fn pre_filter(&self, pod: PodRef<'_>, cluster: &Cluster) -> PreFilter {
        if pod.shape.required.is_everything() && self.added_required.is_everything() {
            return PreFilter::Skip;
        }
        match pod.shape.required.pinned() {
            Some(names) if names.is_empty() => PreFilter::Reject("pod affinity terms conflict".into()),
            Some(names) => PreFilter::Only(names.into_iter().filter_map(|name| cluster.find(name)).collect()),
            None => PreFilter::Continue,
        }
    }

    fn filter(&self, shape: &Shape, node: NodeRef<'_>) -> Verdict {
        if !self.added_required.matches(view(node)) {
            return Verdict::unresolvable("node(s) didn't match scheduler-enforced node affinity");
        }
        if !shape.required.matches(view(node)) {
            return Verdict::unresolvable("node(s) didn't match Pod's node affinity/selector");
        }
        Verdict::Fits
    }

    fn pre_score(&self, shape: &Shape) -> bool {
        !shape.preferred.is_empty() || !self.added_preferred.is_empty()
    }

    fn score(&self, shape: &Shape, node: NodeRef<'_>) -> i64 {
        shape.preferred.weight(view(node)) + self.added_preferred.weight(view(node))
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_by_largest(scores, false);
    }

    fn helps(&self, pod: PodRef<'_>, event: &ClusterEvent, cluster: &Cluster) -> bool {
        let about_it = match event {
            ClusterEvent::NodeAdded(_) => true,
            ClusterEvent::NodeChanged(_, change) => change.labels,
            _ => false,
        };
        about_it && node_of(event, cluster).is_some_and(|node| self.filter(pod.shape, node) == Verdict::Fits)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::NodeAffinity;
    use crate::testing::{Want, check_filter, scores};

    const REFUSED: Want = Want::Unresolvable("node(s) didn't match Pod's node affinity/selector");

    fn node() -> Value {
        json!({"metadata": {"name": "n1", "labels": {"disk": "ssd", "cores": "8", "zone": "a"}}})
    }

    fn check_terms(terms: Value, want: Want) {
        let affinity = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
        check_filter(&NodeAffinity::default(), json!({"affinity": {"nodeAffinity": affinity}}), node(), want);
    }

    fn check_expression(key: &str, operator: &str, values: Value, want: Want) {
        check_terms(json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]), want);
    }

    #[test]
    fn node_selector() {
        let plugin = NodeAffinity::default();
        check_filter(&plugin, json!({}), node(), Want::Fits);
        check_filter(&plugin, json!({"nodeSelector": {"disk": "ssd", "zone": "a"}}), node(), Want::Fits);
        check_filter(&plugin, json!({"nodeSelector": {"disk": "ssd", "zone": "b"}}), node(), REFUSED);
        check_filter(&plugin, json!({"nodeSelector": {"missing": ""}}), node(), REFUSED);
    }

    #[test]
    fn operators() {
        check_expression("disk", "In", json!(["hdd", "ssd"]), Want::Fits);
        check_expression("disk", "In", json!(["hdd"]), REFUSED);
        check_expression("disk", "NotIn", json!(["hdd"]), Want::Fits);
        check_expression("missing", "NotIn", json!(["hdd"]), Want::Fits);
        check_expression("disk", "NotIn", json!(["ssd"]), REFUSED);
        check_expression("disk", "Exists", json!([]), Want::Fits);
        check_expression("missing", "Exists", json!([]), REFUSED);
        check_expression("missing", "DoesNotExist", json!([]), Want::Fits);
        check_expression("cores", "Gt", json!(["7"]), Want::Fits);
        check_expression("cores", "Gt", json!(["8"]), REFUSED);
        check_expression("cores", "Lt", json!(["9"]), Want::Fits);
        check_expression("disk", "Lt", json!(["9"]), REFUSED);
        check_expression("disk", "Nonsense", json!(["9"]), REFUSED);
    }

    #[test]
    fn terms_are_alternatives_and_empty_ones_match_nothing() {
        let has = |key: &str, value: &str| json!({"key": key, "operator": "In", "values": [value]});
        check_terms(json!([]), REFUSED);
        check_terms(json!([{}]), REFUSED);
        check_terms(
            json!([{"matchExpressions": [has("disk", "hdd")]}, {"matchExpressions": [has("zone", "a")]}]),
            Want::Fits,
        );
        check_terms(json!([{"matchExpressions": [has("disk", "hdd"), has("zone", "a")]}]), REFUSED);
        check_terms(json!([{"matchFields": [has("metadata.name", "n1")]}]), Want::Fits);
        check_terms(json!([{"matchFields": [has("metadata.name", "n2")]}]), REFUSED);
    }

    #[test]
    fn score() {
        let term = |weight: i32, key: &str, value: &str| json!({"weight": weight, "preference": {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}});
        let wishes = json!([term(1, "disk", "ssd"), term(3, "zone", "a")]);
        let pod = json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": wishes}}});
        let labelled = |labels: Value| json!({"metadata": {"labels": labels}});
        let both = json!({"disk": "ssd", "zone": "a"});
        let nodes = [json!({"disk": "ssd"}), json!({"zone": "a"}), both, json!({})].map(labelled);
        assert_eq!(scores(&NodeAffinity::default(), pod, &nodes), [25, 75, 100, 0]);
    }
}
