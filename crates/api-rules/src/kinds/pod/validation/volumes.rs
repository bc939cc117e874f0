//! Volumes: each has a name and just one source, and what sources say leads nowhere it should not.

use std::collections::BTreeSet;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1::{
        DownwardAPIVolumeFile, HostPathVolumeSource, KeyToPath, ProjectedVolumeSource, Volume, VolumeProjection,
    },
};
use serde_json::{Value, json};

use super::{Errors, containers::Volumes, env};
use crate::names::{self, one_of, report};

const MODES: i32 = 0o777;
const MODE_RANGE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const TOKEN_MIN_SECONDS: i64 = 600;
const TOKEN_MAX_SECONDS: i64 = 1 << 32;

/// Validates the list; answers the volumes that have a usable name.
pub fn validate<'a>(volumes: &'a [Volume], path: &Path, errors: &mut Errors) -> Volumes<'a> {
    let mut known = Volumes::new();
    for (i, volume) in volumes.iter().enumerate() {
        let at = path.index(i);
        if volume.name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        } else {
            report(names::dns_label(&volume.name), &at.child("name"), &volume.name, errors);
            if known.contains_key(volume.name.as_str()) {
                errors.push(FieldError::duplicate(&at.child("name"), volume.name.as_str()));
            }
        }
        source(volume, &at, errors);
        known.insert(&volume.name, volume);
    }
    known
}

fn source(volume: &Volume, path: &Path, errors: &mut Errors) {
    let members = json!(volume);
    let sources: Vec<_> =
        members.as_object().into_iter().flatten().map(|(name, _)| name).filter(|name| *name != "name").collect();
    if sources.is_empty() {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    for extra in sources.iter().skip(1) {
        errors.push(FieldError::forbidden(&path.child(extra), "may not specify more than 1 volume type"));
    }
    if let Some(size) = volume.empty_dir.as_ref().and_then(|e| e.size_limit.as_ref())
        && api_types::Quantity::try_from(size).is_ok_and(|q| q.signum() < 0)
    {
        errors.push(FieldError::forbidden(
            &path.child("emptyDir").child("sizeLimit"),
            "SizeLimit field must be a valid resource quantity",
        ));
    }
    if let Some(host) = &volume.host_path {
        host_path(host, &path.child("hostPath"), errors);
    }
    if let Some(config_map) = &volume.config_map {
        let at = path.child("configMap");
        if config_map.name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        }
        mode(config_map.default_mode, &at.child("defaultMode"), errors);
        items(config_map.items.as_deref(), &at.child("items"), errors);
    }
    if let Some(secret) = &volume.secret {
        let at = path.child("secret");
        if secret.secret_name.as_deref().unwrap_or_default().is_empty() {
            errors.push(FieldError::required(&at.child("secretName"), ""));
        }
        mode(secret.default_mode, &at.child("defaultMode"), errors);
        items(secret.items.as_deref(), &at.child("items"), errors);
    }
    if let Some(downward) = &volume.downward_api {
        let at = path.child("downwardAPI");
        mode(downward.default_mode, &at.child("defaultMode"), errors);
        files(downward.items.as_deref(), &at.child("items"), errors);
    }
    if let Some(projected_volume) = &volume.projected {
        projected(projected_volume, &path.child("projected"), errors);
    }
    if let Some(claim) = &volume.persistent_volume_claim
        && claim.claim_name.is_empty()
    {
        errors.push(FieldError::required(&path.child("persistentVolumeClaim").child("claimName"), ""));
    }
    if let Some(nfs) = &volume.nfs {
        let at = path.child("nfs");
        for (member, text) in [("server", &nfs.server), ("path", &nfs.path)] {
            if text.is_empty() {
                errors.push(FieldError::required(&at.child(member), ""));
            }
        }
        if !nfs.path.is_empty() && !nfs.path.starts_with('/') {
            errors.push(FieldError::invalid(&at.child("path"), nfs.path.as_str(), "must be an absolute path"));
        }
    }
    if let Some(csi) = &volume.csi {
        report(names::dns_subdomain(&csi.driver), &path.child("csi").child("driver"), &csi.driver, errors);
    }
    if let Some(image) = &volume.image
        && image.reference.as_deref().unwrap_or_default().is_empty()
    {
        errors.push(FieldError::required(&path.child("image").child("reference"), ""));
    }
}

/// A path of the node, and what is expected there.
pub fn host_path(host: &HostPathVolumeSource, path: &Path, errors: &mut Errors) {
    if host.path.is_empty() {
        errors.push(FieldError::required(&path.child("path"), ""));
    } else {
        no_back_steps(&host.path, &path.child("path"), errors);
    }
    one_of(host.type_.as_deref().unwrap_or_default(), &HOST_PATH_TYPES, &path.child("type"), errors);
}

fn projected(volume: &ProjectedVolumeSource, path: &Path, errors: &mut Errors) {
    mode(volume.default_mode, &path.child("defaultMode"), errors);
    let mut taken = BTreeSet::new();
    for (i, source) in volume.sources.iter().flatten().enumerate() {
        let at = path.child("sources").index(i);
        let given = json!(source).as_object().map_or(0, |m| m.values().filter(|v| !Value::is_null(v)).count());
        match given {
            0 => errors.push(FieldError::required(&at, "must specify a projection type")),
            1 => {}
            _ => errors.push(FieldError::forbidden(&at, "may not specify more than 1 volume type per source")),
        }
        projection(source, &at, errors);
        for target in targets(source) {
            if !taken.insert(target.to_owned()) {
                errors.push(FieldError::invalid(path, target, "conflicting duplicate paths"));
            }
        }
    }
}

fn projection(source: &VolumeProjection, path: &Path, errors: &mut Errors) {
    if let Some(secret) = &source.secret {
        let at = path.child("secret");
        if secret.name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        }
        items(secret.items.as_deref(), &at.child("items"), errors);
    }
    if let Some(config_map) = &source.config_map {
        let at = path.child("configMap");
        if config_map.name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        }
        items(config_map.items.as_deref(), &at.child("items"), errors);
    }
    if let Some(downward) = &source.downward_api {
        files(downward.items.as_deref(), &path.child("downwardAPI").child("items"), errors);
    }
    if let Some(token) = &source.service_account_token {
        let at = path.child("serviceAccountToken");
        let seconds = token.expiration_seconds.unwrap_or(TOKEN_MIN_SECONDS);
        if seconds < TOKEN_MIN_SECONDS {
            errors.push(FieldError::invalid(
                &at.child("expirationSeconds"),
                seconds,
                "may not specify a duration less than 10 minutes",
            ));
        }
        if seconds > TOKEN_MAX_SECONDS {
            errors.push(FieldError::invalid(
                &at.child("expirationSeconds"),
                seconds,
                "may not specify a duration larger than 2^32 seconds",
            ));
        }
        if token.path.is_empty() {
            errors.push(FieldError::required(&at.child("path"), ""));
        } else {
            local_path(&token.path, &at.child("path"), errors);
        }
    }
}

/// The paths that a source certainly writes.
fn targets(source: &VolumeProjection) -> Vec<&str> {
    let mut all: Vec<&str> = Vec::new();
    all.extend(source.secret.iter().flat_map(|s| s.items.iter().flatten()).map(|k| k.path.as_str()));
    all.extend(source.config_map.iter().flat_map(|c| c.items.iter().flatten()).map(|k| k.path.as_str()));
    all.extend(source.downward_api.iter().flat_map(|d| d.items.iter().flatten()).map(|f| f.path.as_str()));
    all.extend(source.service_account_token.iter().map(|t| t.path.as_str()));
    all
}

fn items(items: Option<&[KeyToPath]>, path: &Path, errors: &mut Errors) {
    for (i, item) in items.unwrap_or_default().iter().enumerate() {
        let at = path.index(i);
        if item.key.is_empty() {
            errors.push(FieldError::required(&at.child("key"), ""));
        }
        if item.path.is_empty() {
            errors.push(FieldError::required(&at.child("path"), ""));
        } else {
            local_path(&item.path, &at.child("path"), errors);
        }
        mode(item.mode, &at.child("mode"), errors);
    }
}

fn files(files: Option<&[DownwardAPIVolumeFile]>, path: &Path, errors: &mut Errors) {
    for (i, file) in files.unwrap_or_default().iter().enumerate() {
        let at = path.index(i);
        if file.path.is_empty() {
            errors.push(FieldError::required(&at.child("path"), ""));
        } else {
            local_path(&file.path, &at.child("path"), errors);
        }
        match (&file.field_ref, &file.resource_field_ref) {
            (Some(field), None) => env::field_ref(field, &env::VOLUME_FIELDS, &at.child("fieldRef"), errors),
            (None, Some(field)) => env::resource_ref(field, true, &at.child("resourceFieldRef"), errors),
            (Some(_), Some(_)) => errors.push(FieldError::invalid(
                &at,
                "resource",
                "fieldRef and resourceFieldRef can not be specified simultaneously",
            )),
            (None, None) => errors.push(FieldError::required(&at, "one of fieldRef and resourceFieldRef is required")),
        }
        mode(file.mode, &at.child("mode"), errors);
    }
}

fn mode(mode: Option<i32>, path: &Path, errors: &mut Errors) {
    if let Some(mode) = mode.filter(|m| !(0..=MODES).contains(m)) {
        errors.push(FieldError::invalid(path, mode, MODE_RANGE));
    }
}

/// A path below the volume: relative, and without steps upwards.
pub fn local_path(text: &str, path: &Path, errors: &mut Errors) {
    if text.starts_with('/') {
        errors.push(FieldError::invalid(path, text, "must be a relative path"));
    }
    no_back_steps(text, path, errors);
}

/// A path that does not climb.
pub fn no_back_steps(text: &str, path: &Path, errors: &mut Errors) {
    if text.split('/').any(|step| step == "..") {
        errors.push(FieldError::invalid(path, text, "must not contain '..'"));
    }
}
