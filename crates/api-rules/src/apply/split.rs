//! An object read without its managedFields: they are often a third of it, and most writes need not look into them.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

/// An object, and its managedFields as the bytes that were read; none if there are none.
#[derive(Debug)]
pub struct Split<'a> {
    pub object: Value,
    pub managed: &'a [u8],
}

/// Reads an object and leaves `metadata.managedFields` as it is.
pub fn split(json: &[u8]) -> Result<Split<'_>, serde_json::Error> {
    let mut managed = None;
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let object = Level::Object(&mut managed).deserialize(&mut deserializer)?;
    deserializer.end()?;
    let managed = managed.map_or("", RawValue::get);
    Ok(Split { object, managed: if managed == "null" { b"" } else { managed.as_bytes() } })
}

/// Which object is being read; both have a place for what is set apart.
enum Level<'m, 'a> {
    Object(&'m mut Option<&'a RawValue>),
    Metadata(&'m mut Option<&'a RawValue>),
}

impl<'a> DeserializeSeed<'a> for Level<'_, 'a> {
    type Value = Value;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Level<'_, 'a> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        match self {
            Self::Object(managed) => {
                while let Some(Name(name)) = map.next_key()? {
                    let value = match name.as_ref() {
                        "metadata" => map.next_value_seed(Level::Metadata(managed))?,
                        _ => map.next_value()?,
                    };
                    members.insert(name.into_owned(), value);
                }
            }
            Self::Metadata(managed) => {
                while let Some(Name(name)) = map.next_key()? {
                    match name.as_ref() {
                        "managedFields" => *managed = Some(map.next_value()?),
                        _ => drop(members.insert(name.into_owned(), map.next_value()?)),
                    }
                }
            }
        }
        Ok(Value::Object(members))
    }
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
