//! The entries of `metadata.managedFields`: who owns which fields, since when, and through which version.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{extract::collapsed, fields_v1, schema::Type, set::Set};

/// How a manager came by its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// What tells entries apart. An applier has one entry whatever versions it applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    pub name: String,
    pub operation: Operation,
    /// `apps/v1`
    pub api_version: String,
    pub subresource: String,
}

impl Manager {
    pub fn is(&self, other: &Self) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }
}

/// One manager's fields.
#[derive(Clone, Debug)]
pub struct Entry {
    pub manager: Manager,
    /// RFC 3339; `None` if it never was known.
    pub time: Option<String>,
    /// `None` if they were not looked at, because a write does not concern them.
    fields: Option<Set>,
    /// The fields as they were read; empty once they are others.
    written: String,
}

impl Entry {
    pub fn new(manager: Manager, time: Option<String>, fields: Set) -> Self {
        Self { manager, time, fields: Some(fields), written: String::new() }
    }

    /// Nothing if they were not looked at.
    pub fn fields(&self) -> &Set {
        static NOTHING: Set = Set::new();
        self.fields.as_ref().unwrap_or(&NOTHING)
    }

    /// Whether nothing is owned.
    pub fn is_empty(&self) -> bool {
        self.fields.as_ref().is_some_and(Set::is_empty)
    }

    fn change(&mut self, change: impl FnOnce(&mut Set)) {
        if let Some(fields) = &mut self.fields {
            change(fields);
            self.written.clear();
        }
    }

    /// Makes the fields those of the type as it is now.
    pub fn fit(&mut self, type_: Type) {
        if let Some(fitting) = collapsed(self.fields(), type_) {
            self.change(|fields| *fields = fitting);
        }
    }

    /// Takes fields away.
    pub fn lose(&mut self, lost: &Set) {
        if self.fields().intersects(lost) {
            self.change(|fields| fields.subtract(lost));
        }
    }

    /// Adds fields.
    pub fn gain(&mut self, won: &Set) {
        if !self.fields().contains(won) {
            self.change(|fields| fields.add(won));
        }
    }

    pub fn is_applied(&self) -> bool {
        self.manager.operation == Operation::Apply
    }

    fn write(&self, out: &mut Vec<u8>) {
        let text = |name: &str, text: &str, out: &mut Vec<u8>| {
            if !text.is_empty() {
                out.extend_from_slice(if out.last() == Some(&b'{') { b"\"" } else { b",\"" });
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\":");
                serde_json::to_writer(out, text).expect("writing to memory");
            }
        };
        out.push(b'{');
        text("manager", &self.manager.name, out);
        text("operation", self.manager.operation.as_str(), out);
        text("apiVersion", &self.manager.api_version, out);
        text("time", self.time.as_deref().unwrap_or_default(), out);
        text("fieldsType", "FieldsV1", out);
        out.extend_from_slice(b",\"fieldsV1\":");
        if self.written.is_empty() {
            fields_v1::write(self.fields(), out);
        } else {
            out.extend_from_slice(self.written.as_bytes());
        }
        text("subresource", &self.manager.subresource, out);
        out.push(b'}');
    }
}

/// Why entries cannot be understood; the text is upstream's.
#[derive(Debug, thiserror::Error)]
pub enum ManagersError {
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    #[error("apiVersion must not be empty")]
    ApiVersion,
    #[error("missing fieldsType in managed fields entry {0}")]
    NoFieldsType(usize),
    #[error("invalid fieldsType {1:?} in managed fields entry {0}")]
    FieldsType(usize, String),
    #[error("error decoding set: {0}")]
    Fields(#[source] serde_json::Error),
    #[error("error decoding managed fields: {0}")]
    Json(#[source] serde_json::Error),
}

/// An entry on the wire.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wire<'a> {
    manager: String,
    operation: String,
    api_version: String,
    time: Option<String>,
    fields_type: String,
    #[serde(borrow)]
    fields_v1: Option<&'a RawValue>,
    subresource: String,
}

/// Reads the list as JSON; nothing at all is an empty list. An entry that comes twice counts once, the last time.
pub fn read(json: &[u8]) -> Result<Vec<Entry>, ManagersError> {
    read_those(json, |_, _| true)
}

/// As [`read`], but the fields only of entries that `concerned` asks for, given the manager and the fields' JSON.
pub fn read_those(json: &[u8], concerned: impl Fn(&Manager, &str) -> bool) -> Result<Vec<Entry>, ManagersError> {
    if json.is_empty() {
        return Ok(Vec::new());
    }
    let wire: Option<Vec<Wire>> = serde_json::from_slice(json).map_err(ManagersError::Json)?;
    let mut entries: Vec<Entry> = Vec::new();
    for (i, wire) in wire.unwrap_or_default().into_iter().enumerate() {
        let entry = entry(i, wire, &concerned)?;
        match entries.iter_mut().find(|known| known.manager.is(&entry.manager)) {
            Some(known) => *known = entry,
            None => entries.push(entry),
        }
    }
    Ok(entries)
}

fn entry(i: usize, wire: Wire, concerned: impl Fn(&Manager, &str) -> bool) -> Result<Entry, ManagersError> {
    let operation = match wire.operation.as_str() {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return Err(ManagersError::Operation),
    };
    if wire.api_version.is_empty() {
        return Err(ManagersError::ApiVersion);
    }
    match wire.fields_type.as_str() {
        "FieldsV1" => {}
        "" => return Err(ManagersError::NoFieldsType(i)),
        _ => return Err(ManagersError::FieldsType(i, wire.fields_type)),
    }
    let written = wire.fields_v1.map(RawValue::get).filter(|json| *json != "null").unwrap_or("{}");
    let manager =
        Manager { name: wire.manager, operation, api_version: wire.api_version, subresource: wire.subresource };
    let fields = match concerned(&manager, written) {
        true => Some(fields_v1::parse(written).map_err(ManagersError::Fields)?),
        false => None,
    };
    Ok(Entry { manager, time: wire.time, fields, written: written.to_owned() })
}

/// Whether the list asks for the entries to be forgotten: it is empty, or has one entry that is.
pub fn is_reset(json: &[u8]) -> bool {
    let entries: Vec<serde_json::Map<String, serde_json::Value>> = match serde_json::from_slice(json) {
        Ok(Some(entries)) => entries,
        _ => return false,
    };
    match entries.as_slice() {
        [] => true,
        [only] => only.values().all(|value| value.is_null() || value == ""),
        _ => false,
    }
}

/// The list that a write starts from: what the request brought along (`None`: nothing), or else what is stored. Clients
/// that know nothing of it, or send what cannot be read, change nothing.
pub fn starting_from<'a>(given: Option<&[u8]>, stored: &'a [u8]) -> Cow<'a, [u8]> {
    match given {
        None => Cow::Borrowed(stored),
        Some(given) if given == stored => Cow::Borrowed(stored),
        Some(given) if is_reset(given) => Cow::Borrowed(b""),
        Some(given) => match read(given) {
            Ok(mut entries) if !entries.is_empty() => Cow::Owned(write(&mut entries)),
            _ => Cow::Borrowed(stored),
        },
    }
}

/// Whether two lists say the same but for the times.
pub fn is_same_but_for_times(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    let (Ok(a), Ok(b)) = (read(a), read(b)) else { return false };
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.manager == b.manager && a.fields == b.fields)
}

/// The list as JSON in upstream's order; nothing at all if nobody owns anything.
pub fn write(entries: &mut [Entry]) -> Vec<u8> {
    if entries.is_empty() {
        return Vec::new();
    }
    sort(entries);
    let mut out = Vec::with_capacity(256 + entries.iter().map(|entry| entry.written.len() + 128).sum::<usize>());
    out.push(b'[');
    for (i, entry) in entries.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        entry.write(&mut out);
    }
    out.push(b']');
    out
}

fn sort(entries: &mut [Entry]) {
    entries.sort_by(|a, b| {
        let (p, q) = (&a.manager, &b.manager);
        p.operation
            .cmp(&q.operation)
            // Times are in UTC and whole seconds, so their texts sort as they do.
            .then_with(|| a.time.cmp(&b.time))
            .then_with(|| p.name.cmp(&q.name))
            .then_with(|| p.api_version.cmp(&q.api_version))
            .then_with(|| p.subresource.cmp(&q.subresource))
    });
}

/// Update managers of one object; the oldest are merged into one bucket per version beyond it.
const MAX_UPDATE_MANAGERS: usize = 10;
const OLD_UPDATES: &str = "ancient-changes";

/// Holds the number of entries within its bound.
pub fn cap(entries: &mut Vec<Entry>) {
    let mut left = entries.iter().filter(|entry| !entry.is_applied()).count();
    if left <= MAX_UPDATE_MANAGERS {
        return;
    }
    sort(entries);
    let (applied, updates): (Vec<_>, Vec<_>) = std::mem::take(entries).into_iter().partition(Entry::is_applied);
    *entries = applied;
    let mut firsts: Vec<(String, Entry)> = Vec::new();
    for entry in updates {
        let version = entry.manager.api_version.clone();
        match firsts.iter_mut().find(|(of, _)| *of == version) {
            Some((_, bucket)) if left > MAX_UPDATE_MANAGERS => {
                left -= 1;
                bucket.manager = Manager {
                    name: OLD_UPDATES.to_owned(),
                    operation: Operation::Update,
                    api_version: version,
                    subresource: String::new(),
                };
                bucket.gain(entry.fields());
                bucket.time = entry.time;
            }
            None if left > MAX_UPDATE_MANAGERS => firsts.push((version, entry)),
            _ => entries.push(entry),
        }
    }
    entries.extend(firsts.into_iter().map(|(_, entry)| entry));
}
