//! OpenAPI v2 from v3: bodies are parameters, media types stand beside the operation, definitions lie elsewhere.

use serde_json::{Map, Value, json};

use super::schemas::REF;

const DEFINITIONS: &str = "#/definitions/";

pub fn from_v3(mut document: Value) -> Value {
    let mut paths = document["paths"].take();
    let mut definitions = document["components"]["schemas"].take();
    for item in paths.as_object_mut().into_iter().flat_map(Map::values_mut) {
        path_item(item);
    }
    for definition in definitions.as_object_mut().into_iter().flat_map(Map::values_mut) {
        schema(definition);
    }
    json!({
        "swagger": "2.0",
        "info": document["info"].take(),
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {"BearerToken": document["components"]["securitySchemes"]["BearerToken"].take()},
        "security": document["security"].take(),
    })
}

fn path_item(item: &mut Value) {
    for (name, value) in item.as_object_mut().into_iter().flatten() {
        if name == "parameters" {
            parameters(value);
        } else {
            operation(value);
        }
    }
}

fn operation(operation: &mut Value) {
    parameters(&mut operation["parameters"]);
    let Some(members) = operation.as_object_mut() else { return };
    if let Some(mut body) = members.shift_remove("requestBody") {
        let (media, mut body_schema) = content(&mut body);
        members.insert("consumes".into(), media.into());
        schema(&mut body_schema);
        let required = body["required"].as_bool().unwrap_or(false);
        let mut parameter = json!({"in": "body", "name": "body", "schema": body_schema});
        if required {
            parameter["required"] = true.into();
        }
        if let Some(list) = members.get_mut("parameters").and_then(Value::as_array_mut) {
            list.insert(0, parameter);
        }
    }
    let mut produces = Vec::new();
    for response in members.get_mut("responses").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        if response.get("content").is_some() {
            let (media, mut answer) = content(response);
            produces = media;
            schema(&mut answer);
            response["schema"] = answer;
            response.as_object_mut().map(|r| r.shift_remove("content"));
        }
    }
    members.insert("produces".into(), produces.into());
}

/// The media types of a body, and its schema.
fn content(body: &mut Value) -> (Vec<String>, Value) {
    let media = body["content"].as_object().map(|c| c.keys().cloned().collect()).unwrap_or_default();
    let schema = body["content"].as_object_mut().and_then(|c| c.values_mut().next()).map(|m| m["schema"].take());
    (media, schema.unwrap_or_default())
}

fn parameters(list: &mut Value) {
    for parameter in list.as_array_mut().into_iter().flatten() {
        let Some(members) = parameter.as_object_mut() else { continue };
        if let Some(Value::Object(schema)) = members.shift_remove("schema") {
            members.extend(schema);
        }
    }
}

fn schema(schema: &mut Value) {
    let Some(members) = schema.as_object_mut() else { return };
    if let Some(Value::Array(all)) = members.shift_remove("allOf")
        && let Some(Value::Object(only)) = all.into_iter().next()
        && only.contains_key("$ref")
    {
        members.extend(only);
    }
    // Upstream leaves defaults out of this version.
    members.shift_remove("default");
    // Numbers and strings alike are written as strings where either may stand.
    if members.shift_remove("oneOf").is_some() && !members.contains_key("type") {
        members.insert("type".into(), "string".into());
    }
    // Version 2 has no words for these; custom resources use them.
    for member in ["anyOf", "not", "nullable"] {
        members.shift_remove(member);
    }
    if members.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true)) {
        for member in ["items", "properties", "type"] {
            members.shift_remove(member);
        }
    }
    if let Some(reference) = members.get_mut("$ref") {
        let name = reference.as_str().and_then(|r| r.strip_prefix(REF)).unwrap_or_default();
        *reference = format!("{DEFINITIONS}{name}").into();
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = members.get_mut(inner) {
            self::schema(inner);
        }
    }
    for property in members.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        self::schema(property);
    }
}
