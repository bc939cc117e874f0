//! A daemon's pod: bound to its node by affinity, and staying through the node's troubles.

use api_types::k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{PodSpec, Toleration},
};
use serde_json::{Value, json};

use crate::{history, template, view::Pod};

/// By this annotation the API keeps the counter that came before revisions; its value is a label of the pods.
const GENERATION: &str = "deprecated.daemonset.template.generation";
const GENERATION_LABEL: &str = "pod-template-generation";

/// Taints that no daemon minds, with their effects.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
const NO_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// The template's tolerations, and those of every daemon. One of the template for the same taint gives way, so that
/// its `tolerationSeconds` do not count.
pub(super) fn tolerations(spec: &PodSpec) -> Vec<Toleration> {
    let mut all = spec.tolerations.clone().unwrap_or_default();
    let host_network = spec.host_network == Some(true);
    for (key, effect) in TOLERATED.into_iter().chain(host_network.then_some(NO_NETWORK)) {
        let fresh = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        let same = |known: &Toleration| {
            known.key == fresh.key
                && known.effect == fresh.effect
                && known.operator == fresh.operator
                && known.value.as_deref().unwrap_or_default().is_empty()
        };
        match all.iter().position(same) {
            Some(index) => all[index] = fresh,
            None => all.push(fresh),
        }
    }
    all
}

/// A pod of the set for one node, of the revision with this hash.
pub(super) fn new_pod(set: &DaemonSet, hash: &str) -> Value {
    let Some(spec) = &set.spec else { return Value::Null };
    let mut pod = template::pod(set, &spec.template);
    let labels = &mut pod["metadata"]["labels"];
    if let Some(generation) = set.metadata.annotations.as_ref().and_then(|annotations| annotations.get(GENERATION)) {
        labels[GENERATION_LABEL] = json!(generation);
    }
    labels[history::POD_LABEL] = json!(hash);
    let empty = PodSpec::default();
    pod["spec"]["tolerations"] = json!(tolerations(spec.template.spec.as_ref().unwrap_or(&empty)));
    pod
}

/// The same pod for `node`: what the template requires of nodes has been judged, and only the name is left of it.
pub(super) fn bound(pod: &Value, node: &str) -> Value {
    let mut pod = pod.clone();
    let by_name = json!({"key": "metadata.name", "operator": "In", "values": [node]});
    pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
        json!({"nodeSelectorTerms": [{"matchFields": [by_name]}]});
    pod
}

pub(super) fn is_updated(pod: &Pod, hash: &str) -> bool {
    !hash.is_empty() && pod.metadata.labels.get(history::POD_LABEL).is_some_and(|label| label == hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_bound_and_tolerant() {
        let set: DaemonSet = serde_json::from_value(json!({
            "metadata": {"name": "d", "uid": "u", "annotations": {GENERATION: "3"}},
            "spec": {"selector": {}, "template": {"metadata": {"labels": {"app": "a"}}, "spec": {
                "containers": [],
                "affinity": {
                    "podAntiAffinity": {},
                    "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}},
                },
                "tolerations": [
                    {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
                    {"key": "own", "operator": "Exists"},
                ],
            }}},
        }))
        .unwrap();
        let pod = bound(&new_pod(&set, "hash"), "one");
        assert_eq!(
            pod["metadata"]["labels"],
            json!({"app": "a", "pod-template-generation": "3", "controller-revision-hash": "hash"})
        );
        assert_eq!(
            pod["spec"]["affinity"],
            json!({"podAntiAffinity": {}, "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["one"]}]}]}}})
        );
        let tolerations = pod["spec"]["tolerations"].as_array().unwrap();
        assert_eq!(tolerations.len(), 7);
        assert!(tolerations.iter().all(|toleration| toleration["tolerationSeconds"].is_null()), "{tolerations:?}");
    }
}
