//! One step of a field's path: a member, or an item of a list by its keys, its value or its place.

use std::{
    cmp::Ordering,
    fmt::{self, Write},
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Number, Value};

/// Ordered as upstream orders path elements: members, keys, values, places.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    /// `f:`, a member of an object.
    Field(Box<str>),
    /// `k:`, the item of a list that has these values, sorted by name.
    Key(Vec<(Box<str>, Value)>),
    /// `v:`, the item of a set.
    Value(Value),
    /// `i:`, a place in a list. Read and kept, never made here.
    Index(i64),
}

/// Why a text is no path element.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ElementError {
    /// A later version may know it, so it is passed over.
    #[error("unknown path element type")]
    Unknown,
    #[error("key must be 2 characters long")]
    TooShort,
    #[error("missing colon: {0}")]
    NoColon(String),
    #[error("{0}")]
    Content(String),
}

impl Eq for Element {}

impl Element {
    pub fn field(name: &str) -> Self {
        Self::Field(name.into())
    }

    /// A key of names and values, in any order.
    pub fn key(mut fields: Vec<(Box<str>, Value)>) -> Self {
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        Self::Key(fields)
    }

    /// Reads `f:name`, `k:{…}`, `v:…` or `i:…`.
    pub fn parse(text: &str) -> Result<Self, ElementError> {
        let content = |error: serde_json::Error| ElementError::Content(error.to_string());
        let bytes = text.as_bytes();
        if bytes.len() < 2 {
            return Err(ElementError::TooShort);
        }
        if bytes[1] != b':' {
            return Err(ElementError::NoColon(text.to_owned()));
        }
        match bytes[0] {
            b'f' => Ok(Self::field(&text[2..])),
            b'v' => serde_json::from_str(&text[2..]).map(Self::Value).map_err(content),
            b'k' => serde_json::from_str(&text[2..]).map(|Fields(fields)| Self::key(fields)).map_err(content),
            b'i' => text[2..].parse().map(Self::Index).map_err(|_| ElementError::Content(text.to_owned())),
            _ => Err(ElementError::Unknown),
        }
    }

    /// Appends the element as a JSON string: `"f:name"`.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Field(name) if is_plain(name) => {
                out.extend_from_slice(b"\"f:");
                out.extend_from_slice(name.as_bytes());
                out.push(b'"');
            }
            Self::Field(name) => write_string(&format!("f:{name}"), out),
            Self::Key(fields) => write_string(&key_text(fields), out),
            Self::Value(value) => write_string(&format!("v:{value}"), out),
            Self::Index(index) => write_string(&format!("i:{index}"), out),
        }
    }
}

/// The members of an object in their order.
struct Fields(Vec<(Box<str>, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self(Vec::new()))
    }
}

impl<'de> Visitor<'de> for Fields {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(field) = map.next_entry()? {
            self.0.push(field);
        }
        Ok(self)
    }
}

fn key_text(fields: &[(Box<str>, Value)]) -> String {
    let mut text = String::from("k:{");
    for (i, (name, value)) in fields.iter().enumerate() {
        let separator = if i == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{}:{value}", Value::from(name.as_ref()));
    }
    text.push('}');
    text
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\')
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("writing to memory");
}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Element {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => compare_keys(a, b),
            (Self::Value(a), Self::Value(b)) => compare_values(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

impl Element {
    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

fn compare_keys(a: &[(Box<str>, Value)], b: &[(Box<str>, Value)]) -> Ordering {
    let differs = a.iter().zip(b).map(|((an, av), (bn, bv))| an.cmp(bn).then_with(|| compare_values(av, bv)));
    differs.into_iter().find(|o| o.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// Numbers before texts before truths before lists before objects before null, as upstream.
fn compare_values(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    };
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let differs = a.iter().zip(b).map(|(a, b)| compare_values(a, b)).find(|o| o.is_ne());
            differs.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(_), Value::Object(_)) => a.to_string().cmp(&b.to_string()),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)),
    }
}

/// As in conflicts: `.spec`, `[name="c"]`, `[="a"]`, `[3]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(fields) => {
                f.write_char('[')?;
                for (i, (name, value)) in fields.iter().enumerate() {
                    write!(f, "{}{name}={value}", if i == 0 { "" } else { "," })?;
                }
                f.write_char(']')
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// The path of some elements as conflicts and errors show it.
pub fn path_text<'a>(path: impl IntoIterator<Item = &'a Element>) -> String {
    path.into_iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive() {
        for text in [
            r#""f:a""#,
            r#""f:a\"b\\""#,
            r#""f:app.kubernetes.io/name""#,
            r#""k:{\"containerPort\":80,\"protocol\":\"TCP\"}""#,
            r#""v:\"kubernetes\"""#,
            r#""v:1""#,
            r#""v:true""#,
            r#""i:3""#,
        ] {
            let element = Element::parse(&serde_json::from_str::<String>(text).unwrap()).unwrap();
            let mut out = Vec::new();
            element.write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn keys_are_sorted_by_name() {
        let element = Element::parse(r#"k:{"protocol":"TCP","containerPort":80}"#).unwrap();
        assert_eq!(element.to_string(), r#"[containerPort=80,protocol="TCP"]"#);
    }

    #[test]
    fn order() {
        let texts = [
            "f:a",
            "f:b",
            r#"k:{"a":1}"#,
            r#"k:{"a":2}"#,
            r#"k:{"a":2,"b":1}"#,
            "v:2",
            "v:10",
            r#"v:"1""#,
            "v:false",
            "i:1",
            "i:2",
        ];
        let elements: Vec<_> = texts.iter().map(|text| Element::parse(text).unwrap()).collect();
        assert!(elements.is_sorted(), "{elements:?}");
    }

    #[test]
    fn what_cannot_be_read() {
        assert_eq!(Element::parse("x:1"), Err(ElementError::Unknown));
        assert_eq!(Element::parse("f"), Err(ElementError::TooShort));
        assert_eq!(Element::parse("foo"), Err(ElementError::NoColon("foo".into())));
        assert!(matches!(Element::parse("v:{"), Err(ElementError::Content(_))));
        assert!(matches!(Element::parse("é"), Err(ElementError::NoColon(_))));
    }
}
