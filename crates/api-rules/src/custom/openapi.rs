//! A schema as it is published: what the definition says, with the members that every resource has.

use api_types::k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use crate::{openapi::schemas::REF, value};

const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";
const METADATA: &str = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// Registers the definition `name`.
pub fn add(name: &str, schema: Value, generator: &mut SchemaGenerator) {
    generator.subschema_for::<ObjectMeta>();
    let mut schema = if schema.is_object() { schema } else { json!({"type": "object"}) };
    // Where everything is kept there is nothing to hold clients to.
    if schema["x-kubernetes-preserve-unknown-fields"] == true && schema.get("properties").is_none() {
        value::default(&mut schema, "type", "object");
    }
    resource_members(&mut schema);
    embedded(&mut schema);
    generator.definitions_mut().insert(name.to_owned(), schema);
}

fn resource_members(schema: &mut Value) {
    let properties = value::child(schema, "properties");
    for (member, description) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        let given = value::child(properties, member);
        value::default(given, "description", description);
        value::set(given, &["type"], "string".into());
    }
    let meta = format!("{REF}{}", ObjectMeta::schema_name());
    value::set(properties, &["metadata"], json!({"allOf": [{"$ref": meta}], "description": METADATA}));
}

/// Resources inside of this one have the same members.
fn embedded(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    for (name, member) in members.iter_mut() {
        match (name.as_str(), member) {
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(embedded_one),
            ("items" | "additionalProperties", inner) => embedded_one(inner),
            _ => {}
        }
    }
}

fn embedded_one(schema: &mut Value) {
    embedded(schema);
    if schema["x-kubernetes-embedded-resource"] == true {
        resource_members(schema);
    }
}
