//! `application/vnd.kubernetes.protobuf`: bodies that arrive in it are turned into JSON, so that nothing behind this module
//! knows of them; answers are turned into it from the bytes that JSON readers get.
//!
//! The envelope, as upstream's `runtime.Unknown`: four magic bytes, then the type (1) and the object's message (2). A watch
//! sends `WatchEvent`s without that envelope, each after its length in four bytes; the object in them has one.

mod decode;
mod encode;
pub mod messages;
mod wire;

use serde_json::{Map, Value, json, value::RawValue};

pub use messages::MessageId;
use wire::{Payload, WireError};

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
    #[error("messages are nested too deeply")]
    TooDeep,
    #[error("the object has no protobuf form: {0}")]
    Object(String),
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
            (1, Payload::Bytes(bytes)) => api_version = decode::text(bytes),
            (2, Payload::Bytes(bytes)) => kind = decode::text(bytes),
            _ => {}
        }
    }
    let message = messages::of_kind(&api_version, &kind)
        .ok_or_else(|| ProtobufError::UnknownKind(format!("{api_version}, Kind={kind}")))?;
    let mut object = Map::from_iter([("apiVersion".to_owned(), json!(api_version)), ("kind".to_owned(), json!(kind))]);
    decode::members(message, raw, &mut object, 0)?;
    Ok(Value::Object(object))
}

/// The fields of an object given as JSON, without an envelope: an item of a list.
pub fn message(id: MessageId, json: &[u8]) -> Result<Vec<u8>, ProtobufError> {
    let mut out = Vec::with_capacity(json.len() / 2);
    encode::members(id, json, &mut out).map_err(|error| ProtobufError::Object(error.to_string()))?;
    Ok(out)
}

/// The envelope up to a message of `length` bytes, which ends it.
pub fn envelope(api_version: &str, kind: &str, length: usize) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    let start = wire::begin(1, &mut out);
    wire::bytes(1, api_version.as_bytes(), &mut out);
    wire::bytes(2, kind.as_bytes(), &mut out);
    wire::end(start, &mut out);
    wire::lead(2, length, &mut out);
    out
}

/// An object given as JSON, in its envelope.
pub fn object(api_version: &str, kind: &str, json: &[u8]) -> Result<Vec<u8>, ProtobufError> {
    let id = messages::of_kind(api_version, kind)
        .ok_or_else(|| ProtobufError::UnknownKind(format!("{api_version}, Kind={kind}")))?;
    let message = message(id, json)?;
    let mut out = envelope(api_version, kind, message.len());
    out.extend_from_slice(&message);
    Ok(out)
}

/// An object or a list given as JSON, in its envelope. Lists are put together in memory: long ones are streamed elsewhere.
pub fn document(json: &[u8]) -> Result<Vec<u8>, ProtobufError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document<'a> {
        api_version: String,
        kind: String,
        #[serde(borrow)]
        metadata: Option<&'a RawValue>,
        #[serde(borrow)]
        items: Option<Vec<&'a RawValue>>,
    }
    let document: Document = serde_json::from_slice(json).map_err(|error| ProtobufError::Object(error.to_string()))?;
    let (Some(items), Some(item_kind)) = (document.items, document.kind.strip_suffix("List")) else {
        return object(&document.api_version, &document.kind, json);
    };
    let id = messages::of_kind(&document.api_version, item_kind)
        .ok_or_else(|| ProtobufError::UnknownKind(format!("{}, Kind={item_kind}", document.api_version)))?;
    let mut list = list_metadata(document.metadata.map_or(b"{}", |raw| raw.get().as_bytes()))?;
    for item in items {
        let item = message(id, item.get().as_bytes())?;
        list.extend_from_slice(&item_lead(item.len()));
        list.extend_from_slice(&item);
    }
    let mut out = envelope(&document.api_version, &document.kind, list.len());
    out.extend_from_slice(&list);
    Ok(out)
}

/// The beginning of a list's message: its metadata, given as JSON.
pub fn list_metadata(json: &[u8]) -> Result<Vec<u8>, ProtobufError> {
    let id = messages::named("meta/v1.ListMeta").ok_or_else(|| ProtobufError::UnknownKind("ListMeta".into()))?;
    let metadata = message(id, json)?;
    let mut out = Vec::with_capacity(metadata.len() + 4);
    wire::bytes(1, &metadata, &mut out);
    Ok(out)
}

/// What comes before an item of `length` bytes in a list's message.
pub fn item_lead(length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(6);
    wire::lead(2, length, &mut out);
    out
}

/// One event of a watch, with the length before it. `object` is in its envelope.
pub fn watch_frame(event: &str, object: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4];
    wire::bytes(1, event.as_bytes(), &mut out);
    let start = wire::begin(2, &mut out);
    wire::bytes(1, object, &mut out);
    wire::end(start, &mut out);
    let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}

#[cfg(test)]
mod tests;
