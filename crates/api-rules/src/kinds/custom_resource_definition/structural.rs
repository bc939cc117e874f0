//! Whether a schema is structural: every field has a type, and what only judges values stands apart from what gives them
//! their structure.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
    },
};

use super::combined;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

pub fn validate(root: &JSONSchemaProps, path: &Path, errors: &mut Vec<FieldError>) {
    validate_at(root, Level::Root, path, errors);
}

fn validate_at(schema: &JSONSchemaProps, level: Level, path: &Path, errors: &mut Vec<FieldError>) {
    if let Some(JSONSchemaPropsOrBool::Schema(inner)) = &schema.additional_properties
        && **inner != JSONSchemaProps::default()
    {
        validate_at(inner, Level::Field, &path.child("additionalProperties"), errors);
    }
    for (name, inner) in schema.properties.iter().flatten() {
        validate_at(inner, Level::Field, &path.child("properties").key(name), errors);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(inner)) = &schema.items {
        validate_at(inner, Level::Item, &path.child("items"), errors);
    }
    validate_type(schema, level, path, errors);
    validate_extensions(schema, path, errors);
    if level == Level::Root || is_set(schema.x_kubernetes_embedded_resource) {
        validate_resource(schema, path, errors);
    }
    combined::validate(schema, path, errors);
}

fn is_set(flag: Option<bool>) -> bool {
    flag == Some(true)
}

fn validate_type(schema: &JSONSchemaProps, level: Level, path: &Path, errors: &mut Vec<FieldError>) {
    let at = path.child("type");
    let type_ = schema.type_.as_deref().unwrap_or_default();
    let free = is_set(schema.x_kubernetes_int_or_string) || is_set(schema.x_kubernetes_preserve_unknown_fields);
    if is_set(schema.x_kubernetes_embedded_resource) && type_ != "object" {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if type_.is_empty() {
            FieldError::required(&at, why)
        } else {
            FieldError::invalid(&at, type_, why)
        });
    } else if type_.is_empty() && !free {
        let why = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(&at, why));
    }
    if level == Level::Root {
        if !type_.is_empty() && type_ != "object" {
            errors.push(FieldError::invalid(&at, type_, "must be object at the root"));
        }
        if schema.additional_properties.is_some() {
            errors.push(FieldError::forbidden(&path.child("additionalProperties"), "must not be used at the root"));
        }
    }
}

fn validate_extensions(schema: &JSONSchemaProps, path: &Path, errors: &mut Vec<FieldError>) {
    let preserves = is_set(schema.x_kubernetes_preserve_unknown_fields);
    if is_set(schema.x_kubernetes_int_or_string) {
        let why = "must be false if x-kubernetes-int-or-string is true";
        if preserves {
            errors.push(FieldError::invalid(&path.child("x-kubernetes-preserve-unknown-fields"), true, why));
        }
        if is_set(schema.x_kubernetes_embedded_resource) {
            errors.push(FieldError::invalid(&path.child("x-kubernetes-embedded-resource"), true, why));
        }
        if let Some(type_) = schema.type_.as_deref().filter(|type_| !type_.is_empty()) {
            let why = "must be empty if x-kubernetes-int-or-string is true";
            errors.push(FieldError::invalid(&path.child("type"), type_, why));
        }
    }
    if is_set(schema.x_kubernetes_embedded_resource) {
        if schema.additional_properties.is_some() {
            let why = "must not be used if x-kubernetes-embedded-resource is set";
            errors.push(FieldError::forbidden(&path.child("additionalProperties"), why));
        }
        if !preserves && schema.properties.as_ref().is_none_or(|all| all.is_empty()) {
            let why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
            errors.push(FieldError::required(&path.child("properties"), why));
        }
    }
}

/// Of the members that all resources have, only the name may be restricted.
fn validate_resource(schema: &JSONSchemaProps, path: &Path, errors: &mut Vec<FieldError>) {
    let Some(properties) = &schema.properties else { return };
    for (member, wanted) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
        let type_ = properties.get(member).map(|found| found.type_.as_deref().unwrap_or_default());
        if let Some(type_) = type_.filter(|type_| *type_ != wanted) {
            let at = path.child("properties").key(member).child("type");
            errors.push(FieldError::invalid(&at, type_, format!("must be {wanted}")));
        }
    }
    if let Some(metadata) = properties.get("metadata") {
        let at = path.child("properties").key("metadata");
        let named = |name: &String| matches!(name.as_str(), "name" | "generateName");
        let others = metadata.properties.iter().flatten().any(|(name, _)| !named(name))
            || metadata.required.iter().flatten().any(|name| !named(name))
            || metadata.additional_properties.is_some()
            || metadata.items.is_some()
            || metadata.default.is_some()
            || is_set(metadata.nullable)
            || is_set(metadata.x_kubernetes_preserve_unknown_fields);
        if others {
            let why =
                "must not specify anything other than name and generateName, but metadata is implicitly specified";
            errors.push(FieldError::forbidden(&at, why));
        }
    }
}
