//! CSIStorageCapacity: how much storage of a class is left in a part of the cluster, as its driver reports it.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::storage::v1,
};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    fields::{self, kept},
    validate_label_selector,
};
use crate::{
    kind::{Names, Scope, Storage},
    names::{self, report},
    table::{cells, duration},
    typed::Resource,
};

pub struct CSIStorageCapacity;

impl Resource for CSIStorageCapacity {
    type Object = v1::CSIStorageCapacity;

    const NAMES: Names = Names {
        group: "storage.k8s.io",
        version: "v1",
        kind: "CSIStorageCapacity",
        list_kind: "CSIStorageCapacityList",
        plural: "csistoragecapacities",
        singular: "csistoragecapacity",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "csistoragecapacities", cached: true });
    const UPDATES_UNCONDITIONALLY: bool = false;

    fn validate(object: &v1::CSIStorageCapacity, errors: &mut Vec<FieldError>) {
        if let Some(topology) = &object.node_topology {
            validate_label_selector(topology, &Path::new("nodeTopology"), errors);
        }
        let class = &object.storage_class_name;
        report(names::dns_subdomain(class), &Path::new("storageClassName"), class, errors);
        if let Some(capacity) = object.capacity.as_ref().filter(|c| fields::amount(Some(c)).signum() < 0) {
            errors.push(FieldError::invalid(
                &Path::new("capacity"),
                capacity.0.as_str(),
                "must be greater than or equal to 0",
            ));
        }
    }

    fn validate_update(
        new: &v1::CSIStorageCapacity,
        old: &v1::CSIStorageCapacity,
        _: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        kept(&new.node_topology, &old.node_topology, &Path::new("nodeTopology"), errors);
        kept(&new.storage_class_name, &old.storage_class_name, &Path::new("storageClassName"), errors);
    }

    fn cells(object: &v1::CSIStorageCapacity, _: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), duration::created(&object.metadata)]
    }
}
