//! `x-kubernetes-list-type`, `x-kubernetes-list-map-keys` and `x-kubernetes-map-type`.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray},
};

use crate::names::one_of;

pub fn validate(schema: &JSONSchemaProps, path: &Path, errors: &mut Vec<FieldError>) {
    if let Some(map_type) = schema.x_kubernetes_map_type.as_deref() {
        must_be("object", "x-kubernetes-map-type", schema, path, errors);
        one_of(map_type, &["atomic", "granular"], &path.child("x-kubernetes-map-type"), errors);
    }
    let list_type = schema.x_kubernetes_list_type.as_deref();
    let at = path.child("x-kubernetes-list-type");
    if let Some(list_type) = list_type {
        must_be("array", "x-kubernetes-list-type", schema, path, errors);
        one_of(list_type, &["atomic", "set", "map"], &at, errors);
    }
    let keys = schema.x_kubernetes_list_map_keys.as_deref().unwrap_or_default();
    if !keys.is_empty() && list_type != Some("map") {
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(match list_type {
            None => FieldError::required(&at, why),
            Some(other) => FieldError::invalid(&at, other, why),
        });
    }
    let items = match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => Some(&**items),
        _ => None,
    };
    match list_type {
        Some("set") => validate_set(items, path, errors),
        Some("map") => validate_map(keys, items, path, errors),
        _ => {}
    }
}

fn must_be(type_: &str, extension: &str, schema: &JSONSchemaProps, path: &Path, errors: &mut Vec<FieldError>) {
    let (at, why) = (path.child("type"), format!("must be {type_} if {extension} is specified"));
    match schema.type_.as_deref().unwrap_or_default() {
        "" => errors.push(FieldError::required(&at, why)),
        given if given != type_ => errors.push(FieldError::invalid(&at, given, why)),
        _ => {}
    }
}

fn validate_set(items: Option<&JSONSchemaProps>, path: &Path, errors: &mut Vec<FieldError>) {
    let (Some(items), at) = (items, path.child("items")) else { return };
    if items.nullable == Some(true) {
        let why = "cannot be nullable when x-kubernetes-list-type is set";
        errors.push(FieldError::forbidden(&at.child("nullable"), why));
    }
    let (extension, given) = match items.type_.as_deref() {
        Some("array") => ("x-kubernetes-list-type", items.x_kubernetes_list_type.as_deref()),
        Some("object") => ("x-kubernetes-map-type", items.x_kubernetes_map_type.as_deref()),
        _ => return,
    };
    // Lists are atomic unless they say otherwise, objects are not.
    if given != Some("atomic") && !(given.is_none() && extension == "x-kubernetes-list-type") {
        let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
        errors.push(FieldError::invalid(&at.child(extension), given.unwrap_or_default(), why));
    }
}

fn validate_map(keys: &[String], items: Option<&JSONSchemaProps>, path: &Path, errors: &mut Vec<FieldError>) {
    let at = path.child("x-kubernetes-list-map-keys");
    if keys.is_empty() {
        errors.push(FieldError::required(&at, "must not be empty if x-kubernetes-list-type is map"));
    }
    let Some(items) = items else {
        let why = "must have a schema if x-kubernetes-list-type is map";
        errors.push(FieldError::required(&path.child("items"), why));
        return;
    };
    let items_path = path.child("items");
    if items.nullable == Some(true) {
        let why = "cannot be nullable when x-kubernetes-list-type is map";
        errors.push(FieldError::forbidden(&items_path.child("nullable"), why));
    }
    match items.type_.as_deref().unwrap_or_default() {
        "object" => {}
        other => {
            let why = "must be object if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(&items_path.child("type"), other, why));
        }
    }
    for (i, key) in keys.iter().enumerate() {
        if keys[..i].contains(key) {
            errors.push(FieldError::duplicate(&at.index(i), key.as_str()));
        }
        let Some(property) = items.properties.as_ref().and_then(|all| all.get(key)) else {
            let why = "entries must all be names of item properties";
            errors.push(FieldError::invalid(&at.index(i), key.as_str(), why));
            continue;
        };
        let property_path = items_path.child("properties").key(key);
        if let Some(type_ @ ("array" | "object")) = property.type_.as_deref() {
            let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(&property_path.child("type"), type_, why));
        }
        if property.nullable == Some(true) {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(&property_path.child("nullable"), why));
        }
        let is_required = items.required.iter().flatten().any(|name| name == key);
        if !is_required && property.default.is_none() {
            let why =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(&property_path.child("default"), why));
        }
    }
}
