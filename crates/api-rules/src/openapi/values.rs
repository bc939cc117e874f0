//! What a field may hold and what it holds unless it is set: `enum` and `default`, as upstream derives them from its Go types.

use serde_json::{Map, Value, json};

use crate::schema::{Field, Type};

/// Defaults that Go's own zero does not give.
const DEFAULTS: &[(&str, &str)] =
    &[("io.k8s.api.core.v1.ContainerPort", "protocol"), ("io.k8s.api.core.v1.ServicePort", "protocol")];

/// Completes the schema of one member of a type.
pub fn complete(type_: &Type, field: &Field, required: bool, schema: &mut Value) {
    if let Some(values) = &field.values {
        enumerate(values, schema);
    }
    let Some(members) = schema.as_object_mut() else { return };
    if DEFAULTS.contains(&(type_.name.as_str(), field.name.as_str())) {
        members.insert("default".into(), "TCP".into());
    } else if !field.pointer && (required || is_reference(members)) {
        set_zero(members);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(Value::Object(inner)) = members.get_mut(inner) {
            set_zero(inner);
        }
    }
}

/// The description ends with the values, as upstream's does.
fn enumerate(values: &[&str], schema: &mut Value) {
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            schema[inner]["enum"] = json!(values);
            return;
        }
    }
    schema["enum"] = json!(values);
    let list: String = values.iter().map(|value| format!("\n - `{value:?}`")).collect();
    let description = schema["description"].as_str().unwrap_or_default();
    schema["description"] = format!("{description}\n\nPossible enum values:{list}").into();
}

fn is_reference(schema: &Map<String, Value>) -> bool {
    schema.contains_key("allOf")
}

/// Zero of what Go holds by value. Lists and maps have none, nor have types with a form of their own.
fn set_zero(schema: &mut Map<String, Value>) {
    let zero = match schema.get("type").and_then(Value::as_str) {
        Some("string") if !is_opaque(schema) => "".into(),
        Some("integer" | "number") => 0.into(),
        Some("boolean") => false.into(),
        None if refers_to_members(schema) => json!({}),
        _ => return,
    };
    schema.insert("default".into(), zero);
}

/// Bytes are a slice in Go.
fn is_opaque(schema: &Map<String, Value>) -> bool {
    schema.get("format").is_some_and(|format| format == "byte")
}

fn refers_to_members(schema: &Map<String, Value>) -> bool {
    const PLAIN: [&str; 4] = [".Quantity", ".IntOrString", ".Time", ".MicroTime"];
    let reference = schema.get("allOf").and_then(|all| all[0]["$ref"].as_str());
    reference.is_some_and(|to| !PLAIN.iter().any(|plain| to.ends_with(plain)))
}
