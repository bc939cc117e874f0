//! What upstream warns of in pods that are valid all the same.

use std::collections::BTreeSet;

use api_types::{field::Path, k8s_openapi::api::core::v1::PodSpec};

/// Labels of nodes that have newer names.
const OLD_NODE_LABELS: [(&str, &str); 5] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    ("failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"),
    ("beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"),
];

pub fn of_spec(spec: &PodSpec, path: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for (label, why) in OLD_NODE_LABELS {
        if spec.node_selector.as_ref().is_some_and(|s| s.contains_key(label)) {
            all.push(format!("{}: {why}", path.child("nodeSelector").key(label)));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, alias) in spec.host_aliases.iter().flatten().enumerate() {
        if !seen.insert(&alias.ip) {
            all.push(format!("{}: duplicate ip {:?}", path.child("hostAliases").index(i).child("ip"), alias.ip));
        }
    }
    if spec.termination_grace_period_seconds.is_some_and(|s| s < 0) {
        all.push(format!(
            "{}: must be >= 0; negative values are invalid and will be treated as 1",
            path.child("terminationGracePeriodSeconds")
        ));
    }
    for (member, containers) in
        [("initContainers", spec.init_containers.as_deref().unwrap_or_default()), ("containers", &spec.containers[..])]
    {
        for (i, container) in containers.iter().enumerate() {
            let at = path.child(member).index(i);
            let mut names = BTreeSet::new();
            for (j, env) in container.env.iter().flatten().enumerate() {
                if !names.insert(&env.name) {
                    all.push(format!(
                        "{}: hides previous definition of {:?}, which may be dropped when using apply",
                        at.child("env").index(j),
                        env.name
                    ));
                }
            }
            for (list, quantities) in [
                ("limits", container.resources.as_ref().and_then(|r| r.limits.as_ref())),
                ("requests", container.resources.as_ref().and_then(|r| r.requests.as_ref())),
            ] {
                let Some(memory) = quantities.and_then(|q| q.get("memory")) else { continue };
                if api_types::Quantity::try_from(memory).is_ok_and(|q| q.milli_value() % 1000 != 0) {
                    all.push(format!(
                        "{}: fractional byte value {:?} is invalid, must be an integer",
                        at.child("resources").child(list).key("memory"),
                        memory.0
                    ));
                }
            }
        }
    }
    all
}
