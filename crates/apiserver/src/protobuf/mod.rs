//! Bodies in `application/vnd.kubernetes.protobuf`, which newer clients send without asking: turned into JSON on
//! arrival, so that nothing behind this module knows of them. Answers are JSON, which every such client accepts.
//!
//! `messages.tsv` has the fields of upstream's messages: a line for each message, below it one for each field with its
//! number, its JSON name and its type. The name `<` puts a message's members into the one around it, `.` makes a message
//! stand for its only field. Types are `s`tring, b`y`tes, `i`nteger, `b`oolean, `f`loat, `m:`essage and `T`ime, `U` (time
//! with microseconds), `Q`uantity, `I`ntOrString, `R`awExtension; `*` before it means repeated, `%` a map by string.

mod wire;

use std::{collections::HashMap, sync::LazyLock};

use api_types::names::split_api_version;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use wire::{Field as WireField, Payload, WireError};

/// What every such body begins with.
pub const MAGIC: &[u8] = b"k8s\0";

#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProtobufError {
    #[error("not a Kubernetes protobuf message")]
    NoMagic,
    #[error("no protobuf form of {0} is known")]
    UnknownKind(String),
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("field {0} has an unexpected wire type")]
    WireType(&'static str),
}

/// The object in a body, as JSON with apiVersion and kind.
pub fn to_json(body: &[u8]) -> Result<Value, ProtobufError> {
    let mut rest = body.strip_prefix(MAGIC).ok_or(ProtobufError::NoMagic)?;
    let (mut type_meta, mut raw): (&[u8], &[u8]) = (&[], &[]);
    while let Some(field) = wire::next(&mut rest)? {
        match (field.number, field.payload) {
            (1, Payload::Bytes(bytes)) => type_meta = bytes,
            (2, Payload::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (mut api_version, mut kind) = (String::new(), String::new());
    while let Some(field) = wire::next(&mut type_meta)? {
        match (field.number, field.payload) {
            (1, Payload::Bytes(bytes)) => api_version = text(bytes),
            (2, Payload::Bytes(bytes)) => kind = text(bytes),
            _ => {}
        }
    }
    let message = message_of(&api_version, &kind)
        .ok_or_else(|| ProtobufError::UnknownKind(format!("{api_version}, Kind={kind}")))?;
    let mut object = Map::from_iter([("apiVersion".to_owned(), json!(api_version)), ("kind".to_owned(), json!(kind))]);
    read_members(message, raw, &mut object)?;
    Ok(Value::Object(object))
}

#[derive(Debug)]
struct Field {
    number: u32,
    name: &'static str,
    shape: Shape,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Single,
    Repeated,
    Map,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Bytes,
    Integer,
    Boolean,
    Float,
    Message(&'static str),
    Time { micros: bool },
    Quantity,
    IntOrString,
    RawExtension,
}

static MESSAGES: LazyLock<HashMap<&'static str, Vec<Field>>> = LazyLock::new(|| {
    let mut messages: HashMap<&str, Vec<Field>> = HashMap::new();
    let mut current = "";
    for line in include_str!("messages.tsv").lines() {
        match line.strip_prefix('\t') {
            None => {
                current = line;
                messages.insert(current, Vec::new());
            }
            Some(field) => messages.entry(current).or_default().extend(field_of(field)),
        }
    }
    messages
});

fn field_of(line: &'static str) -> Option<Field> {
    let mut columns = line.split('\t');
    let (number, name, type_) = (columns.next()?.parse().ok()?, columns.next()?, columns.next()?);
    let (shape, type_) = match type_.split_at(1) {
        ("*", rest) => (Shape::Repeated, rest),
        ("%", rest) => (Shape::Map, rest),
        _ => (Shape::Single, type_),
    };
    let kind = match type_ {
        "s" => Kind::Text,
        "y" => Kind::Bytes,
        "i" => Kind::Integer,
        "b" => Kind::Boolean,
        "f" => Kind::Float,
        "T" => Kind::Time { micros: false },
        "U" => Kind::Time { micros: true },
        "Q" => Kind::Quantity,
        "I" => Kind::IntOrString,
        "R" => Kind::RawExtension,
        message => Kind::Message(message.strip_prefix("m:")?),
    };
    Some(Field { number, name, shape, kind })
}

/// The message of a kind: the first part of the group's name and the version lead to it.
fn message_of(api_version: &str, kind: &str) -> Option<&'static str> {
    let (group, version) = split_api_version(api_version);
    let folder = match (group, kind) {
        (_, "DeleteOptions") => "meta",
        ("", _) => "core",
        (group, _) => group.split('.').next().unwrap_or(group),
    };
    let version = if kind == "DeleteOptions" { "v1" } else { version };
    let name = format!("{folder}/{version}.{kind}");
    MESSAGES.get_key_value(name.as_str()).map(|(name, _)| *name)
}

fn read_members(message: &str, mut bytes: &[u8], into: &mut Map<String, Value>) -> Result<(), ProtobufError> {
    let fields = MESSAGES.get(message).map_or(&[][..], Vec::as_slice);
    while let Some(wire) = wire::next(&mut bytes)? {
        let Some(field) = fields.iter().find(|field| field.number == wire.number) else { continue };
        match (field.name, field.kind, wire.payload) {
            ("<", Kind::Message(inner), Payload::Bytes(bytes)) => read_members(inner, bytes, into)?,
            _ => read_field(field, wire, into)?,
        }
    }
    Ok(())
}

fn read_field(field: &Field, wire: WireField<'_>, into: &mut Map<String, Value>) -> Result<(), ProtobufError> {
    match field.shape {
        Shape::Single => {
            let value = read(field, wire.payload)?;
            if !value.is_null() {
                into.insert(field.name.to_owned(), value);
            }
        }
        Shape::Repeated => {
            let value = read(field, wire.payload)?;
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
                    (2, payload) => value = read(field, payload)?,
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

fn read(field: &Field, payload: Payload<'_>) -> Result<Value, ProtobufError> {
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
        (Kind::RawExtension, Payload::Bytes(mut bytes)) => match wire::next(&mut bytes)?.map(|field| field.payload) {
            Some(Payload::Bytes(raw)) => serde_json::from_slice(raw).unwrap_or(Value::Null),
            _ => Value::Null,
        },
        (Kind::Message(name), Payload::Bytes(bytes)) => message(name, bytes)?,
        _ => return Err(ProtobufError::WireType(field.name)),
    })
}

fn message(name: &str, bytes: &[u8]) -> Result<Value, ProtobufError> {
    let mut members = Map::new();
    read_members(name, bytes, &mut members)?;
    let stands_for_field = MESSAGES.get(name).is_some_and(|fields| fields.iter().any(|field| field.name == "."));
    if stands_for_field {
        return Ok(members.shift_remove(".").unwrap_or_else(|| json!([])));
    }
    Ok(Value::Object(members))
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

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
