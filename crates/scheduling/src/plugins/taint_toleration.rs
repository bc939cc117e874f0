//! Taints keep pods away that do not tolerate them: `NoSchedule` and `NoExecute` strictly, `PreferNoSchedule` by score.

use crate::{
    cluster::{Cluster, NodeRef},
    framework::{ClusterEvent, Plugin, PodRef, Point, Verdict, node_of, normalize_by_largest},
    shape::Shape,
};

#[derive(Debug)]
pub struct TaintToleration;

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn points(&self) -> &'static [Point] {
        &[Point::Filter, Point::PreScore, Point::Score]
    }

    fn filter(&self, shape: &Shape, node: NodeRef<'_>) -> Verdict {
        let strict = node.taints().iter().filter(|t| matches!(&*t.effect, "NoSchedule" | "NoExecute"));
        match strict.into_iter().find(|t| !shape.tolerates(&t.key, &t.value, &t.effect)) {
            Some(taint) => {
                Verdict::unresolvable(format!("node(s) had untolerated taint {{{}: {}}}", taint.key, taint.value))
            }
            None => Verdict::Fits,
        }
    }

    /// The number of taints that would rather not have the pod.
    fn score(&self, shape: &Shape, node: NodeRef<'_>) -> i64 {
        let soft = node.taints().iter().filter(|t| &*t.effect == "PreferNoSchedule");
        soft.filter(|t| !shape.tolerates(&t.key, &t.value, &t.effect)).count() as i64
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_by_largest(scores, true);
    }

    fn helps(&self, pod: PodRef<'_>, event: &ClusterEvent, cluster: &Cluster) -> bool {
        let about_it = match event {
            ClusterEvent::NodeAdded(_) => true,
            ClusterEvent::NodeChanged(_, change) => change.taints,
            _ => false,
        };
        about_it && node_of(event, cluster).is_some_and(|node| self.filter(pod.shape, node) == Verdict::Fits)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::TaintToleration;
    use crate::testing::{Want, check_filter, scores};

    fn tainted(taints: Value) -> Value {
        json!({"spec": {"taints": taints}})
    }

    #[test]
    fn filter() {
        let node = tainted(json!([{"key": "k", "value": "v", "effect": "NoSchedule"}]));
        let refused = Want::Unresolvable("node(s) had untolerated taint {k: v}");
        let check = |toleration: Value, want| {
            check_filter(&TaintToleration, json!({"tolerations": [toleration]}), node.clone(), want);
        };
        check_filter(&TaintToleration, json!({}), node.clone(), refused);
        check(json!({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}), Want::Fits);
        check(json!({"key": "k", "value": "v"}), Want::Fits);
        check(json!({"key": "k", "operator": "Exists"}), Want::Fits);
        check(json!({"operator": "Exists"}), Want::Fits);
        check(json!({"key": "k", "value": "other"}), refused);
        check(json!({"key": "other", "operator": "Exists"}), refused);
        check(json!({"key": "k", "operator": "Exists", "effect": "NoExecute"}), refused);
        check_filter(
            &TaintToleration,
            json!({}),
            tainted(json!([{"key": "k", "effect": "PreferNoSchedule"}])),
            Want::Fits,
        );
        check_filter(
            &TaintToleration,
            json!({}),
            tainted(json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}])),
            Want::Unresolvable("node(s) had untolerated taint {node.kubernetes.io/not-ready: }"),
        );
    }

    #[test]
    fn score() {
        let soft = |n: usize| {
            let taints: Vec<_> =
                (0..n).map(|i| json!({"key": format!("k{i}"), "effect": "PreferNoSchedule"})).collect();
            tainted(json!(taints))
        };
        assert_eq!(scores(&TaintToleration, json!({}), &[soft(0), soft(1), soft(2)]), [100, 50, 0]);
        assert_eq!(scores(&TaintToleration, json!({}), &[soft(0), soft(0)]), [100, 100]);
        let tolerating = json!({"tolerations": [{"key": "k0", "operator": "Exists"}]});
        assert_eq!(scores(&TaintToleration, tolerating, &[soft(1), soft(2)]), [100, 0]);
    }
}
