//! Names by which a pod's parts are known outside the API: runtime labels and annotations, log
//! paths, hashes, and the accessors that make reading a `Pod` bearable.

use crate::core::{Container, Pod};

pub const POD_NAME: &str = "io.kubernetes.pod.name";
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub const POD_UID: &str = "io.kubernetes.pod.uid";
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
pub const CONTAINER_HASH: &str = "io.kubernetes.container.hash";
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
pub const TERMINATION_MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
pub const TERMINATION_MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// What the container was made with, as JSON of its `resources`.
pub const RESOURCES: &str = "io.kubernetes.container.resources";
pub const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
pub const PORTS: &str = "io.kubernetes.container.ports";
pub const POD_GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";
/// Where a static pod came from; the API server's mirror of it carries the hash.
pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
pub const CONFIG_SEEN: &str = "kubernetes.io/config.seen";

/// From this priority on a pod is what the cluster itself needs.
const SYSTEM_CRITICAL: i32 = 2_000_000_000;

pub fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

pub fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

pub fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

pub fn generation(pod: &Pod) -> Option<i64> {
    pod.metadata.generation
}

/// `name_namespace(uid)`, as upstream writes a pod in messages.
pub fn formatted(pod: &Pod) -> String {
    format!("{}_{}({})", name(pod), namespace(pod), uid(pod))
}

/// `namespace/name`.
pub fn full_name(pod: &Pod) -> String {
    format!("{}/{}", namespace(pod), name(pod))
}

pub fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// Comes from the node itself.
pub fn is_static(pod: &Pod) -> bool {
    annotation(pod, CONFIG_SOURCE).is_some_and(|source| source != "api")
}

/// Where a pod comes from is for the node to say: whoever writes that it is static gains nothing by it.
pub fn from_api(pod: &Pod) -> Pod {
    let mut pod = pod.clone();
    pod.metadata.annotations.get_or_insert_default().insert(CONFIG_SOURCE.into(), "api".into());
    pod
}

/// Only shows a static pod.
pub fn is_mirror(pod: &Pod) -> bool {
    annotation(pod, CONFIG_MIRROR).is_some()
}

/// Neither refused nor evicted for want of resources.
pub fn is_critical(pod: &Pod) -> bool {
    is_static(pod) || is_mirror(pod) || pod.spec.as_ref().and_then(|s| s.priority).is_some_and(|p| p >= SYSTEM_CRITICAL)
}

pub fn host_network(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|s| s.host_network).unwrap_or(false)
}

pub fn restart_policy(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|s| s.restart_policy.as_deref()).unwrap_or("Always")
}

/// Regular containers.
pub fn containers(pod: &Pod) -> &[Container] {
    pod.spec.as_ref().map(|s| s.containers.as_slice()).unwrap_or_default()
}

pub fn init_containers(pod: &Pod) -> &[Container] {
    pod.spec.as_ref().and_then(|s| s.init_containers.as_deref()).unwrap_or_default()
}

/// An init container that runs beside the regular ones (KEP-753).
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// The ephemeral containers in the form of regular ones.
pub fn ephemeral_containers(pod: &Pod) -> Vec<Container> {
    let list = pod.spec.as_ref().and_then(|s| s.ephemeral_containers.as_deref()).unwrap_or_default();
    list.iter()
        .map(|e| Container {
            args: e.args.clone(),
            command: e.command.clone(),
            env: e.env.clone(),
            env_from: e.env_from.clone(),
            image: e.image.clone(),
            image_pull_policy: e.image_pull_policy.clone(),
            name: e.name.clone(),
            security_context: e.security_context.clone(),
            stdin: e.stdin,
            stdin_once: e.stdin_once,
            termination_message_path: e.termination_message_path.clone(),
            termination_message_policy: e.termination_message_policy.clone(),
            tty: e.tty,
            volume_mounts: e.volume_mounts.clone(),
            working_dir: e.working_dir.clone(),
            ..Container::default()
        })
        .collect()
}

/// Init, regular and ephemeral containers, in this order.
pub fn all_containers(pod: &Pod) -> Vec<Container> {
    let mut all = init_containers(pod).to_vec();
    all.extend(containers(pod).iter().cloned());
    all.extend(ephemeral_containers(pod));
    all
}

/// Changes when a running container no longer fits its spec: upstream hashes name and image only,
/// because nothing else of a container may be changed in place.
pub fn container_hash(container: &Container) -> String {
    let picked = serde_json::json!({"name": container.name, "image": container.image.as_deref().unwrap_or_default()});
    format!("{:x}", fnv32a(picked.to_string().as_bytes()))
}

fn fnv32a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// `<namespace>_<name>_<uid>` below the pod log directory.
pub fn log_directory(pod: &Pod) -> String {
    format!("{}_{}_{}", namespace(pod), name(pod), uid(pod))
}

/// `<container>/<attempt>.log` below the pod's log directory.
pub fn log_file(container: &str, attempt: u32) -> String {
    format!("{container}/{attempt}.log")
}

/// The field path that events about a container carry.
pub fn field_path(pod: &Pod, container: &str) -> String {
    let list = if containers(pod).iter().any(|c| c.name == container) {
        "containers"
    } else if init_containers(pod).iter().any(|c| c.name == container) {
        "initContainers"
    } else {
        "ephemeralContainers"
    };
    format!("spec.{list}{{{container}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_makes_a_pod_static_by_saying_so() {
        let mut pod = Pod::default();
        pod.metadata.annotations = Some([(CONFIG_SOURCE.to_owned(), "file".to_owned())].into());
        assert!(is_static(&pod));
        let pod = from_api(&pod);
        assert!(!is_static(&pod) && !is_critical(&pod));
    }

    #[test]
    fn the_hash_follows_name_and_image_only() {
        let mut a = Container { name: "a".into(), image: Some("busybox".into()), ..Container::default() };
        let before = container_hash(&a);
        a.args = Some(vec!["x".into()]);
        assert_eq!(container_hash(&a), before);
        a.image = Some("nginx".into());
        assert_ne!(container_hash(&a), before);
    }
}
