//! Where containers see volumes.

use std::collections::BTreeSet;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1::{VolumeDevice, VolumeMount},
};

use super::{Errors, containers::Volumes, volumes::local_path};
use crate::names::one_of;

pub fn validate(mounts: &[VolumeMount], volumes: &Volumes, path: &Path, errors: &mut Errors) {
    let mut points = BTreeSet::new();
    for (i, mount) in mounts.iter().enumerate() {
        let at = path.index(i);
        if mount.name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        } else if !volumes.contains_key(mount.name.as_str()) {
            errors.push(FieldError::not_found(&at.child("name"), mount.name.as_str()));
        }
        if mount.mount_path.is_empty() {
            errors.push(FieldError::required(&at.child("mountPath"), ""));
        }
        if !points.insert(&mount.mount_path) {
            errors.push(FieldError::invalid(&at.child("mountPath"), mount.mount_path.as_str(), "must be unique"));
        }
        let sub_path = mount.sub_path.as_deref().unwrap_or_default();
        let sub_path_expr = mount.sub_path_expr.as_deref().unwrap_or_default();
        if !sub_path.is_empty() {
            local_path(sub_path, &at.child("subPath"), errors);
        }
        if !sub_path_expr.is_empty() {
            if !sub_path.is_empty() {
                errors.push(FieldError::invalid(
                    &at.child("subPathExpr"),
                    sub_path_expr,
                    "subPathExpr and subPath are mutually exclusive",
                ));
            }
            local_path(sub_path_expr, &at.child("subPathExpr"), errors);
        }
        if let Some(propagation) = mount.mount_propagation.as_deref() {
            one_of(propagation, &["Bidirectional", "HostToContainer", "None"], &at.child("mountPropagation"), errors);
        }
        recursive_read_only(mount, &at, errors);
    }
}

fn recursive_read_only(mount: &VolumeMount, path: &Path, errors: &mut Errors) {
    let Some(mode) = mount.recursive_read_only.as_deref() else { return };
    let at = path.child("recursiveReadOnly");
    match mode {
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if mount.read_only != Some(true) {
                errors.push(FieldError::forbidden(&at, "may only be specified when readOnly is true"));
            }
            if !matches!(mount.mount_propagation.as_deref(), None | Some("None")) {
                errors.push(FieldError::forbidden(
                    &at,
                    "may only be specified when mountPropagation is None or not specified",
                ));
            }
        }
        other => errors.push(FieldError::not_supported(&at, other, &["Disabled", "Enabled", "IfPossible"])),
    }
}

pub fn devices(devices: &[VolumeDevice], volumes: &Volumes, path: &Path, errors: &mut Errors) {
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (i, device) in devices.iter().enumerate() {
        let at = path.index(i);
        match volumes.get(device.name.as_str()) {
            _ if device.name.is_empty() => errors.push(FieldError::required(&at.child("name"), "")),
            None => errors.push(FieldError::not_found(&at.child("name"), device.name.as_str())),
            Some(volume) if volume.persistent_volume_claim.is_none() && volume.ephemeral.is_none() => {
                errors.push(FieldError::invalid(
                    &at.child("name"),
                    device.name.as_str(),
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
                ));
            }
            Some(_) => {}
        }
        if !names.insert(&device.name) {
            errors.push(FieldError::invalid(&at.child("name"), device.name.as_str(), "must be unique"));
        }
        if device.device_path.is_empty() {
            errors.push(FieldError::required(&at.child("devicePath"), ""));
        }
        if !paths.insert(&device.device_path) {
            errors.push(FieldError::invalid(&at.child("devicePath"), device.device_path.as_str(), "must be unique"));
        }
    }
}
