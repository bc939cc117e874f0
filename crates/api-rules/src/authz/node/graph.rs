//! Which node may know of which object: pods lie on nodes, and refer to other objects of their namespace.
//!
//! Fed with pods only. A mirror pod lends its node nothing: a kubelet creates those itself and could name anything.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

/// The kinds a pod leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    Pod,
    Secret,
    ConfigMap,
    Claim,
    ResourceClaim,
    ServiceAccount,
}

/// What the graph keeps of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodRefs {
    /// Empty until the pod is bound.
    pub node: String,
    /// Objects in the pod's namespace.
    pub objects: BTreeSet<(Object, String)>,
}

/// Counts, for every object, the pods of each node that refer to it.
#[derive(Default)]
pub struct Graph {
    pods: HashMap<String, HashMap<String, PodRefs>>,
    related: HashMap<(Object, String), HashMap<String, HashMap<String, usize>>>,
}

impl Graph {
    /// Takes in a pod as it is now, in place of what was known of it.
    pub fn set_pod(&mut self, namespace: &str, name: &str, refs: PodRefs) {
        let known = self.pods.get(namespace).and_then(|pods| pods.get(name));
        if known == Some(&refs) {
            return;
        }
        self.remove_pod(namespace, name);
        if refs.node.is_empty() {
            return;
        }
        for (object, target) in &refs.objects {
            let nodes =
                self.related.entry((*object, namespace.to_owned())).or_default().entry(target.clone()).or_default();
            *nodes.entry(refs.node.clone()).or_default() += 1;
        }
        self.pods.entry(namespace.to_owned()).or_default().insert(name.to_owned(), refs);
    }

    pub fn remove_pod(&mut self, namespace: &str, name: &str) {
        let Some(pods) = self.pods.get_mut(namespace) else { return };
        let Some(refs) = pods.remove(name) else { return };
        if pods.is_empty() {
            self.pods.remove(namespace);
        }
        for (object, target) in refs.objects {
            self.unrelate(object, namespace, &target, &refs.node);
        }
    }

    /// Whether a pod bound to `node` leads to the object.
    pub fn is_related(&self, node: &str, object: Object, namespace: &str, name: &str) -> bool {
        if object == Object::Pod {
            return self.pods.get(namespace).and_then(|pods| pods.get(name)).is_some_and(|refs| refs.node == node);
        }
        let key = (object, namespace.to_owned());
        self.related.get(&key).and_then(|names| names.get(name)).is_some_and(|nodes| nodes.contains_key(node))
    }

    fn unrelate(&mut self, object: Object, namespace: &str, target: &str, node: &str) {
        let key = (object, namespace.to_owned());
        let Some(names) = self.related.get_mut(&key) else { return };
        if let Some(nodes) = names.get_mut(target) {
            if let Some(count) = nodes.get_mut(node) {
                *count -= 1;
                if *count == 0 {
                    nodes.remove(node);
                }
            }
            if nodes.is_empty() {
                names.remove(target);
            }
        }
        if names.is_empty() {
            self.related.remove(&key);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.pods.is_empty() && self.related.is_empty()
    }
}

/// Annotation of a pod that a kubelet made for a static one of its own.
pub const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

impl PodRefs {
    /// Reads a pod.
    pub fn of(pod: &Value) -> Self {
        let spec = &pod["spec"];
        let node = spec["nodeName"].as_str().unwrap_or_default().to_owned();
        let mut refs = Self { node, objects: BTreeSet::new() };
        if pod["metadata"]["annotations"].get(MIRROR_ANNOTATION).is_some() {
            return refs;
        }
        refs.add(Object::ServiceAccount, &spec["serviceAccountName"]);
        for secret in items(&spec["imagePullSecrets"]) {
            refs.add(Object::Secret, &secret["name"]);
        }
        for list in ["initContainers", "containers", "ephemeralContainers"] {
            for container in items(&spec[list]) {
                refs.add_environment(container);
            }
        }
        for volume in items(&spec["volumes"]) {
            refs.add_volume(volume, &pod["metadata"]["name"]);
        }
        for status in items(&pod["status"]["resourceClaimStatuses"]) {
            refs.add(Object::ResourceClaim, &status["resourceClaimName"]);
        }
        for claim in items(&spec["resourceClaims"]) {
            refs.add(Object::ResourceClaim, &claim["resourceClaimName"]);
        }
        refs
    }

    fn add_environment(&mut self, container: &Value) {
        for variable in items(&container["env"]) {
            self.add(Object::Secret, &variable["valueFrom"]["secretKeyRef"]["name"]);
            self.add(Object::ConfigMap, &variable["valueFrom"]["configMapKeyRef"]["name"]);
        }
        for source in items(&container["envFrom"]) {
            self.add(Object::Secret, &source["secretRef"]["name"]);
            self.add(Object::ConfigMap, &source["configMapRef"]["name"]);
        }
    }

    fn add_volume(&mut self, volume: &Value, pod_name: &Value) {
        self.add(Object::Secret, &volume["secret"]["secretName"]);
        self.add(Object::ConfigMap, &volume["configMap"]["name"]);
        self.add(Object::Claim, &volume["persistentVolumeClaim"]["claimName"]);
        if let (true, Some(pod), Some(name)) =
            (volume["ephemeral"].is_object(), pod_name.as_str(), volume["name"].as_str())
        {
            self.objects.insert((Object::Claim, format!("{pod}-{name}")));
        }
        for source in items(&volume["projected"]["sources"]) {
            self.add(Object::Secret, &source["secret"]["name"]);
            self.add(Object::ConfigMap, &source["configMap"]["name"]);
        }
        for (driver, reference) in [
            ("csi", "nodePublishSecretRef"),
            ("flexVolume", "secretRef"),
            ("cephfs", "secretRef"),
            ("iscsi", "secretRef"),
            ("rbd", "secretRef"),
            ("scaleIO", "secretRef"),
            ("storageos", "secretRef"),
        ] {
            self.add(Object::Secret, &volume[driver][reference]["name"]);
        }
        self.add(Object::Secret, &volume["azureFile"]["secretName"]);
    }

    fn add(&mut self, object: Object, name: &Value) {
        if let Some(name) = name.as_str().filter(|name| !name.is_empty()) {
            self.objects.insert((object, name.to_owned()));
        }
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
