//! JSON as protobuf, in one pass over the bytes: no value is built in between.
//!
//! Members that the message does not have are left out; that stored objects fit their kind is seen to when they are
//! written.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    messages::{self, Field, Kind, MessageId, Other, Shape},
    wire,
};

/// Appends the fields of `message` that stand in the JSON object.
pub fn members(message: MessageId, json: &[u8], out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let mut input = serde_json::Deserializer::from_slice(json);
    Members { message, out }.deserialize(&mut input)?;
    input.end()
}

/// The object of one message.
struct Members<'o> {
    message: MessageId,
    out: &'o mut Vec<u8>,
}

/// The value of one field, or of one item of it.
struct Written<'o> {
    field: Field,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    /// A message that stands for its only field.
    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        match messages::message(self.message).member(".") {
            Some(member) => Written { field: member.field, out: self.out }.visit_seq(items),
            None => Err(A::Error::custom("a list where an object belongs")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let message = messages::message(self.message);
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            let Some(member) = message.member(&name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let starts: Vec<usize> = member.inlined.iter().map(|number| wire::begin(*number, self.out)).collect();
            map.next_value_seed(Written { field: member.field, out: self.out })?;
            for start in starts.into_iter().rev() {
                wire::end(start, self.out);
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Written<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        if self.field.kind == Kind::Raw && self.field.shape == Shape::Single {
            let raw = <&RawValue as serde::Deserialize>::deserialize(input)?;
            self.nested(|out| wire::bytes(1, raw.get().as_bytes(), out));
            return Ok(());
        }
        input.deserialize_any(self)
    }
}

impl Written<'_> {
    fn item(&mut self) -> Written<'_> {
        Written { field: Field { shape: Shape::Single, ..self.field }, out: self.out }
    }

    fn nested(self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = wire::begin(self.field.number, self.out);
        write(self.out);
        wire::end(start, self.out);
    }

    fn mismatch<E: Error>(&self, what: &str) -> E {
        E::custom(format_args!("{}: {what} where {:?} belongs", self.field.name, self.field.kind))
    }

    /// A time, as seconds and nanoseconds since 1970.
    fn time<E: Error>(self, text: &str) -> Result<(), E> {
        let time: jiff::Timestamp = text.parse().map_err(E::custom)?;
        self.nested(|out| {
            wire::number(1, time.as_second() as u64, out);
            wire::number(2, time.subsec_nanosecond() as u64, out);
        });
        Ok(())
    }
}

impl<'de> Visitor<'de> for Written<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:?}", self.field.kind)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.field.kind {
            Kind::Text => wire::bytes(self.field.number, text.as_bytes(), self.out),
            Kind::Bytes => wire::bytes(self.field.number, &STANDARD.decode(text).map_err(E::custom)?, self.out),
            Kind::Quantity => self.nested(|out| wire::bytes(1, text.as_bytes(), out)),
            Kind::Time { .. } => return self.time(text),
            Kind::IntOrString => self.nested(|out| {
                wire::number(1, 1, out);
                wire::bytes(3, text.as_bytes(), out);
            }),
            _ => return Err(self.mismatch("a string")),
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Boolean => wire::number(self.field.number, value.into(), self.out),
            Kind::SchemaOr(Other::Boolean) => self.nested(|out| wire::number(1, value.into(), out)),
            _ => return Err(self.mismatch("a boolean")),
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        match self.field.kind {
            Kind::Integer => wire::number(self.field.number, value as u64, self.out),
            Kind::Float => wire::float(self.field.number, value as f64, self.out),
            Kind::Quantity => return self.visit_str(&value.to_string()),
            Kind::IntOrString => self.nested(|out| {
                wire::number(1, 0, out);
                wire::number(2, value as u64, out);
            }),
            _ => return Err(self.mismatch("a number")),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.visit_i64(i64::try_from(value).map_err(E::custom)?)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Float => wire::float(self.field.number, value, self.out),
            Kind::Quantity => return self.visit_str(&value.to_string()),
            _ => return Err(self.mismatch("a fraction")),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        match (self.field.shape, self.field.kind) {
            (Shape::Repeated, _) => {
                while items.next_element_seed(self.item())?.is_some() {}
                Ok(())
            }
            (_, Kind::Message(message)) => {
                let start = wire::begin(self.field.number, self.out);
                Members { message, out: self.out }.visit_seq(items)?;
                wire::end(start, self.out);
                Ok(())
            }
            (_, Kind::SchemaOr(other)) => {
                let schema = messages::json_schema().ok_or_else(|| A::Error::custom("no JSON schemas"))?;
                let kind = if other == Other::Texts { Kind::Text } else { Kind::Message(schema) };
                let start = wire::begin(self.field.number, self.out);
                let field = Field { number: 2, shape: Shape::Repeated, kind, ..self.field };
                Written { field, out: self.out }.visit_seq(items)?;
                wire::end(start, self.out);
                Ok(())
            }
            _ => Err(self.mismatch("a list")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let number = self.field.number;
        match (self.field.shape, self.field.kind) {
            (Shape::Map, _) => {
                while let Some(key) = map.next_key::<Cow<'_, str>>()? {
                    let start = wire::begin(number, self.out);
                    wire::bytes(1, key.as_bytes(), self.out);
                    let item = self.item();
                    map.next_value_seed(Written { field: Field { number: 2, ..item.field }, out: item.out })?;
                    wire::end(start, self.out);
                }
                Ok(())
            }
            (_, Kind::Message(message)) => {
                let start = wire::begin(number, self.out);
                Members { message, out: self.out }.visit_map(map)?;
                wire::end(start, self.out);
                Ok(())
            }
            (_, Kind::SchemaOr(other)) => {
                let schema = messages::json_schema().ok_or_else(|| A::Error::custom("no JSON schemas"))?;
                let start = wire::begin(number, self.out);
                // Beside a schema, Go says "allowed".
                let at = if other == Other::Boolean {
                    wire::number(1, 1, self.out);
                    2
                } else {
                    1
                };
                let field = Field { number: at, shape: Shape::Single, kind: Kind::Message(schema), ..self.field };
                Written { field, out: self.out }.visit_map(map)?;
                wire::end(start, self.out);
                Ok(())
            }
            _ => Err(self.mismatch("an object")),
        }
    }
}
