//! PersistentVolume: storage that exists, whoever made it. Where it lies never changes.

mod source;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1::{self, PersistentVolumeSpec},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    fields::{self, kept},
    pod::validation::{scheduling, update},
    volume::{self, VOLUME_MODES},
};
use crate::{
    kind::{Context, Names, Scope, Storage, Subresource},
    names::{self, one_of, report},
    table::{cells, duration},
    typed::{Resource, status_of},
    value,
};

type Errors = Vec<FieldError>;

const RECLAIM_POLICIES: [&str; 3] = ["Delete", "Recycle", "Retain"];
const UNSET: &str = "<unset>";

pub struct PersistentVolume;

impl Resource for PersistentVolume {
    type Object = v1::PersistentVolume;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "PersistentVolume",
        list_kind: "PersistentVolumeList",
        plural: "persistentvolumes",
        singular: "persistentvolume",
        short_names: &["pv"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "persistentvolumes", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[status_of(&Self::NAMES)];
    const RETURNS_DELETED: bool = true;
    const NOT_ENFORCED: Option<&'static str> =
        Some("volumes are bound to claims; none are deleted, and nodes mount those of type hostPath and local alone");

    fn set_defaults(object: &mut Value) {
        value::default(value::child(object, "status"), "phase", "Pending");
        let spec = value::child(object, "spec");
        value::default(spec, "persistentVolumeReclaimPolicy", "Retain");
        value::default(spec, "volumeMode", "Filesystem");
        source::defaults(spec);
    }

    fn prepare_create(object: &mut Value, context: &Context) {
        value::set(object, &["status"], json!({"phase": "Pending", "lastPhaseTransitionTime": now(context)}));
    }

    fn prepare_update(new: &mut Value, old: &Value, subresource: Option<&str>, context: &Context) {
        if subresource != Some("status") {
            return;
        }
        let of = |object: &Value, member: &str| value::at(object, &["status", member]).cloned();
        let untouched = of(new, SINCE).is_none() || of(new, SINCE) == of(old, SINCE);
        if of(new, "phase") != of(old, "phase") && untouched {
            value::set(new, &["status", SINCE], now(context));
        }
    }

    fn validate(object: &v1::PersistentVolume, errors: &mut Errors) {
        spec(&object.spec.clone().unwrap_or_default(), &Path::new("spec"), errors);
    }

    fn validate_update(
        new: &v1::PersistentVolume,
        old: &v1::PersistentVolume,
        subresource: Option<&str>,
        errors: &mut Errors,
    ) {
        if subresource.is_none() {
            validate_change(&new.spec.clone().unwrap_or_default(), &old.spec.clone().unwrap_or_default(), errors);
        }
    }

    fn warnings(object: &v1::PersistentVolume) -> Vec<String> {
        let mut warnings = Vec::new();
        let old_class = object.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(volume::CLASS_ANNOTATION));
        if old_class {
            warnings.push(format!(
                "metadata.annotations[{}]: deprecated since v1.8; use \"storageClassName\" attribute instead",
                volume::CLASS_ANNOTATION
            ));
        }
        let policy = object.spec.as_ref().and_then(|s| s.persistent_volume_reclaim_policy.as_deref());
        if policy == Some("Recycle") {
            warnings.push("spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.".into());
        }
        warnings.extend(object.spec.as_ref().map(source::warnings).unwrap_or_default());
        warnings
    }

    fn cells(object: &v1::PersistentVolume, now: Timestamp) -> Vec<Value> {
        let spec = object.spec.clone().unwrap_or_default();
        let status = object.status.clone().unwrap_or_default();
        let claim = spec.claim_ref.as_ref().map_or_else(String::new, |c| {
            format!("{}/{}", c.namespace.as_deref().unwrap_or_default(), c.name.as_deref().unwrap_or_default())
        });
        let phase = match object.metadata.deletion_timestamp {
            Some(_) => "Terminating".to_owned(),
            None => status.phase.unwrap_or_default(),
        };
        let annotated = object.metadata.annotations.as_ref().and_then(|a| a.get(volume::CLASS_ANNOTATION)).cloned();
        let class = annotated.or(spec.storage_class_name).unwrap_or_default();
        let size = fields::amount(spec.capacity.as_ref().and_then(|c| c.get("storage")));
        vec![
            cells::name(&object.metadata),
            size.to_string().into(),
            volume::short_access_modes(spec.access_modes.as_deref().unwrap_or_default()).into(),
            spec.persistent_volume_reclaim_policy.unwrap_or_default().into(),
            phase.into(),
            claim.into(),
            class.into(),
            spec.volume_attributes_class_name.unwrap_or_else(|| UNSET.to_owned()).into(),
            status.reason.unwrap_or_default().into(),
            duration::age(&object.metadata, now),
            spec.volume_mode.unwrap_or_else(|| UNSET.to_owned()).into(),
        ]
    }
}

const SINCE: &str = "lastPhaseTransitionTime";

fn now(context: &Context) -> Value {
    value::time(context.now)
}

fn spec(spec: &PersistentVolumeSpec, path: &Path, errors: &mut Errors) {
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    if modes.is_empty() {
        errors.push(FieldError::required(&path.child("accessModes"), ""));
    }
    volume::access_modes(modes, &path.child("accessModes"), errors);
    capacity(spec, &path.child("capacity"), errors);
    if let Some(policy) = spec.persistent_volume_reclaim_policy.as_deref().filter(|p| !p.is_empty()) {
        one_of(policy, &RECLAIM_POLICIES, &path.child("persistentVolumeReclaimPolicy"), errors);
    }
    if let Some(affinity) = &spec.node_affinity {
        let at = path.child("nodeAffinity").child("required");
        match &affinity.required {
            Some(selector) => scheduling::node_selector(selector, &at, errors),
            None => errors.push(FieldError::required(&at, "must specify required node constraints")),
        }
    }
    source::validate(spec, path, errors);
    class_name(spec.storage_class_name.as_deref(), &path.child("storageClassName"), errors);
    if let Some(mode) = &spec.volume_mode {
        one_of(mode, &VOLUME_MODES, &path.child("volumeMode"), errors);
    }
    if let Some(class) = spec.volume_attributes_class_name.as_deref() {
        let at = path.child("volumeAttributesClassName");
        if class.is_empty() {
            errors.push(FieldError::required(&at, "an empty string is disallowed"));
        }
        class_name(Some(class), &at, errors);
        if spec.csi.is_none() {
            let why = "has to be specified when using volumeAttributesClassName";
            errors.push(FieldError::required(&path.child("csi"), why));
        }
    }
}

fn capacity(spec: &PersistentVolumeSpec, path: &Path, errors: &mut Errors) {
    let capacity = spec.capacity.clone().unwrap_or_default();
    if capacity.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    if capacity.len() > 1 || !capacity.contains_key("storage") {
        errors.push(FieldError::not_supported(path, json!(capacity), &["storage"]));
    }
    for (name, quantity) in &capacity {
        fields::positive(quantity, &path.key(name), errors);
    }
}

fn class_name(class: Option<&str>, path: &Path, errors: &mut Errors) {
    if let Some(class) = class.filter(|c| !c.is_empty()) {
        report(names::dns_subdomain(class), path, class, errors);
    }
}

/// The spec of a VolumeAttachment's volume that has no object of its own.
pub fn inline(given: &PersistentVolumeSpec, path: &Path, errors: &mut Errors) {
    const INLINE: &str = "may not be specified in the context of inline volumes";
    for (member, is_set) in [
        ("claimRef", given.claim_ref.is_some()),
        ("capacity", given.capacity.as_ref().is_some_and(|c| !c.is_empty())),
        ("nodeAffinity", given.node_affinity.is_some()),
        ("storageClassName", given.storage_class_name.as_ref().is_some_and(|c| !c.is_empty())),
    ] {
        if is_set {
            errors.push(FieldError::forbidden(&path.child(member), INLINE));
        }
    }
    if given.csi.is_none() {
        errors.push(FieldError::required(&path.child("csi"), "has to be specified in the context of inline volumes"));
    }
    let modes = given.access_modes.as_deref().unwrap_or_default();
    if modes.is_empty() {
        errors.push(FieldError::required(&path.child("accessModes"), ""));
    }
    volume::access_modes(modes, &path.child("accessModes"), errors);
    for (member, text, only) in [
        (
            "persistentVolumeReclaimPolicy",
            &given.persistent_volume_reclaim_policy,
            "may only be Retain in the context of inline volumes",
        ),
        (
            "volumeMode",
            &given.volume_mode,
            "may not specify volumeMode other than Filesystem in the context of inline volumes",
        ),
    ] {
        if text.as_deref().is_some_and(|t| !t.is_empty() && t != "Retain" && t != "Filesystem") {
            errors.push(FieldError::forbidden(&path.child(member), only));
        }
    }
    source::validate(given, path, errors);
}

fn validate_change(new: &PersistentVolumeSpec, old: &PersistentVolumeSpec, errors: &mut Errors) {
    let (mut source, before) = (source::of(new), source::of(old));
    // A secret for expansion may be named later.
    let added = ["csi", "controllerExpandSecretRef"];
    if value::at(&before, &["csi"]).is_some() && value::at(&before, &added).is_none() {
        value::remove(&mut source, &added);
    }
    if source != before {
        errors.push(FieldError::forbidden(
            &Path::new("spec").child("persistentvolumesource"),
            format!(
                "spec.persistentvolumesource is immutable after creation\n{}",
                update::differences(&source, &before, "spec").join("\n")
            ),
        ));
    }
    kept(&new.volume_mode, &old.volume_mode, &Path::new("volumeMode"), errors);
    if old.node_affinity.is_some() {
        kept(&new.node_affinity, &old.node_affinity, &Path::new("nodeAffinity"), errors);
    }
    if old.volume_attributes_class_name.is_some() && new.volume_attributes_class_name.is_none() {
        errors.push(FieldError::forbidden(
            &Path::new("spec").child("volumeAttributesClassName"),
            "update from non-nil value to nil is forbidden",
        ));
    }
}
