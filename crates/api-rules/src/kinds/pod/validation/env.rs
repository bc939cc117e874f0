//! Environment variables and where they come from.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector},
};

use super::{Errors, resources};
use crate::names::{self, report};

/// Fields of the pod that a variable may show.
const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields of the pod that a file may show.
pub const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

pub fn validate(env: &[EnvVar], path: &Path, errors: &mut Errors) {
    for (i, variable) in env.iter().enumerate() {
        let at = path.index(i);
        if variable.name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        } else {
            report(names::env_var(&variable.name), &at.child("name"), &variable.name, errors);
        }
        if let Some(source) = &variable.value_from {
            let has_value = variable.value.as_ref().is_some_and(|v| !v.is_empty());
            from_source(source, has_value, &at.child("valueFrom"), errors);
        }
    }
}

fn from_source(source: &EnvVarSource, has_value: bool, path: &Path, errors: &mut Errors) {
    let given = [
        source.field_ref.is_some(),
        source.resource_field_ref.is_some(),
        source.config_map_key_ref.is_some(),
        source.secret_key_ref.is_some(),
        source.file_key_ref.is_some(),
    ];
    match given.iter().filter(|g| **g).count() {
        0 => errors.push(FieldError::invalid(
            path,
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        )),
        _ if has_value => errors.push(FieldError::invalid(path, "", "may not be specified when `value` is not empty")),
        1 => {}
        _ => errors.push(FieldError::invalid(path, "", "may not have more than one field specified at a time")),
    }
    if let Some(field) = &source.field_ref {
        field_ref(field, &ENV_FIELDS, &path.child("fieldRef"), errors);
    }
    if let Some(field) = &source.resource_field_ref {
        resource_ref(field, false, &path.child("resourceFieldRef"), errors);
    }
    for (member, name, key) in [
        (
            "configMapKeyRef",
            source.config_map_key_ref.as_ref().map(|r| &r.name),
            source.config_map_key_ref.as_ref().map(|r| &r.key),
        ),
        (
            "secretKeyRef",
            source.secret_key_ref.as_ref().map(|r| &r.name),
            source.secret_key_ref.as_ref().map(|r| &r.key),
        ),
    ] {
        let (Some(name), Some(key)) = (name, key) else { continue };
        let at = path.child(member);
        report(names::dns_subdomain(name), &at.child("name"), name, errors);
        if key.is_empty() {
            errors.push(FieldError::required(&at.child("key"), ""));
        } else {
            report(names::config_key(key), &at.child("key"), key, errors);
        }
    }
}

pub fn field_ref(field: &ObjectFieldSelector, supported: &[&str], path: &Path, errors: &mut Errors) {
    match field.api_version.as_deref().unwrap_or_default() {
        "" => errors.push(FieldError::required(&path.child("apiVersion"), "")),
        "v1" => {}
        other => errors.push(FieldError::invalid(
            &path.child("apiVersion"),
            other,
            format!("unsupported pod version: {other}"),
        )),
    }
    let at = path.child("fieldPath");
    if field.field_path.is_empty() {
        errors.push(FieldError::required(&at, ""));
        return;
    }
    // metadata.labels['key'] and metadata.annotations['key'] name one entry.
    if let Some((map, key)) = field.field_path.strip_suffix("']").and_then(|p| p.split_once("['")) {
        match map {
            "metadata.annotations" => report(names::qualified_name(&key.to_lowercase()), &at, key, errors),
            "metadata.labels" => report(names::qualified_name(key), &at, key, errors),
            _ => errors.push(FieldError::invalid(&at, map, format!("{map:?} does not support subscript"))),
        }
        return;
    }
    if !supported.contains(&field.field_path.as_str()) {
        errors.push(FieldError::not_supported(&at, field.field_path.as_str(), supported));
    }
}

pub fn resource_ref(field: &ResourceFieldSelector, volume: bool, path: &Path, errors: &mut Errors) {
    if volume && field.container_name.as_deref().unwrap_or_default().is_empty() {
        errors.push(FieldError::required(&path.child("containerName"), ""));
    }
    let at = path.child("resource");
    if field.resource.is_empty() {
        errors.push(FieldError::required(&at, ""));
        return;
    }
    const SUPPORTED: [&str; 6] = [
        "limits.cpu",
        "limits.ephemeral-storage",
        "limits.memory",
        "requests.cpu",
        "requests.ephemeral-storage",
        "requests.memory",
    ];
    let huge = ["limits.hugepages-", "requests.hugepages-"].iter().any(|p| field.resource.starts_with(p));
    if !huge && !SUPPORTED.contains(&field.resource.as_str()) {
        errors.push(FieldError::not_supported(&at, field.resource.as_str(), &SUPPORTED));
        return;
    }
    if let Some(divisor) = &field.divisor {
        resources::divisor(&field.resource, divisor, &path.child("divisor"), errors);
    }
}

pub fn from(sources: &[EnvFromSource], path: &Path, errors: &mut Errors) {
    for (i, source) in sources.iter().enumerate() {
        let at = path.index(i);
        if let Some(prefix) = source.prefix.as_deref().filter(|p| !p.is_empty()) {
            report(names::env_var(prefix), &at.child("prefix"), prefix, errors);
        }
        match (&source.config_map_ref, &source.secret_ref) {
            (None, None) => {
                errors.push(FieldError::invalid(&at, "", "must specify one of: `configMapRef` or `secretRef`"))
            }
            (Some(_), Some(_)) => {
                errors.push(FieldError::invalid(&at, "", "may not have more than one field specified at a time"))
            }
            _ => {}
        }
        let named = [
            ("configMapRef", source.config_map_ref.as_ref().map(|r| &r.name)),
            ("secretRef", source.secret_ref.as_ref().map(|r| &r.name)),
        ];
        for (member, name) in named {
            let Some(name) = name else { continue };
            report(names::dns_subdomain(name), &at.child(member).child("name"), name, errors);
        }
    }
}
