//! Protobuf as a JSON value.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    ProtobufError,
    messages::{self, Field, Kind, MessageId, Other, Shape},
    wire::{self, Payload},
};

/// Messages within messages; a JSON schema may hold further ones without end.
const MAX_DEPTH: usize = 100;

/// Reads the fields of `message` into a JSON object. `depth` counts the messages around it.
pub fn members(
    message: MessageId,
    mut bytes: &[u8],
    into: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), ProtobufError> {
    if depth > MAX_DEPTH {
        return Err(ProtobufError::TooDeep);
    }
    let fields = &messages::message(message).fields;
    while let Some(wire) = wire::next(&mut bytes)? {
        let Some(field) = fields.iter().find(|field| field.number == wire.number) else { continue };
        match (field.kind, wire.payload) {
            (Kind::Message(inner), Payload::Bytes(bytes)) if field.is_inlined() => {
                members(inner, bytes, into, depth + 1)?;
            }
            _ => read_field(field, wire, into, depth)?,
        }
    }
    Ok(())
}

fn read_field(
    field: &Field,
    wire: wire::Field<'_>,
    into: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), ProtobufError> {
    match field.shape {
        Shape::Single => {
            let value = read(field, wire.payload, depth)?;
            if !value.is_null() {
                into.insert(field.name.to_owned(), value);
            }
        }
        Shape::Repeated => {
            let value = read(field, wire.payload, depth)?;
            if let Value::Array(items) = into.entry(field.name).or_insert_with(|| json!([])) {
                items.push(value);
            }
        }
        Shape::Map => {
            let Payload::Bytes(mut entry) = wire.payload else { return Err(ProtobufError::WireType(field.name)) };
            let (mut key, mut value) = (String::new(), zero(field.kind));
            while let Some(part) = wire::next(&mut entry)? {
                match (part.number, part.payload) {
                    (1, Payload::Bytes(bytes)) => key = text(bytes),
                    (2, payload) => value = read(field, payload, depth)?,
                    _ => {}
                }
            }
            if let Value::Object(members) = into.entry(field.name).or_insert_with(|| json!({})) {
                members.insert(key, value);
            }
        }
    }
    Ok(())
}

fn zero(kind: Kind) -> Value {
    match kind {
        Kind::Text | Kind::Bytes => json!(""),
        _ => Value::Null,
    }
}

fn read(field: &Field, payload: Payload<'_>, depth: usize) -> Result<Value, ProtobufError> {
    Ok(match (field.kind, payload) {
        (Kind::Text, Payload::Bytes(bytes)) => text(bytes).into(),
        (Kind::Bytes, Payload::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (Kind::Integer, Payload::Number(number)) => (number as i64).into(),
        (Kind::Boolean, Payload::Number(number)) => (number != 0).into(),
        (Kind::Float, Payload::Number(bits)) => json!(f64::from_bits(bits)),
        (Kind::Time { micros }, Payload::Bytes(bytes)) => time(bytes, micros)?,
        (Kind::Quantity, Payload::Bytes(mut bytes)) => match wire::next(&mut bytes)?.map(|field| field.payload) {
            Some(Payload::Bytes(quantity)) => text(quantity).into(),
            _ => json!("0"),
        },
        (Kind::IntOrString, Payload::Bytes(bytes)) => int_or_string(bytes)?,
        (Kind::Raw, Payload::Bytes(mut bytes)) => match wire::next(&mut bytes)?.map(|field| field.payload) {
            Some(Payload::Bytes(raw)) => serde_json::from_slice(raw).unwrap_or(Value::Null),
            _ => Value::Null,
        },
        (Kind::Message(inner), Payload::Bytes(bytes)) => message(inner, bytes, depth + 1)?,
        (Kind::SchemaOr(other), Payload::Bytes(bytes)) => schema_or(other, bytes, depth + 1)?,
        _ => return Err(ProtobufError::WireType(field.name)),
    })
}

fn message(id: MessageId, bytes: &[u8], depth: usize) -> Result<Value, ProtobufError> {
    let mut found = Map::new();
    members(id, bytes, &mut found, depth)?;
    if messages::message(id).stands_for_field {
        return Ok(found.shift_remove(".").unwrap_or_else(|| json!([])));
    }
    Ok(Value::Object(found))
}

/// A JSON schema, or what stands in its place.
fn schema_or(other: Other, mut bytes: &[u8], depth: usize) -> Result<Value, ProtobufError> {
    let (mut schema, mut allows, mut items) = (None, false, Vec::new());
    let id = messages::json_schema().ok_or_else(|| ProtobufError::UnknownKind("JSONSchemaProps".into()))?;
    while let Some(field) = wire::next(&mut bytes)? {
        match (other, field.number, field.payload) {
            (Other::Boolean, 1, Payload::Number(value)) => allows = value != 0,
            (Other::Boolean, 2, Payload::Bytes(bytes)) | (_, 1, Payload::Bytes(bytes)) => {
                schema = Some(message(id, bytes, depth)?);
            }
            (Other::Schemas, 2, Payload::Bytes(bytes)) => items.push(message(id, bytes, depth)?),
            (Other::Texts, 2, Payload::Bytes(bytes)) => items.push(text(bytes).into()),
            _ => {}
        }
    }
    Ok(match (schema, other) {
        (Some(schema), _) => schema,
        (None, Other::Boolean) => allows.into(),
        (None, _) => Value::Array(items),
    })
}

/// Go's zero time is no time.
fn time(mut bytes: &[u8], micros: bool) -> Result<Value, ProtobufError> {
    let (mut seconds, mut nanos) = (0, 0);
    while let Some(field) = wire::next(&mut bytes)? {
        match (field.number, field.payload) {
            (1, Payload::Number(number)) => seconds = number as i64,
            (2, Payload::Number(number)) => nanos = number as i32,
            _ => {}
        }
    }
    let form = if micros { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    Ok(match jiff::Timestamp::new(seconds, nanos) {
        Ok(time) if (seconds, nanos) != (0, 0) => time.strftime(form).to_string().into(),
        _ => Value::Null,
    })
}

fn int_or_string(mut bytes: &[u8]) -> Result<Value, ProtobufError> {
    let (mut is_text, mut number, mut string) = (false, 0, String::new());
    while let Some(field) = wire::next(&mut bytes)? {
        match (field.number, field.payload) {
            (1, Payload::Number(kind)) => is_text = kind == 1,
            (2, Payload::Number(value)) => number = value as i64,
            (3, Payload::Bytes(bytes)) => string = text(bytes),
            _ => {}
        }
    }
    Ok(if is_text { string.into() } else { number.into() })
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
