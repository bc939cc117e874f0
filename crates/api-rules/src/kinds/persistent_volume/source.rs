//! Where a volume lies: exactly one of upstream's sources, most of which CSI drivers have replaced.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1::{CSIPersistentVolumeSource, PersistentVolumeSpec},
};
use serde_json::{Map, Value, json};

use super::Errors;
use crate::{
    kinds::{fields, pod::validation::volumes},
    value,
};

/// The sources in upstream's order of checks, and which of their fields must be set.
const SOURCES: [(&str, &[&str]); 22] = [
    ("hostPath", &[]),
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("glusterfs", &["endpoints", "path"]),
    ("flocker", &[]),
    ("nfs", &["server", "path"]),
    ("rbd", &["monitors", "image"]),
    ("quobyte", &["registry", "volume"]),
    ("cephfs", &["monitors"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("cinder", &["volumeID"]),
    ("fc", &[]),
    ("flexVolume", &["driver"]),
    ("azureFile", &["secretName", "shareName"]),
    ("vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("local", &["path"]),
    ("storageos", &["volumeName"]),
    ("csi", &["volumeHandle"]),
];
/// Sources that no component mounts any more, and since when upstream says so.
const REMOVED: [(&str, &str); 6] = [
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
];

pub fn defaults(spec: &mut Value) {
    let mut fill = |source: &str, members: &[(&str, Value)]| {
        if let Some(source) = spec.get_mut(source).filter(|s| s.is_object()) {
            members.iter().for_each(|(member, wanted)| value::default(source, member, wanted.clone()));
        }
    };
    fill("hostPath", &[("type", "".into())]);
    fill("iscsi", &[("iscsiInterface", "default".into())]);
    fill("rbd", &[("pool", "rbd".into()), ("user", "admin".into()), ("keyring", "/etc/ceph/keyring".into())]);
    fill(
        "azureDisk",
        &[
            ("cachingMode", "ReadWrite".into()),
            ("kind", "Shared".into()),
            ("fsType", "ext4".into()),
            ("readOnly", false.into()),
        ],
    );
    fill("scaleIO", &[("storageMode", "ThinProvisioned".into()), ("fsType", "xfs".into())]);
}

/// The part of a spec that says where the volume lies.
pub fn of(spec: &PersistentVolumeSpec) -> Value {
    let mut spec = json!(spec);
    let members = value::members(&mut spec);
    let found: Map<_, _> = SOURCES
        .iter()
        .filter_map(|(name, _)| Some(((*name).to_owned(), members.get(*name).filter(|s| !s.is_null())?.clone())))
        .collect();
    found.into()
}

pub fn validate(spec: &PersistentVolumeSpec, path: &Path, errors: &mut Errors) {
    let given = of(spec);
    let mut seen = false;
    for (name, must) in SOURCES {
        let Some(source) = given.get(name) else { continue };
        let at = path.child(name);
        if std::mem::replace(&mut seen, true) {
            errors.push(FieldError::forbidden(&at, "may not specify more than 1 volume type"));
            continue;
        }
        let is_blank = |member: &&&str| match source.get(**member) {
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            Some(other) => other.is_null(),
            None => true,
        };
        errors.extend(must.iter().filter(is_blank).map(|member| FieldError::required(&at.child(member), "")));
    }
    if !seen {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    peculiar(spec, path, errors);
}

/// What single sources demand beyond their required fields.
fn peculiar(spec: &PersistentVolumeSpec, path: &Path, errors: &mut Errors) {
    if let Some(host) = &spec.host_path {
        volumes::host_path(host, &path.child("hostPath"), errors);
        if host.path == "/" && spec.persistent_volume_reclaim_policy.as_deref() == Some("Recycle") {
            errors.push(FieldError::forbidden(
                &path.child("persistentVolumeReclaimPolicy"),
                "may not be 'recycle' for a hostPath mount of '/'",
            ));
        }
    }
    if let Some(nfs) = spec.nfs.as_ref().filter(|nfs| !nfs.path.is_empty() && !nfs.path.starts_with('/')) {
        let at = path.child("nfs").child("path");
        errors.push(FieldError::invalid(&at, nfs.path.as_str(), "must be an absolute path"));
    }
    if let Some(local) = &spec.local {
        volumes::no_back_steps(&local.path, &path.child("local").child("path"), errors);
        if spec.node_affinity.as_ref().is_none_or(|a| a.required.is_none()) {
            errors.push(FieldError::required(&path.child("nodeAffinity"), "Local volume requires node affinity"));
        }
    }
    if let Some(fc) = &spec.fc {
        let has = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|l| !l.is_empty());
        match (has(&fc.target_wwns), has(&fc.wwids)) {
            (false, false) => errors.push(FieldError::required(
                &path.child("fc").child("targetWWNs"),
                "must specify either targetWWNs or wwids, but not both",
            )),
            (true, true) => errors.push(FieldError::invalid(
                &path.child("fc").child("targetWWNs"),
                json!(fc.target_wwns),
                "targetWWNs and wwids can not be specified simultaneously",
            )),
            (true, false) if fc.lun.is_none() => errors.push(FieldError::required(
                &path.child("fc").child("lun"),
                "lun is required if targetWWNs is specified",
            )),
            _ => {}
        }
    }
    if let Some(csi) = &spec.csi {
        validate_csi(csi, &path.child("csi"), errors);
    }
}

fn validate_csi(csi: &CSIPersistentVolumeSource, path: &Path, errors: &mut Errors) {
    fields::driver(&csi.driver, &path.child("driver"), errors);
    for (member, secret) in [
        ("controllerPublishSecretRef", &csi.controller_publish_secret_ref),
        ("controllerExpandSecretRef", &csi.controller_expand_secret_ref),
        ("nodePublishSecretRef", &csi.node_publish_secret_ref),
        ("nodeExpandSecretRef", &csi.node_expand_secret_ref),
    ] {
        let Some(secret) = secret else { continue };
        let at = path.child(member);
        fields::required(secret.name.as_deref().unwrap_or_default(), &at.child("name"), errors);
        fields::required(secret.namespace.as_deref().unwrap_or_default(), &at.child("namespace"), errors);
    }
}

pub fn warnings(spec: &PersistentVolumeSpec) -> Vec<String> {
    let given = of(spec);
    REMOVED
        .iter()
        .filter(|(name, _)| given.get(name).is_some())
        .map(|(name, since)| format!("spec.{name}: {since}"))
        .collect()
}
