//! `apiVersion`, `kind` and `metadata` of a resource and of those inside it (`x-kubernetes-embedded-resource`).

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::Deserialize;
use serde_json::Value;

use super::schema::Schema;
use crate::{
    kind::Scope,
    metadata, names,
    schema::{self, decode},
};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Brings the metadata of the resource, and of all within it, into the form of its type. Answers the paths of unknown
/// members, which are dropped; the error is Go's text about a member of a wrong type.
pub fn normalise(resource: &mut Value, schema: &Schema) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    normalise_metadata(resource, &Path::root(), &mut unknown)?;
    within(resource, schema, &Path::root(), &mut |inner, path| normalise_metadata(inner, path, &mut unknown))?;
    Ok(unknown)
}

/// As [`normalise`], but drops metadata that does not fit its type: for what was stored before it was checked.
pub fn repair(resource: &mut Value, schema: &Schema) -> bool {
    let before = resource.clone();
    let mut repair = |inner: &mut Value, path: &Path| {
        if normalise_metadata(inner, path, &mut Vec::new()).is_err()
            && let Some(metadata) = inner.get_mut("metadata").and_then(Value::as_object_mut)
        {
            metadata.retain(|member, _| matches!(member.as_str(), "name" | "namespace" | "uid"));
        }
        Ok(())
    };
    let _ = repair(resource, &Path::root());
    let _ = within(resource, schema, &Path::root(), &mut repair);
    before != *resource
}

fn normalise_metadata(resource: &mut Value, path: &Path, unknown: &mut Vec<String>) -> Result<(), String> {
    let Some(found) = resource.get_mut("metadata").filter(|found| !found.is_null()) else { return Ok(()) };
    let type_ = schema::registry().find(OBJECT_META).ok_or("the type of metadata is not known")?;
    let findings = decode::normalise(found, type_)?;
    let at = path.child("metadata");
    unknown.extend(findings.unknown.into_iter().map(|member| at.child(&member).to_string()));
    Ok(())
}

/// Calls `each` on every resource inside of this one.
fn within(
    value: &mut Value,
    schema: &Schema,
    path: &Path,
    each: &mut impl FnMut(&mut Value, &Path) -> Result<(), String>,
) -> Result<(), String> {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let Some(known) = schema.member(name) else { continue };
                let path = path.child(name);
                if known.embedded_resource && member.is_object() {
                    each(member, &path)?;
                }
                within(member, known, &path, each)?;
            }
        }
        Value::Array(items) => {
            let Some(known) = &schema.items else { return Ok(()) };
            for (i, item) in items.iter_mut().enumerate() {
                let path = path.index(i);
                if known.embedded_resource && item.is_object() {
                    each(item, &path)?;
                }
                within(item, known, &path, each)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Checks the resources inside of this one.
pub fn validate(value: &Value, schema: &Schema, path: &Path, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if let Some(known) = schema.member(name) {
                    validate_one(member, known, &path.child(name), errors);
                }
            }
        }
        Value::Array(items) => {
            if let Some(known) = &schema.items {
                for (i, item) in items.iter().enumerate() {
                    validate_one(item, known, &path.index(i), errors);
                }
            }
        }
        _ => {}
    }
}

fn validate_one(value: &Value, schema: &Schema, path: &Path, errors: &mut Vec<FieldError>) {
    if schema.embedded_resource && value.is_object() {
        validate_type(value, path, errors);
        validate_metadata(value, path, errors);
    }
    validate(value, schema, path, errors);
}

fn validate_type(resource: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for member in ["apiVersion", "kind"] {
        let at = path.child(member);
        match resource.get(member) {
            None => errors.push(FieldError::required(&at, "must not be empty")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(FieldError::invalid(&at, "", "must not be empty"));
            }
            Some(Value::String(text)) if member == "kind" => {
                let wrong = names::dns_1035_label(&text.to_lowercase());
                errors.extend(wrong.into_iter().map(|why| {
                    let why = format!("may have mixed case, but should otherwise match: {why}");
                    FieldError::invalid(&at, text.as_str(), why)
                }));
            }
            Some(Value::String(text)) if text.matches('/').count() > 1 => {
                let why = format!("unexpected GroupVersion string: {text}");
                errors.push(FieldError::invalid(&at, text.as_str(), why));
            }
            Some(Value::String(_)) => {}
            Some(other) => errors.push(FieldError::invalid(&at, other.clone(), "must be a string")),
        }
    }
}

fn validate_metadata(resource: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let Some(found) = resource.get("metadata").filter(|found| !found.is_null()) else { return };
    let mut meta = match ObjectMeta::deserialize(found) {
        Ok(meta) => meta,
        Err(error) => {
            errors.push(FieldError::invalid(&path.child("metadata"), found.clone(), error.to_string()));
            return;
        }
    };
    if meta.name.as_deref().unwrap_or_default().is_empty() {
        // It need not have a name.
        meta.name = Some("fakename".to_owned());
    }
    let scope = if meta.namespace.is_some() { Scope::Namespaced } else { Scope::Cluster };
    let mut found = Vec::new();
    metadata::validate(&meta, scope, metadata::path_segment, &mut found);
    errors.extend(found.into_iter().map(|error| FieldError { field: path.child(&error.field).to_string(), ..error }));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        let embedded = json!({"type": "object", "x-kubernetes-embedded-resource": true,
            "x-kubernetes-preserve-unknown-fields": true});
        Schema::read(&json!({"type": "object", "properties": {
            "one": embedded, "many": {"type": "array", "items": embedded}}}))
    }

    #[test]
    fn metadata_is_typed() {
        let mut value = json!({"metadata": {"name": "a", "odd": 1, "labels": {}},
            "one": {"metadata": {"name": "b", "odd": 1}}, "many": [{"metadata": {"odd": 1}}]});
        let unknown = normalise(&mut value, &schema()).unwrap();
        assert_eq!(unknown, ["metadata.odd", "one.metadata.odd", "many[0].metadata.odd"]);
        assert_eq!(value["one"]["metadata"], json!({"name": "b"}));
        let mut wrong = json!({"metadata": {"labels": {"a": 1}, "name": "n"}});
        let error = normalise(&mut wrong, &schema()).unwrap_err();
        assert!(error.starts_with("json: cannot unmarshal number into Go struct field ObjectMeta.labels"), "{error}");
        assert!(repair(&mut wrong, &schema()));
        assert_eq!(wrong, json!({"metadata": {"name": "n"}}));
    }

    #[test]
    fn embedded_resources_are_checked() {
        let value = json!({"one": {"kind": "Pod_", "metadata": {"labels": {"a b": ""}}},
            "many": [{"apiVersion": "v1", "kind": "Pod"}]});
        let mut errors = Vec::new();
        validate(&value, &schema(), &Path::root(), &mut errors);
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["one.apiVersion", "one.kind", "one.metadata.labels"]);
    }
}
