//! The definitions: the JSON schemas of the Rust types, with how lists merge and which kind a type is.

use api_types::k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ListMeta, Patch, Status, WatchEvent};
use serde_json::{Map, Value, json};

use crate::{
    kind::{Kind, Names},
    kinds,
    openapi::values,
    schema::{self, Field, Merge, registry},
};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
pub const REF: &str = "#/components/schemas/";

/// The definitions that these kinds and their paths need.
pub fn of(served: &[&dyn Kind]) -> Map<String, Value> {
    let mut generator = schema::generator();
    let mut roots: Vec<(String, &Names)> =
        served.iter().map(|kind| (kind.add_schema(&mut generator), kind.names())).collect();
    for body in
        served.iter().flat_map(|k| k.subresources()).filter_map(|s| kinds::find_kind(s.group, s.version, s.kind))
    {
        roots.push((body.add_schema(&mut generator), body.names()));
    }
    generator.subschema_for::<ListMeta>();
    generator.subschema_for::<DeleteOptions>();
    generator.subschema_for::<Patch>();
    generator.subschema_for::<Status>();
    generator.subschema_for::<WatchEvent<Value>>();
    let mut all = generator.take_definitions(false);
    for (name, schema) in &mut all {
        finish(name, schema);
    }
    for (name, names) in roots {
        if !names.list_kind.is_empty() {
            all.insert(list_name(&name, names), list(&name, names));
        }
        if let Some(schema) = all.get_mut(&name) {
            schema["x-kubernetes-group-version-kind"] = json!([gvk(names)]);
        }
    }
    if let Some(status) = all.get_mut(&format!("{META}.Status")) {
        status["x-kubernetes-group-version-kind"] = json!([{"group": "", "kind": "Status", "version": "v1"}]);
    }
    if let Some(options) = all.get_mut(&format!("{META}.DeleteOptions")) {
        options["x-kubernetes-group-version-kind"] = served
            .iter()
            .map(|k| json!({"group": k.names().group, "kind": "DeleteOptions", "version": k.names().version}))
            .collect();
    }
    all.sort_keys();
    all
}

pub fn gvk(names: &Names) -> Value {
    json!({"group": names.group, "kind": names.kind, "version": names.version})
}

/// The definition that belongs to a kind.
pub fn name_of(kind: &dyn Kind) -> String {
    kind.definition().to_owned()
}

pub fn list_name_of(kind: &dyn Kind) -> String {
    list_name(&name_of(kind), kind.names())
}

fn list_name(name: &str, names: &Names) -> String {
    format!("{}{}", name.strip_suffix(names.kind).unwrap_or(name), names.list_kind)
}

fn list(item: &str, names: &Names) -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "description": format!("{} is a list of {} objects.", names.list_kind, names.kind),
        "type": "object",
        "properties": {
            "apiVersion": text("APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"),
            "items": {"type": "array", "description": format!("Items is the list of {}.", names.plural), "items": {"allOf": [{"$ref": format!("{REF}{item}")}], "default": {}}},
            "kind": text("Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"),
            "metadata": {"allOf": [{"$ref": format!("{REF}{META}.ListMeta")}], "default": {}, "description": "Standard list metadata."},
        },
        "required": ["items"],
        "x-kubernetes-group-version-kind": [{"group": names.group, "kind": names.list_kind, "version": names.version}],
    })
}

/// Brings one definition into upstream's form.
fn finish(name: &str, schema: &mut Value) {
    match name.rsplit('.').next() {
        Some("Quantity") => one_of(schema, &["string", "number"]),
        Some("IntOrString") => {
            one_of(schema, &["integer", "string"]);
            schema["format"] = "int-or-string".into();
        }
        _ => {}
    }
    let type_ = registry().find(name);
    if type_.is_some_and(|t| t.atomic) {
        schema["x-kubernetes-map-type"] = "atomic".into();
    }
    let required = required(schema);
    for (name, schema) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        references(schema);
        if let Some((type_, field)) = type_.and_then(|t| Some((t, t.field(name)?))) {
            merge_rules(schema, field);
            values::complete(type_, field, required.contains(name), schema);
        }
    }
}

/// The required members. The Rust types cannot do without metadata, but clients may leave it out.
fn required(schema: &mut Value) -> Vec<String> {
    let Some(members) = schema.as_object_mut() else { return Vec::new() };
    let Some(Value::Array(mut names)) = members.shift_remove("required") else { return Vec::new() };
    names.retain(|name| name != "metadata");
    if !names.is_empty() {
        members.insert("required".into(), names.clone().into());
    }
    names.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
}

fn one_of(schema: &mut Value, types: &[&str]) {
    if let Some(members) = schema.as_object_mut() {
        members.shift_remove("x-kubernetes-int-or-string");
        members.insert("oneOf".into(), types.iter().map(|t| json!({"type": t})).collect());
    }
}

/// A reference may have no siblings in OpenAPI v3, so it goes into an `allOf`.
fn references(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    if let Some(reference) = members.shift_remove("$ref") {
        let description = members.shift_remove("description");
        members.insert("allOf".into(), json!([{"$ref": reference}]));
        if let Some(description) = description {
            members.insert("description".into(), description);
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = members.get_mut(inner) {
            references(inner);
        }
    }
}

fn merge_rules(schema: &mut Value, field: &Field) {
    let Merge { list_type, list_map_keys, patch_strategy, patch_merge_key, map_type } = field.merge;
    let texts = [
        ("x-kubernetes-list-type", list_type),
        ("x-kubernetes-map-type", map_type),
        ("x-kubernetes-patch-merge-key", patch_merge_key),
        ("x-kubernetes-patch-strategy", patch_strategy),
    ];
    for (extension, text) in texts {
        if let Some(text) = text {
            schema[extension] = text.into();
        }
    }
    if let Some(keys) = list_map_keys {
        schema["x-kubernetes-list-map-keys"] = keys.split(',').collect();
    }
}
