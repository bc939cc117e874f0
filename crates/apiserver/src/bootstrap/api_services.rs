//! An APIService for each group and version that this server answers itself, as upstream's aggregator registers them.

use std::collections::BTreeSet;

use api_rules::kinds;
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::write;
use crate::core::Core;

const API: &str = "apiregistration.k8s.io/v1";
/// Says that the object is the server's own, and that it is put right at each start.
const AUTOMANAGED: (&str, &str) = ("kube-aggregator.kubernetes.io/automanaged", "onstart");
/// Upstream's priorities: of the group, and of the version within it. The group of APIServices itself has none.
const PRIORITIES: [(&str, &str, i32, i32); 21] = [
    ("", "v1", 18_000, 1),
    ("admissionregistration.k8s.io", "v1", 16_700, 15),
    ("apiextensions.k8s.io", "v1", 16_700, 15),
    ("apps", "v1", 17_800, 15),
    ("authentication.k8s.io", "v1", 17_700, 15),
    ("authorization.k8s.io", "v1", 17_600, 15),
    ("autoscaling", "v1", 17_500, 15),
    ("autoscaling", "v2", 17_500, 30),
    ("batch", "v1", 17_400, 15),
    ("certificates.k8s.io", "v1", 17_300, 15),
    ("coordination.k8s.io", "v1", 16_500, 15),
    ("discovery.k8s.io", "v1", 16_200, 12),
    ("events.k8s.io", "v1", 17_750, 5),
    ("flowcontrol.apiserver.k8s.io", "v1", 16_100, 21),
    ("networking.k8s.io", "v1", 17_200, 15),
    ("node.k8s.io", "v1", 16_300, 15),
    ("policy", "v1", 17_100, 15),
    ("rbac.authorization.k8s.io", "v1", 17_000, 15),
    ("resource.k8s.io", "v1", 16_200, 15),
    ("scheduling.k8s.io", "v1", 16_600, 15),
    ("storage.k8s.io", "v1", 16_800, 15),
];

pub async fn reconcile(core: &Core) -> anyhow::Result<()> {
    let served: BTreeSet<_> = kinds::all()
        .iter()
        .map(|kind| kind.names())
        .filter(|names| !names.plural.is_empty())
        .map(|names| (names.group, names.version))
        .collect();
    let objects = served.into_iter().filter_map(|(group, version)| local(group, version));
    let ensured = objects.map(|object| {
        let wanted = object.clone();
        write::ensure(core, "apiservices", API, object, move |old| merged(old, &wanted))
    });
    try_join_all(ensured).await.map(drop)
}

/// `None` for what is not registered.
fn local(group: &str, version: &str) -> Option<Value> {
    let (.., of_group, of_version) = PRIORITIES.iter().find(|(g, v, ..)| (*g, *v) == (group, version))?;
    let mut spec = json!({"version": version, "groupPriorityMinimum": of_group, "versionPriority": of_version});
    if !group.is_empty() {
        spec["group"] = json!(group);
    }
    let labels = json!({AUTOMANAGED.0: AUTOMANAGED.1});
    Some(json!({"metadata": {"name": format!("{version}.{group}"), "labels": labels}, "spec": spec}))
}

/// What somebody else registered for a version stays.
fn merged(old: &Value, wanted: &Value) -> Option<Value> {
    old["metadata"]["labels"].get(AUTOMANAGED.0)?;
    let mut new = old.clone();
    new["spec"] = wanted["spec"].clone();
    Some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_has_a_priority() {
        let names = kinds::all().iter().map(|kind| kind.names());
        for names in names.filter(|names| !names.plural.is_empty() && names.group != "apiregistration.k8s.io") {
            let found = PRIORITIES.iter().any(|(g, v, ..)| (*g, *v) == (names.group, names.version));
            assert!(found, "{}/{}", names.group, names.version);
        }
        assert_eq!(local("", "v1").unwrap()["metadata"]["name"], "v1.");
        assert_eq!(local("apiregistration.k8s.io", "v1"), None);
    }
}
