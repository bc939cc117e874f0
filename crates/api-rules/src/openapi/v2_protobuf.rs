//! The v2 document in protobuf (gnostic's `openapi.v2.Document`), which is all that clients of `client-go` ask for.
//!
//! Only the members that our documents have are encoded; field numbers are those of `OpenAPIv2.proto`.

use serde_json::{Map, Value};

/// Encodes a document made by `v2_document`.
pub fn encode(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, &document["swagger"]);
    out.message(2, |m| {
        m.text(1, &document["info"]["title"]);
        m.text(2, &document["info"]["version"]);
    });
    out.message(8, |paths| {
        for (name, item) in members(&document["paths"]) {
            paths.message(2, |named| {
                named.string(1, name);
                named.message(2, |m| path_item(m, item));
            });
        }
    });
    out.message(9, |all| named_schemas(all, &document["definitions"]));
    out.0
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn path_item(out: &mut Message, item: &Value) {
    for (method, number) in [("get", 2), ("put", 3), ("post", 4), ("delete", 5), ("patch", 8)] {
        if let Some(value) = item.get(method) {
            out.message(number, |m| operation(m, value));
        }
    }
    for value in items(&item["parameters"]) {
        out.message(9, |m| parameter(m, value));
    }
}

fn operation(out: &mut Message, operation: &Value) {
    out.texts(1, &operation["tags"]);
    out.text(3, &operation["description"]);
    out.text(5, &operation["operationId"]);
    out.texts(6, &operation["produces"]);
    out.texts(7, &operation["consumes"]);
    for value in items(&operation["parameters"]) {
        out.message(8, |m| parameter(m, value));
    }
    out.message(9, |responses| {
        for (code, response) in members(&operation["responses"]) {
            responses.message(1, |named| {
                named.string(1, code);
                named.message(2, |value| value.message(1, |r| self::response(r, response)));
            });
        }
    });
    extensions(out, 13, operation);
}

fn response(out: &mut Message, response: &Value) {
    out.text(1, &response["description"]);
    if let Some(given) = response.get("schema") {
        out.message(2, |item| item.message(1, |m| schema(m, given)));
    }
}

/// A ParametersItem holding a Parameter, which is a body or of one of four other kinds.
fn parameter(out: &mut Message, value: &Value) {
    out.message(1, |p| match value["in"].as_str() {
        Some("body") => p.message(1, |body| {
            body.text(2, &value["name"]);
            body.text(3, &value["in"]);
            body.flag(4, &value["required"]);
            body.message(5, |m| schema(m, &value["schema"]));
        }),
        place => p.message(2, |other| {
            let in_path = place == Some("path");
            other.message(if in_path { 4 } else { 3 }, |m| {
                m.flag(1, &value["required"]);
                m.text(2, &value["in"]);
                m.text(3, &value["description"]);
                m.text(4, &value["name"]);
                m.text(if in_path { 5 } else { 6 }, &value["type"]);
                m.flag(if in_path { 19 } else { 20 }, &value["uniqueItems"]);
            });
        }),
    });
}

fn named_schemas(out: &mut Message, all: &Value) {
    for (name, value) in members(all) {
        out.message(1, |named| {
            named.string(1, name);
            named.message(2, |m| schema(m, value));
        });
    }
}

fn schema(out: &mut Message, value: &Value) {
    out.text(1, &value["$ref"]);
    out.text(2, &value["format"]);
    out.text(4, &value["description"]);
    out.texts(19, &value["required"]);
    for allowed in items(&value["enum"]) {
        out.message(20, |any| any.string(2, &allowed.to_string()));
    }
    if let Some(additional) = value.get("additionalProperties") {
        out.message(21, |item| item.message(1, |m| schema(m, additional)));
    }
    if let Some(type_) = value.get("type") {
        out.message(22, |m| m.text(1, type_));
    }
    if let Some(items) = value.get("items") {
        out.message(23, |m| m.message(1, |inner| schema(inner, items)));
    }
    if value.get("properties").is_some() {
        out.message(25, |m| named_schemas(m, &value["properties"]));
    }
    extensions(out, 31, value);
}

/// `x-…` members, their values as YAML (of which JSON is a part).
fn extensions(out: &mut Message, number: u32, value: &Value) {
    for (name, value) in members(value).filter(|(name, _)| name.starts_with("x-")) {
        out.message(number, |named| {
            named.string(1, name);
            named.message(2, |any| any.string(2, &value.to_string()));
        });
    }
}

/// A message being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.varint(u64::from(number) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn string(&mut self, number: u32, text: &str) {
        self.bytes(number, text.as_bytes());
    }

    /// Nothing if the value is no string.
    fn text(&mut self, number: u32, value: &Value) {
        if let Some(text) = value.as_str() {
            self.string(number, text);
        }
    }

    fn texts(&mut self, number: u32, values: &Value) {
        items(values).for_each(|value| self.text(number, value));
    }

    fn flag(&mut self, number: u32, value: &Value) {
        if value.as_bool() == Some(true) {
            self.varint(u64::from(number) << 3);
            self.varint(1);
        }
    }

    fn message(&mut self, number: u32, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(number, &inner.0);
    }
}
