//! VolumeAttributesClass: qualities of a volume that may change while it is in use.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::storage::v1,
};
use jiff::Timestamp;
use serde_json::Value;

use super::fields;
use crate::{
    kind::{Names, Scope, Storage},
    table::{cells, duration},
    typed::Resource,
};

pub struct VolumeAttributesClass;

impl Resource for VolumeAttributesClass {
    type Object = v1::VolumeAttributesClass;

    const NAMES: Names = Names {
        group: "storage.k8s.io",
        version: "v1",
        kind: "VolumeAttributesClass",
        list_kind: "VolumeAttributesClassList",
        plural: "volumeattributesclasses",
        singular: "volumeattributesclass",
        short_names: &["vac"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "volumeattributesclasses", cached: true });
    const RETURNS_DELETED: bool = true;

    fn validate(object: &v1::VolumeAttributesClass, errors: &mut Vec<FieldError>) {
        fields::provisioner(&object.driver_name, &Path::new("driverName"), errors);
        let at = Path::new("parameters");
        fields::parameters(object.parameters.as_ref(), &at, errors);
        if object.parameters.as_ref().is_none_or(|p| p.is_empty()) {
            errors.push(FieldError::required(&at, "must contain at least one key/value pair"));
        }
    }

    fn validate_update(
        new: &v1::VolumeAttributesClass,
        old: &v1::VolumeAttributesClass,
        _: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        for (member, changed) in
            [("driverName", new.driver_name != old.driver_name), ("parameters", new.parameters != old.parameters)]
        {
            if changed {
                errors.push(FieldError::forbidden(&Path::new(member), format!("updates to {member} are forbidden.")));
            }
        }
    }

    fn cells(object: &v1::VolumeAttributesClass, now: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), object.driver_name.as_str().into(), duration::age(&object.metadata, now)]
    }
}
