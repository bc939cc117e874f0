//! DeviceClass: devices that can be asked for by one name.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::resource::v1,
};
use jiff::Timestamp;
use serde_json::Value;

use super::device_claim::{self, CONFIGS_MAX, at_most};
use crate::{
    kind::{Names, Scope, Storage},
    names,
    table::{cells, duration},
    typed::Resource,
};

pub struct DeviceClass;

impl Resource for DeviceClass {
    type Object = v1::DeviceClass;

    const NAMES: Names = Names {
        group: "resource.k8s.io",
        version: "v1",
        kind: "DeviceClass",
        list_kind: "DeviceClassList",
        plural: "deviceclasses",
        singular: "deviceclass",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "deviceclasses", cached: true });
    const RETURNS_DELETED: bool = true;
    const GENERATION: bool = true;
    const NOT_ENFORCED: Option<&'static str> = Some(device_claim::NOT_ALLOCATED);

    fn validate(object: &v1::DeviceClass, errors: &mut Vec<FieldError>) {
        let (spec, path) = (&object.spec, Path::new("spec"));
        device_claim::selectors(spec.selectors.as_deref().unwrap_or_default(), &path.child("selectors"), errors);
        let (configs, at) = (spec.config.as_deref().unwrap_or_default(), path.child("config"));
        if at_most(configs.len(), CONFIGS_MAX, &at, errors) {
            for (i, config) in configs.iter().enumerate() {
                device_claim::opaque(config.opaque.as_ref(), &at.index(i), errors);
            }
        }
        if let Some(name) = spec.extended_resource_name.as_deref().filter(|name| !is_extended_resource(name)) {
            let at = path.child("extendedResourceName");
            errors.push(FieldError::invalid(&at, name, "must be a valid extended resource name"));
        }
    }

    fn cells(object: &v1::DeviceClass, now: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), duration::age(&object.metadata, now)]
    }
}

/// A resource of somebody's own domain.
fn is_extended_resource(name: &str) -> bool {
    let is_native = !name.contains('/') || name.contains("kubernetes.io/");
    !is_native && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}
