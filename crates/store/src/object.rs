//! One stored object: a shared buffer that holds its JSON with the resourceVersion spliced in, and what selects it.
//!
//! The buffer holds the object inside the watch event that first carries it, so that GET, LIST and WATCH all write
//! slices of the same memory: `{"type":"MODIFIED","object":` *the object* `}⏎`. What the object has in common with many
//! others lies outside of it (`parts`); then LIST copies from both, and the others put the text together.

use std::{
    borrow::Cow,
    ops::Range,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;

use crate::{backend::KeyValue, backend::Revision, resource::Selects};

mod extract;
mod parts;

pub use extract::Extractor;
use extract::{Extracted, Text};
use parts::Part;

/// Turns a value in another form than JSON into JSON, or says why it cannot be read.
pub type Rewrite = fn(&[u8]) -> Result<Vec<u8>, String>;

/// The [`Rewrite`] that reads nothing.
pub fn unreadable(_: &[u8]) -> Result<Vec<u8>, String> {
    Err("stored in a form that is not JSON".into())
}

/// The type of a watch event that carries an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    Added,
    Modified,
    Deleted,
}

impl EventType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }

    fn lead(self) -> &'static [u8] {
        match self {
            Self::Added => br#"{"type":"ADDED","object":"#,
            Self::Modified => br#"{"type":"MODIFIED","object":"#,
            Self::Deleted => br#"{"type":"DELETED","object":"#,
        }
    }
}

const TRAIL: &[u8] = b"}\n";

/// Bytes of other encodings kept with all objects; beyond that they are made for each reader.
const ENCODED_LIMIT: usize = 64 << 20;
static ENCODED: AtomicUsize = AtomicUsize::new(0);

#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{key}: {why}")]
pub struct DecodeError {
    pub key: String,
    pub why: String,
}

#[derive(Debug)]
pub struct Object {
    /// `namespace/name`, or `name` in cluster scope.
    key: Box<str>,
    namespace_len: u32,
    revision: Revision,
    carried_by: EventType,
    /// The event's line but for the parts.
    frame: Bytes,
    /// What lies elsewhere, by its place in the frame.
    parts: Box<[Part]>,
    /// Where metadata's members begin, within the object.
    metadata_at: u32,
    extracted: Extracted,
    /// The object in another encoding, once somebody asked for it.
    encoded: OnceLock<Box<Bytes>>,
}

impl Drop for Object {
    fn drop(&mut self) {
        if let Some(encoded) = self.encoded.get() {
            ENCODED.fetch_sub(encoded.len(), Relaxed);
        }
    }
}

impl Object {
    /// `key` is relative to the resource's folder. Decodes only what selects.
    pub fn decode(key: &str, stored: &KeyValue, extractor: &Extractor) -> Result<Self, DecodeError> {
        let error = |why: String| DecodeError { key: stored.key.clone(), why };
        let mut json = match stored.value.first() {
            Some(b'{') => stored.value.clone(),
            _ => (extractor.rewrite)(&stored.value).map_err(error)?.into(),
        };
        if let Some(adapt) = &extractor.adapt
            && let Some(adapted) = adapt.apply(&json).map_err(error)?
        {
            json = adapted.into();
        }
        let carried_by =
            if stored.create_revision == stored.mod_revision { EventType::Added } else { EventType::Modified };
        let native = metadata_members(&json)
            .and_then(|at| Self::build(key, stored.mod_revision, carried_by, &json, at, extractor).ok())
            .filter(|object| !object.extracted.has_foreign_version);
        if let Some(object) = native {
            return Ok(object);
        }
        let rewritten = in_our_order(&json).map_err(|e| error(e.to_string()))?;
        let at = metadata_members(&rewritten).ok_or_else(|| error("not an object with apiVersion and kind".into()))?;
        Self::build(key, stored.mod_revision, carried_by, &rewritten, at, extractor).map_err(|e| error(e.to_string()))
    }

    fn build(
        key: &str,
        revision: Revision,
        carried_by: EventType,
        value: &[u8],
        metadata_at: usize,
        extractor: &Extractor,
    ) -> Result<Self, serde_json::Error> {
        let lead = carried_by.lead();
        let mut buffer = BytesMut::with_capacity(lead.len() + value.len() + 44 + TRAIL.len());
        buffer.put_slice(lead);
        splice(&mut buffer, &value[..metadata_at], revision, &value[metadata_at..]);
        let (mut extracted, owned) = extractor.extract(&buffer, lead.len())?;
        buffer.put_slice(TRAIL);
        let (frame, parts) = match extractor.common.split(&buffer, &owned) {
            Some((frame, parts)) => {
                extracted.shift(lead.len(), &parts);
                (Bytes::from(frame), parts)
            }
            None => (buffer.freeze(), Box::default()),
        };
        Ok(Self {
            key: key.into(),
            namespace_len: key.find('/').unwrap_or(0) as u32,
            revision,
            carried_by,
            frame,
            parts,
            metadata_at: metadata_at as u32,
            extracted,
            encoded: OnceLock::new(),
        })
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// Empty in cluster scope.
    pub fn namespace(&self) -> &str {
        &self.key[..self.namespace_len as usize]
    }

    pub fn name(&self) -> &str {
        split_key(&self.key).1
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The JSON as served: apiVersion, kind and metadata first, with its resourceVersion.
    pub fn body(&self) -> Bytes {
        if self.parts.is_empty() { self.frame.slice(self.own()) } else { self.joined(&[], &[]).freeze() }
    }

    /// The same, to be looked at.
    pub fn json(&self) -> Cow<'_, [u8]> {
        if self.parts.is_empty() {
            Cow::Borrowed(&self.frame[self.own()])
        } else {
            Cow::Owned(self.joined(&[], &[]).into())
        }
    }

    /// Appends the JSON.
    pub fn write(&self, out: &mut BytesMut) {
        let Range { start: mut from, end } = self.own();
        for part in &self.parts {
            let at = part.at as usize;
            out.put_slice(&self.frame[from..at]);
            out.put_slice(&part.text);
            from = at;
        }
        out.put_slice(&self.frame[from..end]);
    }

    /// Bytes of the JSON.
    #[expect(clippy::len_without_is_empty, reason = "an object is never empty")]
    pub fn len(&self) -> usize {
        self.own().len() + self.parts.iter().map(|part| part.text.len()).sum::<usize>()
    }

    /// Where the JSON lies within the frame.
    fn own(&self) -> Range<usize> {
        self.carried_by.lead().len()..self.frame.len() - TRAIL.len()
    }

    /// The JSON between `lead` and `trail`, in a new buffer.
    fn joined(&self, lead: &[u8], trail: &[u8]) -> BytesMut {
        let mut out = BytesMut::with_capacity(lead.len() + self.len() + trail.len());
        out.put_slice(lead);
        self.write(&mut out);
        out.put_slice(trail);
        out
    }

    /// The object in the other encoding (there is one: protobuf), made by `encode` from its JSON the first time and kept
    /// as long as the object, while there is room.
    ///
    /// # Errors
    /// What `encode` answers.
    pub fn encoded<E>(&self, encode: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>) -> Result<Bytes, E> {
        if let Some(encoded) = self.encoded.get() {
            return Ok(Bytes::clone(encoded));
        }
        let encoded = Bytes::from(encode(&self.json())?);
        if ENCODED.fetch_add(encoded.len(), Relaxed) + encoded.len() > ENCODED_LIMIT
            || self.encoded.set(Box::new(encoded.clone())).is_err()
        {
            ENCODED.fetch_sub(encoded.len(), Relaxed);
        }
        Ok(encoded)
    }

    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.json()).expect("it was decoded on arrival")
    }

    /// A whole line of a watch stream. Shared if the object is in one piece and arrived with this type of event, else a copy.
    pub fn frame(&self, event: EventType) -> Bytes {
        if self.has_frame(event) { self.frame.clone() } else { self.joined(event.lead(), TRAIL).freeze() }
    }

    /// Whether [`frame`](Self::frame) costs nothing.
    pub(crate) fn has_frame(&self, event: EventType) -> bool {
        event == self.carried_by && self.parts.is_empty()
    }

    /// The line of a watch stream that says that this object went out of sight at `revision`.
    pub fn deleted_frame(&self, revision: Revision) -> Bytes {
        let json = &*self.json();
        let members = self.metadata_at as usize;
        let old_version = br#""resourceVersion":"#.len() + digits(self.revision) + 3;
        let mut buffer = BytesMut::with_capacity(json.len() + 48);
        buffer.put_slice(EventType::Deleted.lead());
        splice(&mut buffer, &json[..members], revision, &json[members + old_version..]);
        buffer.put_slice(TRAIL);
        buffer.freeze()
    }

    pub fn labels(&self) -> ObjectLabels<'_> {
        ObjectLabels(self)
    }

    pub fn uid(&self) -> &str {
        self.text(&self.extracted.uid)
    }

    /// Whether its deletion has begun.
    pub fn is_ending(&self) -> bool {
        self.extracted.is_ending
    }

    /// A selectable field's value; `None` if the resource has no such field.
    pub fn field<'a>(&'a self, label: &str, selects: &Selects) -> Option<&'a str> {
        match label {
            "metadata.name" => Some(self.name()),
            "metadata.namespace" => Some(self.namespace()),
            _ => self.field_at(selects.fields.iter().position(|f| f.label == label)?),
        }
    }

    pub fn field_at(&self, index: usize) -> Option<&str> {
        self.extracted.fields.get(index).map(|text| self.text(text))
    }

    /// Bytes of memory this object keeps alive.
    pub fn weight(&self) -> usize {
        self.frame.len()
            + self.key.len()
            + 176
            + 24 * self.parts.len()
            + 24 * (2 * self.extracted.labels.len() + self.extracted.fields.len())
    }

    fn text<'a>(&'a self, text: &'a Text) -> &'a str {
        text.within(&self.frame[self.own()])
    }
}

/// An object's labels, read in place.
#[derive(Clone, Copy)]
pub struct ObjectLabels<'a>(&'a Object);

impl<'a> ObjectLabels<'a> {
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.extracted.labels.iter().map(move |(k, v)| (self.0.text(k), self.0.text(v)))
    }
}

impl api_types::selector::Labels for ObjectLabels<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| *k == key).map(|(_, v)| v)
    }
}

/// Namespace (empty in cluster scope) and name.
pub fn split_key(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or(("", key))
}

/// The body of a watch line made by [`Object::frame`] or [`Object::deleted_frame`].
pub fn framed_body(event: EventType, frame: &Bytes) -> Bytes {
    frame.slice(event.lead().len()..frame.len() - TRAIL.len())
}

/// A whole line of a watch stream around an object's JSON.
pub fn framed(event: EventType, json: &[u8]) -> Bytes {
    let mut buffer = BytesMut::with_capacity(event.lead().len() + json.len() + TRAIL.len());
    buffer.put_slice(event.lead());
    buffer.put_slice(json);
    buffer.put_slice(TRAIL);
    buffer.freeze()
}

/// Puts `resourceVersion` first among the metadata of an object in our own form, as it comes from the encoder.
pub fn with_revision(stored: &[u8], revision: Revision) -> Option<Bytes> {
    let at = metadata_members(stored)?;
    let mut buffer = BytesMut::with_capacity(stored.len() + 44);
    splice(&mut buffer, &stored[..at], revision, &stored[at..]);
    Some(buffer.freeze())
}

fn splice(buffer: &mut BytesMut, head: &[u8], revision: Revision, tail: &[u8]) {
    buffer.put_slice(head);
    buffer.put_slice(br#""resourceVersion":""#);
    buffer.put_slice(revision.to_string().as_bytes());
    buffer.put_slice(br#"","#);
    buffer.put_slice(tail);
}

fn digits(revision: Revision) -> usize {
    revision.checked_ilog10().unwrap_or(0) as usize + 1
}

/// The offset of the first metadata member in `{"apiVersion":"…","kind":"…","metadata":{"…`, our own form.
fn metadata_members(value: &[u8]) -> Option<usize> {
    let rest = value.strip_prefix(br#"{"apiVersion":""#)?;
    let rest = &rest[rest.iter().position(|b| *b == b'"')?..];
    let rest = rest.strip_prefix(br#"","kind":""#)?;
    let rest = &rest[rest.iter().position(|b| *b == b'"')?..];
    let rest = rest.strip_prefix(br#"","metadata":{"#)?;
    rest.starts_with(b"\"").then_some(value.len() - rest.len())
}

/// Brings a value of another writer into our form.
fn in_our_order(value: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let mut members: serde_json::Map<String, Value> = serde_json::from_slice(value)?;
    let mut ordered = serde_json::Map::with_capacity(members.len());
    for key in ["apiVersion", "kind", "metadata"] {
        if let Some(mut member) = members.shift_remove(key) {
            if let (true, Value::Object(metadata)) = (key == "metadata", &mut member) {
                metadata.shift_remove("resourceVersion");
                metadata.shift_remove("selfLink");
            }
            ordered.insert(key.to_owned(), member);
        }
    }
    ordered.append(&mut members);
    serde_json::to_vec(&ordered)
}

#[cfg(test)]
mod tests;
