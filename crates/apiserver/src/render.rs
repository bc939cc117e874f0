//! Served bytes from stored bytes: other versions, `PartialObjectMetadata` and `Table`.

use api_rules::{Column, Kind, encode};
use bytes::{BufMut, Bytes, BytesMut};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use store::Object;

use crate::{
    core::Served,
    negotiate::{Form, IncludeObject, MetaVersion, Shape},
    protobuf::{self, ProtobufError},
};

/// One object, stored as `json`, in the form asked for.
pub fn object(served: &Served, form: Form, json: &Bytes, now: Timestamp) -> Bytes {
    object_of(&*served.kind, form, json, now)
}

/// One object of a kind, whether it is stored or made for the answer.
pub fn object_of(kind: &dyn Kind, form: Form, json: &Bytes, now: Timestamp) -> Bytes {
    match form.shape {
        Shape::Whole => whole(kind, json),
        Shape::Metadata | Shape::MetadataList => metadata(form.meta, json),
        Shape::Table(include) => {
            let version = value(json).pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
            let mut out = BytesMut::new();
            let list_metadata = json!({ "resourceVersion": version });
            out.put_slice(&table_lead(form.meta, Some(&kind.columns()), &list_metadata));
            out.put_slice(&row(kind, form.meta, include, json, now));
            out.put_slice(b"]}");
            out.freeze()
        }
    }
}

/// The object in the version it is served in.
pub fn whole(kind: &dyn Kind, json: &Bytes) -> Bytes {
    if kind.is_storage_version() { json.clone() } else { encode(&kind.from_storage(value(json))).into() }
}

fn value(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or_default()
}

#[derive(Deserialize)]
struct MetadataOnly<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
}

pub fn metadata(version: MetaVersion, json: &[u8]) -> Bytes {
    let metadata = serde_json::from_slice::<MetadataOnly>(json).map_or("{}", |object| object.metadata.get());
    let api_version = version.api_version();
    let mut out = BytesMut::with_capacity(metadata.len() + 88);
    out.put_slice(br#"{"apiVersion":""#);
    out.put_slice(api_version.as_bytes());
    out.put_slice(br#"","kind":"PartialObjectMetadata","metadata":"#);
    out.put_slice(metadata.as_bytes());
    out.put_slice(b"}");
    out.freeze()
}

/// A table up to its rows. Later tables of a watch leave the columns out.
pub fn table_lead(version: MetaVersion, columns: Option<&[Column]>, list_metadata: &Value) -> Vec<u8> {
    let definition = |c: &Column| json!({"name": c.name, "type": c.type_, "format": c.format, "description": c.description, "priority": c.priority});
    let columns = columns.map_or(Value::Null, |columns| columns.iter().map(definition).collect());
    let api_version = version.api_version();
    format!(
        r#"{{"kind":"Table","apiVersion":"{api_version}","metadata":{list_metadata},"columnDefinitions":{columns},"rows":["#
    )
    .into_bytes()
}

pub fn row(kind: &dyn Kind, version: MetaVersion, include: IncludeObject, json: &Bytes, now: Timestamp) -> Vec<u8> {
    let object = kind.from_storage(value(json));
    let cells = Value::Array(kind.cells(&object, now));
    let mut out = format!(r#"{{"cells":{cells},"object":"#).into_bytes();
    match include {
        IncludeObject::None => out.extend_from_slice(b"null"),
        IncludeObject::Metadata => out.extend_from_slice(&metadata(version, json)),
        IncludeObject::Object => out.extend_from_slice(&whole(kind, json)),
    }
    out.push(b'}');
    out
}

/// One object within a list.
pub fn item(served: &Served, form: Form, json: &Bytes, now: Timestamp) -> Bytes {
    match form.shape {
        Shape::Whole => whole(&*served.kind, json),
        Shape::Metadata | Shape::MetadataList => metadata(form.meta, json),
        Shape::Table(include) => row(&*served.kind, form.meta, include, json, now).into(),
    }
}

/// A list up to its items: the last member is the array, just opened.
pub fn list_lead(served: &Served, form: Form, list_metadata: &Value) -> Vec<u8> {
    let (kind, api_version) = match form.shape {
        Shape::Table(_) => return table_lead(form.meta, Some(&served.kind.columns()), list_metadata),
        Shape::Metadata | Shape::MetadataList => ("PartialObjectMetadataList", form.meta.api_version()),
        Shape::Whole => (served.kind.names().list_kind, served.api_version.as_str()),
    };
    format!(r#"{{"kind":"{kind}","apiVersion":"{api_version}","metadata":{list_metadata},"items":["#).into_bytes()
}

/// One object's message, without an envelope. The storage version's is kept with the object.
pub fn protobuf_message(served: &Served, form: Form, object: &Object) -> Result<Bytes, ProtobufError> {
    let missing = || ProtobufError::UnknownKind(served.kind.names().kind.into());
    match (form.shape, served.message) {
        (Shape::Metadata | Shape::MetadataList, _) => {
            let id = protobuf::messages::of_kind("meta.k8s.io/v1", "PartialObjectMetadata").ok_or_else(missing)?;
            Ok(protobuf::message(id, &metadata(form.meta, &object.json()))?.into())
        }
        (_, None) => Err(missing()),
        (_, Some(id)) if served.kind.is_storage_version() => object.encoded(|json| protobuf::message(id, json)),
        (_, Some(id)) => Ok(protobuf::message(id, &whole(&*served.kind, &object.body()))?.into()),
    }
}

/// One object in its envelope.
pub fn protobuf_object(served: &Served, form: Form, object: &Object) -> Result<Vec<u8>, ProtobufError> {
    let message = protobuf_message(served, form, object)?;
    let mut out = match form.shape {
        Shape::Metadata | Shape::MetadataList => {
            protobuf::envelope(form.meta.api_version(), "PartialObjectMetadata", message.len())
        }
        _ => protobuf::envelope(&served.api_version, served.kind.names().kind, message.len()),
    };
    out.extend_from_slice(&message);
    Ok(out)
}
