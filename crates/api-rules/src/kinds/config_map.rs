//! ConfigMap: keys with text or bytes, at most 1 MiB in all; may be made immutable.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    kind::{Names, Scope, Storage},
    names,
    table::{cells, duration},
    typed::Resource,
};

/// The most bytes that all values together may have, in ConfigMaps and Secrets.
pub const MAX_SIZE: usize = 1024 * 1024;

pub struct ConfigMap;

impl Resource for ConfigMap {
    type Object = v1::ConfigMap;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "ConfigMap",
        list_kind: "ConfigMapList",
        plural: "configmaps",
        singular: "configmap",
        short_names: &["cm"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "configmaps", cached: true });

    fn validate(object: &v1::ConfigMap, errors: &mut Vec<FieldError>) {
        let data = object.data.iter().flatten();
        let binary = object.binary_data.iter().flatten();
        let mut size = 0;
        for (key, text) in data {
            size += text.len();
            let at = Path::new("data").key(key);
            errors.extend(names::config_key(key).into_iter().map(|e| FieldError::invalid(&at, key.as_str(), e)));
            if object.binary_data.as_ref().is_some_and(|b| b.contains_key(key)) {
                errors.push(FieldError::invalid(&at, key.as_str(), "duplicate of key present in binaryData"));
            }
        }
        for (key, bytes) in binary {
            size += bytes.0.len();
            let at = Path::new("binaryData").key(key);
            errors.extend(names::config_key(key).into_iter().map(|e| FieldError::invalid(&at, key.as_str(), e)));
        }
        if size > MAX_SIZE {
            errors.push(FieldError::too_long(&Path::root(), MAX_SIZE));
        }
    }

    fn validate_update(new: &v1::ConfigMap, old: &v1::ConfigMap, _: Option<&str>, errors: &mut Vec<FieldError>) {
        if old.immutable != Some(true) {
            return;
        }
        if new.immutable != Some(true) {
            errors.push(FieldError::forbidden(&Path::new("immutable"), "field is immutable when `immutable` is set"));
        }
        for (member, differs) in
            [("data", new.data != old.data), ("binaryData", json!(new.binary_data) != json!(old.binary_data))]
        {
            if differs {
                errors.push(FieldError::forbidden(&Path::new(member), "field is immutable when `immutable` is set"));
            }
        }
    }

    fn cells(object: &v1::ConfigMap, now: Timestamp) -> Vec<Value> {
        let keys = object.data.iter().flatten().count() + object.binary_data.iter().flatten().count();
        vec![cells::name(&object.metadata), keys.to_string().into(), duration::age(&object.metadata, now)]
    }
}
