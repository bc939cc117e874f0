//! The partial decode: one pass over an object's JSON that picks labels, uid and the selectable fields and skips the
//! rest. What needs no unescaping is kept as a place in the buffer.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    Rewrite,
    parts::{Common, Part},
};
use crate::resource::{Adapt, Resource};

/// A string of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    At { start: u32, len: u32 },
    Static(&'static str),
    Owned(Box<str>),
}

impl Text {
    pub(super) fn within<'a>(&'a self, json: &'a [u8]) -> &'a str {
        match self {
            Self::At { start, len } => {
                std::str::from_utf8(&json[*start as usize..(*start + *len) as usize]).unwrap_or("")
            }
            Self::Static(text) => text,
            Self::Owned(text) => text,
        }
    }
}

#[derive(Debug)]
pub(super) struct Extracted {
    pub(super) labels: Box<[(Text, Text)]>,
    pub(super) fields: Box<[Text]>,
    pub(super) uid: Text,
    /// There is a deletionTimestamp.
    pub(super) is_ending: bool,
    /// The metadata held a resourceVersion before ours was spliced in.
    pub(super) has_foreign_version: bool,
}

impl Extracted {
    /// Follows the text after `parts` have been taken out of its frame, where it began at `from`.
    pub(super) fn shift(&mut self, from: usize, parts: &[Part]) {
        let Self { labels, fields, uid, is_ending: _, has_foreign_version: _ } = self;
        let labels = labels.iter_mut().flat_map(|(key, value)| [key, value]);
        for text in labels.chain(fields).chain([uid]) {
            let Text::At { start, .. } = text else { continue };
            // Nothing that is looked for lies within a part.
            let mut gone = 0;
            for part in parts {
                if (part.at as usize + gone) < *start as usize + from {
                    gone += part.text.len();
                }
            }
            *start -= gone as u32;
        }
    }
}

/// Start and length.
pub(super) type Place = (usize, usize);

/// Where in an object to look, compiled once per resource.
#[derive(Debug)]
pub struct Extractor {
    pub(super) rewrite: Rewrite,
    pub(super) adapt: Option<Adapt>,
    root: Node,
    defaults: Vec<Text>,
    /// What its objects share.
    pub(super) common: Common,
}

#[derive(Debug, Default)]
struct Node {
    children: Vec<(String, Node)>,
    /// Selectable fields ending here: index, and rank among the field's alternatives.
    fields: Vec<(usize, usize)>,
    role: Role,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Role {
    #[default]
    Field,
    Labels,
    Uid,
    End,
    Version,
    Owners,
    OwnedFields,
}

impl Node {
    fn at(&mut self, path: &[&str]) -> &mut Node {
        let Some((first, rest)) = path.split_first() else { return self };
        let index = self.children.iter().position(|(name, _)| name == first).unwrap_or_else(|| {
            self.children.push(((*first).to_owned(), Node::default()));
            self.children.len() - 1
        });
        self.children[index].1.at(rest)
    }
}

impl Extractor {
    /// `rewrite` reads values that are no JSON.
    pub fn new(resource: &Resource, rewrite: Rewrite) -> Self {
        let selects = &resource.selects;
        let mut root = Node::default();
        root.at(&["metadata", "labels"]).role = Role::Labels;
        root.at(&["metadata", "uid"]).role = Role::Uid;
        root.at(&["metadata", "deletionTimestamp"]).role = Role::End;
        root.at(&["metadata", "resourceVersion"]).role = Role::Version;
        let owners = root.at(&["metadata", "managedFields"]);
        owners.role = Role::Owners;
        owners.at(&["fieldsV1"]).role = Role::OwnedFields;
        let mut defaults = Vec::with_capacity(selects.fields.len());
        for (index, field) in selects.fields.iter().enumerate() {
            for (rank, path) in field.paths.iter().enumerate() {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                root.at(&path).fields.push((index, rank));
            }
            defaults.push(match &field.default {
                std::borrow::Cow::Borrowed(text) => Text::Static(text),
                std::borrow::Cow::Owned(text) => Text::Owned(text.as_str().into()),
            });
        }
        Self { rewrite, adapt: resource.adapt.clone(), root, defaults, common: Common::default() }
    }

    /// Of the object that begins at `from` in `buffer`; and where in `buffer` its managers' fields are.
    pub(super) fn extract(&self, buffer: &[u8], from: usize) -> Result<(Extracted, Vec<Place>), serde_json::Error> {
        let json = &buffer[from..];
        let mut found = Found {
            owned: Vec::new(),
            base: json.as_ptr() as usize,
            labels: Vec::new(),
            fields: vec![None; self.defaults.len()],
            uid: Text::Static(""),
            is_ending: false,
            versions: 0,
        };
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        Walk { node: &self.root, found: &mut found }.deserialize(&mut deserializer)?;
        deserializer.end()?;
        let fields = found.fields.into_iter().zip(&self.defaults);
        let owned = found.owned.into_iter().map(|(start, len)| (start + from, len)).collect();
        let extracted = Extracted {
            labels: found.labels.into(),
            fields: fields.map(|(value, default)| value.map_or_else(|| default.clone(), |(_, text)| text)).collect(),
            uid: found.uid,
            is_ending: found.is_ending,
            has_foreign_version: found.versions > 1,
        };
        Ok((extracted, owned))
    }
}

struct Found {
    /// Address of the buffer, to turn borrowed strings into places.
    base: usize,
    labels: Vec<(Text, Text)>,
    fields: Vec<Option<(usize, Text)>>,
    owned: Vec<Place>,
    uid: Text,
    is_ending: bool,
    versions: usize,
}

impl Found {
    fn borrowed(&self, text: &str) -> Text {
        Text::At { start: (text.as_ptr() as usize - self.base) as u32, len: text.len() as u32 }
    }

    fn set(&mut self, node: &Node, text: Text) {
        match node.role {
            Role::Uid => self.uid = text.clone(),
            Role::End => self.is_ending = true,
            Role::Version => self.versions += 1,
            Role::Labels | Role::Field | Role::Owners | Role::OwnedFields => {}
        }
        for (index, rank) in &node.fields {
            let empty = matches!(&text, Text::At { len: 0, .. });
            let slot = &mut self.fields[*index];
            if !empty && slot.as_ref().is_none_or(|(held, _)| rank < held) {
                *slot = Some((*rank, text.clone()));
            }
        }
    }
}

/// Walks the members that `node` knows and skips all others.
struct Walk<'n, 'f> {
    node: &'n Node,
    found: &'f mut Found,
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.node.role == Role::Labels {
            while let Some(key) = map.next_key_seed(TextSeed(self.found))? {
                let value = map.next_value_seed(TextSeed(self.found))?;
                self.found.labels.push((key, value));
            }
            return Ok(());
        }
        while let Some(child) = map.next_key_seed(Child(self.node))? {
            match child {
                Some(node) if node.role == Role::OwnedFields => {
                    let text = map.next_value::<&RawValue>()?.get();
                    self.found.owned.push((text.as_ptr() as usize - self.found.base, text.len()));
                }
                Some(node) => map.next_value_seed(Walk { node, found: self.found })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if self.node.role == Role::Owners {
            while seq.next_element_seed(Walk { node: self.node, found: self.found })?.is_some() {}
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        let text = self.found.borrowed(text);
        self.found.set(self.node, text);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.found.set(self.node, Text::Owned(text.into()));
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.found.set(self.node, Text::Static(if value { "true" } else { "false" }));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.found.set(self.node, Text::Owned(value.to_string().into()));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.found.set(self.node, Text::Owned(value.to_string().into()));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.found.set(self.node, Text::Owned(value.to_string().into()));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A key: the child of that name, if it is wanted.
struct Child<'n>(&'n Node);

impl<'de, 'n> DeserializeSeed<'de> for Child<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Child<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.children.iter().find(|(child, _)| child == name).map(|(_, node)| node))
    }
}

struct TextSeed<'f>(&'f Found);

impl<'de> DeserializeSeed<'de> for TextSeed<'_> {
    type Value = Text;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for TextSeed<'_> {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text, E> {
        Ok(self.0.borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text::Owned(text.into()))
    }
}
