//! ResourceClaimTemplate: the claim that is made for each pod that asks for it. It never changes.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::resource::v1,
};
use jiff::Timestamp;
use serde_json::Value;

use super::{device_claim, fields::kept};
use crate::{
    kind::{Names, Scope, Storage},
    metadata,
    table::{cells, duration},
    typed::Resource,
    value,
};

pub struct ResourceClaimTemplate;

impl Resource for ResourceClaimTemplate {
    type Object = v1::ResourceClaimTemplate;

    const NAMES: Names = Names {
        group: "resource.k8s.io",
        version: "v1",
        kind: "ResourceClaimTemplate",
        list_kind: "ResourceClaimTemplateList",
        plural: "resourceclaimtemplates",
        singular: "resourceclaimtemplate",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "resourceclaimtemplates", cached: true });
    const RETURNS_DELETED: bool = true;
    const NOT_ENFORCED: Option<&'static str> = Some(device_claim::NOT_ALLOCATED);

    fn set_defaults(object: &mut Value) {
        device_claim::defaults(value::child(value::child(object, "spec"), "spec"));
    }

    fn validate(object: &v1::ResourceClaimTemplate, errors: &mut Vec<FieldError>) {
        let (spec, path) = (&object.spec, Path::new("spec"));
        if let Some(meta) = &spec.metadata {
            let at = path.child("metadata");
            metadata::validate_labels(meta.labels.as_ref(), &at.child("labels"), errors);
            metadata::validate_annotations(meta.annotations.as_ref(), &at.child("annotations"), errors);
        }
        let devices = spec.spec.devices.clone().unwrap_or_default();
        device_claim::validate(&devices, &path.child("spec").child("devices"), errors);
    }

    fn validate_update(
        new: &v1::ResourceClaimTemplate,
        old: &v1::ResourceClaimTemplate,
        _: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        kept(&new.spec, &old.spec, &Path::new("spec"), errors);
    }

    fn cells(object: &v1::ResourceClaimTemplate, now: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), duration::age(&object.metadata, now)]
    }
}
