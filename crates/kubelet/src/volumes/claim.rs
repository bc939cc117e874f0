//! `persistentVolumeClaim`: the volume that the claim is bound to, if it is a path of this node. Volumes that have to be
//! attached or mounted first are refused; none is made here.

use super::host_path;
use crate::context::Context;
use anyhow::{Context as _, bail};
use pod_lifecycle::core::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec};
use std::path::PathBuf;

/// The path behind a claim, and whether it is for reading only.
pub async fn resolve(context: &Context, namespace: &str, claim: &str) -> anyhow::Result<(PathBuf, bool)> {
    let claim = context.api.get::<PersistentVolumeClaim>(namespace, claim).await;
    let claim = claim.context("failed to fetch PVC from API server")?.context("persistentvolumeclaim not found")?;
    let name = volume_of(&claim)?;
    let volume = context.api.get::<PersistentVolume>("", name).await;
    let volume = volume.with_context(|| format!("failed to fetch PV {name:?} from API server"))?;
    let volume = volume.with_context(|| format!("persistentvolume {name:?} not found"))?;
    check_bound(&volume, &claim)?;
    let spec = volume.spec.unwrap_or_default();
    Ok((path(&spec)?, is_read_only(&spec)))
}

/// The name of the volume that a claim is bound to.
fn volume_of(claim: &PersistentVolumeClaim) -> anyhow::Result<&str> {
    if claim.metadata.deletion_timestamp.is_some() {
        bail!("PVC is being deleted");
    }
    let bound = claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound");
    let name = claim.spec.as_ref().and_then(|s| s.volume_name.as_deref()).filter(|name| bound && !name.is_empty());
    name.context("PVC is not bound")
}

/// Both ends have to name each other: a claim of the same name made anew has no right to the volume.
fn check_bound(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> anyhow::Result<()> {
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let Some(reference) = volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref()) else {
        bail!("found PV object {name:?} with nil pv.Spec.ClaimRef indicating it is not yet bound to the claim");
    };
    let (points_to, uid) = (reference.uid.as_deref().unwrap_or_default(), claim.metadata.uid.as_deref());
    if Some(points_to) != uid {
        let uid = uid.unwrap_or_default();
        bail!(
            "found PV object {name:?} with a pv.Spec.ClaimRef.UID {points_to:?} that does not point to claim.UID {uid:?}"
        );
    }
    Ok(())
}

fn path(spec: &PersistentVolumeSpec) -> anyhow::Result<PathBuf> {
    if spec.volume_mode.as_deref() == Some("Block") {
        bail!("block devices are not supported by this node");
    }
    if let Some(source) = &spec.host_path {
        return host_path::check(source);
    }
    let Some(source) = &spec.local else {
        bail!("only volumes of type hostPath and local are supported by this node");
    };
    let path = PathBuf::from(&source.path);
    if !path.is_dir() {
        bail!("path {:?} does not exist", source.path);
    }
    Ok(path)
}

/// Nobody writes to a volume that can only be read.
fn is_read_only(spec: &PersistentVolumeSpec) -> bool {
    spec.access_modes.as_ref().is_some_and(|modes| !modes.is_empty() && modes.iter().all(|mode| mode == "ReadOnlyMany"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};

    fn claim(uid: &str, volume: &str, phase: &str) -> PersistentVolumeClaim {
        let object =
            json!({"metadata": {"name": "c", "uid": uid}, "spec": {"volumeName": volume}, "status": {"phase": phase}});
        from_value(object).unwrap()
    }

    fn volume(spec: Value) -> PersistentVolume {
        from_value(json!({"metadata": {"name": "v"}, "spec": spec})).unwrap()
    }

    #[test]
    fn only_bound_claims_have_a_volume() {
        assert_eq!(volume_of(&claim("1", "v", "Bound")).unwrap(), "v");
        for unbound in [claim("1", "v", "Pending"), claim("1", "", "Bound"), claim("1", "v", "Lost")] {
            assert_eq!(volume_of(&unbound).unwrap_err().to_string(), "PVC is not bound");
        }
        let deleted = from_value(json!({"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z"}})).unwrap();
        assert_eq!(volume_of(&deleted).unwrap_err().to_string(), "PVC is being deleted");
    }

    #[test]
    fn both_ends_name_each_other() {
        let bound = claim("1", "v", "Bound");
        let said = |spec| check_bound(&volume(spec), &bound).map_err(|e| e.to_string());
        assert_eq!(said(json!({"claimRef": {"uid": "1"}})), Ok(()));
        assert!(said(json!({})).unwrap_err().contains("not yet bound"));
        assert!(said(json!({"claimRef": {"uid": "2"}})).unwrap_err().contains("does not point to claim.UID \"1\""));
    }

    #[test]
    fn paths_of_this_node() {
        let of = |spec: Value| path(&volume(spec).spec.unwrap()).map_err(|e| e.to_string());
        assert_eq!(of(json!({"hostPath": {"path": "/anywhere"}})), Ok("/anywhere".into()));
        assert_eq!(of(json!({"local": {"path": "/"}})), Ok("/".into()));
        assert_eq!(of(json!({"local": {"path": "/no/such"}})), Err("path \"/no/such\" does not exist".into()));
        assert!(of(json!({"nfs": {"path": "/", "server": "s"}})).unwrap_err().contains("hostPath and local"));
        assert!(of(json!({"hostPath": {"path": "/"}, "volumeMode": "Block"})).unwrap_err().contains("block"));
        assert!(is_read_only(&volume(json!({"accessModes": ["ReadOnlyMany"]})).spec.unwrap()));
        assert!(!is_read_only(&volume(json!({"accessModes": ["ReadOnlyMany", "ReadWriteOnce"]})).spec.unwrap()));
    }
}
