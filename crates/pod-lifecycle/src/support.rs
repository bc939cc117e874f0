//! What this node cannot do for a pod. Each is named in an event and the pod does not start: a field
//! that is silently ignored is worse than one that is refused.

use crate::{
    core::{Pod, Volume},
    names,
};

/// The reasons why this pod cannot run here, in words for its events.
pub fn unsupported(pod: &Pod) -> Vec<String> {
    let mut found = vec![];
    let Some(spec) = &pod.spec else { return found };
    for volume in spec.volumes.iter().flatten() {
        if let Some(kind) = unsupported_volume(volume) {
            found.push(format!("volume {:?}: volumes of type {kind} are not supported by this node", volume.name));
        }
    }
    if spec.host_users == Some(false) {
        found.push("spec.hostUsers: user namespaces are not supported by this node".into());
    }
    if spec.resource_claims.as_ref().is_some_and(|c| !c.is_empty()) {
        found.push("spec.resourceClaims: dynamic resource allocation is not supported by this node".into());
    }
    for container in names::all_containers(pod) {
        if container.volume_devices.as_ref().is_some_and(|d| !d.is_empty()) {
            found.push(format!("container {:?}: block devices are not supported by this node", container.name));
        }
    }
    found
}

fn unsupported_volume(volume: &Volume) -> Option<&'static str> {
    let known = volume.empty_dir.is_some() || volume.host_path.is_some() || volume.config_map.is_some();
    let known = known || volume.secret.is_some() || volume.projected.is_some() || volume.downward_api.is_some();
    let known = known || volume.persistent_volume_claim.is_some();
    if known {
        return None;
    }
    Some(if volume.csi.is_some() {
        "csi"
    } else if volume.ephemeral.is_some() {
        "ephemeral"
    } else if volume.nfs.is_some() {
        "nfs"
    } else if volume.image.is_some() {
        "image"
    } else if volume.iscsi.is_some() {
        "iscsi"
    } else {
        "that name"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_refusal_is_named() {
        let pod: Pod =
            serde_json::from_value(json!({"spec": {"containers": [{"name": "a"}], "hostUsers": false, "volumes": [
            {"name": "ok", "emptyDir": {}}, {"name": "no", "nfs": {"server": "s", "path": "/"}}]}}))
            .unwrap();
        let found = unsupported(&pod);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], "volume \"no\": volumes of type nfs are not supported by this node");
    }
}
