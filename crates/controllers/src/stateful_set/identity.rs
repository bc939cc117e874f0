//! What a pod is called, and the pod that an ordinal and a template make.

use std::collections::BTreeMap;

use api_types::k8s_openapi::api::{
    apps::v1::{StatefulSet, StatefulSetSpec},
    core::v1::PodTemplateSpec,
};
use serde_json::{Value, json};

use super::claims;
use crate::{history, template, view::Pod};

pub(super) const NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
pub(super) const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

pub(super) fn set_name(set: &StatefulSet) -> &str {
    set.metadata.name.as_deref().unwrap_or_default()
}

pub(super) fn pod_name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", set_name(set))
}

/// The ordinal of the set's pod of this name; none if the name is no pod of the set.
pub(super) fn ordinal(set: &StatefulSet, name: &str) -> Option<i32> {
    let digits = name.strip_prefix(set_name(set))?.strip_prefix('-')?;
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| digits.parse().ok()).flatten()
}

/// The ordinals that the set wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub start: i32,
    pub count: i32,
}

impl Range {
    pub fn of(spec: &StatefulSetSpec) -> Self {
        let start = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or_default();
        Self { start, count: spec.replicas.unwrap_or(1).max(0) }
    }

    /// The place of an ordinal among the replicas.
    pub fn index(self, ordinal: i32) -> Option<usize> {
        let index = ordinal.checked_sub(self.start)?;
        (0..self.count).contains(&index).then(|| usize::try_from(index).unwrap_or_default())
    }
}

/// The revision that a pod says it is of.
pub(super) fn revision(pod: &Pod) -> &str {
    pod.metadata.labels.get(history::POD_LABEL).map_or("", String::as_str)
}

/// The labels by which its pods are told apart.
fn labels(name: &str, ordinal: i32) -> [(&'static str, String); 2] {
    [(NAME_LABEL, name.to_owned()), (INDEX_LABEL, ordinal.to_string())]
}

/// What the pod's labels lack of its identity.
pub(super) fn missing_labels(pod: &Pod, ordinal: i32) -> Option<Value> {
    if pod.metadata.labels.get(NAME_LABEL).is_some_and(|name| **name == *pod.metadata.name) {
        return None;
    }
    Some(json!({"metadata": {"labels": BTreeMap::from(labels(&pod.metadata.name, ordinal))}}))
}

/// The pod of an ordinal, of this revision of the template.
pub(super) fn new_pod(set: &StatefulSet, ordinal: i32, template: &PodTemplateSpec, revision: &str) -> Value {
    let name = pod_name(set, ordinal);
    let mut pod = template::pod(set, template);
    for (key, value) in labels(&name, ordinal) {
        pod["metadata"]["labels"][key] = json!(value);
    }
    pod["metadata"]["labels"][history::POD_LABEL] = json!(revision);
    pod["metadata"]["namespace"] = json!(set.metadata.namespace);
    let spec = &mut pod["spec"];
    spec["hostname"] = json!(name);
    if let Some(service) = set.spec.as_ref().and_then(|spec| spec.service_name.as_ref()) {
        spec["subdomain"] = json!(service);
    }
    let volumes = claims::volumes(set, ordinal, spec["volumes"].as_array());
    if !volumes.is_empty() {
        spec["volumes"] = json!(volumes);
    }
    pod["metadata"]["name"] = json!(name);
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals() {
        let mut set = StatefulSet::default();
        set.metadata.name = Some("web-1".into());
        let check = |name: &str, expected: Option<i32>| assert_eq!(ordinal(&set, name), expected, "{name}");
        check("web-1-0", Some(0));
        check("web-1-12", Some(12));
        check("web-1", None);
        check("web-1-", None);
        check("web-1-x", None);
        check("web-1-0-0", None);
        check("web-10-0", None);
        check("web-1-99999999999", None);
    }

    #[test]
    fn ranges() {
        let range = Range { start: 3, count: 2 };
        let all: Vec<_> = (2..6).map(|ordinal| range.index(ordinal)).collect();
        assert_eq!(all, [None, Some(0), Some(1), None]);
    }
}
