//! The fields of upstream's messages, from `messages.tsv`.
//!
//! A line for each message, below it one for each field with its number, its JSON name and its type. The name `<` puts a
//! message's members into the one around it, `.` makes a message stand for its only field. Types are `s`tring, b`y`tes,
//! `i`nteger, `b`oolean, `f`loat, `m:`essage and `T`ime, `U` (time with microseconds), `Q`uantity, `I`ntOrString,
//! `R`aw JSON, and the three unions of JSON schemas with a b`O`olean, an `A`rray and `S`trings; `*` before it means
//! repeated, `%` a map by string. Fields behind feature gates that are off by default are not in the table.

use std::{collections::HashMap, sync::LazyLock};

use api_types::names::split_api_version;

/// Index into the table.
pub type MessageId = usize;

#[derive(Debug, Default)]
pub struct Message {
    pub fields: Vec<Field>,
    /// Where JSON's members go, those of inlined messages included.
    members: HashMap<&'static str, Member>,
    /// The message is written in JSON as its only field.
    pub stands_for_field: bool,
}

/// A member of the JSON object: a field of the message, or of one inlined in it.
#[derive(Clone, Debug)]
pub struct Member {
    /// The numbers of the messages around the field.
    pub inlined: Vec<u32>,
    pub field: Field,
}

#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub number: u32,
    pub name: &'static str,
    pub shape: Shape,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Single,
    Repeated,
    Map,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Bytes,
    Integer,
    Boolean,
    Float,
    Message(MessageId),
    Time { micros: bool },
    Quantity,
    IntOrString,
    Raw,
    SchemaOr(Other),
}

/// What may stand in place of a JSON schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    Boolean,
    Schemas,
    Texts,
}

impl Field {
    pub fn is_inlined(&self) -> bool {
        self.name == "<"
    }
}

impl Message {
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.get(name)
    }
}

struct Table {
    messages: Vec<Message>,
    by_name: HashMap<&'static str, MessageId>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let lines = || include_str!("messages.tsv").lines();
    let names = lines().filter(|line| !line.starts_with('\t'));
    let by_name: HashMap<&str, MessageId> = names.enumerate().map(|(id, name)| (name, id)).collect();
    let mut messages: Vec<Message> = Vec::with_capacity(by_name.len());
    for line in lines() {
        match (line.strip_prefix('\t'), messages.last_mut()) {
            (Some(field), Some(message)) => message.fields.extend(field_of(field, &by_name)),
            _ => messages.push(Message::default()),
        }
    }
    let members: Vec<_> = (0..messages.len()).map(|id| members_of(&messages, id, &[])).collect();
    for (message, members) in messages.iter_mut().zip(members) {
        message.stands_for_field = members.contains_key(".");
        message.members = members;
    }
    Table { messages, by_name }
});

fn field_of(line: &'static str, by_name: &HashMap<&str, MessageId>) -> Option<Field> {
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
        "R" => Kind::Raw,
        "O" => Kind::SchemaOr(Other::Boolean),
        "A" => Kind::SchemaOr(Other::Schemas),
        "S" => Kind::SchemaOr(Other::Texts),
        message => Kind::Message(*by_name.get(message.strip_prefix("m:")?)?),
    };
    Some(Field { number, name, shape, kind })
}

fn members_of(messages: &[Message], id: MessageId, inlined: &[u32]) -> HashMap<&'static str, Member> {
    let mut members = HashMap::new();
    for field in &messages[id].fields {
        match field.kind {
            Kind::Message(inner) if field.is_inlined() => {
                members.extend(members_of(messages, inner, &[inlined, &[field.number]].concat()));
            }
            _ => {
                members.insert(field.name, Member { inlined: inlined.to_vec(), field: *field });
            }
        }
    }
    members
}

pub fn message(id: MessageId) -> &'static Message {
    &TABLE.messages[id]
}

/// The message of a kind: the first part of the group's name and the version lead to it.
pub fn of_kind(api_version: &str, kind: &str) -> Option<MessageId> {
    let (group, version) = split_api_version(api_version);
    match (group, kind) {
        (_, "DeleteOptions") => named("meta/v1.DeleteOptions"),
        ("", "Status") => named("meta/v1.Status"),
        ("", _) => named(&format!("core/{version}.{kind}")),
        (group, _) => {
            let folder = group.split('.').next().unwrap_or(group);
            let is_upstreams = group == folder || group.ends_with(".k8s.io");
            is_upstreams.then(|| named(&format!("{folder}/{version}.{kind}"))).flatten()
        }
    }
}

/// A message by its name in the table (`meta/v1.ListMeta`).
pub fn named(name: &str) -> Option<MessageId> {
    TABLE.by_name.get(name).copied()
}

/// The message that unions of JSON schemas are about.
pub fn json_schema() -> Option<MessageId> {
    named("apiextensions/v1.JSONSchemaProps")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_understood() {
        let fields: usize = TABLE.messages.iter().map(|message| message.fields.len()).sum();
        assert_eq!(fields + TABLE.messages.len(), include_str!("messages.tsv").lines().count());
    }

    #[test]
    fn members_of_inlined_messages_are_found() {
        let probe = message(named("core/v1.Probe").unwrap());
        let member = probe.member("httpGet").unwrap();
        assert_eq!((member.inlined.as_slice(), member.field.number), (&[1][..], 2));
        assert!(probe.member("<").is_none());
    }

    #[test]
    fn every_kind_has_a_message() {
        for kind in api_rules::kinds::all() {
            let names = kind.names();
            assert!(of_kind(&names.api_version(), names.kind).is_some(), "{} of {}", names.kind, names.api_version());
        }
    }
}
