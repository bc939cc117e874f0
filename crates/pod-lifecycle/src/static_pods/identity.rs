//! Who a static pod is: its uid follows from its manifest, so that the same manifest is the same pod after a restart,
//! and a changed one is another.

use crate::{
    core::{Pod, PodStatus, Toleration},
    names,
};
use jiff::Timestamp;

/// Where a manifest was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File(String),
    Url(String),
}

impl Origin {
    /// The value of `kubernetes.io/config.source`.
    pub fn source(&self) -> &'static str {
        match self {
            Origin::File(_) => "file",
            Origin::Url(_) => "http",
        }
    }
}

/// Gives a defaulted manifest what the API server and the scheduler would have given: a uid, its namespace, its node;
/// the node's name behind its own, and the annotations that say where it comes from.
pub fn identify(mut pod: Pod, origin: &Origin, node: &str, seen: Timestamp) -> Pod {
    let uid = pod.metadata.uid.take().filter(|uid| !uid.is_empty()).unwrap_or_else(|| digest(&pod, origin, node));
    let name = pod.metadata.name.take().unwrap_or_default();
    if !name.is_empty() {
        pod.metadata.name = Some(format!("{name}-{}", node.to_lowercase()));
    }
    if pod.metadata.namespace.as_deref().unwrap_or_default().is_empty() {
        pod.metadata.namespace = Some("default".into());
    }
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(names::CONFIG_HASH.into(), uid.clone());
    annotations.insert(names::CONFIG_SOURCE.into(), origin.source().into());
    annotations.insert(names::CONFIG_SEEN.into(), seen.to_string());
    pod.metadata.uid = Some(uid);
    if let Some(spec) = &mut pod.spec {
        spec.node_name = Some(node.to_owned());
        if matches!(origin, Origin::File(_)) {
            tolerate_everything(spec.tolerations.get_or_insert_default());
        }
    }
    pod.status = Some(PodStatus { phase: Some("Pending".into()), ..PodStatus::default() });
    pod
}

/// Troubles of the node do not evict what the node itself runs.
fn tolerate_everything(tolerations: &mut Vec<Toleration>) {
    let wanted =
        Toleration { operator: Some("Exists".into()), effect: Some("NoExecute".into()), ..Toleration::default() };
    if !tolerations.contains(&wanted) {
        tolerations.push(wanted);
    }
}

fn digest(pod: &Pod, origin: &Origin, node: &str) -> String {
    let manifest = serde_json::json!({"metadata": pod.metadata, "spec": pod.spec}).to_string();
    let place = match origin {
        Origin::File(path) => format!("host:{node}file:{path}"),
        Origin::Url(url) => format!("url:{url}"),
    };
    format!("{:032x}", fnv128a(manifest.bytes().chain(place.bytes())))
}

fn fnv128a(bytes: impl Iterator<Item = u8>) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{self, at};

    fn manifest() -> Pod {
        let mut pod = samples::pod("Always", &[], &["a"]);
        pod.metadata.uid = None;
        pod.metadata.namespace = None;
        pod
    }

    #[test]
    fn a_manifest_becomes_a_pod_of_this_node() {
        let pod = identify(manifest(), &Origin::File("/m/web.yaml".into()), "Node-1", at(7));
        assert_eq!((names::name(&pod), names::namespace(&pod)), ("web-node-1", "default"));
        assert_eq!(pod.spec.as_ref().unwrap().node_name.as_deref(), Some("Node-1"));
        let annotations = pod.metadata.annotations.as_ref().unwrap();
        assert_eq!(annotations[names::CONFIG_HASH], names::uid(&pod));
        assert_eq!(annotations[names::CONFIG_SOURCE], "file");
        assert_eq!(annotations[names::CONFIG_SEEN], "1970-01-01T00:00:07Z");
        assert!(names::is_static(&pod) && names::is_critical(&pod));
        assert_eq!(pod.spec.unwrap().tolerations.unwrap().len(), 1);
    }

    #[test]
    fn the_uid_follows_the_content_and_the_place_alone() {
        let uid = |pod: Pod, origin: &Origin, node: &str, second| {
            identify(pod, origin, node, at(second)).metadata.uid.unwrap()
        };
        let file = Origin::File("/m/web.yaml".into());
        let first = uid(manifest(), &file, "n", 1);
        assert_eq!(first.len(), 32);
        assert_eq!(uid(manifest(), &file, "n", 99), first, "whenever it is seen");
        let mut changed = manifest();
        changed.spec.as_mut().unwrap().containers[0].image = Some("other".into());
        for other in [
            uid(changed, &file, "n", 1),
            uid(manifest(), &Origin::File("/m/b.yaml".into()), "n", 1),
            uid(manifest(), &Origin::Url("/m/web.yaml".into()), "n", 1),
            uid(manifest(), &file, "m", 1),
        ] {
            assert_ne!(other, first);
        }
        let mut named = manifest();
        named.metadata.uid = Some("mine".into());
        assert_eq!(uid(named, &file, "n", 1), "mine");
    }
}
