//! CSINode: the storage drivers that run on a node, and how many volumes each can attach.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::storage::v1::{self, CSINodeDriver},
};
use jiff::Timestamp;
use serde_json::Value;

use super::fields::{self, kept, required};
use crate::{
    kind::{Names, Scope, Storage},
    names::{self, not_negative, report},
    table::{cells, duration},
    typed::Resource,
};

const NODE_ID_MAX: usize = 256;

pub struct CSINode;

impl Resource for CSINode {
    type Object = v1::CSINode;

    const NAMES: Names = Names {
        group: "storage.k8s.io",
        version: "v1",
        kind: "CSINode",
        list_kind: "CSINodeList",
        plural: "csinodes",
        singular: "csinode",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "csinodes", cached: true });
    const RETURNS_DELETED: bool = true;
    const UPDATES_UNCONDITIONALLY: bool = false;

    fn validate(object: &v1::CSINode, errors: &mut Vec<FieldError>) {
        let path = Path::new("spec").child("drivers");
        let drivers = &object.spec.drivers;
        for (i, driver) in drivers.iter().enumerate() {
            let at = path.index(i);
            validate_driver(driver, &at, errors);
            if drivers[..i].iter().any(|other| other.name == driver.name) {
                errors.push(FieldError::duplicate(&at.child("name"), driver.name.as_str()));
            }
        }
    }

    /// What a driver said of a node stays, but for the number of volumes.
    fn validate_update(new: &v1::CSINode, old: &v1::CSINode, _: Option<&str>, errors: &mut Vec<FieldError>) {
        let fixed = |driver: &CSINodeDriver| CSINodeDriver { allocatable: None, ..driver.clone() };
        for before in &old.spec.drivers {
            for after in new.spec.drivers.iter().filter(|d| d.name == before.name) {
                kept(&fixed(after), &fixed(before), &Path::new("spec").child("drivers"), errors);
            }
        }
    }

    fn cells(object: &v1::CSINode, now: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), object.spec.drivers.len().into(), duration::age(&object.metadata, now)]
    }
}

fn validate_driver(driver: &CSINodeDriver, path: &Path, errors: &mut Vec<FieldError>) {
    fields::driver(&driver.name, &path.child("name"), errors);
    let at = path.child("nodeID");
    required(&driver.node_id, &at, errors);
    if driver.node_id.len() > NODE_ID_MAX {
        let why = format!("must be {NODE_ID_MAX} characters or less");
        errors.push(FieldError::invalid(&at, driver.node_id.as_str(), why));
    }
    if let Some(count) = driver.allocatable.as_ref().and_then(|a| a.count) {
        not_negative(count.into(), &path.child("allocatable").child("count"), errors);
    }
    let keys = driver.topology_keys.as_deref().unwrap_or_default();
    for (i, key) in keys.iter().enumerate() {
        required(key, path, errors);
        if keys[..i].contains(key) {
            errors.push(FieldError::duplicate(path, key.as_str()));
        }
        report(names::qualified_name(key), path, key, errors);
    }
}
