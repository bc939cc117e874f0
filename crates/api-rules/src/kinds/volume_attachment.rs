//! VolumeAttachment: a volume that a driver should attach to a node, and whether it has. The wish never changes.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::storage::v1::{self, VolumeAttachmentSource, VolumeError},
};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    fields::{self, kept},
    persistent_volume,
};
use crate::{
    kind::{Names, Scope, Storage, Subresource},
    names::{self, report},
    table::{cells, duration},
    typed::{Resource, status_of},
    value,
};

const METADATA_BYTES_MAX: usize = 256 * 1024;
const MESSAGE_BYTES_MAX: usize = 1024;

pub struct VolumeAttachment;

impl Resource for VolumeAttachment {
    type Object = v1::VolumeAttachment;

    const NAMES: Names = Names {
        group: "storage.k8s.io",
        version: "v1",
        kind: "VolumeAttachment",
        list_kind: "VolumeAttachmentList",
        plural: "volumeattachments",
        singular: "volumeattachment",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "volumeattachments", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[status_of(&Self::NAMES)];
    const RETURNS_DELETED: bool = true;
    const UPDATES_UNCONDITIONALLY: bool = false;
    const NOT_ENFORCED: Option<&'static str> = Some("volumes are not attached");

    fn set_defaults(object: &mut Value) {
        value::default(value::child(object, "status"), "attached", false);
        if let Some(inline) = object.pointer_mut("/spec/source/inlineVolumeSpec") {
            value::default(inline, "volumeMode", "Filesystem");
        }
    }

    fn validate(object: &v1::VolumeAttachment, errors: &mut Vec<FieldError>) {
        let (spec, path) = (&object.spec, Path::new("spec"));
        source(&spec.source, &path.child("source"), errors);
        report(names::dns_subdomain(&spec.node_name), &path.child("nodeName"), &spec.node_name, errors);
        fields::driver(&spec.attacher, &path.child("attacher"), errors);
    }

    fn validate_update(
        new: &v1::VolumeAttachment,
        old: &v1::VolumeAttachment,
        _: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        kept(&new.spec, &old.spec, &Path::new("spec"), errors);
        let path = Path::new("status");
        let status = new.status.clone().unwrap_or_default();
        let size: usize = status.attachment_metadata.iter().flatten().map(|(key, text)| key.len() + text.len()).sum();
        if size > METADATA_BYTES_MAX {
            errors.push(FieldError::too_long(&path.child("attachmentMetadata"), METADATA_BYTES_MAX));
        }
        for (member, error) in [("attachError", &status.attach_error), ("detachError", &status.detach_error)] {
            if let Some(error) = error {
                volume_error(error, &path.child(member), errors);
            }
        }
    }

    fn cells(object: &v1::VolumeAttachment, now: Timestamp) -> Vec<Value> {
        vec![
            cells::name(&object.metadata),
            object.spec.attacher.as_str().into(),
            object.spec.source.persistent_volume_name.as_deref().unwrap_or_default().into(),
            object.spec.node_name.as_str().into(),
            object.status.as_ref().is_some_and(|s| s.attached).into(),
            duration::age(&object.metadata, now),
        ]
    }
}

fn source(source: &VolumeAttachmentSource, path: &Path, errors: &mut Vec<FieldError>) {
    const ONE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (&source.inline_volume_spec, source.persistent_volume_name.as_deref()) {
        (None, None) => errors.push(FieldError::required(path, ONE)),
        (Some(_), Some(_)) => errors.push(FieldError::forbidden(path, ONE)),
        (None, Some("")) => errors.push(FieldError::required(
            &path.child("persistentVolumeName"),
            "must specify non empty persistentVolumeName",
        )),
        (None, Some(name)) => {
            report(names::dns_subdomain(name), &path.child("persistentVolumeName"), name, errors);
        }
        (Some(inline), None) => persistent_volume::inline(inline, &path.child("inlineVolumeSpec"), errors),
    }
}

fn volume_error(error: &VolumeError, path: &Path, errors: &mut Vec<FieldError>) {
    if error.message.as_ref().is_some_and(|m| m.len() > MESSAGE_BYTES_MAX) {
        errors.push(FieldError::too_long(&path.child("message"), MESSAGE_BYTES_MAX));
    }
    if let Some(code) = error.error_code.filter(|code| *code < 0) {
        let why = format!("must be between 0 and {}, inclusive", i32::MAX);
        errors.push(FieldError::invalid(&path.child("errorCode"), code, why));
    }
}
